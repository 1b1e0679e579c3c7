"""How parts declare themselves: decorators, parameter types with bounds, loading by name.

A part is one function in one file of the same name. Its signature is its schema, its defaults, its form on the Launch
page and its documentation. `backend.catalogue` reads the same declarations from the files without importing them, so
decorator arguments and defaults are literals.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, Any, Literal, TypeVar, get_args

SLOTS = ("mask", "optimizer_wrapper", "adapter")  # where options go in a recipe's stage
KINDS = ("settings", "methods", "options", "attacks", "metrics")
DECORATORS = {
    "setting": "settings",
    "method": "methods",
    "option": "options",
    "attack": "attacks",
    "metric": "metrics",
}
# What the reader of a catalogue may rely on where a decorator leaves an argument out.
DECLARED_DEFAULTS: dict[str, dict[str, Any]] = {
    "settings": {"label": "", "source": "", "version": 1, "needs": {}, "neutral": {}},
    "methods": {
        "label": "",
        "source": "",
        "version": 1,
        "needs": {},
        "neutral": {},
        "stage": "suppress",
        "threat_model": "white_box",
        "data_access": "forget and retain",
        "families": [],  # on which it works: names, or "dense" for all without experts; none named: all
        "repeats": False,
    },
    "options": {
        "label": "",
        "source": "",
        "version": 1,
        "needs": {},
        "neutral": {},
        "slot": "mask",
    },
    "attacks": {
        "label": "",
        "source": "",
        "version": 1,
        "needs": {},
        "neutral": {},
        "counts": "weights",
        "has_steps": True,
        "metric": {},  # of a score of its own: {"name", "direction", "floor", "unit", "range", "label"}
        "in_context": False,  # whether it says nothing unless the base learns within a context
    },
    "metrics": {
        "label": "",
        "source": "",
        "version": 1,
        "needs": {},
        "neutral": {},
        "direction": "up",
        "better": "",  # which end is better, where a metric of the whole model knows: "up", "down"
        "floor": 0.0,
        "unit": "",
        "range": [None, None],
        "level": "model",
        "takes": "scores",  # scores of a split, a whole examination, or a study's rows
        "mean": "items",  # over items, or over all their tokens
        "formerly": "",  # the name under which fingerprints know it
    },
}


@dataclass(frozen=True)
class Bounds:
    """The closed interval that a number must lie in; `above` excludes the lower end."""

    low: float | None = None
    high: float | None = None
    above: bool = False


Share = Annotated[float, Bounds(0, 1)]
Weight = Annotated[float, Bounds(0)]
Rate = Annotated[float, Bounds(0, above=True)]
Count = Annotated[int, Bounds(1)]
Whole = Annotated[int, Bounds(0)]
# Data are made of these when a study is planned; a slip of the keyboard shall not keep a page for hours.
Few = Annotated[int, Bounds(1, 1_000)]  # where they grow with its square
Many = Annotated[int, Bounds(1, 1_000_000)]
Course = Literal["constant", "linear", "cosine", "step", "wsd", "points"]

BOUNDED: dict[str, tuple[str, Bounds]] = {
    "Share": ("float", Bounds(0, 1)),
    "Weight": ("float", Bounds(0)),
    "Rate": ("float", Bounds(0, above=True)),
    "Count": ("int", Bounds(1)),
    "Whole": ("int", Bounds(0)),
    "Few": ("int", Bounds(1, 1_000)),
    "Many": ("int", Bounds(1, 1_000_000)),
}

CHOICES: dict[str, tuple[str, ...]] = {"Course": get_args(Course)}

Function = TypeVar("Function", bound=Callable[..., Any])


def _declare(kind: str, declared: dict[str, Any]) -> Callable[[Function], Function]:
    unknown = set(declared) - set(DECLARED_DEFAULTS[kind])
    assert not unknown, f"{kind} parts do not declare {sorted(unknown)}"

    def mark(function: Function) -> Function:
        function.declared = {**DECLARED_DEFAULTS[kind], **declared}  # type: ignore[attr-defined]
        function.kind = kind  # type: ignore[attr-defined]
        return function

    return mark


def setting(**declared: Any) -> Callable[[Function], Function]:
    """Declare a data task; the function returns a `backend.data.Task`."""
    return _declare("settings", declared)


def method(**declared: Any) -> Callable[[Function], Function]:
    """Declare a method: `(model, task, run, *, parameters) -> model`."""
    return _declare("methods", declared)


def option(**declared: Any) -> Callable[[Function], Function]:
    """Declare an option that composes with any loss: `(model, task, run, *, parameters) -> None` prepares the run."""
    return _declare("options", declared)


def attack(**declared: Any) -> Callable[[Function], Function]:
    """Declare an attack: `(model, task, run, *, parameters) -> model`."""
    return _declare("attacks", declared)


def metric(**declared: Any) -> Callable[[Function], Function]:
    """Declare a metric, by what it `takes`.

    `scores`: `(scores) -> value of every item` of any split. `examination`: `(examined) -> readings`, see
    `backend.examination`. `study`: `(rows) -> readings` of every configuration, see `backend.study_metrics`.
    """
    return _declare("metrics", declared)


def load(kind: str, name: str) -> Callable[..., Any]:
    """The function of a part; its name was checked against the catalogue when the study was read.

    Raises:
        UserError: it is a plugin's, which is not here or cannot be imported
    """
    function: Callable[..., Any] = getattr(module_of(kind, name), name)
    return function


def module_of(kind: str, name: str) -> ModuleType:
    """The module of a part: one of ours, else a plugin's; raises as `load` does."""
    assert kind in KINDS and name.isidentifier(), f"no such part: {kind} {name!r}"
    ours = f"backend.{kind}.{name}"
    try:
        return importlib.import_module(ours)
    except ModuleNotFoundError as problem:
        if problem.name != ours:
            raise
    from backend import plugin_loading  # which reads what this module says

    return plugin_loading.module_of(kind, name)
