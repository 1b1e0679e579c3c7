"""Students of the oracle: how closely they imitate it, and what comes back from them."""

from typing import Any

import pandas as pd

from db import reads as database
from pages.components.reads import engine


def matching_frame(study: str, document: dict[str, Any]) -> pd.DataFrame:
    """One row a student and seed: configuration, student, steps, kl, after, seed; empty where there are none."""
    students = [row for row in document["rows"] if _student(row)]
    found, models = engine(), [m for row in students for m in row["models"] if m is not None]
    if found is None or not models:
        return pd.DataFrame()
    agreement = database.measurements(found, run_ids=models, splits=["agreement"], metrics=["kl"])
    kl = dict(zip(agreement["run"], agreement["value"], strict=True))
    rows = []
    for row in students:
        parameters = row["stages"][-1]["parameters"]
        for model, raw in zip(row["models"], row["raw"] or [{}] * len(row["models"]), strict=False):
            rows.append(
                {
                    "configuration": row["configuration"],
                    "student": parameters["student"],
                    "steps": parameters["steps"],
                    "seed": raw.get("seed"),
                    "kl": kl.get(model),
                    "after": raw.get("after"),
                }
            )
    return pd.DataFrame(rows).dropna(subset=["kl", "after"])


def _student(row: dict[str, Any]) -> bool:
    last: dict[str, Any] = (row["stages"] or [{"name": "", "parameters": {}}])[-1]
    return last["name"] == "distill" and last["parameters"].get("teacher") == "oracle"
