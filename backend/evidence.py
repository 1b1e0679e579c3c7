"""A study's rows, indexed once: which run is which model, what it scored, what its attacks brought back."""

from collections.abc import Collection, Mapping
from functools import cache, cached_property
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd

from backend import catalogue
from backend.attack_tables import AttackTable
from backend.recovery import Curves, Scale, Strongest, strongest
from backend.stage import reasons_in

COUNTED = ("weights", "access")  # who holds the weights can do both
TRIALS = ("trial", "trials")  # inputs that a search tried; never part of a model's own cost


class Row(NamedTuple):
    """What the frontier needs to know of a run."""

    id: int
    fingerprint: str
    stage: str
    name: str
    parameters: dict[str, Any]
    seed: int
    parent: int | None
    state: str
    seconds: float | None
    flops: float | None
    steps: int | None
    tokens: int | None
    peak_memory: int | None
    version: int
    origin: str
    note: str | None


def cell_key(parameters: Mapping[str, Any], neutral: Mapping[str, Any] | None = None) -> str:
    """The identity of a grid cell: its parameters without the target and without neutral values.

    A run of before a parameter was added lacks it, and has the fingerprint of the one that names its neutral value.
    """
    left = {**(neutral or {}), **parameters}
    kept = (
        (k, v) for k, v in left.items() if k != "target" and (neutral or {}).get(k, _ABSENT) != v
    )
    return repr(sorted(kept))


_ABSENT = object()


def _neutral_of_attacks() -> dict[str, Mapping[str, Any]]:
    """The neutral values of every attack that there is, by name."""
    return {part.name: part.neutral for part in catalogue.parts("attacks")}


def _rows(runs: pd.DataFrame) -> dict[int, Row]:
    """Every run by its id; what is missing is None."""
    columns = []
    for name in Row._fields:
        column = runs[name] if name in runs else pd.Series([None] * len(runs), dtype=object)
        columns.append(column.astype(object).where(column.notna(), None).tolist())
    return {row[0]: Row(*row) for row in zip(*columns, strict=True)}


class Evidence:
    """Indexed runs and measurements of one study.

    `stale` are runs made by code that was fixed since; `attacker_flops` limits what an attacker may spend on one cell.
    """

    def __init__(
        self,
        document: Mapping[str, Any],
        runs: pd.DataFrame,
        inputs: pd.DataFrame,
        measurements: pd.DataFrame,
        items: Mapping[tuple[int, int], np.ndarray] | None = None,
        stale: Collection[int] = (),
        attacker_flops: float | None = None,
    ):
        self.attacker_flops = attacker_flops
        self.document, self.items, self.measurements = document, items or {}, measurements
        self.setting = document["setting"]
        self.seeds: list[int] = list(document["seeds"])
        self.attacks: list[Mapping[str, Any]] = list(document.get("attacks", []))
        self.metrics: Mapping[str, Any] = document.get("metrics", {})
        self.forget = self.setting.get("forget_metric") or ""
        self.retain = self.setting.get("retain_metric") or ""
        self.rows = _rows(runs)
        self.stale = set(stale) | self._outdated()
        self.by_fingerprint = {row.fingerprint: run for run, row in self.rows.items()}
        self.given: dict[int, list[tuple[str, int]]] = {}
        for run, role, one in zip(inputs["run"], inputs["role"], inputs["input"], strict=True):
            self.given.setdefault(int(run), []).append((str(role), int(one)))
        self.neutral = _neutral_of_attacks()
        self.grids = {
            a["name"]: [cell_key(cell, self.neutral.get(a["name"])) for cell in a["grid"]]
            for a in self.attacks
        }
        self._index_children()
        self._index_values()
        self.table = AttackTable(self.measurements, self._measured_attacks())
        self.positions = {attack["name"]: i for i, attack in enumerate(self.attacks)}
        self.curves = cache(self._curves)
        self.strongest = cache(self._strongest)
        self._cells_of = cache(self._finished)

    def _outdated(self) -> set[int]:
        """Runs of a part of which the study also has a newer version."""
        newest: dict[tuple[str, str], int] = {}
        for row in self.rows.values():
            key = (row.stage, row.name)
            newest[key] = max(newest.get(key, 0), row.version or 0)
        return {r.id for r in self.rows.values() if (r.version or 0) < newest[r.stage, r.name]}

    def _index_children(self) -> None:
        self.evaluations: dict[int, list[int]] = {}
        self.cells: dict[tuple[int, str, str], dict[str, int]] = {}
        for run, row in self.rows.items():
            if row.parent is None:
                continue
            if row.stage == "evaluate" and row.state == "complete":
                self.evaluations.setdefault(row.parent, []).append(run)
            if row.stage == "attack":
                group = (row.parent, row.name, row.parameters.get("target", "forget"))
                key = cell_key(row.parameters, self.neutral.get(row.name))
                self.cells.setdefault(group, {})[key] = run

    def _index_values(self) -> None:
        """What models scored before any attack: of their evaluations, or their own if imported."""
        owner = {run: model for model, found in self.evaluations.items() for run in found}
        owner |= {run: run for run, row in self.rows.items() if row.origin == "imported"}
        table = self.measurements[self.measurements["run"].isin(list(owner))]
        table = table[(table["category"] == "") & (table["step"] == 0)]
        self.evaluated: dict[tuple[int, str, str], float] = {}
        self.kinds: dict[int, set[tuple[str, str]]] = {}  # metric and split of what a model scored
        self.counted: dict[tuple[int, str, str], int] = {}
        columns = ("run", "metric", "split", "value", "items")
        for run, metric, split, value, count in zip(*(table[c] for c in columns), strict=True):
            key = (owner[int(run)], str(metric), str(split))
            if pd.notna(value) and np.isfinite(value):
                self.evaluated[key] = float(value)
                self.kinds.setdefault(key[0], set()).add(key[1:])
                self.counted[key] = 0 if pd.isna(count) else int(count)

    def _measured_attacks(self) -> dict[int, tuple[str, str]]:
        """Complete attack runs, each with the metric and the target that its curve shows."""
        metrics = {a["name"]: self.metric_of(a) for a in self.attacks}
        return {
            run: (metrics[name], target)
            for (_, name, target), group in self.cells.items()
            for run in group.values()
            if self.rows[run].state == "complete" and name in metrics
        }

    def metric_of(self, attack: Mapping[str, Any]) -> str:
        """The metric of an attack's curve: its own where it brings one, else the forget metric."""
        return str(attack.get("metric") or self.forget)

    def scale_of(self, metric: str, split: str) -> Scale:
        """How a declared metric turns into capability."""
        return Scale.of(self.metrics[metric], split)

    @property
    def forget_scale(self) -> Scale:
        """The forget metric's."""
        return self.scale_of(self.forget, "forget_score")

    @property
    def retain_scale(self) -> Scale:
        """The retain metric's."""
        return self.scale_of(self.retain, "retain_score")

    def model(self, configuration: Mapping[str, Any] | None, seed: int) -> int | None:
        """The run of a configuration's model with that seed, None where it is unknown."""
        if configuration is None:
            return None
        return self.by_fingerprint.get(configuration["runs"].get(str(seed), ""))

    def anchor(self, name: str) -> Mapping[str, Any] | None:
        """The configuration of the base or of the oracle; None in a study without it."""
        found = (c for c in self.document["configurations"] if c["method"] == name)
        return next(found, None)

    def base(self, seed: int) -> int | None:
        """The base of a seed."""
        return self.model(self.anchor("base"), seed)

    def value(self, model: int | None, metric: str, split: str) -> float | None:
        """What a model scored before any attack."""
        return None if model is None else self.evaluated.get((model, metric, split))

    def along(self, model: int | None) -> list[float]:
        """The retain metric on validation data while a model's suppressions went on, those before it included."""
        found: list[float] = []
        while model is not None:
            if self.rows[model].stage == "suppress":
                found = [*self.watched.get(model, []), *found]
            model = self.rows[model].parent
        return found

    @cached_property
    def watched(self) -> dict[int, list[float]]:
        """The retain metric on validation data of every run, in the order of its steps."""
        table = self.measurements
        mine = table[(table["metric"] == self.retain) & (table["split"] == "retain_validation")]
        mine = mine[mine["value"].notna()].sort_values("step", kind="stable")
        return {cast(int, run): list(group) for run, group in mine.groupby("run")["value"]}

    def is_imported(self, model: int) -> bool:
        """Whether somebody else made the model: nothing is known of what that took."""
        return self.rows[model].origin == "imported"

    def seeds_of(self, configuration: Mapping[str, Any]) -> list[int]:
        """The study's seeds that the configuration has: all of them, but in others' results perhaps fewer."""
        return [seed for seed in self.seeds if str(seed) in configuration["runs"]]

    def overhead(self, model: int | None) -> float | None:
        """FLOPs of a pass through the model over its base's: 1 without a wrapper; None where nobody measured."""
        if model is None or self.is_imported(model):
            return None
        if self.rows[model].stage != "wrap":
            return 1.0
        table = self.measurements
        mine = table[(table["run"] == model) & (table["metric"] == "inference_overhead")]
        return float(mine["value"].iloc[-1]) if len(mine) else None

    def before(self, model: int | None) -> np.ndarray | None:
        """The items of the forget metric on the score part, before any attack."""
        runs = self.evaluations.get(model, []) if model is not None else []
        found = (self.items.get((run, 0)) for run in runs)
        return next((one for one in found if one is not None), None)

    def attacked(self, model: int | None, attack: Mapping[str, Any]) -> int | None:
        """Whose cells count for a model: a wrapper's under a weight attack are its parent's own."""
        while model is not None and self.rows[model].stage == "wrap":
            if attack["counts"] != "weights":
                break
            model = self.rows[model].parent
        return model

    def finished(
        self, model: int | None, attack: Mapping[str, Any], target: str = "forget"
    ) -> frozenset[int]:
        """Positions in the grid of an attack's complete cells on a model."""
        return self._cells_of(model, attack["name"], target)

    def _finished(self, model: int | None, name: str, target: str) -> frozenset[int]:
        group = self._group(model, self.attacks[self.positions[name]], target)
        keys = enumerate(self.grids[name])
        return frozenset(i for i, key in keys if key in group and self._complete(group[key]))

    def missing(self, model: int | None, attack: Mapping[str, Any], target: str = "forget") -> int:
        """How many cells of the grid are not complete."""
        return len(attack["grid"]) - len(self.finished(model, attack, target))

    def inapplicable(
        self, model: int | None, attack: Mapping[str, Any], target: str = "forget"
    ) -> str | None:
        """Why an attack says nothing of a model, where every complete cell says so; None where one measured something."""
        done = self.finished(model, attack, target)
        group, keys = self._group(model, attack, target), self.grids[attack["name"]]
        told = [
            reasons_in(self.rows[group[keys[i]]].note).get(attack["name"]) for i in sorted(done)
        ]
        return told[0] if told and all(told) else None

    @cached_property
    def _attacker_flops(self) -> dict[tuple[int, int], float]:
        """What an attacker had spent at every look, by run and step."""
        mine = self.measurements[self.measurements["metric"] == "attacker_flops"]
        columns = (mine["run"].astype(int), mine["step"].astype(int), mine["value"].astype(float))
        return {(run, step): flops for run, step, flops in zip(*columns, strict=True)}

    def spent_by(self, run: int, step: int) -> float | None:
        """FLOPs of an attack up to a step: as noted, else its ledger's in proportion; None where neither is known."""
        noted = self._attacker_flops.get((run, step))
        if noted is not None:
            return noted
        row = self.rows[run]
        return row.flops * step / row.steps if row.flops and row.steps else None

    def _group(
        self, model: int | None, attack: Mapping[str, Any], target: str
    ) -> Mapping[str, int]:
        owner = self.attacked(model, attack)
        return {} if owner is None else self.cells.get((owner, attack["name"], target), {})

    def _complete(self, run: int) -> bool:
        return self.rows[run].state == "complete"

    def _curves(self, model: int | None, position: int, target: str = "forget") -> Curves:
        """The complete cells of the attack at a position of the study's list."""
        attack = self.attacks[position]
        group = self._group(model, attack, target)
        keys = self.grids[attack["name"]]
        found = [(i, group[keys[i]]) for i in sorted(self.finished(model, attack, target))]
        curves = self.table.curves(found).in_order()
        return curves if self.attacker_flops is None else self._affordable(curves)

    def _affordable(self, curves: Curves) -> Curves:
        """The evaluations that the attacker can pay for; those of unknown cost are left out."""
        spent = [
            self.spent_by(int(r), int(s)) for r, s in zip(curves.run, curves.step, strict=True)
        ]
        return curves.where(
            np.array([f is not None and f <= (self.attacker_flops or 0) for f in spent], dtype=bool)
        )

    def _strongest(
        self,
        model: int | None,
        position: int,
        budget: int | None,
        only: frozenset[int] | None = None,
        target: str = "forget",
    ) -> Strongest | None:
        """The attacker's choice among the complete cells (or `only` these)."""
        attack = self.attacks[position]
        curves = self.curves(model, position, target)
        if only is not None and only != self.finished(model, attack, target):
            curves = curves.of_cells(only)
        return strongest(curves, self.scale_of(self.metric_of(attack), "forget_score"), budget)

    def ancestors(self, model: int) -> set[int]:
        """The model and every run that it descends from through any input, base and trials apart."""
        seen: set[int] = set()
        open_runs = [model]
        while open_runs:
            run = open_runs.pop()
            if run in seen or run not in self.rows or self.rows[run].stage == "base":
                continue
            seen.add(run)
            parent = self.rows[run].parent
            open_runs += [one for role, one in self.given.get(run, []) if role not in TRIALS]
            open_runs += [] if parent is None else [parent]
        return seen

    def spent(self, model: int | None, column: str) -> float | None:
        """The sum of a ledger's column over the model's ancestors; None until all are complete, and for others' runs."""
        if model is None or self.rows[model].state != "complete" or self.is_imported(model):
            return None
        return self._total(self.ancestors(model), column)

    def searched(self, models: Collection[int | None]) -> float | None:
        """FLOPs of the trials of all searches that led to these models, each trial once; None for others' models."""
        if any(model is not None and self.is_imported(model) for model in models):
            return None
        runs = {run for model in models if model is not None for run in self.ancestors(model)}
        trials = {one for run in runs for role, one in self.given.get(run, []) if role in TRIALS}
        return self._total(trials, "flops")

    def _total(self, runs: Collection[int], column: str) -> float | None:
        found = [getattr(self.rows[run], column) for run in runs if self._complete(run)]
        if len(found) < len(runs) or any(one is None for one in found):
            return None
        return float(sum(found))
