"""Who acts: a name with a role, held for as long as somebody does something. `db.writes.guarded` asks here."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from db.session import DatabaseProblem

ROLES = ("none", "viewer", "runner", "reviewer", "admin")  # each may do what those before it may


@dataclass(frozen=True)
class Actor:
    """Who acts, with which role, and through what; `known` where a provider or a token vouches for the name."""

    name: str
    role: str
    through: str = "library"
    known: bool = False


LOCAL = Actor("local", "admin")  # whoever has this process has its files too
SYSTEM = Actor("system", "admin", "worker")
NOBODY = Actor("nobody", "none", "page")

_acting: ContextVar[Actor | None] = ContextVar("acting", default=None)
_asked: list[Callable[[], Actor]] = []


class Refused(DatabaseProblem):
    """Somebody's role does not reach; the one sentence says which one does."""


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Everything inside is done by this actor."""
    before = _acting.set(actor)
    try:
        yield
    finally:
        _acting.reset(before)


def ask_instead(who: Callable[[], Actor]) -> None:
    """From now on `who` says who acts in this process where `acting` does not: a server of pages knows its readers."""
    _asked[:] = [who]


def present() -> Actor:
    """Who acts now."""
    held = _acting.get()
    if held is not None:
        return held
    return _asked[0]() if _asked else LOCAL


def may(role: str, actor: Actor | None = None) -> bool:
    """Whether the actor, by default the present one, has at least this role."""
    return ROLES.index((actor or present()).role) >= ROLES.index(role)


def require(role: str, what: str = "do this") -> Actor:
    """The present actor, who has at least this role.

    Raises:
        Refused: the role is a lower one
    """
    actor = present()
    if not may(role, actor):
        given = f"{actor.name} has the role {actor.role}" if actor.known else "nobody is signed in"
        raise Refused(f"To {what} takes the role {role} or a higher one; {given}.")
    return actor


def signed(name: str) -> str:
    """The name that stands beside what is done: that of a known actor, whatever was written, else what was written."""
    actor = present()
    return actor.name if actor.known else name
