"""Storage: what may go, where models lie, backups, and copies of the database."""

import argparse
import sys
from typing import Any

from sqlalchemy import Engine

from backend.commands import Verbs, database, existing_database, show, verb
from backend.stage import UserError
from db.writes.guarded import needs


def add(verbs: Verbs) -> None:
    """Add the verbs that clean up, store, back up, restore and copy."""
    gc = verb(verbs, "gc", _gc, "remove files that nothing needs: say which with --dry-run")
    gc.add_argument("--dry-run", action="store_true", help="only say what would go")
    gc.add_argument("--stopped", action="store_true", help="also resume states that a retry would go on from")  # fmt: skip
    kept = verb(verbs, "artifacts", _artifacts, "what lies at LETHE_ARTIFACTS, and what only here")
    kept.add_argument("--push", action="store_true", help="store there what is only on this machine")  # fmt: skip
    kept.add_argument("--check", action="store_true", help="read what lies there, and find what is damaged")  # fmt: skip
    kept.add_argument("--take-over", action="store_true", help="let the place belong to this database, whosever it was")  # fmt: skip
    gc.add_argument("--reasons", metavar="A,B", help="only these; stopped and dominated cost something and go only by name")  # fmt: skip
    place = "a folder, or any address that fsspec knows"
    backup = verb(
        verbs, "backup", _backup, "store database and models at a place, while others work"
    )
    backup.add_argument("place", help=place)
    restore = verb(
        verbs, "restore", _restore, "bring a backup into an empty LETHE_HOME or database"
    )
    restore.add_argument("place", help=place)
    copy = verb(verbs, "copy-database", _copy, "copy all rows into another, empty database")
    copy.add_argument("url", help="such as postgresql+psycopg://user@host/lethe or sqlite:////folder/lethe.db")  # fmt: skip


def _gc(arguments: argparse.Namespace) -> None:
    from backend.storage import by_reason, chosen, clean

    engine, reasons = existing_database(), _reasons(arguments)
    found = by_reason(chosen(engine, reasons))
    done = clean(engine, reasons, dry_run=arguments.dry_run) if engine is not None else None
    told: dict[str, Any] = {
        "removed": not arguments.dry_run,
        "files": done.files if done else 0,
        "bytes": done.bytes if done else 0,
        "reasons": found.to_dict("records"),
    }
    if arguments.json:
        return show(told)
    for row in found.to_dict("records"):
        print(f"{row['files']:6} files {row['bytes'] / 1e6:9.1f} MB  {row['why']}")
    what = "would go" if arguments.dry_run else "removed"
    print(f"{told['files']} files, {told['bytes'] / 1e6:.1f} MB {what}.")
    return None


def _reasons(arguments: argparse.Namespace) -> list[str]:
    """What may be removed: the reasons that are named, else all that cost nothing."""
    from backend.storage import CAREFUL, REASONS

    given = [name.strip() for name in (arguments.reasons or "").split(",") if name.strip()]
    unknown = [name for name in given if name not in REASONS]
    if unknown:
        raise UserError(f"There is no reason {unknown[0]!r}; there are: {', '.join(REASONS)}.")
    harmless = [reason for reason in REASONS if reason not in CAREFUL]
    return [*(given or harmless), *(["stopped"] if arguments.stopped else [])]


def _artifacts(arguments: argparse.Namespace) -> int:
    from backend.artifacts import checked
    from backend.placed import own, take_over
    from db.session import home

    store, engine = checked(), database() if arguments.take_over else existing_database()
    if store is None:
        raise UserError("LETHE_ARTIFACTS is not set: models lie in the data directory alone.")
    if arguments.take_over and engine is not None:
        take_over(engine, store)
    if arguments.push and engine is not None:
        own(engine, store)
    models, lacking, damaged = _lacking(engine, store, arguments.check)
    stored = [row for row in lacking if arguments.push and store.put(home() / row["path"], row["sha256"], anew=True)]  # fmt: skip
    there = store.contents()
    told: dict[str, Any] = {
        "place": store.shown,
        "files": len(there),
        "bytes": sum(there.values()),
        "models": len(models),
        "stored": len(stored),
        "missing": [row["path"] for row in lacking if row not in stored],
        "damaged": [row["path"] for row in damaged if row not in stored],
    }
    if arguments.json:
        show(told)
    else:
        print(f"{told['files']} models ({told['bytes'] / 1e6:.1f} MB) at {store.shown}; {told['stored']} stored now.")  # fmt: skip
        print(f"{len(told['missing'])} of {told['models']} models of complete runs are not there as they were made; {len(told['damaged'])} of them damaged.")  # fmt: skip
    return 1 if (arguments.push or arguments.check) and told["missing"] else 0


def _lacking(
    engine: Engine | None, store: Any, check: bool
) -> tuple[list[Any], list[Any], list[Any]]:
    """All models, those that are not there as they were written, and of these the ones whose name is there."""
    from db import reads

    there = store.contents()
    models = reads.model_files(engine).to_dict("records") if engine is not None else []
    lacking = [
        row
        for row in models
        if there.get(row["sha256"]) != row["bytes"] or check and not store.is_whole(row["sha256"])
    ]
    return models, lacking, [row for row in lacking if row["sha256"] in there]


def _backup(arguments: argparse.Namespace) -> int:
    from backend.backup import backup, told
    from db.session import home

    engine = existing_database()
    if engine is None:
        raise UserError("There is no database yet, so nothing to back up.")
    made = told(backup(engine, arguments.place, home(), _progress(arguments)))
    if arguments.json:
        show(made)
    else:
        print(f"{made['studies']} studies, {made['runs']} runs, {made['files']} models ({made['bytes'] / 1e6:.1f} MB) at {arguments.place}.")  # fmt: skip
    for path in made["missing"]:
        print(f"{path} is gone or damaged and not in the backup.", file=sys.stderr)
    return 1 if made["missing"] else 0


def _restore(arguments: argparse.Namespace) -> None:
    from backend.backup import restore, told
    from db.session import home

    made = told(restore(arguments.place, home(), _progress(arguments)))
    if arguments.json:
        return show(made)
    print(f"{made['studies']} studies, {made['runs']} runs, {made['files']} models of {made['made']} are back.")  # fmt: skip
    return None


def _copy(arguments: argparse.Namespace) -> None:
    source = existing_database()
    if source is None:
        raise UserError("There is no database yet, so nothing to copy.")
    copied = copied_to(source, arguments.url)
    if arguments.json:
        return show(copied)
    print(f"{copied['study']} studies, {copied['run']} runs, {copied['measurement']} measurements copied; set LETHE_DATABASE_URL to work there.")  # fmt: skip
    return None


@needs("admin")
def copied_to(source: Engine, url: str) -> dict[str, int]:
    """All rows of a database in the one at `url`, which is made where there is none; how many of each table.

    Raises:
        DatabaseProblem: that one cannot be used, or holds studies or runs
        Refused: the actor is no admin
    """
    from db.copying import copy_database
    from db.session import open_database

    target = open_database(url=url)
    assert target is not None, "a database was made"
    return copy_database(source, target)


def _progress(arguments: argparse.Namespace) -> Any:
    """One line on standard error that goes on counting, for people."""
    if arguments.json or not sys.stderr.isatty():
        return None
    return lambda what, done, of: print(f"\r{what} {done} of {of}", end="" if done < of else "\n", file=sys.stderr)  # fmt: skip
