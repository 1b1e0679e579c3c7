"""What others report, in one shape whatever file it came in: models with the numbers that were measured on them."""

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backend.stage import UserError

LONGEST_NAME = 100  # of a method or model; the database's own limit
LONGEST_METRIC = 60
LONGEST_TEXT = 20_000
MARKUP = re.compile(r"[<>\[\]{}|\\`*$#!~^\"]")
ROLES = ("model", "base", "oracle")


@dataclass(frozen=True)
class Metric:
    """What a number is.

    `direction` says whether a larger value means more capability (`up`, `down`, `none`), as everywhere here; `better`
    which end a reader prefers (`higher`, `lower`, or None where neither or a value between is best).
    """

    label: str
    direction: str = "none"
    better: str | None = None
    unit: str = "score"
    range: tuple[float | None, float | None] = (None, None)

    def declared(self) -> dict[str, Any]:
        """The declaration as a study's document holds it."""
        told = {"direction": self.direction, "unit": self.unit, "range": list(self.range)}
        return {
            **told,
            "level": "model",
            "label": self.label,
            "takes": "imported",
            "floors": {},
            "better": self.better,
        }


SHARE = (0.0, 1.0)
KEPT: dict[str, Any] = {"direction": "up", "better": "higher", "range": SHARE}
FORGET: dict[str, Any] = {"direction": "up", "better": "lower", "range": SHARE}
# TOFU's own numbers, in whatever files they come.
TOFU = {
    "tofu_forget_quality": Metric("TOFU forget quality", better="higher", unit="p", range=SHARE),
    "tofu_forget_quality_log10": Metric(
        "TOFU forget quality, log₁₀ p", better="higher", unit="log₁₀ p", range=(None, 0.0)
    ),
    "tofu_ks_distance": Metric("TOFU forget quality, distance D", better="lower", range=SHARE),
    "tofu_model_utility": Metric("TOFU model utility", **KEPT),
}


@dataclass(frozen=True)
class Reading:
    """One number; `each` is the value of every item where the file has them, `parts` the number of parts of the items."""

    value: float
    standard_error: float | None = None
    items: int | None = None
    each: np.ndarray | None = None
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """A question with the expected and the given answer; untrusted text, shown as such."""

    question: str
    expected: str
    given: str


@dataclass(frozen=True)
class Model:
    """One evaluated model: its own name in the files, the method that made it, the method's settings.

    `role` is `base` or `oracle` only where the files mean exactly that.
    """

    name: str
    method: str
    readings: Mapping[str, Reading]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    role: str = "model"
    answers: Mapping[str, tuple[Answer, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """Everything that files report: models (what was given first, a reference last), what the numbers are, and remarks."""

    setting: str
    models: tuple[Model, ...]
    metrics: Mapping[str, Metric]
    notes: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)


def finite(value: Any, where: str) -> float:
    """The value as a number.

    Raises:
        UserError: it is no number, not a finite one, or too large for one
    """
    right = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        number = float(value) if right else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise UserError(f"{where} is {str(value)[:40]!r}, which is not a finite number.")
    return number


def named(text: Any, where: str, longest: int = LONGEST_NAME) -> str:
    """A name that is safe everywhere: no control characters, no signs that a page could read as markup.

    Raises:
        UserError: there is no text in it
    """
    plain = "".join(c for c in str(text) if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co"))
    told = " ".join(MARKUP.sub("-", plain).split())[:longest].strip()
    if not isinstance(text, str | int | float) or not told:
        raise UserError(f"{where} is not a name: {str(text)[:40]!r}.")
    return told


def storable(value: Any) -> Any:
    """The same with every text in a form that every database takes: whole characters, no zero bytes, not endless."""
    if isinstance(value, str):
        whole = value[:LONGEST_TEXT].encode("utf-8", "replace").decode()
        return whole.replace("\x00", "\ufffd")
    if isinstance(value, Mapping):
        return {storable(str(key)): storable(one) for key, one in value.items()}
    return [storable(one) for one in value] if isinstance(value, list | tuple) else value


def metric_name(text: str) -> str:
    """A metric's name: letters, digits and a few signs, not longer than the database holds."""
    told = re.sub(r"[^\w.%+-]+", "_", text).strip("_") or "metric"
    return told if len(told) <= LONGEST_METRIC else told[: LONGEST_METRIC - 1] + "~"


def mean_of(values: np.ndarray) -> Reading:
    """The mean of items with its standard error."""
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return Reading(float(np.mean(values)), error, len(values), values)
