"""Metrics of a whole study: what they see, and their place in the frontier's rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backend import catalogue, plugins
from backend.evidence import Evidence
from backend.registry import load
from backend.stage import NotApplicable

VERDICTS = ("shown", "present but suppressed", "absent", "undecided")  # on an item
Row = dict[str, Any]
Items = Mapping[tuple[int, int], np.ndarray]


@dataclass(frozen=True)
class StudyView:
    """What a metric of the level `study` sees.

    `rows` are the frontier's; `siblings` the rows of studies that differ in their forget set's size only, by that size,
    this study's among them; `items` the values of every item of some metrics on the score part, by metric.
    """

    evidence: Evidence
    rows: Sequence[Row]
    siblings: Mapping[float, Sequence[Row]] = field(default_factory=dict)
    items: Mapping[str, Items] = field(default_factory=dict)
    _known: dict[tuple[str, int | None], Any] = field(default_factory=dict)

    def once(self, name: str, model: int | None, find: Callable[..., Any]) -> Any:
        """What `find(view, model)` says, worked out once: all rows are compared with the same oracles."""
        if (name, model) not in self._known:
            self._known[name, model] = find(self, model)
        return self._known[name, model]


def add_study_metrics(view: StudyView) -> None:
    """Give every row its `study_metrics`: by metric `value`, `reason` where there is none, and what else it says."""
    names = [p.name for p in catalogue.parts("metrics") if p.declared["level"] == "study"]
    for row in view.rows:
        row["study_metrics"] = {name: _reading(name, view, row) for name in names}


def _reading(name: str, view: StudyView, row: Row) -> dict[str, Any]:
    try:
        return {"reason": None, **load("metrics", name)(view, row)}
    except NotApplicable as why:
        return {"value": None, "reason": f"n/a, because {why}"}
    except Exception as problem:
        if plugins.part("metrics", name) is None:
            raise
        # Somebody's own metric shall not take the frontier away.
        return {"value": None, "reason": f"n/a, because the plugin failed: {type(problem).__name__}: {problem}"}  # fmt: skip
