"""A table (CSV) by a mapping: which column is the method, the seed, a setting, and which is a number of what direction."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from backend.given_files import Given, GivenFile
from backend.importers import Importer, Options
from backend.reported import Metric, Model, Reading, Report, finite, metric_name, named
from backend.stage import UserError

TABLES = (".csv", ".tsv")
MOST_ROWS = 20_000
MOST_COLUMNS = 300
METHOD = ("method", "name", "model", "algorithm", "configuration", "approach", "recipe")
SEED = ("seed", "run_seed", "random_seed")
SETTINGS = {
    *("lr", "learning_rate", "alpha", "beta", "gamma", "delta", "epoch", "epochs", "steps", "step", "rank", "batch_size"),
    *("weight_decay", "layer", "layers", "temperature", "label_fraction", "forget_size", "checkpoint"),
}  # fmt: skip
MISSING = {"", "na", "n/a", "nan", "null", "none", "-", "—", "–"}
ROLES = ("base", "oracle")
LOWER = ("forget", "verbmem", "memor", "leak", "attack", "loss", "perplexity", "ppl", "flops", "seconds", "cost")  # fmt: skip
CAPABILITY = {"loss": "down", "perplexity": "down", "ppl": "down"}
NO_CAPABILITY = ("quality", "flops", "seconds", "cost", "privacy", "privleak")
KEYS = ("method", "seed", "parameters", "metrics", "base", "oracle")
DIRECTIONS = ("up", "down", "none")
BETTER = ("higher", "lower", None)
Row = dict[str, str]


def recognises(given: Given) -> bool:
    """Whether a file is a table by its ending."""
    return any(file.path.suffix.lower() in TABLES for file in given.files)


def table(file: GivenFile) -> tuple[list[str], list[Row]]:
    """(columns, rows) of a table, its separator found out.

    Raises:
        UserError: it is empty, has no header, two columns of a name, ragged rows, or too much of anything
    """
    text = file.text
    if not text.strip():
        raise UserError(f"{file.path} is empty.")
    try:
        lines = list(csv.reader(io.StringIO(text), delimiter=_separator(text), strict=True))
    except csv.Error as problem:
        raise UserError(f"{file.path} is not a table: {problem}.") from problem
    lines = [line for line in lines if any(cell.strip() for cell in line)]
    columns = [cell.strip() for cell in lines[0]]
    _check_header(file, columns)
    if len(lines) - 1 > MOST_ROWS:
        raise UserError(f"{file.path} has {len(lines) - 1} rows; at most {MOST_ROWS} are read.")
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(columns):
            raise UserError(f"{file.path}, row {number} has {len(line)} cells, the header {len(columns)}.")  # fmt: skip
    return columns, [dict(zip(columns, map(str.strip, line), strict=True)) for line in lines[1:]]


def _separator(text: str) -> str:
    head = text.lstrip().splitlines()[0]
    return max(",\t;|", key=head.count)


def _check_header(file: GivenFile, columns: list[str]) -> None:
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{file.path} has two columns named {twice[:40]!r}.")
    if len(columns) > MOST_COLUMNS:
        raise UserError(f"{file.path} has {len(columns)} columns; at most {MOST_COLUMNS} are read.")


def number_in(text: str) -> float | None:
    """A cell as a number, with or without a percent sign; None where it is none."""
    try:
        return float(text.removesuffix("%").strip())
    except ValueError:
        return None


def proposed(columns: Sequence[str], rows: Sequence[Row]) -> dict[str, Any]:
    """The mapping that names and cells suggest; columns of words with gaps, such as remarks, are left out."""
    low = {name.lower(): name for name in reversed(columns)}
    method = next((low[name] for name in METHOD if name in low), columns[0])
    seed = next((low[name] for name in SEED if name in low and low[name] != method), None)
    parameters, metrics = [], {}
    for name in columns:
        if name in (method, seed):
            continue
        cells = [row[name] for row in rows if row[name].lower() not in MISSING]
        numeric = bool(cells) and all(number_in(cell) is not None for cell in cells)
        if numeric and name.lower() not in SETTINGS:
            metrics[name] = _suggested(name)
        elif name.lower() in SETTINGS or (cells and len(cells) == len(rows)):
            parameters.append(name)
    return {"method": method, "seed": seed, "parameters": parameters, "metrics": metrics, "base": "base", "oracle": "oracle"}  # fmt: skip


def _suggested(name: str) -> dict[str, Any]:
    """What a column's name says of its direction."""
    low = name.lower()
    quality = any(word in low for word in NO_CAPABILITY)
    lower = any(word in low for word in LOWER) and not (quality and "quality" in low)
    loss = next((way for word, way in CAPABILITY.items() if word in low), None)
    direction = "none" if quality else loss or "up"
    return {"direction": direction, "better": "lower" if lower else "higher", "label": name}


def read(given: Sequence[Given], options: Options) -> Report:
    """Every row as a model; rows that differ in the seed only are one configuration.

    Raises:
        UserError: the mapping names a column that is not there, or a cell of a number is none
    """
    files = [file for one in given for file in one.files if file.path.suffix.lower() in TABLES]
    if not files:
        raise UserError(f"{', '.join(one.name for one in given)} holds no {' or '.join(TABLES)} file.")  # fmt: skip
    models: list[Model] = []
    metrics: dict[str, Metric] = {}
    mappings = {}
    for file in files:
        columns, rows = table(file)
        mapping = checked({**proposed(columns, rows), **options.mapping}, columns)
        declared = {name: _metric(name, told) for name, told in mapping["metrics"].items()}
        if not rows or not declared:
            lacking = "row" if not rows else "column of numbers"
            raise UserError(f"{file.path} has no {lacking}.")
        metrics |= {metric_name(name): metric for name, metric in declared.items()}
        models += [_model(row, mapping, f"{file.path}, row {n}") for n, row in enumerate(rows, 2)]
        mappings[str(file.path)] = mapping
    return Report("a table", tuple(models), metrics, about={"mapping": mappings})


def checked(mapping: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """The mapping, complete and valid for these columns.

    Raises:
        UserError: it has an unknown key, an unknown column, an unknown direction, or a column in two places
    """
    unknown = [key for key in mapping if key not in KEYS]
    if unknown:
        raise UserError(f"The mapping has no key {unknown[0]!r}; its keys: {', '.join(KEYS)}.")
    metrics = mapping.get("metrics") or {}
    parameters = mapping.get("parameters") or []
    if not isinstance(metrics, Mapping) or not isinstance(parameters, list | tuple):
        raise UserError("The mapping's metrics are a table of columns, its parameters a list of them.")  # fmt: skip
    seed = [mapping["seed"]] if mapping.get("seed") else []
    used = [mapping.get("method"), *seed, *parameters, *metrics]
    for name in used:
        if name not in columns:
            raise UserError(f"There is no column {name!r}; there are: {', '.join(columns)}.")
        if used.count(name) > 1:
            raise UserError(f"The column {name!r} has two places in the mapping.")
    return {**mapping, "parameters": list(parameters), "metrics": {n: dict(t) for n, t in metrics.items()}}  # fmt: skip


def _metric(name: str, told: Mapping[str, Any]) -> Metric:
    direction, better = told.get("direction", "none"), told.get("better")
    if direction not in DIRECTIONS or better not in BETTER:
        raise UserError(f"{name}: direction is one of up, down, none, and better one of higher, lower, or left out.")  # fmt: skip
    label = named(told.get("label") or name, f"The label of {name}")
    return Metric(label, direction, better, str(told.get("unit", ""))[:40])


def _model(row: Row, mapping: Mapping[str, Any], where: str) -> Model:
    method = named(row[mapping["method"]], f"{where}: {mapping['method']}")
    role = next((r for r in ROLES if mapping.get(r) and row[mapping["method"]] == mapping[r]), "model")  # fmt: skip
    readings = {}
    for name in mapping["metrics"]:
        if row[name].lower() not in MISSING:
            value = number_in(row[name])
            if value is None:
                raise UserError(f"{where}: {name} is {row[name][:40]!r}, which is no number.")
            readings[metric_name(name)] = Reading(finite(value, f"{where}: {name}"))
    settings = {
        named(n, "A column"): _setting(row[n], where) for n in mapping["parameters"] if row[n]
    }
    return Model(method, method, readings, settings, _seed(row, mapping, where), role)


def _setting(text: str, where: str) -> Any:
    number = number_in(text)
    if number is None or text.endswith("%"):
        return named(text, where)
    return int(number) if text.lstrip("+-").isdecimal() else finite(number, where)


def _seed(row: Row, mapping: Mapping[str, Any], where: str) -> int:
    if not mapping.get("seed"):
        return 0
    text = row[mapping["seed"]]
    if not text.isdecimal() or len(text) > 9:
        raise UserError(f"{where}: the seed {text[:20]!r} is not a whole number from 0.")
    return int(text)


IMPORTER = Importer(
    label="Table (CSV)",
    summary="one row a model, or a model and seed; you say which column is what",
    recognises=recognises,
    read=read,
    takes=("mapping",),
    order=9,
)
