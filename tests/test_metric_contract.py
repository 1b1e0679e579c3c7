"""Every metric on every kind of checkpoint: finite rows within its range, or a reason why there are none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backend import catalogue
from backend.checkpoints import load_model, save_model
from backend.stage import Measured, reasons_in
from tests.small import context, do

torch.set_num_threads(1)
METRICS = [part for part in catalogue.parts("metrics") if part.declared["takes"] != "study"]
CHECKPOINTS = ("base", "oracle", "suppressed", "wrapped", "wrecked")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One checkpoint of every kind; the wrecked one answers with huge logits everywhere."""
    folder = tmp_path_factory.mktemp("contract")
    do(folder, "base", "base")
    do(folder, "oracle", "oracle")
    do(folder, "suppressed", "suppress", "max_ent", parent="base", steps=5)
    do(folder, "wrapped", "wrap", "whp", parent="base", steps=3)
    model = load_model(folder, "base", context(folder).fresh_model())
    with torch.no_grad():
        for weight in model.parameters():
            weight *= 1e4
    save_model(folder, "wrecked", model)
    return folder


def about_the_metric(rows: list[Measured]) -> list[Measured]:
    """The rows that the declared range is of: of the whole model where there are such, else of the splits."""
    plain = [row for row in rows if not row.category]
    return [row for row in plain if row.split == "model"] or plain


@pytest.mark.parametrize("part", METRICS, ids=lambda part: part.name)
def test_a_metric_is_finite_or_says_why_not(home: Path, part: Any) -> None:
    inputs = {"base": ["base"], "oracle": ["oracle"]}
    for checkpoint in CHECKPOINTS:
        outcome, kept = do(
            home,
            "audit",
            "evaluate",
            "audit",
            parent=checkpoint,
            inputs=inputs,
            metrics=[part.name],
        )
        reasons = reasons_in(outcome.note)
        rows = [row for row in kept.rows if row.metric == part.name]
        assert rows or reasons.get(part.name), f"{checkpoint}: nothing, and no reason"
        missing = [row for row in rows if row.value is None]
        assert not missing or reasons.get(part.name), f"{checkpoint}: missing without a reason"
        for row in rows:
            assert row.value is None or np.isfinite(row.value), f"{checkpoint}: {row}"
        low, high = part.declared["range"]
        for row in about_the_metric(rows):
            assert row.value is None or low is None or row.value >= low, f"{checkpoint}: {row}"
            assert row.value is None or high is None or row.value <= high, f"{checkpoint}: {row}"


@pytest.mark.parametrize("part", METRICS, ids=lambda part: part.name)
def test_a_metric_without_base_and_oracle_does_not_crash(home: Path, part: Any) -> None:
    outcome, kept = do(home, "alone", "evaluate", "audit", parent="suppressed", metrics=[part.name])
    assert [row for row in kept.rows if row.metric == part.name] or reasons_in(outcome.note)
