"""The guard of everything that people change: whose role does not reach is refused, and every try is written down."""

import contextlib
import hashlib
import inspect
import json
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, insert
from sqlalchemy.exc import SQLAlchemyError

from db.actor import Actor, Refused, present, require
from db.models_access import AuditEntry
from db.session import DatabaseProblem, before_commit, open_database
from db.values import as_json
from db.writes.rows import clock

# Characters of a text, values of a list, characters of a document.
LONGEST, MOST, LARGEST = 200, 20, 500
WORD = re.compile(r"\S+")
SECRET = re.compile(r"sha256|secret|password|token|credential|\bkey\b|sig(nature)?$", re.IGNORECASE)
QUERY = re.compile(
    r"([?&][\w-]{0,99}(?:secret|password|token|key|sig)[\w-]{0,99}=)[^&\s]+", re.IGNORECASE
)

_within: ContextVar[bool] = ContextVar("within a guarded function", default=False)

Given = ParamSpec("Given")
Found = TypeVar("Found")


def needs(role: str) -> Callable[[Callable[Given, Found]], Callable[Given, Found]]:
    """Let only actors of at least this role call a function, and note in the audit log that they did.

    What such a function calls in turn is checked, but stands in the log once.
    """

    def around(function: Callable[Given, Found]) -> Callable[Given, Found]:
        action = function.__name__.strip("_")
        taken = inspect.signature(function)

        @wraps(function)
        def guarded(*given: Given.args, **named: Given.kwargs) -> Found:
            if _within.get():
                require(role, action.replace("_", " "))
                return function(*given, **named)
            with _noted(action, taken.bind(*given, **named).arguments):
                require(role, action.replace("_", " "))
                return function(*given, **named)

        guarded.needs = role  # type: ignore[attr-defined]
        return guarded

    return around


def demand(role: str, what: str) -> None:
    """As `require`, and a refusal stands in the audit log; for doors before the functions themselves."""
    try:
        require(role, what)
    except Refused as refusal:
        with contextlib.suppress(SQLAlchemyError, DatabaseProblem):
            _note(present(), what, {}, "refused", str(refusal))
        raise


@contextlib.contextmanager
def _noted(action: str, arguments: Mapping[str, Any]) -> Any:
    """What happens inside stands in the audit log: as done, as refused, or as failed and why.

    That it was done is written in the same transaction as what was done first, so there is neither without the other; where
    it fails afterwards, that is a further line.
    """
    engine = next((one for one in arguments.values() if isinstance(one, Engine)), None)
    done = _Done(engine, lambda c: _add(c, present(), action, arguments, "done", ""))
    before = _within.set(True)
    try:
        with before_commit(done.write):
            yield
    except Exception as problem:
        outcome = "refused" if isinstance(problem, Refused) else "failed"
        with contextlib.suppress(SQLAlchemyError, DatabaseProblem):
            _note(present(), action, arguments, outcome, str(problem))
        raise
    finally:
        _within.reset(before)
    if not done.written:
        _note(present(), action, arguments, "done", "")


class _Done:
    """The line of a thing done, added once to a transaction of the database that the thing is done in."""

    def __init__(self, engine: Engine | None, add: Callable[[Connection], None]):
        self.engine, self.add, self.written = engine, add, False

    def write(self, c: Connection) -> None:
        if self.engine is not None and not self.written and c.engine.url == self.engine.url:
            self.written = True
            self.add(c)


def _note(actor: Actor, action: str, arguments: Mapping[str, Any], outcome: str, told: str) -> None:
    given = (value for value in arguments.values() if isinstance(value, Engine))
    engine = next(given, None) or open_database(create=False)
    if engine is None:  # there is nothing as yet that anybody could have changed
        return
    with engine.begin() as c:
        _add(c, actor, action, arguments, outcome, told)


def _add(c: Connection, actor: Actor, action: str, arguments: Mapping[str, Any], outcome: str, told: str) -> None:  # fmt: skip
    who = {"actor": actor.name[:200], "role": actor.role, "through": actor.through}
    what = {"action": action, "arguments": shortened(arguments), "outcome": outcome}
    row = {**who, **what, "told": _text(told)[:LARGEST], "at": clock(c)}
    c.execute(insert(AuditEntry).values(row))


def shortened(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as the log keeps them: without databases and secrets, and of bounded length."""
    return {
        name: "…" if SECRET.search(name) else _short(value)
        for name, value in arguments.items()
        if not isinstance(value, Engine) and not callable(value)
    }


def _short(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return _document(value)
    if isinstance(value, list | tuple | set | frozenset):
        return _several(list(value))
    return _text(str(value))[:LONGEST]


def _several(values: list[Any]) -> Any:
    if any(isinstance(value, Mapping) for value in values):
        return {"count": len(values)}
    shown = [_short(value) for value in values[:MOST]]
    return shown if len(values) <= MOST else {"count": len(values), "first": shown}


def _document(value: Mapping[str, Any]) -> Any:
    text = as_json({str(key): one for key, one in value.items()})
    if len(text) > LARGEST or SECRET.search(text) or _text(text) != text:
        return {"characters": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}
    return json.loads(text)


def _text(text: str) -> str:
    """The text without what signs in somewhere."""
    return QUERY.sub(r"\1…", WORD.sub(_without_login, text))


def _without_login(found: re.Match[str]) -> str:
    """A word without the name and the password of an address: up to its last @, for a password may hold / and @."""
    word = found[0]
    begin, end = word.find("://"), word.rfind("@")
    if not 0 <= begin < end:
        return word
    # A secret of the query may hold that @; then what follows is secret too.
    cut = [one.end() for one in QUERY.finditer(word) if one.start() < end < one.end()]
    return f"{word[:begin]}://…@{word[cut[0] if cut else end + 1 :]}"
