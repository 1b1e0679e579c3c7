"""Test data: hand-made studies as the frames that `backend.frontier` reads. No number here was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from backend import frontier

ITEMS = 200
STEPS = (0, 50, 100, 150)
RATES = (3e-4, 1e-3, 3e-3)

# Label: stages, forget before, forget after, retain, cost as a share of the oracle. Invented, but plausible.
MODELS: dict[str, tuple[tuple[tuple[str, str, dict[str, Any]], ...], float, float, float, float]] = {
    "GradDiff": ((("suppress", "grad_diff", {}),), 0.06, 0.85, 1.00, 0.05),
    "MaxEnt": ((("suppress", "max_ent", {}),), 0.03, 0.80, 1.00, 0.05),
    **{
        f"MaxEnt → UNDO (α {alpha})": (
            (("suppress", "max_ent", {}), ("robustify", "undo", {"alpha": alpha, "beta": 0.1})),
            0.02, after, 0.97, cost,
        )
        for alpha, after, cost in ((0.2, 0.50, 0.15), (0.6, 0.14, 0.20), (0.8, 0.10, 0.40))
    },
    "MaxEnt → Distillation": (
        (("suppress", "max_ent", {}), ("robustify", "distill", {"student": "random"})),
        0.02, 0.07, 0.98, 0.80,
    ),
}  # fmt: skip


def accuracy(direction: str = "up") -> dict[str, Any]:
    """A declared metric: an accuracy, or a loss with the unigram's 4.0 as the floor."""
    splits = [f"{part}_{use}" for part in ("forget", "retain") for use in ("score", "validation")]
    floor = 0.0 if direction == "up" else 4.0
    return {
        "direction": direction,
        "unit": "share" if direction == "up" else "nats",
        "range": [0, 1] if direction == "up" else [0, None],
        "level": "model",
        "floors": dict.fromkeys(splits, floor),
    }


def relearning(rates: Sequence[float] = RATES, steps: int = STEPS[-1]) -> dict[str, Any]:
    """A relearning attack with one cell for each rate."""
    grid = [{"learning_rate": rate, "steps": steps} for rate in rates]
    return {
        "name": "relearn",
        "counts": "weights",
        "has_steps": True,
        "steps": steps,
        "grid": grid,
    }


@dataclass
class Frames:
    """The five arguments of `backend.frontier.build`, filled run by run."""

    document: dict[str, Any]
    run_rows: list[dict[str, Any]] = field(default_factory=list)
    input_rows: list[dict[str, Any]] = field(default_factory=list)
    measured: list[dict[str, Any]] = field(default_factory=list)
    items: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)

    def run(
        self,
        stage: str,
        name: str,
        seed: int = 0,
        parent: int | None = None,
        parameters: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Sequence[int]] | None = None,
        flops: float = 0.0,
        **about: Any,
    ) -> int:
        """Add a complete run; its id."""
        key = len(self.run_rows) + 1
        row = {
            "id": key, "fingerprint": f"run{key:05d}", "stage": stage, "name": name,
            "parameters": dict(parameters or {}), "seed": seed, "parent": parent,
            "state": "complete", "seconds": flops / 1e9, "flops": flops, "steps": int(flops / 1e9),
            "tokens": int(flops / 1e6), "peak_memory": 10**8, "version": 1, "origin": "run",
        }  # fmt: skip
        self.run_rows.append(row | about)
        for role, given in (inputs or {}).items():
            self.input_rows += [
                {"run": key, "role": role, "position": position, "input": one}
                for position, one in enumerate(given)
            ]
        return key

    def measure(
        self, run: int, metric: str, split: str, value: float | None, step: int = 0
    ) -> None:
        """Add a measurement over all items."""
        self.measured.append(
            {"run": run, "metric": metric, "split": split, "category": "", "step": step,
             "value": value, "standard_error": 0.01, "items": ITEMS}
        )  # fmt: skip

    def evaluate(self, model: int, forget: float, retain: float, metric: str = "accuracy") -> int:
        """Add a model's evaluation before any attack, with the forget metric's items."""
        run = self.run("evaluate", "standard", self.run_rows[model - 1]["seed"], model)
        for part, value in (("forget", forget), ("retain", retain)):
            for use in ("score", "validation"):
                self.measure(run, metric, f"{part}_{use}", value)
        self.items[run, 0] = spread(forget)
        return run

    def attack(
        self,
        model: int,
        cell: Mapping[str, Any],
        curve: Mapping[int, tuple[float, float]],
        name: str = "relearn",
        target: str = "forget",
        metric: str = "accuracy",
        **about: Any,
    ) -> int:
        """Add one cell: `curve` is step → (validation, score)."""
        seed = self.run_rows[model - 1]["seed"]
        run = self.run("attack", name, seed, model, {**cell, "target": target}, **about)
        for step, (validation, score) in curve.items():
            self.measure(run, metric, f"{target}_validation", validation, step)
            self.measure(run, metric, f"{target}_score", score, step)
            self.items[run, step] = spread(score)
        return run

    def configuration(
        self,
        label: str,
        stages: Sequence[tuple[str, str, Mapping[str, Any]]],
        models: Mapping[int, int],
        **more: Any,
    ) -> None:
        """Add a configuration with the model's run of each seed."""
        found = [{"stage": s, "name": n, "parameters": dict(p)} for s, n, p in stages]
        self.document["configurations"].append(
            {"key": label, "label": label, "method": found[-1]["name"] if found else label.lower(),
             "stages": found, "runs": {str(s): f"run{m:05d}" for s, m in models.items()}} | more
        )  # fmt: skip

    @property
    def runs(self) -> pd.DataFrame:
        """The runs as the database hands them out."""
        found = pd.DataFrame(self.run_rows)
        whole = ("parent", "steps", "tokens", "peak_memory")
        return found.astype(dict.fromkeys(whole, "Int64")) if len(found) else found

    @property
    def inputs(self) -> pd.DataFrame:
        """The runs' inputs besides their parents."""
        return pd.DataFrame(self.input_rows, columns=["run", "role", "position", "input"])

    @property
    def measurements(self) -> pd.DataFrame:
        """The measurements."""
        columns = ["run", "metric", "split", "category", "step", "value", "standard_error", "items"]
        return pd.DataFrame(self.measured, columns=columns)

    def build(self, **options: Any) -> dict[str, Any]:
        """The frontier document."""
        return frontier.build(
            self.document, self.runs, self.inputs, self.measurements, self.items, **options
        )

    def curves(self) -> pd.DataFrame:
        """The relearning curves."""
        return frontier.relearning_curves(self.document, self.runs, self.measurements)


def spread(value: float, count: int = ITEMS) -> np.ndarray:
    """Items with (nearly) this mean: right and wrong ones for a share, a narrow ramp for a loss."""
    if 0 <= value <= 1:
        return (np.arange(count) < round(value * count)).astype(np.float32)
    return (value + np.linspace(-0.5, 0.5, count)).astype(np.float32)


def empty(
    seeds: Sequence[int] = (0,),
    attacks: Sequence[Mapping[str, Any]] | None = None,
    direction: str = "up",
    **more: Any,
) -> Frames:
    """A study's document without configurations and runs."""
    setting = {
        "name": "made_up", "parameters": {}, "content_hash": "0", "forget_metric": "accuracy",
        "retain_metric": "accuracy", "placebo": True, "anchor": "oracle",
    }  # fmt: skip
    document = {
        "name": "test data", "setting": setting, "seeds": list(seeds), "oracles": 1,
        "precision": "fp32", "placebo": False, "recipes": [],
        "attacks": [dict(a) for a in (attacks if attacks is not None else [relearning()])],
        "metrics": {"accuracy": accuracy(direction)}, "placebo_commonest": 0.02,
        "configurations": [], "source": {},
    }  # fmt: skip
    return Frames({**document, **more})


def rising(before: float, after: float, rate: float, noise: float = 0.0) -> dict[int, Any]:
    """A relearning curve: the higher the rate, the further towards `after`."""
    speed = {RATES[0]: 0.3, RATES[1]: 0.7, RATES[2]: 1.0}.get(rate, 0.9)
    scores = [before + (after - before) * speed * (1 - np.exp(-step / 40)) for step in STEPS]
    return {
        step: (min(1.0, score + noise), min(1.0, max(0.0, score - noise)))
        for step, score in zip(STEPS, scores, strict=True)
    }


def small(seeds: Sequence[int] = (0, 1, 2), missing: Sequence[str] = ()) -> Frames:
    """A plausible small study: base, oracle and six configurations; `missing` ones lack their last cell."""
    made = empty(seeds)
    anchors = _models(made, "Base", "base", 1e12), _models(made, "Oracle", "oracle", 1e12)
    for models, before, after, retain in ((anchors[0], 1, 1, 1), (anchors[1], 0.02, 0.05, 0.99)):
        _fill(made, models, before, after, retain)
    suppressed: dict[str, dict[int, int]] = {}
    for label, (stages, before, after, retain, cost) in MODELS.items():
        stage, name, parameters = stages[-1]
        parents = suppressed.get(stages[0][1], anchors[0]) if len(stages) > 1 else anchors[0]
        own = (cost - (0.05 if len(stages) > 1 else 0)) * 1e12
        models = {
            seed: made.run(stage, name, seed, parents[seed], parameters, flops=own)
            for seed in made.document["seeds"]
        }
        if len(stages) == 1:
            suppressed[name] = models
        made.configuration(label, stages, models)
        _fill(made, models, before, after, retain, label in missing)
    return made


def _models(made: Frames, label: str, stage: str, flops: float) -> dict[int, int]:
    models = {seed: made.run(stage, stage, seed, flops=flops) for seed in made.document["seeds"]}
    made.configuration(label, (), models)
    return models


def _fill(
    made: Frames,
    models: Mapping[int, int],
    before: float,
    after: float,
    retain: float,
    lacking: bool = False,
) -> None:
    """Evaluation and cells of each seed, a little different between seeds."""
    for position, model in enumerate(models.values()):
        shift = 0.01 * position
        made.evaluate(model, max(0.0, before - shift), retain - shift / 2)
        for cell in made.document["attacks"][0]["grid"]:
            curve = rising(before, max(0.0, after - 2 * shift), cell["learning_rate"], 0.005)
            last = lacking and cell is made.document["attacks"][0]["grid"][-1]
            made.attack(model, cell, {} if last else curve, state="waiting" if last else "complete")


FLAT = {0: (1.0, 1.0), 50: (1.0, 1.0)}


def rows_of(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["configuration"]: row for row in document["rows"]}


def pair(
    after: tuple[float, float] = (0.6, 0.5), oracle: float = 0.1, seeds: int = 1, **options: Any
) -> Frames:
    """Base, oracle and one suppressed model, one cell: everything can be worked out by hand."""
    made = empty(range(seeds), [relearning([1e-3])], **options)
    base = {s: made.run("base", "base", s, flops=4e12) for s in range(seeds)}
    reference = {s: made.run("oracle", "oracle", s, flops=2e12) for s in range(seeds)}
    model = {s: made.run("suppress", "max_ent", s, base[s], flops=5e11) for s in range(seeds)}
    made.configuration("Base", (), base)
    made.configuration("Oracle", (), reference)
    made.configuration("MaxEnt", [("suppress", "max_ent", {})], model)
    cell = made.document["attacks"][0]["grid"][0]
    for seed in range(seeds):
        made.evaluate(base[seed], 1.0, 1.0)
        made.evaluate(reference[seed], 0.0, 0.9)
        made.evaluate(model[seed], 0.1, 0.8)
        made.attack(base[seed], cell, FLAT)
        made.attack(reference[seed], cell, {0: (0.0, 0.0), 50: (oracle, oracle)})
        made.attack(model[seed], cell, {0: (0.1, 0.1), 50: after})
    return made
