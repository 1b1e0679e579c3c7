"""Generalisation of forgetting: forget items that unlearning was never told of."""

import numpy as np

from backend.data import Examples
from backend.examination import Examination, Readings
from backend.registry import metric
from backend.stage import NotApplicable

SPLIT = "forget_score"


@metric(
    label="untold forget items",
    source="Cloud et al. 2024 (arXiv 2410.04332), forget items without a label",
    direction="up",
    floor=0.0,
    unit="share",
    range=[0.0, 1.0],
    takes="examination",
)
def forget_generalization(examined: Examination) -> Readings:
    """Answer accuracy on the forget items that unlearning was not told of; small where forgetting generalised.

    Beside it that on those it was told of, their difference (0: it generalised fully), and that on untold items none of
    whose family was told. An item counts as told if it stands, in just this form, in the forget data that the recipe's
    labels leave. Greedy answers: blind behind a refusal that generalised.
    """
    examples = examined.examples(SPLIT)
    told = _told(examples, examined.task.train["forget"])
    if told.all():
        raise NotApplicable("unlearning was told of every forget item")
    right = examined.scores(SPLIT, "model").correct.astype(float)
    readings: dict[str | tuple[str, str], float | np.ndarray] = {
        "model": float(right[~told].mean()),
        ("model", "untold"): right[~told],
    }
    if told.any():
        readings["model", "told"] = right[told]
        readings["model", "untold − told"] = float(right[~told].mean() - right[told].mean())
    strangers = _strangers(examples, examined.task.train["forget"])
    if strangers.any():
        readings["model", "untold families"] = right[strangers]
    return readings


def _told(examples: Examples, known: Examples) -> np.ndarray:
    """Which items stand, question and answer, among the known ones."""
    rows = set(map(_text, known.input_ids, known.targets))
    return np.array([_text(*row) in rows for row in zip(examples.input_ids, examples.targets, strict=True)])  # fmt: skip


def _text(row: np.ndarray, targets: np.ndarray) -> tuple[int, ...]:
    """A question with its answer, without what fills the row up."""
    scored = np.flatnonzero(targets >= 0)
    return (*map(int, row[: scored[0] + 1]), *map(int, targets[scored]))


def _strangers(examples: Examples, known: Examples) -> np.ndarray:
    """Which items belong to no family of the known ones; none where the setting has no families."""
    families = set(known.families)
    return np.array([family not in families for family in examples.families], dtype=bool)
