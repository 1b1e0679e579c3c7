"""RWKU: a method's folder with one folder a target, each with `forget.json`, `neighbor.json`, `mmlu.json`, …"""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from backend.given_files import Given, GivenFile
from backend.importers import Importer, Options
from backend.reported import FORGET, KEPT, Metric, Model, Reading, Report, finite, mean_of, named
from backend.stage import UserError

LOG: dict[str, Any] = {"direction": "up", "unit": "mean log-likelihood"}
# By file and key, as RWKU writes them. `mink20` holds Min-K++, whatever its name says.
METRICS = {
    "forget": {
        "level_1_rouge_l_r": Metric("Forget: fill in the blank (ROUGE-L recall)", **FORGET),
        "level_2_rouge_l_r": Metric("Forget: question and answer (ROUGE-L recall)", **FORGET),
        "level_3_rouge_l_r": Metric("Forget: adversarial attacks (ROUGE-L recall)", **FORGET),
    },
    "neighbor": {
        "level_1_rouge_l_r": Metric("Neighbours: fill in the blank (ROUGE-L recall)", **KEPT),
        "level_2_rouge_l_r": Metric("Neighbours: question and answer (ROUGE-L recall)", **KEPT),
    },
    "mmlu": {"acc": Metric("General ability (MMLU)", **KEPT)},
    "bbh": {"EM": Metric("Reasoning (BBH)", **KEPT)},
    "truthful": {
        "MC1": Metric("Truthfulness (TruthfulQA MC1)", **KEPT),
        "MC2": Metric("Truthfulness (TruthfulQA MC2)", **KEPT),
    },
    "triviaqa": {
        "EM": Metric("Factuality (TriviaQA exact match)", **KEPT),
        "F1": Metric("Factuality (TriviaQA F1)", **KEPT),
    },
    "fluency": {"entropy": Metric("Fluency (n-gram entropy)", "up", "higher", "bits")},
    **{
        f"{part}_mia": {
            "loss": Metric(f"Membership, {part} members: loss attack", better=better, **LOG),
            "zlib": Metric(f"Membership, {part} members: zlib attack", better=better, **LOG),
            "mink20": Metric(f"Membership, {part} members: Min-K++ 20 %", better=better, **LOG),
        }
        for part, better in (("forget", "lower"), ("retain", "higher"))
    },
}
ALL = {f"{file}_{key}": metric for file, told in METRICS.items() for key, metric in told.items()}


def recognises(given: Given) -> bool:
    """Whether there is a `forget.json` with RWKU's levels."""
    files = given.called("forget.json")
    return any("level_1_rouge_l_r" in (file.object() or {}) for file in files)


def read(given: Sequence[Given], options: Options) -> Report:
    """A model for every method's folder, its numbers the means over targets.

    Raises:
        UserError: there is no such file, or one is damaged
    """
    targets: dict[str, dict[str, dict[str, float]]] = {}
    for one in given:
        for file in one.files:
            if file.path.stem in METRICS and file.path.suffix.lower() == ".json":
                model, target = _place(one, file.path)
                values = targets.setdefault(model, {}).setdefault(target, {})
                values |= _values(file)
    if not any(values for found in targets.values() for values in found.values()):
        names = ", ".join(one.name for one in given)
        raise UserError(f"{names} holds no forget.json, neighbor.json, … of RWKU.")
    models = tuple(_model(name, found) for name, found in targets.items())
    measured = {name for model in models for name in model.readings}
    return Report("RWKU", models, {n: m for n, m in ALL.items() if n in measured})


def _place(given: Given, path: PurePosixPath) -> tuple[str, str]:
    """(model, target): the folder that holds a file is the target, what lies above it the model.

    Files that lie in the given folder itself are those of a model with one target.
    """
    *above, target = path.parent.parts or ("",)
    name = "/".join(above) if above else given.name
    return named(name, "The folder's name"), target


def _values(file: GivenFile) -> dict[str, float]:
    told = file.mapping()
    return {
        f"{file.path.stem}_{key}": finite(told[key], f"{file.path}: {key}")
        for key in METRICS[file.path.stem]
        if told.get(key) is not None
    }


def _model(name: str, targets: Mapping[str, Mapping[str, float]]) -> Model:
    readings = {}
    for metric in dict.fromkeys(key for values in targets.values() for key in values):
        found = {t: values[metric] for t, values in targets.items() if metric in values}
        mean = mean_of(np.array(list(found.values())))
        parts = {named(target, "A target's name", 60): value for target, value in found.items() if target}  # fmt: skip
        readings[metric] = Reading(mean.value, mean.standard_error, mean.items, parts=parts)
    return Model(name, name.rpartition("/")[2], readings, {"targets": len(targets)})


IMPORTER = Importer(
    label="RWKU",
    summary="a method's folder with one folder a target (forget.json, neighbor.json, …); numbers are means over targets",
    recognises=recognises,
    read=read,
)
