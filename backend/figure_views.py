"""The papers' own figures as views of a study: what they are drawn from, what they hand back, and where they are found."""

import importlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from backend.anchors import ANCHORS
from backend.charts.axes import ARROWS, Axis, axes_of, axis_of
from backend.charts.figure_panels import beside
from backend.frontier import frame as frame_of
from backend.tables import WORST

FOLDER = Path(__file__).parent / "figures"
ALONG = ["configuration", "method", "seed", "step", "score"]


class Measured(Protocol):
    """How a figure asks for more measurements of the study's models."""

    def __call__(
        self,
        metrics: Sequence[str],
        splits: Sequence[str] | None = None,
        stages: Sequence[str] = ("evaluate",),
    ) -> pd.DataFrame:
        """Columns configuration, seed, run, metric, split, category, step, value; all categories."""
        ...


@dataclass(frozen=True)
class Material:
    """What figures are drawn from: a study's frontier document and curves, with the chosen configurations alone.

    `whole` is the document with every configuration, for what lies on the way to a chosen one.
    """

    whole: Mapping[str, Any]
    every_curve: pd.DataFrame
    measured: Measured
    chosen: Collection[str] = ()
    theme: str = "light"

    @cached_property
    def document(self) -> dict[str, Any]:
        """The document with what is chosen and the references; all rows where nothing is."""
        rows = [row for row in self.whole["rows"] if self._is_drawn(row)]
        return {**self.whole, "rows": rows}

    def _is_drawn(self, row: Mapping[str, Any]) -> bool:
        chosen = not self.chosen or row["configuration"] in self.chosen
        return chosen or row["method"] in ANCHORS

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The document's rows that are drawn."""
        found: list[dict[str, Any]] = self.document["rows"]
        return found

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The same rows as a table (see `backend.tables.frame`)."""
        return frame_of(self.document)

    @cached_property
    def axes(self) -> dict[str, Axis]:
        """What the document can be drawn over, by column."""
        return axes_of(self.whole)

    @cached_property
    def attack(self) -> dict[str, Any] | None:
        """The attack whose steps are drawn: the first one on the weights that was looked at more than once."""
        steps = self.every_curve.groupby("attack", sort=False)["step"].nunique()
        along = [name for name in steps.index if steps[name] > 1]
        known = [one for one in self.whole["attacks"] if one["name"] in along]
        return next((one for one in known if one["counts"] == "weights"), None)

    @cached_property
    def worst(self) -> pd.DataFrame:
        """The worst case along that attack of every configuration: configuration, method, seed, step, score.

        Those that lack cells are left out.
        """
        if self.attack is None:
            return pd.DataFrame(columns=ALONG)
        curves = self.every_curve
        mine = (curves["attack"] == self.attack["name"]) & (curves["cell"] == WORST)
        return curves.loc[mine, ALONG]

    def drawn_worst(self) -> pd.DataFrame:
        """The same of the rows that are drawn."""
        names = [row["configuration"] for row in self.rows]
        return self.worst[self.worst["configuration"].isin(names)]

    def axis(self, part: str) -> Axis:
        """The axis of the study's `forget` or `retain` metric."""
        return axis_of(str(self.whole["reference"][f"metric_{part}"]), self.axes)

    def forget_title(self, when: str) -> list[str]:
        """Two lines for an axis: the forget metric with the arrow to its better end, and when it is read."""
        label = str(self.whole["reference"]["forget_label"] or "metric")
        return [f"Forget {label} ({ARROWS[self.axis('forget').better]})", when]

    @property
    def seeds(self) -> int:
        """How many seeds the study has."""
        return int(self.whole["rows"][0]["seeds"]) if self.whole["rows"] else 0

    def seeds_told(self) -> str:
        """The same in words."""
        return f"{self.seeds} seed{'s' if self.seeds != 1 else ''}"


@dataclass(frozen=True)
class Drawn:
    """A figure that this study can show.

    `single` is its one picture; or `panels` are its parts, which a page lays out itself, `across` of them beside each
    other, with one legend where it is `shared`. A table has neither. `sized` says that the single picture has a size of
    its own that must not be stretched.
    """

    frame: pd.DataFrame
    caption: str
    single: Any = None
    panels: Sequence[Any] = field(default_factory=list)
    across: int = 1
    sized: bool = False
    shared: bool = True

    @property
    def is_table(self) -> bool:
        """Whether the figure has no picture."""
        return self.single is None and not self.panels

    @cached_property
    def chart(self) -> Any:
        """The whole picture, for files and reports, put together when it is asked for; None of a table."""
        return beside(self.panels, self.across, self.shared) if self.panels else self.single


@dataclass(frozen=True)
class Figure:
    """A figure of a paper: its name, title and source, and how it is drawn, or a sentence on what the study lacks."""

    name: str
    title: str
    source: str
    place: int
    draw: Callable[[Material], Drawn | str]


def figures() -> list[Figure]:
    """Every figure of the folder `backend/figures`, by its PLACE."""
    names = [path.stem for path in sorted(FOLDER.glob("[!_]*.py"))]
    found = []
    for name in names:
        module = importlib.import_module(f"backend.figures.{name}")
        found.append(Figure(name, module.TITLE, module.SOURCE, module.PLACE, module.draw))
    return sorted(found, key=lambda one: (one.place, one.name))


def of_models(
    document: Mapping[str, Any], runs: pd.DataFrame, measured: pd.DataFrame
) -> pd.DataFrame:
    """Measurements of evaluations and attacks with the configuration and seed of the model that they looked at.

    `runs` as `db.reads.study_runs` gives them, `measured` as `db.reads.measurements`; what belongs to no row of the
    document is left out.
    """
    names = {m: row["configuration"] for row in document["rows"] for m in row["models"] if m}
    looked_at = dict(zip(runs["id"], runs["parent"], strict=True))
    seeds = dict(zip(runs["id"], runs["seed"], strict=True))
    models = [looked_at.get(run) for run in measured["run"]]
    told = measured.assign(
        configuration=pd.Series([names.get(m) if pd.notna(m) else None for m in models], index=measured.index, dtype=object),
        seed=measured["run"].map(seeds),
    )  # fmt: skip
    columns = ["configuration", "seed", "run", "metric", "split", "category", "step", "value"]
    return told.dropna(subset=["configuration", "value"])[columns]


def suppressed(row: Mapping[str, Any]) -> str | None:
    """The configuration that is this row's suppression alone; None for recipes that begin without one."""
    stages = row["stages"]
    if not stages or stages[0]["stage"] != "suppress":
        return None
    last = max(i for i, stage in enumerate(stages) if stage["stage"] == "suppress")
    parts = str(row["configuration"]).split(" → ")
    return " → ".join(parts[: last + 1])


def alpha_of(row: Mapping[str, Any]) -> float | None:
    """The α of a configuration that ends in UNDO; None for others."""
    last: Mapping[str, Any] = (row["stages"] or [{"name": "", "parameters": {}}])[-1]
    alpha = last["parameters"].get("alpha") if last["name"] == "undo" else None
    return None if alpha is None else float(alpha)


def over_seeds(frame: pd.DataFrame, keys: Sequence[str], value: str = "score") -> pd.DataFrame:
    """`keys`, and the mean, the smallest (low) and the largest (high) value over seeds, and their number."""
    groups = frame.groupby(list(keys), sort=False, observed=True)[value]
    return groups.agg(mean="mean", low="min", high="max", seeds="count").reset_index()
