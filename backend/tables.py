"""Tables that charts, exports and pages draw from: one row a configuration, and the curves of every attack cell."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from backend.evidence import Evidence
from backend.recovery import Curves, envelope

INTERVALS = ("utility", "claimed_forget_quality", "robust_forget_quality", "compute")
STUDENT = ("configuration", "student", "steps", "seed", "kl", "before", "after")
PLAIN = (
    "configuration",
    "key",
    "method",
    "seeds",
    "on_front",
    "front_probability",
    "hypervolume_contribution",
    "worst_attack",
    "robust_so_far",
    "cells_done",
    "cells_total",
    "flops",
    "search_flops",
    "lowest_utility",
    "seconds",
    "steps",
    "tokens",
    "peak_memory",
    "inference_overhead",
    "label_fraction",
    "origin",
)
MADE = ("complete", "alpha", "relative_robustness", "relative_compute_steps")
LISTED = ("weak_evidence", "reasons", "badges")
VIEW = ("grid_size", "budget", "anchor")
OURS = {*PLAIN, *INTERVALS, *MADE, *LISTED, *VIEW}
LOOKS = ("evaluate_every",)  # how often an attack is looked at, not what it does
WORST = "worst case"
WORST_SO_FAR = "worst case so far"
CURVES = (
    "configuration",
    "method",
    "seed",
    "attack",
    "cell",
    "learning_rate",
    "run",
    "step",
    "validation",
    "score",
)


def frame(document: Mapping[str, Any]) -> pd.DataFrame:
    """The frontier document as a table, one row a configuration: what charts, tables and CSV are made from.

    An objective or a metric NAME has the columns NAME (the mean over seeds; see `column_of`), NAME_low and NAME_high.
    `complete` says that no attack cell is missing. Every column is there in an empty table too.
    """
    rows = [_flat(document, row) for row in document["rows"]]
    ends = [f"{name}{end}" for name in INTERVALS for end in ("", "_low", "_high")]
    columns = [*PLAIN, *ends, *MADE, *LISTED, *VIEW]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)


def column_of(metric: str) -> str:
    """A metric's column in the table: its name, but `reported_NAME` where others' metric has the name of a column of ours."""
    return f"reported_{metric}" if metric in OURS else metric


def _flat(document: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    flat = {key: row[key] for key in PLAIN}
    measured = {name: row[name] for name in INTERVALS}
    told = {**row["metrics"], **row["pair_metrics"]}
    measured |= {column_of(name): found for name, found in told.items()}
    for name, found in measured.items():
        flat |= {name: found["mean"], f"{name}_low": found["low"], f"{name}_high": found["high"]}
    flat["complete"] = row["cells_done"] == row["cells_total"]
    parameters = [stage["parameters"] for stage in row["stages"] if stage["name"] == "undo"]
    flat["alpha"] = parameters[-1].get("alpha") if parameters else None
    for name in ("relative_robustness", "relative_compute_steps"):
        flat[name] = row["paper"][name]["mean"]
    flat |= {name: "; ".join(row[name]) for name in LISTED}
    flat |= {"grid_size": document["attack_grid_size"], "budget": document["budget"]}
    return flat | {"anchor": document["anchor"]}


def matching_frame(document: Mapping[str, Any]) -> pd.DataFrame:
    """The students of the oracle among a document's rows, one row a student and seed (see `backend.controls.oracle_matching`)."""
    drawn = {row["configuration"] for row in document["rows"]}
    told = [one for one in document["oracle_matching"] if one["configuration"] in drawn]
    return pd.DataFrame(told, columns=STUDENT)


def relearning_curves(
    document: Mapping[str, Any], runs: pd.DataFrame, measurements: pd.DataFrame
) -> pd.DataFrame:
    """Every complete attack cell along its steps, and A_m(t) as the cell "worst case", the raw forget metric.

    Columns: configuration, method, seed, attack, cell (a label), learning_rate (NaN where a cell has none), run, step,
    validation, score. While cells of a grid are missing its envelope is the cell "worst case so far".
    """
    empty = pd.DataFrame({"run": [], "role": [], "input": []})
    evidence = Evidence(document, runs, empty, measurements)
    pieces: list[tuple[dict[str, Any], Curves, np.ndarray, np.ndarray]] = []
    for configuration in document["configurations"]:
        for seed in evidence.seeds:
            for position, attack in enumerate(evidence.attacks):
                about = {
                    "configuration": configuration["label"],
                    "method": configuration["method"],
                    "seed": seed,
                    "attack": attack["name"],
                }
                model = evidence.model(configuration, seed)
                for curves, label, rate in _labelled(evidence, model, position):
                    pieces.append((about, curves, label, rate))
    return _joined(pieces)


def _labelled(
    evidence: Evidence, model: int | None, position: int
) -> Iterator[tuple[Curves, np.ndarray, np.ndarray]]:
    """The cells of one attack on one model, then their envelope, each row with its label and rate."""
    attack, curves = evidence.attacks[position], evidence.curves(model, position)
    if not len(curves.step):
        return
    labels = np.array([_cell_label(cell, attack) for cell in attack["grid"]], dtype=object)
    rates = np.array([cell.get("learning_rate", np.nan) for cell in attack["grid"]], dtype=float)
    yield curves, labels[curves.cell], rates[curves.cell]
    worst = envelope(curves, evidence.scale_of(evidence.metric_of(attack), "forget_score"))
    name = WORST_SO_FAR if evidence.missing(model, attack) else WORST
    yield worst, np.full(len(worst.step), name, dtype=object), rates[worst.cell]


def _joined(
    pieces: list[tuple[dict[str, Any], Curves, np.ndarray, np.ndarray]],
) -> pd.DataFrame:
    if not pieces:
        return pd.DataFrame(columns=list(CURVES))
    lengths = [len(curves.step) for _, curves, _, _ in pieces]
    columns: dict[str, Any] = {
        name: np.repeat(np.array([about[name] for about, *_ in pieces], dtype=object), lengths)
        for name in ("configuration", "method", "seed", "attack")
    }
    columns["seed"] = columns["seed"].astype(int)
    columns["cell"] = np.concatenate([label for _, _, label, _ in pieces])
    columns["learning_rate"] = np.concatenate([rate for *_, rate in pieces])
    for name in ("run", "step", "validation", "score"):
        columns[name] = np.concatenate([getattr(curves, name) for _, curves, _, _ in pieces])
    return pd.DataFrame(columns, columns=list(CURVES))


def _cell_label(cell: Mapping[str, Any], attack: Mapping[str, Any]) -> str:
    """What tells a cell from its neighbours in the grid."""
    names = {"learning_rate": "rate"}
    told = [
        f"{names.get(key, key)} {value:g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in cell.items()
        if key not in LOOKS and any(other.get(key) != value for other in attack["grid"])
    ]
    return ", ".join(told) or "only cell"
