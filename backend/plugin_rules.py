"""What a plugin's file must hold to be taken: at least one part, declared in a way that can be read without importing."""

import ast
import keyword
from typing import Any

from backend.declarations import Part, given_of, kind_of, part_of, type_of
from backend.registry import DECLARED_DEFAULTS, DECORATORS, SLOTS
from backend.stage import UserError

TYPES = {"int", "float", "bool", "str", "list"}
STAGES = ("pretrain", "suppress", "robustify", "wrap")
# What a decorator's argument may be, by kind and argument.
CHOICES: dict[tuple[str, str], tuple[str, ...]] = {
    ("methods", "stage"): STAGES,
    ("methods", "threat_model"): ("white_box", "black_box"),
    ("options", "slot"): SLOTS,
    ("attacks", "counts"): ("weights", "access", "policy", "probe"),
    ("metrics", "direction"): ("up", "down", "none"),
    ("metrics", "level"): ("model", "pair", "study"),
    ("metrics", "takes"): ("scores", "examination", "study"),
}
TAKES = {"settings": "", "methods": "model, task, run", "options": "model, task, run", "attacks": "model, task, run"}  # fmt: skip
OF_METRICS = {"scores": "scores", "examination": "examined", "study": "view, row"}
OF_SCORES = {"name", "direction", "floor", "unit", "range", "label"}
RESERVED = ("base", "oracle", "evaluate", "standard", "audit", "lm_eval")


class Refused(Exception):
    """A clause that says why a plugin's file is not taken, and what would be."""


def declared_parts(text: str, file: str, code: str) -> list[Part]:
    """The parts that a plugin's file declares; Refused where there is none or one is not as it must be."""
    functions = [n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)]
    marked = [(node, kind) for node in functions if (kind := kind_of(node))]
    if not marked:
        valid = ", ".join(f"@{name}(…)" for name in DECORATORS)
        raise Refused(f"it declares no part: a function with one of {valid} of backend.registry is one")  # fmt: skip
    return [_checked(node, kind, file, code) for node, kind in marked]


def _checked(node: ast.FunctionDef, kind: str, file: str, code: str) -> Part:
    name = node.name
    if name.startswith("_") or keyword.iskeyword(name) or name in RESERVED or not name.isascii():
        raise Refused(f"{name} cannot be a part's name: choose one that begins with a letter and is none of {', '.join(RESERVED)}")  # fmt: skip
    given = _given(node, kind)
    for (of, key), valid in CHOICES.items():
        if of == kind and key in given and given[key] not in valid:
            raise Refused(f"{name}: {key} = {given[key]!r} is not one of {', '.join(valid)}")
    version = given.get("version", 1)
    if type(version) is not int or version < 1:
        raise Refused(f"{name}: version = {version!r} is not a whole number from 1")
    wanted = TAKES.get(kind) if kind in TAKES else OF_METRICS[given.get("takes", "scores")]
    _signature(node, wanted or "")
    _measures(name, kind, given)
    part = part_of(node, kind, file, code)
    try:
        part.check(part.defaults())
    except UserError as why:
        raise Refused(f"a default does not fit: {str(why).rstrip('.')}") from why
    if unknown := set(part.declared["neutral"]) - set(part.defaults()):
        raise Refused(f"{name}: neutral names {', '.join(sorted(unknown))}, which is none of its parameters")  # fmt: skip
    return part


def _measures(name: str, kind: str, given: dict[str, Any]) -> None:
    """What a metric, or an attack with a score of its own, says of its values."""
    told = given.get("metric", {}) if kind == "attacks" else given if kind == "metrics" else {}
    if kind == "attacks" and told and set(told) != OF_SCORES:
        raise Refused(f"{name}: metric must say {', '.join(sorted(OF_SCORES))}")
    ends = told.get("range", [None, None])
    if not isinstance(ends, list) or len(ends) != 2 or any(not _number(end) for end in ends):
        raise Refused(f"{name}: range = {ends!r} is not a list of two numbers, None where there is no end")  # fmt: skip
    floor = told.get("floor", 0.0)
    if floor not in ("unigram", "choices") and not _number(floor):
        raise Refused(f"{name}: floor = {floor!r} is not a number, None, unigram or choices")


def _number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _given(node: ast.FunctionDef, kind: str) -> dict[str, Any]:
    try:
        given = given_of(node)
    except ValueError:
        raise Refused(f"{node.name}: what its decorator says must be literals, since it is read without running the file") from None  # fmt: skip
    valid = DECLARED_DEFAULTS[kind]
    for key, value in given.items():
        if key not in valid:
            raise Refused(f"{node.name} declares {key!r}; its kind declares {', '.join(valid)}")
        if key in ("label", "source", "data_access") and not isinstance(value, str):
            raise Refused(f"{node.name}: {key} = {value!r} is no text")
        if key in ("needs", "neutral", "metric") and not isinstance(value, dict):
            raise Refused(f"{node.name}: {key} = {value!r} is no table")
    return given


def _signature(node: ast.FunctionDef, wanted: str) -> None:
    arguments = node.args
    count = len(wanted.split(", ")) if wanted else 0
    if len([*arguments.posonlyargs, *arguments.args]) != count or arguments.vararg:
        raise Refused(f"{node.name} must take ({', '.join(filter(None, (wanted, '*, parameters')))})")  # fmt: skip
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        where = f"the parameter {argument.arg} of {node.name}"
        if argument.annotation is None or default is None:
            raise Refused(f"{where} lacks a type or a default, as in `{argument.arg}: float = 0.5`")
        if type_of(argument.annotation)[0].removesuffix("?") not in TYPES:
            raise Refused(f"{where} has the type {ast.unparse(argument.annotation)}; valid are {', '.join(sorted(TYPES))}, a list of them, Literal, and Share, Weight, Rate, Count, Whole of backend.registry")  # fmt: skip
        try:
            ast.literal_eval(default)
        except ValueError:
            raise Refused(f"{where} has a default that is no literal: {ast.unparse(default)}") from None  # fmt: skip
