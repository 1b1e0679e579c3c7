"""Batches: what is shown of rows of different lengths, and that nothing of it changes an answer."""

import numpy as np
import pytest
import torch

from backend import batches
from backend.batches import STEP, Loader
from backend.data import IGNORE, Examples
from backend.models import build, scored_logits
from backend.sizes import size

CPU = torch.device("cpu")
LENGTH, WORDS = 40, 50


def questions() -> Examples:
    """Rows of 40 positions whose answers lie at 5 … 6, 12 … 14 and 30 … 33; the last row has none."""
    draw = np.random.default_rng(0)
    ids = draw.integers(1, WORDS, (4, LENGTH))
    targets = np.full_like(ids, IGNORE)
    for row, (start, end) in enumerate([(5, 7), (12, 15), (30, 34)]):
        targets[row, start:end] = draw.integers(1, WORDS, end - start)
        ids[row, end:] = 0
    return Examples(ids, targets)


@pytest.mark.parametrize("resident", [True, False])
def test_a_batch_ends_where_its_last_answer_does(
    resident: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not resident:
        monkeypatch.setattr(batches, "RESIDENT", 0)
    loader, rows = Loader(questions(), CPU), questions()
    assert loader.resident == resident
    short, long = loader.batch(np.array([1, 0])), loader.batch(slice(None))
    assert short.input_ids.shape == (2, 2 * STEP) and long.input_ids.shape == (4, LENGTH)
    assert short.columns.tolist() == [5, 6, 12, 13, 14]
    assert len(long.columns) == 9 and loader.scored(np.arange(4)).tolist() == [2, 3, 4, 0]
    assert short.targets.tolist() == [*rows.targets[1, 12:15], *rows.targets[0, 5:7]]
    assert short.rows.tolist() == [0, 0, 0, 1, 1]
    assert loader.batch(np.array([3])).input_ids.shape == (1, LENGTH)


def test_what_is_cut_off_changes_no_answer() -> None:
    model = build(size("tiny", WORDS), 0).eval()
    loader = Loader(questions(), CPU)
    with torch.no_grad():
        whole = scored_logits(model, loader.batch(slice(None)))
        apart = torch.cat([scored_logits(model, loader.batch(np.array([row]))) for row in range(3)])
    torch.testing.assert_close(apart, whole, rtol=1e-5, atol=1e-5)
