"""A study's rows, indexed once: which run is which model, what it scored, what its attacks brought back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from backend.recovery import Scale, Strongest, strongest

COUNTED = ("weights", "access")  # who holds the weights can do both


def cell_key(parameters: Mapping[str, Any]) -> str:
    """The identity of a grid cell: its parameters without the target."""
    return json.dumps({k: v for k, v in parameters.items() if k != "target"}, sort_keys=True)


@dataclass
class Evidence:
    """Indexed runs and measurements of one study."""

    document: Mapping[str, Any]
    runs: pd.DataFrame
    inputs: pd.DataFrame
    measurements: pd.DataFrame
    items: Mapping[tuple[int, int], np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        setting = self.document["setting"]
        self.forget, self.retain = setting["forget_metric"], setting["retain_metric"]
        metrics = self.document["metrics"]
        self.forget_scale = Scale.of(metrics[self.forget], "forget_score")
        self.retain_scale = Scale.of(metrics[self.retain], "retain_score")
        self.rows: dict[int, dict[str, Any]] = {
            int(row["id"]): {str(k): v for k, v in row.items()}
            for row in self.runs.to_dict("records")
        }
        self.by_fingerprint = {row["fingerprint"]: run for run, row in self.rows.items()}
        self._index_children()
        self._index_values()

    def _index_children(self) -> None:
        self.evaluations: dict[int, int] = {}
        self.cells: dict[tuple[int, str, str], dict[str, int]] = {}
        for run, row in self.rows.items():
            if row["parent"] is None or pd.isna(row["parent"]):
                continue
            parent = int(row["parent"])
            if row["stage"] == "evaluate" and row["state"] == "complete":
                self.evaluations[parent] = run
            if row["stage"] == "attack":
                target = row["parameters"].get("target", "forget")
                group = self.cells.setdefault((parent, row["name"], target), {})
                group[cell_key(row["parameters"])] = run

    def _index_values(self) -> None:
        table = self.measurements
        looked = table[table["run"].isin(set(self.evaluations.values()))]
        keys = zip(looked["run"], looked["metric"], looked["split"], strict=True)
        self.evaluated = dict(zip(keys, looked["value"], strict=True))
        counts = zip(looked["run"], looked["metric"], looked["split"], strict=True)
        self.counted = dict(zip(counts, looked["items"], strict=True))
        attacks = {run for run, row in self.rows.items() if row["stage"] == "attack"}
        mine = table[table["run"].isin(attacks) & (table["metric"] == self.forget)]
        self.curves: dict[int, pd.DataFrame] = {}
        if len(mine):
            parts = mine["split"].str.rsplit("_", n=1).str[-1]
            wide = (
                mine.assign(part=parts)
                .pivot_table(index=["run", "step"], columns="part", values="value", dropna=False)
                .reindex(columns=["validation", "score"])
                .reset_index()
            )
            self.curves = {int(run): curve for run, curve in wide.groupby("run")}  # type: ignore[call-overload]

    def model(self, configuration: Mapping[str, Any], seed: int) -> int | None:
        """The run of a configuration's model with that seed, None where it is unknown."""
        return self.by_fingerprint.get(configuration["runs"].get(str(seed)))

    def anchor(self, name: str) -> Mapping[str, Any]:
        """The configuration of the base or of the oracle."""
        return next(c for c in self.document["configurations"] if c["method"] == name)

    def value(self, model: int | None, metric: str, split: str) -> float | None:
        """What a model scored before any attack."""
        found = self.evaluated.get((self.evaluations.get(model or -1), metric, split))
        return None if found is None or pd.isna(found) else float(found)

    def before(self, model: int | None) -> np.ndarray | None:
        """The items of the forget metric on the score part, before any attack."""
        evaluation = self.evaluations.get(model or -1)
        return None if evaluation is None else self.items.get((evaluation, 0))

    def finished(self, model: int | None, attack: str, target: str = "forget") -> dict[str, int]:
        """The complete cells of an attack on a model, by their parameters, in the grid's order."""
        group = self.cells.get((model or -1, attack, target), {})
        return {k: run for k, run in group.items() if self.rows[run]["state"] == "complete"}

    def strongest(
        self,
        model: int | None,
        attack: str,
        budget: int | None,
        only: set[str] | None = None,
        target: str = "forget",
    ) -> Strongest | None:
        """The attacker's choice among the complete cells (of these only)."""
        cells = self.finished(model, attack, target)
        chosen = [run for key, run in cells.items() if only is None or key in only]
        curves = [self.curves[run] for run in chosen if run in self.curves]
        if not curves:
            return None
        return strongest(pd.concat(curves), self.forget_scale, budget)

    def grid(self, attack: Mapping[str, Any]) -> set[str]:
        """All cells of an attack's grid."""
        return {cell_key(cell) for cell in attack["grid"]}

    def whole(self, model: int | None, attack: Mapping[str, Any]) -> bool:
        """Whether every cell of the grid is complete on the model."""
        return self.grid(attack) <= set(self.finished(model, attack["name"]))

    def ancestors(self, model: int) -> set[int]:
        """The model and every run that it descends from through any input, the base apart."""
        given: dict[int, list[int]] = {}
        for row in self.inputs.itertuples():
            given.setdefault(int(row.run), []).append(int(row.input))  # type: ignore[arg-type]
        seen, open_runs = set(), [model]
        while open_runs:
            run = open_runs.pop()
            if run in seen or self.rows[run]["stage"] == "base":
                continue
            seen.add(run)
            parent = self.rows[run]["parent"]
            open_runs += given.get(run, [])
            open_runs += [] if parent is None or pd.isna(parent) else [int(parent)]
        return seen

    def spent(self, model: int | None, column: str) -> float | None:
        """The sum of a ledger's column over the model's ancestors; None until all are complete."""
        if model is None:
            return None
        runs = [self.rows[run] for run in self.ancestors(model)]
        if any(row["state"] != "complete" or row[column] is None for row in runs):
            return None
        return float(sum(row[column] for row in runs))

    def teaching(self, budget: int | None) -> dict[str, dict[str, Any]]:
        """Each attack on the placebo: its raw score beside the commonest answer's share, and whether it *teaches*."""
        found = {}
        commonest = self.document.get("placebo_commonest")
        for attack in self.document["attacks"]:
            scores = []
            for run in self.anchor("base")["runs"].values():
                best = self.strongest(
                    self.by_fingerprint.get(run), attack["name"], budget, target="placebo"
                )
                scores += [] if best is None else [best.score]
            if scores and commonest is not None:
                found[attack["name"]] = self._teaches(float(np.mean(scores)), float(commonest))
        return found

    def _teaches(self, score: float, commonest: float) -> dict[str, Any]:
        placebo = self.measurements[self.measurements["split"] == "placebo_score"]
        count = int(placebo["items"].max()) if len(placebo) else 1
        error = float(np.sqrt(max(score * (1 - score), 1e-12) / count))
        marked = score > commonest + 2 * error
        return {"score": score, "commonest": commonest, "items": count, "teaches": bool(marked)}
