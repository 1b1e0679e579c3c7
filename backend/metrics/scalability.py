"""Scalability: what is left of utility as the forget set grows."""

from typing import Any

from backend.registry import metric
from backend.stage import NotApplicable
from backend.study_metrics import Row, StudyView


@metric(
    label="scalability",
    source="Shi et al. 2024, MUSE (arXiv 2407.06460), criterion 5",
    direction="none",
    better="up",
    floor=None,
    unit="utility",
    range=[None, None],
    level="study",
    takes="study",
)
def scalability(view: StudyView, row: Row) -> dict[str, Any]:
    """Utility with the largest forget set minus that with the smallest, both unlearnt at once: 0 where size costs nothing.

    The sizes are those of studies in the database that differ from this one in `forget_size` only. `points` holds
    size, utility and robust forget quality of each.
    """
    found = [
        {
            "size": size,
            **{name: same[name]["mean"] for name in ("utility", "robust_forget_quality")},
        }
        for size, rows in sorted(view.siblings.items())
        for same in rows
        if same["stages"] == row["stages"] and same["method"] == row["method"]
    ]
    known = [point for point in found if point["utility"] is not None]
    if len(known) < 2:
        raise NotApplicable(
            "no other study in the database has this recipe and another forget_size"
        )
    return {"value": known[-1]["utility"] - known[0]["utility"], "points": known}
