"""Which items flip between two models: counts, McNemar's exact test, and the questions that are stored."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from backend.charts.comparison import flips_chart
from backend.item_comparison import (
    AFTER,
    BEFORE,
    FLIPPED,
    RETAIN,
    SPLITS,
    Compared,
    compared,
    flipped_items,
    right_or_wrong_metrics,
    totals,
)
from backend.item_flips import Flips, flips, is_right_or_wrong
from backend.results import frontier_document
from db import reads
from db.session import require_database
from tests.flipped_answers import WRONG, rows_and_runs, store_answers
from tests.seed_database import ITEMS, seed_study

SMALL = (
    'recipes=[{suppress="max_ent"}, {suppress="max_ent", robustify={name="undo", alpha=[0.2, 0.8]}}]',
    "attacks.0.learning_rate=[1e-3, 3e-3]",
    "seeds=[0, 1]",
)


def test_flips_are_counted_by_direction() -> None:
    one, other = np.array([1, 1, 1, 0, 0]), np.array([1, 0, 0, 1, 0])
    assert flips(one, other) == Flips(both=1, lost=2, gained=1, neither=1)
    assert flips(one, other).items == 5
    assert flips(one, other) + flips(other, one) == Flips(2, 3, 3, 2)


@pytest.mark.parametrize(("lost", "gained"), [(1, 0), (5, 1), (3, 3), (0, 12), (40, 22)])
def test_mcnemar_is_statsmodels(lost: int, gained: int) -> None:
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    expected = tables.mcnemar([[7, lost], [gained, 9]], exact=True).pvalue
    assert Flips(7, lost, gained, 9).p == pytest.approx(expected)


def test_without_flips_there_is_no_test() -> None:
    assert Flips(7, 0, 0, 9).p is None


def test_a_probability_is_no_right_or_wrong() -> None:
    assert is_right_or_wrong(np.array([0.0, 1.0], dtype=np.float32))
    assert not is_right_or_wrong(np.array([0.0, 0.5])) and not is_right_or_wrong(np.array([]))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """MaxEnt and UNDO of a study with two seeds, in a database of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LETHE_HOME", str(tmp_path_factory.mktemp("items")))
        patch.delenv("LETHE_DATABASE_URL", raising=False)
        engine = require_database()
        seed_study(engine, SMALL)
        document = frontier_document(engine, "quick")
        yield engine, *rows_and_runs(engine, document, ["MaxEnt", "MaxEnt → UNDO (α 0.8)"])


def test_items_are_compared_before_and_after_the_attack(pair: Any) -> None:
    engine, document, runs, rows = pair
    assert right_or_wrong_metrics(engine, document, runs, rows) == ["answer_accuracy"]
    found = compared(engine, document["seeds"], runs, rows, "answer_accuracy")
    assert [(one.place, one.seed) for one in found] == [(p, s) for p in SPLITS for s in (0, 1)]
    for one in found:
        assert one.flips.items == ITEMS[SPLITS[one.place]]
        raw = [
            reads.item_values(engine, [run], "answer_accuracy", SPLITS[one.place])[run, step]
            for run, step in one.keys
        ]
        assert one.flips.lost == int(((raw[0] == 1) & (raw[1] == 0)).sum())
    after = {one.seed: one for one in found if one.place == AFTER}
    for row, side in zip(rows, (0, 1), strict=True):
        for cell in row["chosen_cells"]:
            assert after[cell["seed"]].keys[side] == (cell["run"], cell["step"])


def test_counts_are_pooled_without_a_test(pair: Any) -> None:
    engine, document, runs, rows = pair
    counted = totals(compared(engine, document["seeds"], runs, rows, "answer_accuracy"))
    mine = counted[counted["place"] == RETAIN].set_index("seed")
    assert mine.loc["all", "items"] == mine.loc[["0", "1"], "items"].sum()
    assert np.isnan(mine.loc["all", "p"]) and mine.loc["0", "p"] < 0.05
    assert totals([]).empty


def test_flipped_items_come_with_questions_where_those_are_stored(pair: Any) -> None:
    engine, document, runs, rows = pair
    stored = store_answers(*pair)
    found = compared(engine, document["seeds"], runs, rows, "answer_accuracy")
    listed, count = flipped_items(engine, found)
    assert list(listed) == FLIPPED
    assert count == sum(len(one.changed) for one in found)
    after = listed[(listed["place"] == AFTER) & listed["answer_one"].notna()]
    assert len(after) == stored == 4 and set(after["flip"]) == {"leak → safe"}
    assert (after["answer_one"] == after["expected"]).all()
    assert (after["answer_other"] == WRONG).all() and set(after["answers_from"]) == {""}


def test_an_answer_of_another_step_is_marked_and_agrees(pair: Any) -> None:
    engine, document, runs, rows = pair
    every = compared(engine, document["seeds"], runs, rows, "answer_accuracy")
    one = next(one for one in every if one.place == AFTER)
    counted = [step for _, step in one.keys]
    moved = tuple((run, 3) for run, _ in one.keys)
    listed, _ = flipped_items(engine, [Compared(AFTER, one.seed, moved, one.one, one.other)])
    wanted = listed[listed["question"].str.contains("× 2")]
    assert (wanted["answer_one"] == wanted["expected"]).all()
    assert set(wanted["answers_from"]) == {f"step {counted[0]}, 3 counts"}
    swapped, _ = flipped_items(engine, [Compared(AFTER, one.seed, moved, one.other, one.one)])
    assert swapped["answer_one"].isna().all()  # the stored answers are not what is claimed of them


def test_items_that_one_side_lacks_are_left_out(pair: Any) -> None:
    engine, document, runs, rows = pair
    alone = {**rows[1], "models": [None, None], "chosen_cells": []}
    assert compared(engine, document["seeds"], runs, [rows[0], alone], "answer_accuracy") == []
    assert compared(engine, document["seeds"], runs, rows, "loss") == []


def test_the_chart_of_flips_compiles() -> None:
    rows = [(BEFORE, "leak → safe", 3, -1, "better"), (BEFORE, "safe → leak", 1, 1, "worse")]
    frame = pd.DataFrame(rows, columns=["place", "flip", "items", "side", "good"])
    assert flips_chart(frame).to_dict()["layer"]
