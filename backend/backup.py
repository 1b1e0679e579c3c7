"""A backup of the database and the models, taken while others work, and the way back from it.

A backup is a folder or any address of fsspec: one SQLite file with all rows of one moment, every model under the hash
of its content, and a manifest, written last, that names both. Taking another one into the same place adds what is new.
Models that lie at LETHE_ARTIFACTS only are fetched for it, and a restore stores them there again.
"""

import contextlib
import json
import re
import sqlite3
import tempfile
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from backend.artifacts import SHA256, Artifacts, Damaged, artifacts, located
from backend.cargo import PLACE
from backend.placed import own
from backend.stage import UserError
from db import reads, session
from db.copying import copy_database, must_be_empty
from db.models import now
from db.writes.guarded import needs

MANIFEST, FORM = "lethe-backup.json", 1
DATABASE = re.compile(r"database-[0-9a-f]{12}\.db")
Tell = Callable[[str, int, int], None]  # what, how many, of how many


@dataclass(frozen=True)
class BackedUp:
    """What a backup holds: its database's file, rows of studies and runs, and models; `missing` are gone or damaged ones."""

    database: str
    schema: str
    made: str
    studies: int
    runs: int
    files: dict[str, str]  # path in the data directory: sha256
    missing: tuple[str, ...]
    bytes: int


@needs("admin")
def backup(engine: Engine, to: str, home: Path, tell: Tell | None = None) -> BackedUp:
    """Store what the database says at this moment, and the models that it names, at `to`.

    Raises:
        UserError: the place holds something else, or cannot be written
    """
    files, root = _place(to)
    before = _manifest(files, root, to) if _holds(files, root) else None
    with tempfile.TemporaryDirectory() as folder:
        snapshot = _snapshot(engine, Path(folder) / "lethe.db")
        frozen = session.open_database(url=f"sqlite:///{snapshot}")
        assert frozen is not None
        try:
            kept, missing, size = _store_models(frozen, Artifacts(to, "files"), home, tell)
            rows = reads.row_counts(frozen)
            name = f"database-{uuid.uuid4().hex[:12]}.db"
            files.put_file(str(snapshot), f"{root}/{name}")
            made = BackedUp(name, session.revisions()[-1], now().isoformat(timespec="seconds"), rows["study"], rows["run"], kept, tuple(missing), size)  # fmt: skip
        finally:
            session.close(f"sqlite:///{snapshot}")
    files.pipe_file(f"{root}/{MANIFEST}", json.dumps({"form": FORM, **asdict(made)}, indent=1).encode())  # fmt: skip
    if before is not None:
        with contextlib.suppress(FileNotFoundError):  # another backup to the same place was faster
            files.rm_file(f"{root}/{before['database']}")
    return made


@needs("admin")
def restore(source: str, home: Path, tell: Tell | None = None) -> BackedUp:
    """Bring a backup's models into the data directory, then its rows into the database, which must be empty.

    What was interrupted can be done again: models that are there are not fetched twice, and rows arrive all or not.

    Raises:
        UserError: it is no backup, is damaged or of a newer version, or the place
            that LETHE_ARTIFACTS names belongs to another database
        DatabaseProblem: the database is not empty, or a worker is at work on it
    """
    files, root = _place(source)
    told = _manifest(files, root, source)
    target = session.require_database()
    must_be_empty(target)
    elsewhere = artifacts()
    if elsewhere is not None:
        own(target, elsewhere)
    _fetch_models(Artifacts(source, "files"), elsewhere, sorted(told["files"].items()), home, tell)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/lethe.db"
        files.get_file(f"{root}/{told['database']}", f"{folder}/lethe.db")
        old = session.open_database(url=url)
        assert old is not None
        try:
            copy_database(old, target)
        finally:
            session.close(url)
    return BackedUp(**{name: told[name] for name in BackedUp.__dataclass_fields__} | {"missing": tuple(told["missing"])})  # fmt: skip


def _place(given: str) -> tuple[Any, str]:
    try:
        return located(given)
    except (ValueError, ImportError) as problem:
        raise UserError(f"{given} is no place that can be written: {problem}.") from problem


def _holds(files: Any, root: str) -> bool:
    """Whether there is a backup; an empty or absent folder holds none.

    Raises:
        UserError: the place holds something else
    """
    if not files.exists(root):
        files.makedirs(root, exist_ok=True)
        return False
    if files.exists(f"{root}/{MANIFEST}"):
        return True
    others = [name for name in files.ls(root, detail=False) if not _ours(name)]
    if others:
        raise UserError(f"{root} holds other things and no backup; name an empty folder.")
    return False


def _ours(name: str) -> bool:
    """What a backup that was interrupted leaves."""
    last = name.rstrip("/").rpartition("/")[2]
    return last == "files" or bool(DATABASE.fullmatch(last))


def _manifest(files: Any, root: str, given: str) -> dict[str, Any]:
    """The manifest, whose names were checked.

    Raises:
        UserError: there is none, or it is of a newer version, or not as we write it
    """
    try:
        told = json.loads(files.cat_file(f"{root}/{MANIFEST}"))
        if told["form"] > FORM or told["schema"] not in session.revisions():
            raise UserError(f"The backup {given} is of a newer version (schema {told['schema']}); update Lethe.")  # fmt: skip
        good = bool(DATABASE.fullmatch(told["database"]))
        good &= all(PLACE.fullmatch(path) and SHA256.fullmatch(digest) for path, digest in told["files"].items())  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise UserError(f"{given} holds no backup that can be read: {MANIFEST} is missing or damaged.") from problem  # fmt: skip
    if not good:
        raise UserError(f"The backup {given} names files that no backup has; it is damaged.")
    return dict(told)


def _snapshot(engine: Engine, to: Path) -> Path:
    """All rows of one moment as an SQLite file."""
    if engine.dialect.name == "sqlite":
        # Not through the engine, whose transactions VACUUM does not run in.
        with sqlite3.connect(str(engine.url.database), timeout=session.BUSY_SECONDS) as c:
            c.execute("VACUUM INTO ?", (str(to),))
        c.close()
        return to
    url = f"sqlite:///{to}"
    empty = session.open_database(url=url)
    assert empty is not None
    copy_database(engine, empty)
    session.close(url)
    return to


def _store_models(
    frozen: Engine, place: Artifacts, home: Path, tell: Tell | None
) -> tuple[dict[str, str], list[str], int]:
    """Every model of a complete run, under its hash: what was stored, what could not be, bytes in all."""
    kept: dict[str, str] = {}
    missing: list[str] = []
    size = 0
    elsewhere = artifacts()
    found = reads.model_files(frozen)
    for number, row in enumerate(found.to_dict("records"), 1):
        path, digest = str(row["path"]), str(row["sha256"])
        if place.put(home / path, digest) or _passed_on(elsewhere, place, digest):
            kept[path] = digest
            size += int(row["bytes"])
        else:
            missing.append(path)
        if tell:
            tell("models", number, len(found))
    return kept, missing, size


def _passed_on(elsewhere: Artifacts | None, place: Artifacts, digest: str) -> bool:
    """Whether that content, which is not here, came from where models lie besides, and is in the backup now."""
    if elsewhere is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        between = Path(folder) / digest
        try:
            elsewhere.get(digest, between)
        except (FileNotFoundError, Damaged):
            return False
        return place.put(between, digest)


def _fetch_models(
    place: Artifacts,
    elsewhere: Artifacts | None,
    found: list[tuple[str, str]],
    home: Path,
    tell: Tell | None,
) -> None:
    """Bring the models of a backup here, and to where models lie besides.

    Raises:
        UserError: one is missing in the backup, or its content is another one
    """
    for number, (path, digest) in enumerate(found, 1):
        here = _inside(home, path)
        try:
            place.get(digest, here)
        except Damaged as problem:
            raise UserError(f"The backup is damaged: the content of {here.parent.name} is not what it was.") from problem  # fmt: skip
        except FileNotFoundError as problem:
            raise UserError(f"The backup is damaged: the model of {here.parent.name} is missing.") from problem  # fmt: skip
        if elsewhere is not None:
            elsewhere.put(here, digest)
        if tell:
            tell("models", number, len(found))


def _inside(home: Path, path: str) -> Path:
    assert PLACE.fullmatch(path), path  # the manifest was checked
    return home / path


def told(made: BackedUp) -> Mapping[str, Any]:
    """The backup for people and scripts: counts instead of lists of files."""
    return {**asdict(made), "files": len(made.files), "missing": list(made.missing)}
