"""MUSE: its table of four numbers as CSV, or its folders of aggregates (`agg.json`, `out.json`, `auc.json`)."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from backend.given_files import Given, GivenFile
from backend.importers import Importer, Options
from backend.reported import Metric, Model, Reading, Report, finite, metric_name, named
from backend.stage import UserError

PERCENT: dict[str, Any] = {"unit": "%", "range": (0.0, 100.0)}
METRICS = {
    "verbmem_f": Metric("Verbatim memorisation of forget data", "up", "lower", **PERCENT),
    "knowmem_f": Metric("Knowledge memorisation of forget data", "up", "lower", **PERCENT),
    "knowmem_r": Metric("Knowledge of retain data", "up", "higher", **PERCENT),
    "privleak": Metric("Privacy leakage", unit="%", range=(-100.0, None)),
    "auc_min_40": Metric("AUC of Min-40 %, forget against holdout", "none", unit="AUC", range=(0.0, 1.0)),
}  # fmt: skip
ROLES = {"target": "base", "retrain": "oracle"}  # MUSE's own names of the two
ROUGE = "mean_rougeL"
# Where MUSE writes what: the folder's name (and the set's, in the older layout) → our name of it.
NEWER = {"verbmem_f": "verbmem_f", "knowmem_f": "knowmem_f", "knowmem_r": "knowmem_r"}
OLDER = {
    ("verbmem", "forget"): "verbmem_f",
    ("knowmem", "forget"): "knowmem_f",
    ("knowmem", "retain"): "knowmem_r",
}
RESULTS = ("agg.json", "out.json", "auc.json")
Found = dict[str, dict[str, float]]


def recognises(given: Given) -> bool:
    """Whether there is a table with MUSE's columns, or a folder with its aggregates."""
    if any(_is_table(file) for file in given.files):
        return True
    return any(_place(file) is not None for file in given.called(*RESULTS))


def _is_table(file: GivenFile) -> bool:
    if file.path.suffix.lower() != ".csv":
        return False
    head = file.content[:400].decode("utf-8", "ignore").splitlines()[:1]
    columns = set(head[0].lstrip("\ufeff").split(",")) if head else set()
    return "name" in columns and len(columns & METRICS.keys()) >= 2


def read(given: Sequence[Given], options: Options) -> Report:
    """Every model of the tables and folders; the reference's (or MUSE's own retrain model) gives PrivLeak its zero.

    Raises:
        UserError: there is no such file, one is damaged, or results of several corpora are mixed
    """
    found: Found = {}
    for one in given:
        _add(found, one)
    if options.reference is not None:
        _add(found, options.reference, called="retrain")
    if not found:
        names = ", ".join(one.name for one in given)
        raise UserError(f"{names} holds no table with name, verbmem_f, knowmem_f, … and no folders of MUSE's aggregates.")  # fmt: skip
    notes = _privacy(found)
    order = sorted(found, key=lambda name: list(ROLES.values()).index(r) + 1 if (r := ROLES.get(name)) else 0)  # fmt: skip
    models = tuple(_model(name, found[name]) for name in order)
    measured = sorted({name for model in models for name in model.readings})
    return Report("MUSE", models, {n: METRICS.get(n, Metric(n)) for n in measured}, tuple(notes))


def _add(found: Found, given: Given, called: str = "") -> None:
    """Take over what a path holds; `called` names its only model."""
    mine: Found = {}
    for file in given.files:
        if _is_table(file):
            _read_table(mine, file)
    corpora = set()
    for file in given.called(*RESULTS):
        place = _place(file)
        if place is not None:
            metric, model, corpus = place
            corpora.add(corpus)
            name = model or given.name
            mine.setdefault(name, {}).update({metric: _value(file, metric)})
    if len(corpora - {""}) > 1:
        raise UserError(f"{given.name} holds results of {' and '.join(sorted(corpora))}; give one corpus at a time.")  # fmt: skip
    if called and len(mine) != 1:
        raise UserError(f"The reference {given.name} holds {len(mine)} models; give the results of the one that was retrained.")  # fmt: skip
    for name, values in mine.items():
        found.setdefault(called or name, {}).update(values)


def _place(file: GivenFile) -> tuple[str, str, str] | None:
    """(metric, model, corpus) that a file's path tells; None where it is none of MUSE's."""
    parts = file.path.parts[:-1]
    if file.name == "auc.json":
        inner = parts[:-1] if parts and parts[-1] == "privleak" else parts
        return "auc_min_40", *_model_in(inner, "privleak")
    if file.name == "agg.json" and parts and parts[-1] in NEWER:
        return NEWER[parts[-1]], *_model_in(parts[:-1], "")
    if file.name == "out.json" and len(parts) > 1:
        kind = next((part for part in parts if part in ("verbmem", "knowmem")), "")
        metric = OLDER.get((kind, parts[-1]))
        return None if metric is None else (metric, *_model_in(parts[:-1], kind))
    return None


def _model_in(parts: Sequence[str], kind: str) -> tuple[str, str]:
    """(model, corpus): what is left of a path when the layout's own folders are gone."""
    left = [part for part in parts if part not in (kind, "out", "temp")]
    corpus = left.pop(0) if left and left[0] in ("bbc", "hp", "news", "books") else ""
    return str(PurePosixPath(*left)) if left else "", corpus


def _value(file: GivenFile, metric: str) -> float:
    told = file.mapping()
    if metric == "auc_min_40":
        inner = told.get("forget_holdout")
        value = inner.get("Min-40%") if isinstance(inner, dict) else told.get("forget_holdout_Min-40%")  # fmt: skip
        return finite(value, f"{file.path}: AUC of Min-40% on forget and holdout")
    return 100 * finite(told.get(ROUGE), f"{file.path}: {ROUGE}")


def _read_table(found: Found, file: GivenFile) -> None:
    rows = list(csv.DictReader(io.StringIO(file.text)))
    for number, row in enumerate(rows, 2):
        where = f"{file.path}, line {number}"
        values = {}
        for key, text in row.items():
            if key in (None, "", "name") or not isinstance(text, str) or not text.strip():
                continue
            try:
                value = float(text)
            except ValueError as problem:
                raise UserError(
                    f"{where}: {key} is {text[:40]!r}, which is no number."
                ) from problem
            values[metric_name(str(key))] = finite(value, f"{where}: {key}")
        name = named(row.get("name") or "", f"{where}: name")
        if name in found:
            raise UserError(f"{where}: there are two rows of {name}.")
        found[name] = values


def _privacy(found: Found) -> list[str]:
    """Work out PrivLeak where only AUCs are told; what is missing for that."""
    retrained = found.get("retrain", {}).get("auc_min_40")
    lacking = [n for n, v in found.items() if "auc_min_40" in v and "privleak" not in v]
    if not lacking:
        return []
    if not retrained:
        return ["No PrivLeak: the AUC of the retrained model is missing; give its folder as the reference."]  # fmt: skip
    for name in lacking:
        found[name]["privleak"] = (found[name]["auc_min_40"] - retrained) / retrained * 100
    return []


def _model(name: str, values: Mapping[str, float]) -> Model:
    role = ROLES.get(name, "model")
    method, *settings = [part for part in name.split("/") if part] or [name]
    parameters = {}
    for setting in settings:  # step=102, alpha=4, or a fold's number
        key, _, value = setting.partition("=")
        parameters[named(key if value else "part", name)] = named(value or key, name)
    readings = {metric: Reading(value) for metric, value in values.items()}
    return Model(named(name, "The model's name"), named(method, "The model's name"), readings, parameters, role=role)  # fmt: skip


IMPORTER = Importer(
    label="MUSE",
    summary="the table that MUSE's evaluation writes (CSV), or its folders of aggregates; the retrained model's as the reference",
    recognises=recognises,
    read=read,
    takes=("reference",),
)
