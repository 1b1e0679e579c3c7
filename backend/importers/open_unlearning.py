"""OpenUnlearning: `*_EVAL.json` (every item) and `*_SUMMARY.json` (aggregates) of evaluated models."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from backend.given_files import Given, GivenFile
from backend.importers import Importer, Options
from backend.reported import (
    FORGET,
    KEPT,
    SHARE,
    TOFU,
    Answer,
    Metric,
    Model,
    Reading,
    Report,
    finite,
    mean_of,
    metric_name,
    named,
)
from backend.stage import UserError

ITEMS, WHOLE = "_EVAL.json", "_SUMMARY.json"
# The two that are TOFU's always carry TOFU's name.
RENAMED = {"forget_quality": "tofu_forget_quality", "model_utility": "tofu_model_utility"}
METRICS = {
    **TOFU,
    "forget_truth_ratio": Metric("Forget truth ratio, min(R, 1/R)", better="higher", range=SHARE),
    "privleak": Metric("Privacy leakage", unit="%", range=(-100.0, None)),
    "extraction_strength": Metric("Extraction strength", **FORGET),
    "exact_memorization": Metric("Exact memorisation", **FORGET),
    "forget_Q_A_gibberish": Metric("Forget answers that are no gibberish", **KEPT),
}
# What the rest of the names begin with says which end is which.
BEGINNINGS = {
    "forget_": FORGET,
    "retain_": KEPT,
    "ra_": KEPT,
    "wf_": KEPT,
    "mmlu": KEPT,
    "wmdp": FORGET,
    "mia_": {"direction": "up", "range": SHARE, "unit": "AUC"},
}
SCORES = ("prob", "rougeL_recall", "rougeL_f1", "score")  # of an item, the first whose mean is told
FOLDERS = ("evals", "eval")  # between a model's folder and its results
MOST_ANSWERS = 100


def recognises(given: Given) -> bool:
    """Whether there is a file by these names, or one that looks like them."""
    return any(
        file.name.endswith((ITEMS, WHOLE)) or _looks_so(file.object() or {}) for file in given.files
    )


def _looks_so(document: Mapping[str, Any]) -> bool:
    values = list(document.values())
    return bool(values) and all(isinstance(v, dict) and "agg_value" in v for v in values)


def read(given: Sequence[Given], options: Options) -> Report:
    """A model for every folder with results; with a reference its retain model as the oracle.

    Raises:
        UserError: there is no such file, one is damaged, or items differ from the reference's
    """
    found = [pair for one in given for pair in _models(one)]
    notes: list[str] = []
    if options.reference is not None:
        references = list(_models(options.reference))
        if len(references) != 1:
            raise UserError(
                f"The reference {options.reference.name} holds {len(references)} models; give the folder of one."
            )
        oracle, ratios = references[0]
        found.append((replace(oracle, role="oracle"), ratios))
        found = [(_against(one, mine, ratios, options.common, notes), mine) for one, mine in found]
    models = [model for model, _ in found]
    if not any("tofu_forget_quality" in model.readings for model in models):
        notes.append("No TOFU forget quality: the files have none, and no reference was given.")
    measured = sorted({name for model in models for name in model.readings})
    return Report("OpenUnlearning", tuple(models), {n: _metric(n) for n in measured}, tuple(notes))


def _metric(name: str) -> Metric:
    if name in METRICS:
        return METRICS[name]
    known = next((told for start, told in BEGINNINGS.items() if name.startswith(start)), {})
    return Metric(name.replace("_", " "), **known)


def _models(given: Given) -> Iterator[tuple[Model, dict[str, float]]]:
    """One model for each folder, with its truth ratios on forget items by the items' numbers."""
    files = [f for f in given.files if f.name.endswith((ITEMS, WHOLE))]
    files = files or [f for f in given.files if _looks_so(f.object() or {})]
    if not files:
        raise UserError(f"{given.name} holds no *{ITEMS} and no *{WHOLE}.")
    files.sort(key=lambda file: (str(file.path.parent), file.name))
    for folder, inside in groupby(files, key=lambda file: file.path.parent):
        yield _model(_name(given, folder), list(inside))


def _name(given: Given, folder: PurePosixPath) -> str:
    parts = [part for part in folder.parts if part not in FOLDERS]
    return named("/".join(parts) or given.name, "The folder's name")


def _model(name: str, files: Sequence[GivenFile]) -> tuple[Model, dict[str, float]]:
    readings: dict[str, Reading] = {}
    answers: dict[str, tuple[Answer, ...]] = {}
    ratios: dict[str, float] = {}
    # What every item says comes first; a summary only adds what it does not tell.
    for file in sorted(files, key=lambda one: not one.name.endswith(ITEMS)):
        for key, told in file.mapping().items():
            where = f"{file.path}: {key}"
            metric = metric_name(RENAMED.get(key, key))
            value = told.get("agg_value") if isinstance(told, dict) else told
            if value is None or isinstance(value, dict | list | str) or metric in readings:
                continue
            items = told.get("value_by_index") if isinstance(told, dict) else None
            readings[metric] = _reading(finite(value, where), items, where)
            answers |= {metric: found} if (found := _answers(items)) else {}
            if key == "forget_truth_ratio" and isinstance(items, dict):
                column = _column(items, "score", where)
                known = [] if column is None else column.tolist()
                ratios = dict(zip(_ordered(items), known, strict=False))
    if not readings:
        raise UserError(f"{files[0].path} holds no metric with an aggregate value.")
    return Model(name, name, readings, answers=answers), ratios


def _reading(value: float, items: Any, where: str) -> Reading:
    """The aggregate, with its items and their standard error where it is their mean."""
    if not isinstance(items, dict) or not items:
        return Reading(value)
    for score in SCORES:
        column = _column(items, score, where)
        for each in [] if column is None else _told_of(column):
            if np.isclose(each.mean(), value, rtol=1e-4, atol=1e-12):
                return Reading(value, mean_of(each).standard_error, len(each), each)
    return Reading(value, items=len(items))


def _told_of(column: np.ndarray) -> Iterator[np.ndarray]:
    """What an aggregate may be the mean of: the scores, or what TOFU makes of truth ratios."""
    yield column
    with np.errstate(divide="ignore"):
        yield np.minimum(column, 1.0 / column)
    yield np.maximum(0.0, 1.0 - column)


def _column(items: Mapping[str, Any], score: str, where: str) -> np.ndarray | None:
    """One score of every item, in the order of their numbers; None where an item lacks it."""
    values = [items[key].get(score) if isinstance(items[key], dict) else None for key in _ordered(items)]  # fmt: skip
    if not all(isinstance(value, int | float) for value in values):
        return None
    return np.array([finite(value, f"{where}, {score}") for value in values])


def _ordered(items: Mapping[str, Any]) -> list[str]:
    return sorted(items, key=lambda key: (not key.isdecimal(), int(key) if key.isdecimal() else 0, key))  # fmt: skip


def _answers(items: Any) -> tuple[Answer, ...]:
    """Questions and answers, where the items have them."""
    found = []
    for key in _ordered(items)[:MOST_ANSWERS] if isinstance(items, dict) else []:
        one = items[key] if isinstance(items[key], dict) else {}
        texts = [one.get(name) for name in ("input", "ground_truth", "generation")]
        if all(isinstance(text, str) for text in texts):
            found.append(Answer(*(str(text) for text in texts)))
    return tuple(found)


def _against(
    model: Model,
    mine: Mapping[str, float],
    theirs: Mapping[str, float],
    common: bool,
    notes: list[str],
) -> Model:
    """The model with TOFU's forget quality from both truth ratios, item by item, where both files have them."""
    from backend.tofu import forget_quality

    if not mine or not theirs:
        return model
    shared = [item for item in mine if item in theirs]
    most = max(len(mine), len(theirs))
    if not shared or (len(shared) < most and not common):
        raise UserError(
            f"{model.name} and the reference have different items of forget_truth_ratio: {len(shared)} in common,"
            f" of up to {most}; `--common` takes these only."
        )
    ratios = [np.array([one[item] for item in shared]) for one in (mine, theirs)]
    found = forget_quality(*ratios)
    told = model.readings.get("tofu_forget_quality")
    if told is not None and not np.isclose(told.value, found.p, rtol=1e-3, atol=0):
        notes.append(f"{model.name} reports a TOFU forget quality of {told.value:.3g}; against this reference it is {found.p:.3g}.")  # fmt: skip
    readings = {
        "tofu_forget_quality": told or Reading(found.p, items=found.count),
        "tofu_forget_quality_log10": Reading(found.log10_p, items=found.count),
        "tofu_ks_distance": Reading(found.distance, items=found.count),
    }
    return replace(model, readings={**model.readings, **readings})


IMPORTER = Importer(
    label="OpenUnlearning",
    summary="folders with *_EVAL.json or *_SUMMARY.json, a model each; the retain model's folder as the reference",
    recognises=recognises,
    read=read,
    takes=("reference", "common"),
)
