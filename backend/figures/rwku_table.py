"""RWKU's table: what is forgotten by level of probe, what neighbours keep, membership, and utility."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from backend.anchors import ANCHORS
from backend.figure_views import Drawn, Material

TITLE = "Forget, neighbour, membership and utility in one table"
SOURCE = "Jin et al. 2024, RWKU (arXiv 2406.10890): ROUGE-L recall by level of probe, membership means, utility"
PLACE = 80
METRIC = "probe_recall"
PROBES = {"forget": ("FB", "QA", "AA", ""), "retain": ("FB", "QA", "")}
HEADS = {"forget": "Forget {} ↓", "retain": "Neighbour {} ↑"}
# Column of the table → metrics of the document, the first one that is there.
MORE = {
    "FM ↑": ("members_loss",),
    "RM ↓": ("kept_loss",),
    "General ↑": ("mmlu",),
    "Reasoning ↑": ("bbh",),
    "Truthfulness ↑": ("truthfulqa",),
    "Factuality ↑": ("triviaqa",),
    "Fluency ↑": ("retain_ngram_entropy", "ngram_entropy"),
}


def draw(material: Material) -> Drawn | str:
    """A line a configuration, a column a number that is measured: means over seeds, three decimals."""
    if METRIC not in material.whole["metrics"]:
        return "It takes the metric probe_recall, which the setting rwku has."
    measured = material.measured([METRIC], [f"{part}_score" for part in PROBES])
    means = measured.groupby(["configuration", "split", "category"])["value"].mean().to_dict()
    rows = [_line(row, means) for row in material.rows]
    frame = pd.DataFrame(rows)
    if frame.empty or not frame.drop(columns="Configuration").notna().any().any():
        return "No configuration's probes are measured yet."
    frame = frame.dropna(axis="columns", how="all")
    return Drawn(frame, _caption(material, frame))


def _line(row: Mapping[str, Any], means: Mapping[Any, float]) -> dict[str, Any]:
    name = row["configuration"]
    told: dict[str, Any] = {"Configuration": name}
    for part, levels in PROBES.items():
        for level in levels:
            told[HEADS[part].format(level or "all")] = means.get((name, f"{part}_score", level))
    for head, wanted in MORE.items():
        told[head] = next((v for metric in wanted if (v := _found(row, metric)) is not None), None)
    told["Utility ↑"] = row["utility"]["mean"]
    return told


def _found(row: Mapping[str, Any], metric: str) -> float | None:
    """A metric's mean by its name, or that of a benchmark whose name begins so."""
    for name, told in row["metrics"].items():
        if name == metric or (metric.isalpha() and name.removeprefix("lm_eval_").startswith(metric)):  # fmt: skip
            return told["mean"]
    return None


def _caption(material: Material, frame: pd.DataFrame) -> str:
    words = ["ROUGE-L recall of greedy answers: fill-in-the-blank (FB), questions (QA), adversarial attacks (AA)."]  # fmt: skip
    if "FM ↑" in frame or "RM ↓" in frame:
        words.append("FM and RM are the mean losses of texts about the people to forget, and about others.")  # fmt: skip
    levels = [f"Forget {level} ↓" for level in ("FB", "QA", "AA") if f"Forget {level} ↓" in frame]
    plain = frame[~frame["Configuration"].isin([r["configuration"] for r in material.rows if r["method"] in ANCHORS])]  # fmt: skip
    for level in levels[-1:]:
        known = plain.dropna(subset=[level])
        if len(known):
            best = known.sort_values(level).iloc[0]
            words.append(f"{level.removesuffix(' ↓')} is lowest for {best['Configuration']}, {best[level]:.3f}.")  # fmt: skip
    lacking = [head for head in MORE if head not in frame]
    words += [f"Not measured: {', '.join(head[:-2] for head in lacking)}."] if lacking else []
    return " ".join([*words, f"Means over {material.seeds_told()}."])
