"""Attacks as tables that charts, exports and pages draw from: methods × attacks, ROC curves, values by layer and token."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from backend import membership

KNOWN, MISSING, NOT_APPLICABLE, TEACHES = "known", "missing", "n/a", "teaches"
COLUMNS = (
    "configuration", "method", "attack", "label", "counts", "state", "recovery", "recovery_low",
    "recovery_high", "seeds", "after", "area", "half_steps", "half_flops", "half_examples", "flops",
    "worst_subject", "worst_subject_value", "cells_done", "cells_total", "reason", "grid_size",
    "budget",
)  # fmt: skip


def matrix(document: Mapping[str, Any]) -> pd.DataFrame:
    """One row a configuration and attack: the recovery with its interval, and what stands beside it.

    `state` is known, missing (cells are not complete), n/a (`reason` says why) or teaches; a recovery that is not known is
    NaN, never zero.
    """
    found = []
    for row in document["rows"]:
        for attack in document["attacks"]:
            one = row["attacks"][attack["name"]]
            subject = one["worst_subject"] or {}
            found.append(
                {
                    "configuration": row["configuration"],
                    "method": row["method"],
                    "attack": attack["name"],
                    "label": attack["label"],
                    "counts": attack["counts"],
                    "state": _state(one, attack),
                    "recovery": one["mean"],
                    "recovery_low": one["low"],
                    "recovery_high": one["high"],
                    "seeds": row["seeds"],
                    **{name: one[name] for name in ("after", "area", "half_steps", "half_flops", "half_examples", "flops", "cells_done", "cells_total", "reason")},
                    "worst_subject": subject.get("name"),
                    "worst_subject_value": subject.get("value"),
                    "grid_size": attack["grid_size"],
                    "budget": document["budget"],
                }
            )  # fmt: skip
    return pd.DataFrame(found, columns=list(COLUMNS))


def _state(one: Mapping[str, Any], attack: Mapping[str, Any]) -> str:
    if one["cells_done"] < one["cells_total"]:
        return MISSING
    if attack.get("teaches"):
        return TEACHES
    return KNOWN if one["mean"] is not None else NOT_APPLICABLE if one["reason"] else MISSING


def roc(statistics: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> pd.DataFrame:
    """ROC curves by name from (members, others), the smaller statistic saying member: name, fpr, tpr, auc."""
    pieces = []
    for name, (members, others) in statistics.items():
        false, true = membership.roc(members, others)
        told = membership.auc(members, others)
        pieces.append(pd.DataFrame({"name": name, "fpr": false, "tpr": true, "auc": told}))
    columns = ["name", "fpr", "tpr", "auc"]
    return pd.concat(pieces, ignore_index=True) if pieces else pd.DataFrame(columns=columns)


def by_place(
    document: Mapping[str, Any],
    measurements: pd.DataFrame,
    runs: pd.DataFrame,
    metric: str,
    word: str,
) -> pd.DataFrame:
    """A metric by layer or token of every configuration: configuration, method, seed, place, value.

    `measurements` are those of the metric with all categories; places are the categories `layer 0`, `token 1`, … that
    begin with `word`. The rows belong to a model's evaluation or to its attack; validation and placebo are left out.
    """
    mine = measurements[(measurements["metric"] == metric) & measurements["value"].notna()]
    mine = mine[mine["category"].str.startswith(f"{word} ")]
    mine = mine[~mine["split"].str.endswith("_validation")]
    mine = mine[~mine["split"].str.startswith("placebo")]
    columns = ["configuration", "method", "seed", "place", "value"]
    if mine.empty:  # as for most metrics of most studies: no need to look who is whose model
        return pd.DataFrame(columns=columns)
    model_of = _models(document, runs)
    parents = dict(zip(runs["id"], runs["parent"], strict=True))
    found = [
        (*model_of[int(parents[run])], int(category.split()[1]), value)
        for run, category, value in zip(mine["run"], mine["category"], mine["value"], strict=True)
        if pd.notna(parents[run]) and int(parents[run]) in model_of
    ]
    frame = pd.DataFrame(found, columns=columns)
    return frame.sort_values(["configuration", "seed", "place"], ignore_index=True)


def _models(document: Mapping[str, Any], runs: pd.DataFrame) -> dict[int, tuple[str, str, int]]:
    """(configuration, method, seed) by the number of a model's run."""
    numbers = dict(zip(runs["fingerprint"], runs["id"], strict=True))
    return {
        int(numbers[fingerprint]): (c["label"], c["method"], int(seed))
        for c in document["configurations"]
        for seed, fingerprint in c["runs"].items()
        if fingerprint in numbers
    }


def pivot(frame: pd.DataFrame) -> pd.DataFrame:
    """The matrix as people read it: a line a configuration, a column an attack, the recovery or the word for its state."""
    told = [
        f"{r:z.3f}" if s == KNOWN else s if s in (NOT_APPLICABLE, TEACHES) else ""
        for r, s in zip(frame["recovery"], frame["state"], strict=True)
    ]
    wide = frame.assign(told=told).pivot(index="configuration", columns="label", values="told")
    return wide.loc[list(dict.fromkeys(frame["configuration"])), list(dict.fromkeys(frame["label"]))]  # fmt: skip
