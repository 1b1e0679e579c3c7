"""Conditions on runs, as the filter of the list says them, turned into SQL; values only ever travel as parameters."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Text, and_, case, cast, false, func, or_, select

from db.live import newest
from db.models import Run, Study, StudyRun
from db.models_marks import RunNote, RunTag
from db.reads.run_columns import METRIC, OWN, PARAMETER, column, kind_of

TEXT = "text"  # the field of words that stand alone
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    ">": lambda held, given: held > given,
    ">=": lambda held, given: held >= given,
    "<": lambda held, given: held < given,
    "<=": lambda held, given: held <= given,
}
NUMBERS = ("integer", "real", "number")


class Condition(NamedTuple):
    """One condition: any of `values` may hold; `operator` is `:` (is), or compares with the one value there is."""

    field: str
    operator: str
    values: tuple[Any, ...]
    negated: bool = False


def where(conditions: Sequence[Condition], dialect: str) -> ColumnElement[bool]:
    """All conditions together; what is in the trash, and in the archive, only where a condition asks for it."""
    asked = {value for one in conditions if one.field == "is" for value in one.values}
    found = [_one(condition, dialect) for condition in conditions]
    found += [] if "trashed" in asked else [Run.trashed_at.is_(None)]
    found += [] if asked & {"archived", "trashed"} else [Run.archived_at.is_(None)]
    return and_(*found)


def _one(condition: Condition, dialect: str) -> ColumnElement[bool]:
    held = or_(*(_holds(condition, value, dialect) for value in condition.values))
    # Without a value nothing is known to hold, so "not" gives exactly the other runs.
    return ~func.coalesce(held, false()) if condition.negated else held


def _holds(condition: Condition, value: Any, dialect: str) -> ColumnElement[bool]:
    field, operator = condition.field, condition.operator
    if field in SPECIAL:
        return SPECIAL[field](value)
    if field.startswith(PARAMETER):
        return _parameter(field, operator, value, dialect)
    held = column(field, dialect)
    if operator in COMPARE:
        return COMPARE[operator](held, value)
    if isinstance(value, datetime):
        return and_(held >= value, held < value + timedelta(days=1))
    return held == value if METRIC in field or _is_number(value) else _like(held, value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _like(held: Any, value: str) -> ColumnElement[bool]:
    """The whole text, whatever its capitals; a star stands for anything."""
    escaped = "".join(f"/{sign}" if sign in "/%_" else sign for sign in value)
    return held.ilike(escaped.replace("*", "%"), escape="/")


def _parameter(field: str, operator: str, value: Any, dialect: str) -> ColumnElement[bool]:
    kind = kind_of(field, dialect)
    held = column(field, dialect)
    number = case((kind.in_(NUMBERS), held.as_float()))
    if operator in COMPARE:
        return COMPARE[operator](number, value)
    if _is_number(value):
        return number == value
    if isinstance(value, bool):
        known = func.lower(cast(held.as_string(), Text)) == str(value).lower()
        return kind == str(value).lower() if dialect == "sqlite" else known
    text = cast(held.as_string(), Text)
    among = text.contains(json.dumps(value), autoescape=True)
    return case((kind == "array", among), (kind.in_(("text", "string")), _like(text, value)))


def _free(value: str) -> ColumnElement[bool]:
    """The words occur in the run's stage, part, parameters, error, note or tags."""
    inside = json.dumps(value)[1:-1]  # as SQLite stores what is not ASCII
    parameters = cast(Run.parameters, Text)
    noted = select(RunNote.run_id).where(RunNote.text.icontains(value, autoescape=True))
    tagged = select(RunTag.run_id).where(RunTag.tag.icontains(value, autoescape=True))
    return or_(
        (Run.stage + " " + Run.name).icontains(value, autoescape=True),
        parameters.icontains(value, autoescape=True),
        parameters.icontains(inside, autoescape=True),
        func.coalesce(Run.error, "").icontains(value, autoescape=True),
        Run.id.in_(noted),
        Run.id.in_(tagged),
    )


def _of_studies(*wanted: Any) -> ColumnElement[bool]:
    held = select(StudyRun.run_id).join(Study, Study.id == StudyRun.study_id)
    return Run.id.in_(held.where(Study.id.in_(newest()), *wanted))


def _tagged(*wanted: Any) -> ColumnElement[bool]:
    return Run.id.in_(select(RunTag.run_id).where(*wanted))


def _noted(*wanted: Any) -> ColumnElement[bool]:
    return Run.id.in_(select(RunNote.run_id).where(*wanted))


IS: dict[str, Callable[[], ColumnElement[bool]]] = {
    "archived": lambda: Run.archived_at.is_not(None),
    "trashed": lambda: Run.trashed_at.is_not(None),
    "leftover": lambda: ~_of_studies(),
    "imported": lambda: Run.origin == "imported",
}
HAS: dict[str, Callable[[], ColumnElement[bool]]] = {
    "tag": _tagged,
    "note": lambda: Run.id.in_(_last_notes()),
    "error": lambda: Run.error.is_not(None),
    "remark": lambda: Run.note.is_not(None),
}


def _last_notes() -> Any:
    """The runs whose note was not emptied."""
    latest = select(func.max(RunNote.id)).group_by(RunNote.run_id)
    return select(RunNote.run_id).where(RunNote.id.in_(latest), RunNote.text != "")


SPECIAL: dict[str, Callable[[Any], ColumnElement[bool]]] = {
    TEXT: _free,
    "study": lambda value: _of_studies(_like(Study.name, value)),
    "tag": lambda value: _tagged(_like(RunTag.tag, value)),
    "author": lambda value: _noted(_like(RunNote.author, value)),
    "is": lambda value: IS[value](),
    "has": lambda value: HAS[value](),
}

FIELDS = (*(name for name in OWN if name != "parameters"), "setting", *SPECIAL)
