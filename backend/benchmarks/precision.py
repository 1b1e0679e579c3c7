"""Precision policies: is a study in bf16 the same as in float32, and from which learning rate on are half weights good enough?

The first part does a small study (base, MaxEnt, UNDO, a relearning attack on both) in float32 and in bf16 autocast for
three seeds and asks whether every figure is the same within MARGIN, by two one-sided tests. The second part fine-tunes one
suppressed model on what it forgot, at learning rates from 1e-6 to 1e-2, under every policy: how much of float32's fall of the
loss is reached, and what share of the weights did not move although the optimiser wanted them to.
"""

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from backend.contests import Silent
from backend.curves import equivalent
from backend.precision import POLICIES
from backend.recipe import execute
from backend.settings import build_task
from backend.stage import Measured, RunFailed, StageRequest

MARGIN = 0.05  # of accuracies, stated before anything was measured: what attacks and seeds move is larger
AGREES = 0.1  # a policy agrees at a learning rate where it reaches float32's fall of the loss within this share of it
SEEDS = (0, 1, 2)
SETTING: dict[str, Any] = {"addends": 10, "factors": 10, "base_steps": 300, "batch_size": 64}
RATES = (1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
STEPS = 60
STAGES: list[tuple[str, str, str, str, dict[str, Any]]] = [
    ("base", "base", "base", "", {}),
    ("maxent", "suppress", "max_ent", "base", {"steps": 30}),
    ("undo", "robustify", "undo", "maxent", {"alpha": 0.4, "steps": 100, "tolerance": 0.0}),
    *(
        (
            f"{model}attacked",
            "attack",
            "relearn",
            model,
            {"steps": 20, "learning_rate": 1e-3, "evaluate_every": 20},
        )  # fmt: skip
        for model in ("maxent", "undo")
    ),
]


class Kept(Silent):
    """A sink that keeps what is measured."""

    def __init__(self) -> None:
        self.rows: list[Measured] = []

    def record(self, rows: Any) -> None:  # type: ignore[override]
        """Keep it."""
        self.rows += rows

    def curve(self, metric: str, split: str) -> dict[int, float]:
        """Values by step."""
        return {
            row.step: float(row.value if row.value is not None else math.nan)
            for row in self.rows
            if (row.metric, row.split, row.category) == (metric, split, "")
        }


def run() -> dict[str, float]:
    """Both parts as figures; `same_in_bf16` is 1 where every figure of the study is the same within the margin."""
    with _one_thread():
        study = study_figures()
        rates = rate_figures()
    found = {"same_in_bf16": float(study["same"].all()), "margin": MARGIN}
    found["largest_mean_difference"] = float(study["mean"].abs().max())
    for policy, rows in rates.groupby("policy"):
        for row in rows.to_dict("records"):
            if math.isfinite(row["progress"]):  # it ended otherwise in numbers that are none
                found[f"{policy} {row['learning_rate']:g} progress"] = float(row["progress"])
            if POLICIES[str(policy)].pure:
                found[f"{policy} {row['learning_rate']:g} zero updates"] = float(
                    row["zero_updates"]
                )
    return found


def study_figures() -> pd.DataFrame:
    """For every figure of the small study the mean difference bf16 − float32, its 90 % interval, and whether it is the same."""
    values: dict[str, dict[tuple[str, str], list[float]]] = {
        policy: {} for policy in ("fp32", "bf16")
    }
    for policy, found in values.items():
        for seed in SEEDS:
            with tempfile.TemporaryDirectory() as folder:
                for key, value in _study(Path(folder), policy, seed).items():
                    found.setdefault(key, []).append(value)
    rows = []
    for key, plain in values["fp32"].items():
        differences = [b - a for a, b in zip(plain, values["bf16"][key], strict=True)]
        same, (low, high) = equivalent(differences, MARGIN)
        mean = sum(differences) / len(differences)
        rows.append({"figure": " ".join(key), "fp32": sum(plain) / len(plain), "mean": mean, "low": low, "high": high, "same": same})  # fmt: skip
    return pd.DataFrame(rows)


def _study(home: Path, policy: str, seed: int) -> dict[tuple[str, str], float]:
    """Accuracies of all models on both kinds of score data, and of the attacked ones on forget data."""
    found = {}
    for name, stage, part, parent, parameters in STAGES:
        kept = _done(home, name, stage, part, parent, parameters, policy, seed)
        if stage == "attack":
            found[name, "forget_score"] = list(
                kept.curve("answer_accuracy", "forget_score").values()
            )[-1]
            continue
        kept = _done(home, f"{name}looked", "evaluate", "standard", name, {}, policy, seed)
        for split in ("forget_score", "retain_score"):
            found[name, split] = kept.curve("answer_accuracy", split)[0]
    return found


def rate_figures() -> pd.DataFrame:
    """For every policy and learning rate the loss at last, the share of float32's fall that is reached, and zero updates."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for name, stage, part, parent, parameters in STAGES[:2]:
            _done(home, name, stage, part, parent, parameters, "fp32", 0)
        for policy in POLICIES:
            for rate in RATES:
                rows.append({"policy": policy, "learning_rate": rate, **_tuned(home, policy, rate)})
    frame = pd.DataFrame(rows)
    fall = frame["first"] - frame["loss"]
    plain = fall[frame["policy"] == "fp32"].set_axis(frame["learning_rate"].unique())
    frame["progress"] = fall / frame["learning_rate"].map(plain)
    frame["agrees"] = (frame["progress"] - 1).abs() <= AGREES
    return frame


def _tuned(home: Path, policy: str, rate: float) -> dict[str, float]:
    """Fine-tuning of the suppressed model on the forget facts: mean loss of the first and the last ten steps."""
    name = f"{policy}{RATES.index(rate)}".replace("_", "")
    parameters = {"steps": STEPS, "learning_rate": rate, "evaluate_every": STEPS}
    kept = _done(home, name, "attack", "relearn", "maxent", parameters, policy, 0)
    losses = list(kept.curve("loss", "train").values())
    whole = len(losses) == STEPS and all(map(math.isfinite, losses))
    zero = list(kept.curve("zero_updates", "train").values())
    return {
        "first": losses[0] if losses else math.nan,
        "loss": sum(losses[-10:]) / 10 if whole else math.nan,
        "zero_updates": sum(zero) / len(zero) if zero else math.nan,
    }


def _done(
    home: Path,
    fingerprint: str,
    stage: str,
    name: str,
    parent: str,
    parameters: dict[str, Any],
    policy: str,
    seed: int,
) -> Kept:
    """One run, done here; a run that fails leaves what it measured until then."""
    task = build_task("arithmetic", SETTING)
    setting = {"name": "arithmetic", "parameters": SETTING, "content_hash": task.content_hash}
    kept = Kept()
    request = StageRequest(stage, name, dict(parameters), setting, seed, policy, fingerprint, home, parent or None)  # fmt: skip
    try:
        execute(request, kept)
    except RunFailed:
        if stage not in ("attack", "evaluate"):
            raise
    return kept


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def chart(figures: pd.DataFrame) -> Any:
    """Progress and zero updates by learning rate, a line a policy, from `rate_figures`."""
    import altair as alt

    from backend.charts.theme import axis, colours, dashes

    names = [name for name in POLICIES if name in set(figures["policy"])]
    base = alt.Chart(figures).encode(
        x=alt.X("learning_rate:Q", title="Learning rate")
        .scale(type="log")
        .axis(values=[10.0**power for power in range(-6, -1)], format="~e"),
        color=alt.Color("policy:N")
        .scale(colours(names))
        .title("Precision")
        .legend(symbolType="stroke", symbolSize=300),
        strokeDash=alt.StrokeDash("policy:N").scale(dashes(names)).title("Precision"),
    )
    shown = (
        ("progress", "Fall of the loss (float32 = 1)"),
        ("zero_updates", "Updates lost (share of weights)"),
    )
    panels = [
        base.mark_line(point=True)
        .encode(y=alt.Y(f"{column}:Q", title=title, axis=axis()))
        .properties(width=300, height=220)
        for column, title in shown
    ]
    return alt.hconcat(*panels)
