"""What this machine keeps: files by kind, which of them may go, and their removal."""

import contextlib
import os
import re
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from sqlalchemy import Engine

from db import reads, writes
from db.session import home
from db.writes.guarded import needs

MODEL, RESUME = "model.safetensors", "resume.safetensors"  # as backend.checkpoints names them
ENDED, BAD = ("complete", "failed", "cancelled"), ("failed", "cancelled")
SETTLED_SECONDS = 600.0  # what nobody has written to for so long is nobody's work in progress
KINDS = {
    "database": "Database",
    "checkpoint": "Checkpoints",
    "resume": "Resume states",
    "cache": "Cached texts and weights",
    "log": "Logs",
    "leftover": "Leftover files",
}
REASONS = {
    "finished": "Resume states of completed runs: nothing reads them again.",
    "stopped": "Resume states of failed and cancelled runs: a retry then starts from its first step.",
    "unfinished": "Checkpoints of failed and cancelled runs: no result rests on them.",
    "orphan": "Files of runs that are not in the database.",
    "temporary": "Half-written files of processes that were killed.",
}


@dataclass(frozen=True)
class StoredFile:
    """A file of the data directory: its path there, what it is, whose it is, and why it may go (empty: it stays)."""

    path: str
    kind: str
    bytes: int
    run: int | None = None
    state: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Removed:
    """How much a clean-up took away, or would."""

    files: int
    bytes: int


def survey(engine: Engine | None, folder: Path | None = None) -> list[StoredFile]:
    """Every file below the data directory. Without a database nothing may go."""
    folder = folder or home()
    owners = {} if engine is None else _owners(engine)
    found = [_judged(place, folder, owners) for place in _files(folder)]
    if owners and any(file.run is not None for file in found):
        return found
    # Not one file is known: this is another database than the one that the files belong to.
    return [StoredFile(f.path, f.kind, f.bytes, f.run, f.state) for f in found]


def _owners(engine: Engine) -> dict[str, tuple[int, str]]:
    runs = reads.run_states(engine)
    pairs = zip(runs["id"], runs["state"], strict=True)
    return dict(zip(runs["fingerprint"], ((int(i), str(s)) for i, s in pairs), strict=True))


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)


def _judged(place: Path, folder: Path, owners: dict[str, tuple[int, str]]) -> StoredFile:
    parts = place.relative_to(folder).parts
    path = "/".join(parts)
    try:
        about = place.lstat()
    except FileNotFoundError:  # gone since it was listed
        return StoredFile(path, "leftover", 0)
    settled = time.time() - about.st_mtime > SETTLED_SECONDS
    if parts[:2] == ("logs", "runs") and len(parts) == 3:
        run, state = owners.get(place.name.partition(".")[0], (None, ""))
        orphan = "orphan" if run is None and settled else ""
        return StoredFile(path, "log", about.st_size, run, state, orphan)
    if parts[0] != "checkpoints" or len(parts) != 3:
        return StoredFile(path, _kind(parts[0]), about.st_size)
    run, state = owners.get(parts[1], (None, ""))
    kind = {MODEL: "checkpoint", RESUME: "resume"}.get(place.name, "leftover")
    reason = _reason(place.name, run, state) if settled else ""
    return StoredFile(path, kind, about.st_size, run, state, reason)


def _kind(top: str) -> str:
    if re.fullmatch(r".+\.db(-wal|-shm|-journal)?", top):
        return "database"
    return {"cache": "cache", "logs": "log", "checkpoints": "leftover"}.get(top, "leftover")


def _reason(name: str, run: int | None, state: str) -> str:
    """Why a file of a run may go; empty where it may not. A waiting or running run's files always stay."""
    if run is None:
        return "orphan"
    if state not in ENDED:
        return ""
    if name == RESUME:
        return "stopped" if state in BAD else "finished"
    if name == MODEL:
        return "unfinished" if state in BAD else ""
    return "temporary" if name.startswith(".") else ""


def by_kind(files: Sequence[StoredFile]) -> pd.DataFrame:
    """kind, label, files, bytes, removable (bytes that may go), every kind named."""
    rows = []
    for kind, label in KINDS.items():
        mine = [file for file in files if file.kind == kind]
        free = sum(file.bytes for file in mine if file.reason)
        rows.append((kind, label, len(mine), sum(file.bytes for file in mine), free))
    return pd.DataFrame(rows, columns=["kind", "label", "files", "bytes", "removable"])


def by_run(files: Sequence[StoredFile], most: int = 10) -> pd.DataFrame:
    """The runs whose files are largest: run, state, files, bytes."""
    table = pd.DataFrame([(f.run, f.state, f.bytes) for f in files if f.run is not None], columns=["run", "state", "bytes"])  # fmt: skip
    sums = table.groupby(["run", "state"], as_index=False).agg(files=("bytes", "size"), bytes=("bytes", "sum"))  # fmt: skip
    return sums.sort_values("bytes", ascending=False).head(most).reset_index(drop=True)


def by_reason(files: Sequence[StoredFile]) -> pd.DataFrame:
    """What may go: reason, why, files, bytes; reasons without a file are left out."""
    rows = []
    for reason, why in REASONS.items():
        mine = [file for file in files if file.reason == reason]
        if mine:
            rows.append((reason, why, len(mine), sum(file.bytes for file in mine)))
    return pd.DataFrame(rows, columns=["reason", "why", "files", "bytes"])


def clean(engine: Engine, reasons: Collection[str], *, dry_run: bool = False) -> Removed:
    """Remove the files that may go for these reasons, looked at anew; folders that become empty go too."""
    if not dry_run:
        return remove_files(engine, reasons)
    chosen = _chosen(engine, reasons)
    return Removed(len(chosen), sum(file.bytes for file in chosen))


def _chosen(engine: Engine, reasons: Collection[str]) -> list[StoredFile]:
    return [file for file in survey(engine, home()) if file.reason and file.reason in reasons]


@needs("admin")
def remove_files(engine: Engine, reasons: Collection[str]) -> Removed:
    """What `clean` removes, without asking again.

    Raises:
        Refused: the actor is no admin
    """
    folder = home()
    gone = [file for file in _chosen(engine, reasons) if _removed(folder / file.path)]
    if gone:
        writes.forget_files(engine, [file.path for file in gone])
        size = sum(file.bytes for file in gone)
        writes.add_event(engine, "storage", f"{len(gone)} files removed, {size} bytes")
    return Removed(len(gone), sum(file.bytes for file in gone))


def _removed(place: Path) -> bool:
    """Whether the file went; one that cannot be removed is left where it is."""
    try:
        place.unlink()
    except OSError:
        return False
    with contextlib.suppress(OSError):  # other files are left in it
        place.parent.rmdir()
    return True
