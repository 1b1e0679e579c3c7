"""Sustainability: what is left of utility as one request to unlearn follows another."""

from typing import Any

from backend.evidence import Evidence
from backend.recovery import utility
from backend.registry import metric
from backend.stage import NotApplicable
from backend.statistics import whole_mean
from backend.study_metrics import Row, StudyView


@metric(
    label="sustainability",
    source="Shi et al. 2024, MUSE (arXiv 2407.06460), criterion 6",
    direction="none",
    better="up",
    floor=None,
    unit="utility",
    range=[None, None],
    level="study",
    takes="study",
)
def sustainability(view: StudyView, row: Row) -> dict[str, Any]:
    """Utility after the last of several requests minus that after the first, mean over seeds: 0 where they cost nothing.

    `points` holds the request, the mean utility and the raw forget metric after it.
    """
    chains = [_chain(view.evidence, model) for model in row["models"]]
    if not chains or min(map(len, chains)) < 2:
        raise NotApplicable("the recipe unlearns everything at once, so there is one request")
    points = [_point(view.evidence, list(models)) for models in zip(*chains, strict=True)]
    if any(point["utility"] is None for point in points):
        raise NotApplicable("not every request's model is evaluated yet")
    points = [{"request": number, **point} for number, point in enumerate(points, 1)]
    return {"value": points[-1]["utility"] - points[0]["utility"], "points": points}


def _chain(evidence: Evidence, model: int | None) -> list[int]:
    """The models of all requests up to this one, the first one first."""
    found: list[int] = []
    while model is not None and "request" in evidence.rows[model].parameters:
        found.insert(0, model)
        model = evidence.rows[model].parent
    return found


def _point(evidence: Evidence, models: list[int]) -> dict[str, Any]:
    kept, left = [], []
    for model, seed in zip(models, evidence.seeds, strict=True):
        mine = evidence.value(model, evidence.retain, "retain_score")
        base = evidence.value(evidence.base(seed), evidence.retain, "retain_score")
        known = mine is not None and base is not None
        kept.append(utility(mine, base, evidence.retain_scale) if known else None)  # type: ignore[arg-type]
        left.append(evidence.value(model, evidence.forget, "forget_score"))
    return {"utility": whole_mean(kept), "forget": whole_mean(left)}
