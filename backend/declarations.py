"""What a part's file declares, read by `ast`: its name, signature, docstring and decorator, without importing it."""

import ast
import math
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from backend.registry import BOUNDED, CHOICES, DECLARED_DEFAULTS, DECORATORS, Bounds
from backend.stage import UserError

HERE = Path(__file__).parent
# Parameters that several parts take as `**group`: where the function stands whose signature declares them.
SHARED = {
    "training": (HERE / "training_parameters.py", "training"),
    "suppression": (HERE / "suppression.py", "suppress"),
    "relearning": (HERE / "relearning.py", "relearned"),
    "language_model": (HERE / "language_model.py", "language_model"),
    "text_training": (HERE / "text" / "pretraining.py", "text_training"),
    "distillation": (HERE / "distillation.py", "distill_outputs"),
}


@dataclass(frozen=True)
class Parameter:
    """One keyword parameter of a part."""

    name: str
    type: str  # int, float, bool, str, list; a trailing "?" admits null
    default: Any
    help: str = ""
    choices: tuple[Any, ...] = ()
    bounds: Bounds = Bounds()
    group: str = ""  # of the shared ones that several parts take

    def check(self, value: Any, where: str) -> Any:
        """The value, an integer made a float where one is meant; UserError where it does not fit."""
        if value is None and self.type.endswith("?"):
            return None
        value = self._typed(value, where)
        if self.choices and value not in self.choices:
            valid = ", ".join(map(str, self.choices))
            raise UserError(f"{where}: {self.name} = {value!r} is not one of {valid}.")
        self._in_bounds(value, where)
        return value

    def _typed(self, value: Any, where: str) -> Any:
        wanted = self.type.removesuffix("?")
        accepted: dict[str, Any] = {
            "int": int,
            "float": (int, float),
            "bool": bool,
            "str": str,
            "list": list,
        }
        right = isinstance(value, accepted[wanted])
        if not right or (isinstance(value, bool) and wanted != "bool"):
            raise UserError(f"{where}: {self.name} = {value!r} is not of type {wanted}.")
        return float(value) if wanted == "float" else value

    def _in_bounds(self, value: Any, where: str) -> None:
        low, high = self.bounds.low, self.bounds.high
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{where}: {self.name} = {value} is not a finite number.")
        if low is not None and (value < low or (self.bounds.above and value == low)):
            word = "above" if self.bounds.above else "at least"
            raise UserError(f"{where}: {self.name} = {value!r} must be {word} {low:g}.")
        if high is not None and value > high:
            raise UserError(f"{where}: {self.name} = {value!r} must be at most {high:,.10g}.")


@dataclass(frozen=True)
class Part:
    """A setting, method, option, attack or metric, as its file declares it."""

    name: str
    kind: str
    summary: str
    parameters: tuple[Parameter, ...]
    declared: dict[str, Any]
    neutral: dict[str, Any] = field(default_factory=dict)
    file: str = ""  # of a plugin's part: where it lies
    code: str = ""  # and the hash of its source

    @property
    def version(self) -> int:
        """Raised after a fix, so that old runs show as stale."""
        return int(self.declared["version"])

    @property
    def label(self) -> str:
        """The name for people."""
        return str(self.declared["label"] or self.name)

    @property
    def source(self) -> str:
        """The paper and equation that the part follows."""
        return str(self.declared["source"])

    @property
    def needs(self) -> dict[str, Any]:
        """Input roles, each with the parameter values under which it is needed."""
        return dict(self.declared["needs"])

    def defaults(self) -> dict[str, Any]:
        """Every parameter with its default."""
        return {parameter.name: parameter.default for parameter in self.parameters}

    def check(self, given: dict[str, Any]) -> dict[str, Any]:
        """All parameters, given or default, checked; UserError names what is wrong and what is valid."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                valid = ", ".join(known) or "none"
                raise UserError(f"{self.name} has no parameter {name!r}; its parameters: {valid}.")
        return {
            name: parameter.check(given[name], self.name) if name in given else parameter.default
            for name, parameter in known.items()
        }

    def as_json(self) -> dict[str, Any]:
        """The part as the catalogue verbs print it."""
        shown: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "version": self.version,
            "summary": self.summary,
            "source": self.source,
            "needs": sorted(self.needs),
            "parameters": [
                {"name": p.name, "type": p.type, "default": p.default, "help": p.help}
                for p in self.parameters
            ],
        }
        shown |= {"plugin": self.file} if self.file else {}
        hidden = {"label", "source", "version", "needs", "neutral"}
        return shown | {key: value for key, value in self.declared.items() if key not in hidden}


@lru_cache(maxsize=512)
def read(path: Path, kind: str, changed: int) -> Part:
    """The part of one of our own files; `changed` only keys the cache, so that an edited file is read again."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == path.stem and kind_of(node) == kind:
            return part_of(node, kind)
    raise UserError(f"{path.name} does not declare a part named {path.stem!r}.")


def kind_of(node: ast.FunctionDef) -> str | None:
    """The kind of part that a function's decorator declares; None for a function that is no part."""
    marks = map(_mark, node.decorator_list)
    return next((DECORATORS[name] for name, _ in marks if name in DECORATORS), None)


def _mark(node: ast.expr) -> tuple[str, list[ast.keyword]]:
    """The name and the keywords of a decorator that is called."""
    if not isinstance(node, ast.Call):
        return "", []
    called = node.func
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name, node.keywords


def given_of(node: ast.FunctionDef) -> dict[str, Any]:
    """What a part's decorator says; ValueError where that is no literal."""
    keywords = next(words for name, words in map(_mark, node.decorator_list) if name in DECORATORS)
    return {k.arg: ast.literal_eval(k.value) for k in keywords if k.arg}


def part_of(node: ast.FunctionDef, kind: str, file: str = "", code: str = "") -> Part:
    """The part that a function with a part's decorator is; of a plugin, with its file and the hash of its source."""
    declared = {**DECLARED_DEFAULTS[kind], **given_of(node)}
    parameters, neutral = _with_shared(node)
    summary = (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ")
    neutral = {**neutral, **declared["neutral"]}
    return Part(node.name, kind, summary, parameters, declared, neutral, file, code)


def _with_shared(node: ast.FunctionDef) -> tuple[tuple[Parameter, ...], dict[str, Any]]:
    """A function's parameters and neutral values, with those of the group that it takes.

    Its own come first; one that only changes a shared one's default is told by the group.
    """
    own = _parameters(node)
    group = node.args.kwarg.arg if node.args.kwarg else ""
    if group not in SHARED:
        return own, {}
    path, function = SHARED[group]
    shared, neutral = _shared(path, function, path.stat().st_mtime_ns)
    grouped = {p.name: replace(p, group=p.group or group) for p in shared}
    mine = [
        replace(p, help=p.help or grouped[p.name].help, group=grouped[p.name].group)
        if p.name in grouped
        else p
        for p in own
    ]
    names = {parameter.name for parameter in own}
    return (*mine, *(p for name, p in grouped.items() if name not in names)), neutral


@lru_cache(maxsize=8)
def _shared(path: Path, name: str, changed: int) -> tuple[tuple[Parameter, ...], dict[str, Any]]:
    """A group's parameters and the neutral values that its file names, if it does."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    function = next(n for n in body if isinstance(n, ast.FunctionDef) and n.name == name)
    parameters, neutral = _with_shared(function)
    for node in body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "NEUTRAL":
            neutral = {**neutral, **ast.literal_eval(node.value)}
    return parameters, neutral


def _parameters(node: ast.FunctionDef) -> tuple[Parameter, ...]:
    helps = _helps(ast.get_docstring(node) or "")
    pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    return tuple(_parameter(arg, default, helps.get(arg.arg, "")) for arg, default in pairs)


def _parameter(arg: ast.arg, default: ast.expr | None, text: str) -> Parameter:
    assert arg.annotation is not None and default is not None, f"{arg.arg} lacks type or default"
    type_name, choices, bounds = type_of(arg.annotation)
    return Parameter(arg.arg, type_name, ast.literal_eval(default), text, choices, bounds)


def type_of(node: ast.expr) -> tuple[str, tuple[Any, ...], Bounds]:
    """(type, choices, bounds) of an annotation: a bounded name, a plain type, Literal, list, X | None."""
    if isinstance(node, ast.BinOp):
        name, choices, bounds = type_of(node.left)
        return f"{name}?", choices, bounds
    if isinstance(node, ast.Subscript):
        if ast.unparse(node.value) == "Literal":
            values = ast.literal_eval(node.slice)
            choices = values if isinstance(values, tuple) else (values,)
            return type(choices[0]).__name__, choices, Bounds()
        return "list", (), Bounds()
    name = ast.unparse(node)
    if name in CHOICES:
        return "str", CHOICES[name], Bounds()
    if name in BOUNDED:
        return BOUNDED[name][0], (), BOUNDED[name][1]
    return name, (), Bounds()


def _helps(docstring: str) -> dict[str, str]:
    """The `Args:` section as {parameter: sentence}."""
    helps: dict[str, str] = {}
    name = ""
    for line in docstring.partition("Args:")[2].splitlines():
        if not line.strip():
            if helps:
                break
        elif line.startswith("        "):  # a continued sentence is indented further
            helps[name] += " " + line.strip()
        else:
            name, _, text = line.strip().partition(":")
            helps[name] = text.strip()
    return helps
