"""What lies at the place that LETHE_ARTIFACTS names, and whose it is; one place belongs to one database."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Engine

from backend.artifacts import ENVIRONMENT, Artifacts, artifacts
from backend.stage import UserError
from db import reads, writes
from db.writes.control import IDENTITY
from db.writes.guarded import needs

__all__ = ["Placed", "artifacts", "files", "own", "remove", "runs_of", "take_over"]

DAY = 86400.0  # a run stores its model before the database names it


@dataclass(frozen=True)
class Placed:
    """A content (`digest`) or a state to resume from (`fingerprint`) there, and the runs that name it.

    `ours` says that the place belongs to this database, `unnamed` that no run names the content, which is older than a day, or that it
    is the part of one (`digest` is "part") that a process left which was killed.
    """

    path: str
    bytes: int
    digest: str = ""
    fingerprint: str = ""
    runs: tuple[int, ...] = ()
    ours: bool = False
    unnamed: bool = False


def own(engine: Engine, store: Artifacts) -> None:
    """Let the place belong to this database.

    Raises:
        UserError: it belongs to another one, whose models a clean-up of this one would take for nobody's
    """
    name = writes.identity(engine)
    if store.owner(name) != name:
        raise UserError(f"{ENVIRONMENT} is {store.shown}, where the models of another database lie; every database takes a place of its own, or `artifacts --take-over` where this one is to go on instead.")  # fmt: skip


@needs("admin")
def take_over(engine: Engine, store: Artifacts) -> None:
    """Let the place belong to this database whosever it was, as after a restore; the other one must not use it any more."""
    store.owner(writes.identity(engine), anew=True)
    writes.add_event(engine, "storage", f"took over {store.shown}")


def files(engine: Engine, store: Artifacts) -> list[Placed]:
    """Everything there."""
    ours = store.owner() == reads.flag(engine, IDENTITY) is not None
    named = _named(engine)
    found = []
    for digest, size in store.contents().items():
        runs = tuple(named.get(digest, ()))
        unnamed = ours and not runs and (store.age(digest) or 0.0) > DAY
        found.append(Placed(f"models/{digest}", size, digest, "", runs, ours, unnamed))
    for path, size in store.parts().items():
        left = ours and (store.age_of_part(path) or 0.0) > DAY
        found.append(Placed(path, size, "part", "", (), ours, left))
    states = store.states().items()
    return [*found, *(Placed(f"resume/{name}", size, "", name, (), ours) for name, size in states)]


def _named(engine: Engine) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row in reads.model_files(engine).to_dict("records"):
        found.setdefault(str(row["sha256"]), []).append(int(row["run"]))
    return found


def runs_of(engine: Engine, paths: Collection[str]) -> set[int]:
    """The runs that name these contents."""
    named = _named(engine)
    return {run for path in paths for run in named.get(path.rpartition("/")[2], ())}


def remove(engine: Engine, paths: Collection[str]) -> set[str]:
    """Remove contents, but none that a run names, and states; the paths of those that went."""
    store = artifacts() if paths else None
    gone = set()
    for path in paths if store else ():
        assert store is not None
        folder, _, name = path.partition("/")
        if name.endswith(".part"):
            store.remove_part(path)
        elif folder == "resume":
            store.drop_state(name)
        elif reads.is_named(engine, name):
            continue
        else:
            store.remove(name)
        gone.add(path)
    return gone
