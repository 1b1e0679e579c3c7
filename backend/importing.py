"""From others' files to a study: what it would hold, its document, its runs, and the way into the database."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from sqlalchemy import Engine

from backend import catalogue
from backend.given_files import Given
from backend.importers import Options, guessed, kind
from backend.naming import SYMBOLS
from backend.reported import Model, Reading, Report, named, storable
from backend.stage import UserError
from db import writes

VERSION = 1  # of what is made of a report; raised when the same files would give other rows
STAGES = {"model": "suppress", "base": "base", "oracle": "oracle"}
MOST_MODELS = 20_000
SPLIT = "model"


@dataclass(frozen=True)
class Prepared:
    """An import as it would be stored: the study's name and document, and its runs, the base first."""

    name: str
    kind: str
    report: Report
    document: dict[str, Any]
    runs: list[dict[str, Any]]

    def told(self) -> list[dict[str, Any]]:
        """The models in the order in which they were given, each with its measurements."""
        by_fingerprint = {run["fingerprint"]: run for run in self.runs}
        labels = {f: c["label"] for c in self.document["configurations"] for f in c["runs"].values()}  # fmt: skip
        found = []
        for model in self.report.models:
            print_of = _fingerprint(self.kind, model)
            run = by_fingerprint[print_of]
            found.append(
                {
                    "name": model.name,
                    "configuration": labels[print_of],
                    "method": model.method if model.role == "model" else model.role,
                    "stage": run["stage"],
                    "parameters": dict(model.parameters),
                    "seed": model.seed,
                    "measurements": {name: one.value for name, one in model.readings.items()},
                }
            )
        return found


def prepared(
    given: Sequence[Given], kind_name: str | None, options: Options | None = None, name: str = ""
) -> Prepared:
    """What the files would become; nothing is written.

    Without a kind it is told by the files; without a name it is the kind's and the first folder's (or file's).

    Raises:
        UserError: the kind is unknown, or the files are not of it, are damaged, or contradict themselves
    """
    if not given:
        raise UserError("Give at least one file or folder to import.")
    options = options or Options()
    chosen = kind_name or _kind_of(given)
    importer = kind(chosen)
    if options.reference is not None and "reference" not in importer.takes:
        raise UserError(f"{chosen} takes no reference.")
    _complain(given, chosen)
    report = _checked(importer.read(given, options))
    study = named(name or f"{chosen}-{given[0].name}", "The study's name", 200)
    configurations = _configurations(chosen, report)
    document = _document(study, chosen, report, configurations, given, options)
    return Prepared(study, chosen, report, document, _runs(chosen, report, document))


def _kind_of(given: Sequence[Given]) -> str:
    for one in given:
        found = guessed(one)
        if found is not None:
            return found
        _complain([one], None)
    raise UserError(f"{given[0].name} is of no known kind; name it with `--as`.")


def _complain(given: Sequence[Given], chosen: str | None) -> None:
    """Let damaged files say what is wrong with them, where nothing of the kind is recognised."""
    for one in given:
        if chosen is None or not kind(chosen).recognises(one):
            for file in one.files:
                _ = file.document if file.path.suffix.lower() == ".json" else file.text


def _checked(report: Report) -> Report:
    if not report.models or not report.metrics:
        raise UserError("The files hold no model with a number.")
    if len(report.models) > MOST_MODELS:
        raise UserError(f"The files hold {len(report.models)} models; at most {MOST_MODELS} are imported.")  # fmt: skip
    for model in report.models:
        for name, reading in model.readings.items():
            numbers = [reading.value, *reading.parts.values()]
            if not all(math.isfinite(number) for number in numbers):
                raise UserError(f"{model.name}: {name} is not a finite number.")
    for role in ("base", "oracle"):
        settings = {json.dumps(m.parameters, sort_keys=True) for m in report.models if m.role == role}  # fmt: skip
        if len(settings) > 1:
            raise UserError(f"The files hold {len(settings)} different models as the {role}; there can be one.")  # fmt: skip
    seen = Counter(_identity(model) for model in report.models)
    twice = next((m for m in report.models if seen[_identity(m)] > 1), None)
    if twice is not None:
        raise UserError(f"{twice.name} is there {seen[_identity(twice)]} times with the same settings and seed; what tells them apart is missing.")  # fmt: skip
    return report


def _identity(model: Model) -> tuple[str, str, str, str, int]:
    settings = json.dumps(model.parameters, sort_keys=True)
    name = "" if model.role != "model" or model.name == model.method else model.name
    return model.role, model.method if model.role == "model" else "", settings, name, model.seed


def _fingerprint(kind_name: str, model: Model) -> str:
    """The identity of an imported run: everything that is told of it."""
    readings = {name: _plain(one) for name, one in sorted(model.readings.items())}
    answers = {name: [asdict(one) for one in told] for name, told in sorted(model.answers.items())}
    about = [VERSION, kind_name, *_identity(model), model.name, readings, answers]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:20]


def _plain(reading: Reading) -> list[Any]:
    each = None if reading.each is None else hashlib.sha256(_bytes(reading.each)).hexdigest()
    return [reading.value, reading.standard_error, reading.items, each, dict(reading.parts)]


def _bytes(values: np.ndarray) -> bytes:
    return np.ascontiguousarray(values, dtype="<f8").tobytes()


def _configurations(kind_name: str, report: Report) -> list[dict[str, Any]]:
    """Base, oracle, then every method with its settings; seeds of one configuration together."""
    found: dict[str, dict[str, Any]] = {}
    order = sorted(report.models, key=lambda model: ("base", "oracle", "model").index(model.role))
    for model in order:
        key = repr(_identity(replace(model, seed=0)))
        competes = model.role == "model"
        one = found.setdefault(
            key,
            {
                "key": hashlib.sha256(key.encode()).hexdigest()[:12],
                "label": model.role.capitalize(),
                "method": model.method if competes else model.role,
                "name": model.name,
                "stages": [{"stage": "suppress", "name": model.method, "parameters": dict(model.parameters)}] if competes else [],
                "runs": {},
            },
        )  # fmt: skip
        one["runs"][str(model.seed)] = _fingerprint(kind_name, model)
    _label(list(found.values()))
    return list(found.values())


def _label(configurations: Sequence[dict[str, Any]]) -> None:
    """Readable names: the method with the settings that tell its namesakes apart; twins are numbered."""
    known = {_squeezed(part.name): part.label for part in catalogue.parts("methods")}
    stages = [c["stages"][0] for c in configurations if c["stages"]]
    varying: dict[str, list[str]] = {}
    for method in {stage["name"] for stage in stages}:
        mine = [stage["parameters"] for stage in stages if stage["name"] == method]
        names = dict.fromkeys(key for parameters in mine for key in parameters)
        varying[method] = [k for k in names if len({repr(p.get(k)) for p in mine}) > 1]
    seen: Counter[str] = Counter()
    for one in (c for c in configurations if c["stages"]):
        method, parameters = one["stages"][0]["name"], one["stages"][0]["parameters"]
        told = [f"{SYMBOLS.get(k, k)} {_short(parameters[k])}" for k in varying[method] if k in parameters]  # fmt: skip
        label = known.get(_squeezed(method), method) + (f" ({', '.join(told)})" if told else "")
        seen[label] += 1
        one["label"] = label if seen[label] == 1 else f"{label} #{seen[label]}"


def _squeezed(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _document(
    study: str,
    chosen: str,
    report: Report,
    configurations: list[dict[str, Any]],
    given: Sequence[Given],
    options: Options,
) -> dict[str, Any]:
    """The study's document, in the shape of those that are run here; `imported` says where it comes from."""
    reference = None if options.reference is None else options.reference.name
    files = {
        f"{one.name}/{file.path}": hashlib.sha256(file.content).hexdigest()
        for one in (*given, *([options.reference] if options.reference else []))
        for file in one.files
    }
    setting = {"name": report.setting, "parameters": {}, "content_hash": "", "anchor": "oracle"}
    return {
        "name": study,
        "setting": {**setting, "forget_metric": None, "retain_metric": None, "placebo": False},
        "seeds": sorted({model.seed for model in report.models}),
        "oracles": 1,
        "precision": "unknown",
        "placebo": False,
        "recipes": [],
        "attacks": [],
        "audit": [],
        "metrics": {name: metric.declared() for name, metric in report.metrics.items()},
        "placebo_commonest": [],
        "configurations": configurations,
        "imported": storable(
            {
                "kind": chosen,
                "version": VERSION,
                "reference": reference,
                "common": options.common,
                "files": files,
                "notes": list(report.notes),
                **report.about,
            }
        ),
    }


def _runs(chosen: str, report: Report, document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The runs with what they measured, base and oracle first: a method's parent is the base of its seed."""
    order = sorted(report.models, key=lambda model: ("base", "oracle", "model").index(model.role))
    bases = {m.seed: _fingerprint(chosen, m) for m in order if m.role == "base"}
    setting = {key: document["setting"][key] for key in ("name", "parameters", "content_hash")}
    found = []
    for model in order:
        competes = model.role == "model"
        found.append(
            {
                "fingerprint": _fingerprint(chosen, model),
                "stage": STAGES[model.role],
                "name": model.method if competes else model.role,
                "version": 1,
                "parameters": {**model.parameters, "model": model.name},
                "setting": setting,
                "precision": "unknown",
                "seed": model.seed,
                "parent": bases.get(model.seed) if competes else None,
                "note": f"Imported ({chosen}), not run here.",
                "measurements": _measurements(model),
                "items": _items(model),
                "samples": _samples(model),
            }
        )
    return found


def _measurements(model: Model) -> list[dict[str, Any]]:
    rows = []
    for name, one in model.readings.items():
        about = {"metric": name, "split": SPLIT, "step": 0}
        more = {"standard_error": one.standard_error, "items": one.items}
        rows.append({**about, "category": "", "value": one.value, **more})
        for part, value in one.parts.items():
            rows.append({**about, "category": part[:60], "value": value, "standard_error": None, "items": None})  # fmt: skip
    return rows


def _items(model: Model) -> list[dict[str, Any]]:
    return [
        {"metric": name, "split": SPLIT, "step": 0, "values": one.each}
        for name, one in model.readings.items()
        if one.each is not None
    ]


def _samples(model: Model) -> list[dict[str, Any]]:
    return [
        {
            "split": split[:60],
            "step": 0,
            "item": number,
            "category": "",
            "question": storable(one.question),
            "expected": storable(one.expected),
            "answer": storable(one.given),
            "correct": None,
        }
        for split, answers in model.answers.items()
        for number, one in enumerate(answers)
    ]


def store(engine: Engine, ready: Prepared) -> writes.Imported:
    """Write the study, whole or not at all; what is there already stays as it is.

    Raises:
        DatabaseProblem: a study of that name was run here
    """
    return writes.import_study(engine, name=ready.name, document=ready.document, runs=ready.runs)
