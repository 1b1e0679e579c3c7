"""UDS: the published results of unlearning-depth-score, many TOFU models in one file."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from backend.given_files import Given
from backend.importers import Importer, Options
from backend.reported import KEPT, SHARE, Metric, Model, Reading, Report, finite, metric_name, named
from backend.stage import UserError

FORGOTTEN: dict[str, Any] = {"direction": "down", "better": "higher", "range": SHARE}
AS_ORACLE: dict[str, Any] = {"better": "higher", "range": SHARE}
# By the file's own names, but for TOFU's model utility, which always carries TOFU's name.
METRICS = {
    "utility": Metric("Utility (harmonic mean of TOFU model utility and fluency)", **KEPT),
    "utility_rel": Metric("Utility relative to the full model", **KEPT),
    "mem": Metric("Memorisation removed (Mem)", **FORGOTTEN),
    "privacy": Metric("Privacy", **AS_ORACLE),
    "uds": Metric("Unlearning depth (UDS)", **FORGOTTEN),
    "overall": Metric("Overall", **AS_ORACLE),
    "privacy_mia": Metric("Privacy by membership attacks", **AS_ORACLE),
    "s_loss": Metric("Similarity of the loss attack to the retain model's", **AS_ORACLE),
    "s_zlib": Metric("Similarity of the zlib attack to the retain model's", **AS_ORACLE),
    "s_mink": Metric("Similarity of Min-K to the retain model's", **AS_ORACLE),
    "s_minkpp": Metric("Similarity of Min-K++ to the retain model's", **AS_ORACLE),
    "one_minus_es": Metric("1 − extraction strength", **FORGOTTEN),
    "one_minus_em": Metric("1 − exact memorisation", **FORGOTTEN),
    "one_minus_paraprob": Metric("1 − probability of the paraphrase", **FORGOTTEN),
    "one_minus_truth": Metric("1 − truth ratio score", **FORGOTTEN),
    "model_utility": Metric("TOFU model utility", **KEPT),
    "fluency": Metric("Fluency", **KEPT),
    "logit_lens": Metric("Depth by the logit lens", **FORGOTTEN),
    **{
        f"{part}_{name}": Metric(f"{whose}: {what}", **KEPT)
        for part, whose in (("retain", "Retain"), ("ra", "Real authors"), ("wf", "World facts"))
        for name, what in (
            ("q_prob", "probability"),
            ("q_rouge", "ROUGE-L recall"),
            ("truth_ratio", "truth ratio score"),
        )
    },
}
RENAMED = {"model_utility": "tofu_model_utility"}
ROLES = {"full": "base", "retain": "oracle"}  # of the models that the file marks as references
SETTINGS = {"lr": "learning_rate", "alpha": "alpha"}
TOLD = ("lr", "a", "ep")  # settings in a model's name that have a field of their own
ABOUT = ("model", "method", "epoch", "is_reference", *SETTINGS)


def recognises(given: Given) -> bool:
    """Whether a file holds `models` with a depth score."""
    return any(_models(file.object()) for file in given.files)


def _models(document: Mapping[str, Any] | None) -> list[Any]:
    models = (document or {}).get("models")
    right = isinstance(models, list) and models and isinstance(models[0], dict)
    return models if right and "uds" in models[0] and "method" in models[0] else []  # type: ignore[index,return-value]


def read(given: Sequence[Given], options: Options) -> Report:
    """Every row of every file as a model.

    Raises:
        UserError: a file is no such one, or a number in it is none
    """
    rows = [(file, row) for one in given for file in one.files for row in _models(file.mapping())]
    if not rows:
        names = ", ".join(one.name for one in given)
        raise UserError(f"{names} holds no list of models with their depth scores (uds).")
    models = tuple(_model(row, f"{file.path}, model {n + 1}") for n, (file, row) in enumerate(rows))
    measured = {name for model in models for name in model.readings}
    known = {RENAMED.get(name, name): metric for name, metric in METRICS.items()}
    return Report("TOFU forget10", models, {n: known.get(n, Metric(n)) for n in sorted(measured)})


def _model(row: Any, where: str) -> Model:
    if not isinstance(row, dict) or not {"model", "method"} <= row.keys():
        raise UserError(f"{where} has no name and method.")
    name, method = named(row["model"], f"{where}: model"), named(row["method"], f"{where}: method")
    role = ROLES.get(method, "model") if row.get("is_reference") is True else "model"
    readings = {
        RENAMED.get(key, metric_name(key)): Reading(finite(value, f"{where}: {key}"))
        for key, value in row.items()
        if key not in ABOUT and value is not None and not isinstance(value, str | bool)
    }
    return Model(name, method, readings, _settings(row, name, where), role=role)


def _settings(row: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    """The settings of a row's own fields, then those that only the model's name tells, as it writes them."""
    found: dict[str, Any] = {
        ours: float(f"{finite(row[key], f'{where}: {key}'):.12g}")
        for key, ours in SETTINGS.items()
        if row.get(key) is not None
    }
    epochs = re.fullmatch(r"ep(\d{1,6})", str(row.get("epoch")))
    found |= {"epochs": int(epochs[1])} if epochs else {}
    for token in name.split("_")[1:]:
        setting = re.fullmatch(r"([a-z]{1,8})(\d{1,8})", token)
        if setting and setting[1] not in TOLD:
            found[setting[1]] = setting[2]
    return found


IMPORTER = Importer(
    label="UDS results",
    summary="method_results.json of unlearning-depth-score: one row a model with utility, memorisation, privacy, depth",
    recognises=recognises,
    read=read,
)
