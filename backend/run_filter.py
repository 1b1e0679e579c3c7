"""The language of the filter above the list of runs: text → conditions. Pure; `db.reads` turns them into SQL.

All parts must hold. `field:value` is, `field:one,other` is one of, `>`, `>=`, `<`, `<=` compare, `*` stands for anything
in a text, a leading `-` negates, and what stands alone is looked for everywhere.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any

from backend.stage import UserError
from db.models import STAGES, STATES
from db.reads.run_columns import METRIC, PARAMETER
from db.reads.run_conditions import FIELDS, HAS, IS, TEXT, Condition

NUMBERS = ("id", "seed", "steps", "seconds", "flops", "tokens", "memory", "attempt", "priority", "version", "parent")  # fmt: skip
MOMENTS = ("created", "started", "finished")
CHOICES: dict[str, Sequence[str]] = {
    "stage": STAGES,
    "state": (*STATES, "blocked"),
    "is": tuple(IS),
    "has": tuple(HAS),
}
ALIASES = {"run": "id", "name": "method", "studies": "study", "tags": "tag"}
UNITS = {"min": "minutes", "h": "hours", "d": "days"}

PART = re.compile(r'\s*(?P<minus>-?)(?:(?P<field>[^\W\d][\w.@%-]*)(?P<operator>!=|>=|<=|[:=<>]))?')  # fmt: skip
VALUE = re.compile(r'"(?P<quoted>[^"]*)"|(?P<bare>[^\s",]+)')
AGO = re.compile(r"(\d+)(min|h|d)-ago")


@dataclass(frozen=True)
class Words:
    """What a filter may speak of besides the fields of every run: parameters and `metric@split`."""

    parameters: Sequence[str] = ()
    metrics: Sequence[str] = ()


def parse(text: str, words: Words, now: datetime | None = None) -> list[Condition]:
    """The conditions of a filter; none for an empty one.

    Raises:
        UserError: one sentence names the part that is wrong, and what is valid
    """
    found, place = [], 0
    moment = now or datetime.now(UTC)
    while text[place:].strip():
        start = PART.match(text, place)
        assert start is not None, "every group may be empty"
        values, place_after = _values(text, start.end())
        part = text[place:place_after].strip()
        if not values:
            raise UserError(f"{part or text[place:].strip()!r} names no value; write for example {_example(start['field'])}.")  # fmt: skip
        found.append(_condition(part, start, values, words, moment))
        place = place_after
    return found


def _example(field: str | None) -> str:
    return f"{field}:VALUE" if field else "a word, or -state:complete"


def _values(text: str, place: int) -> tuple[list[str], int]:
    """The values that begin here, separated by commas, and where they end."""
    found: list[str] = []
    while match := VALUE.match(text, place):
        found.append(match["bare"] if match["quoted"] is None else match["quoted"])
        place = match.end()
        if text[place : place + 1] != ",":
            break
        place += 1
    if text[place : place + 1] == '"':
        raise UserError(f"The quotation mark before {text[place + 1 : place + 30]!r} is never closed.")  # fmt: skip
    return found, place


def _condition(
    part: str, start: re.Match[str], values: list[str], words: Words, now: datetime
) -> Condition:
    negated = bool(start["minus"])
    if start["field"] is None:
        return Condition(TEXT, ":", tuple(values), negated)
    field = _field(part, start["field"], words)
    operator = start["operator"]
    negated, operator = (not negated, ":") if operator == "!=" else (negated, operator)
    operator = ":" if operator == "=" else operator
    read = _reader(field, operator, words, now)
    if operator != ":" and len(values) > 1:
        raise UserError(f"{part!r} compares with several values; give one.")
    return Condition(field, operator, tuple(read(part, value) for value in values), negated)


def _field(part: str, given: str, words: Words) -> str:
    """The name by which the database knows a field."""
    name = ALIASES.get(given.lower(), given)
    if name.lower() in FIELDS and name.lower() != TEXT:
        return name.lower()
    if METRIC in name:
        if name in words.metrics:
            return name
        raise UserError(f"{part!r}: nobody measured {name!r}{_like(name, words.metrics)}.")
    bare = name.removeprefix(PARAMETER)
    if bare.split(".")[0] in words.parameters:
        return f"{PARAMETER}{bare}"
    fields = [field for field in FIELDS if field != TEXT]
    raise UserError(
        f"{part!r}: there is no field {given!r}{_like(given, [*fields, *words.parameters])}; fields are"
        f" {', '.join(fields)}, every parameter of a run, and metric@split."
    )


def _like(given: str, known: Sequence[str]) -> str:
    near = get_close_matches(given, list(known), 1)
    return f" (did you mean {near[0]}?)" if near else ""


def _reader(field: str, operator: str, words: Words, now: datetime) -> Callable[[str, str], Any]:
    """How the values of a field are read; its second argument is the value, its first the part for the sentence."""
    if field in NUMBERS or METRIC in field:
        return _number
    if field in MOMENTS:
        return lambda part, value: _moment(part, value, now)
    if field.startswith(PARAMETER):
        return _parameter if operator == ":" else _number
    if operator != ":":
        return _not_compared
    if field in CHOICES:
        return lambda part, value: _choice(part, value, field)
    return lambda part, value: value


def _number(part: str, value: str) -> float:
    try:
        found = float(value)
    except ValueError:
        raise UserError(f"{part!r}: {value!r} is not a number; write for example 60 or 1e-3.") from None  # fmt: skip
    if found != found:
        raise UserError(f"{part!r}: a comparison with {value!r} never holds; use -has:… or a number.")  # fmt: skip
    return found


def _parameter(part: str, value: str) -> Any:
    """A parameter's value as what it looks like: a number, true or false, or a text."""
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    try:
        return float(value)
    except ValueError:
        return value


def _moment(part: str, value: str, now: datetime) -> datetime:
    ago = AGO.fullmatch(value)
    try:
        if ago:
            return now - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        found = datetime.fromisoformat(value)
    except (ValueError, OverflowError):
        raise UserError(f"{part!r}: {value!r} is no moment; write 2026-01-31, 2026-01-31T12:00 or 24h-ago.") from None  # fmt: skip
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _choice(part: str, value: str, field: str) -> str:
    word = value.lower()
    if word in CHOICES[field]:
        return word
    raise UserError(f"{part!r}: {field} is one of {', '.join(CHOICES[field])}, not {value!r}.")


def _not_compared(part: str, value: str) -> str:
    raise UserError(f"{part!r} compares a text; write it with a colon.")


def parts(text: str) -> list[str]:
    """The filter cut into its parts as they are written, for what adds or takes away a part; damaged text in one piece."""
    found: list[str] = []
    place = 0
    try:
        while text[place:].strip():
            start = PART.match(text, place)
            assert start is not None, "every group may be empty"
            _, after = _values(text, start.end())
            if after <= start.start() or not text[place:after].strip():
                return [*found, text[place:].strip()]
            found.append(text[place:after].strip())
            place = after
    except UserError:
        return [*found, text[place:].strip()]
    return found
