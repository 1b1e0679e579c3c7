"""What this machine keeps, and the place that LETHE_ARTIFACTS names: files by kind, which of them may go, and their removal."""

import contextlib
import os
import re
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
from sqlalchemy import Engine

from backend import placed, retention
from db import reads, writes
from db.session import home
from db.writes.guarded import needs

MODEL, RESUME = "model.safetensors", "resume.safetensors"  # as backend.checkpoints names them
ENDED, BAD = ("complete", "failed", "cancelled"), ("failed", "cancelled")
SETTLED_SECONDS = 600.0  # what nobody has written to for so long is nobody's work in progress
OLD_SECONDS = 7 * 86_400.0  # the same of logs that tell of no run
KINDS = {
    "database": "Database",
    "checkpoint": "Checkpoints",
    "resume": "Resume states",
    "cache": "Cached texts and weights",
    "log": "Logs",
    "leftover": "Leftover files",
    "artifact": "At LETHE_ARTIFACTS",
}
REASONS = {
    "finished": "Resume states of completed runs: nothing reads them again.",
    "stopped": "Resume states of failed and cancelled runs: a retry then starts from its first step.",
    "unfinished": "Checkpoints of failed and cancelled runs: no result rests on them.",
    "orphan": "Files that no run in the database names.",
    "temporary": "Half-written files of processes that were killed.",
    "old": "Logs of workers and of cluster jobs that nobody has written to for a week; those of runs stay.",
    "cached": "Copies of models that lie at LETHE_ARTIFACTS: they are fetched again where they are needed.",
    "dominated": (
        "Models that nothing speaks for: of dominated configurations (those on the front at another budget only, too), search trials,"
        " kept endpoints of attacks, teachers of ensembles and older revisions. The numbers stay, but attacking,"
        " asking or exporting such a model again means training it again."
    ),
}
CAREFUL = ("stopped", "dominated")  # what costs something goes only where somebody asks for it


@dataclass(frozen=True)
class StoredFile:
    """A file: its path in the data directory or, `there`, at LETHE_ARTIFACTS, what it is, whose, and why it may go.

    Without a reason it stays. Of a copy that may go anyway `also` says why the model itself may.
    """

    path: str
    kind: str
    bytes: int
    run: int | None = None
    state: str = ""
    reason: str = ""
    also: str = ""
    there: bool = False
    written: int = 0  # when, in nanoseconds, as the file system tells


@dataclass(frozen=True)
class Removed:
    """How much a clean-up took away, or would."""

    files: int
    bytes: int


@dataclass(frozen=True)
class _Known:
    """What the database says of files: fingerprint → (run, state), and what of models may go."""

    owners: dict[str, tuple[int, str]] = field(default_factory=dict)
    removed: set[int] = field(default_factory=set)  # models that were to go, here or elsewhere
    cached: set[int] = field(default_factory=set)  # those that lie at LETHE_ARTIFACTS too
    dispensable: Collection[int] = ()
    workers: Collection[str] = ()  # that live


def survey(
    engine: Engine | None,
    folder: Path | None = None,
    dispensable: Collection[int] = (),
    theirs: Sequence[placed.Placed] = (),
) -> list[StoredFile]:
    """Every file below the data directory, and those at the place for models. Without a database nothing may go.

    Models may go of the runs that are `dispensable` (see `backend.retention`); `theirs` is what `placed.files` tells.
    """
    folder = folder or home()
    known = _Known() if engine is None else _known(engine, dispensable, theirs)
    found = [_judged(place, folder, known) for place in _files(folder)]
    if not known.owners or all(file.run is None for file in found):
        # Not one file is known: this is another database than the one that the files belong to.
        found = [replace(file, reason="", also="") for file in found]
    return [*found, *(_judged_there(file, known) for file in theirs)]


def _known(engine: Engine, dispensable: Collection[int], theirs: Sequence[placed.Placed]) -> _Known:
    runs = reads.run_states(engine)
    pairs = zip(runs["id"], runs["state"], strict=True)
    owners = dict(zip(runs["fingerprint"], ((int(i), str(s)) for i, s in pairs), strict=True))
    # Where a model is made again, its folder is that of the run at work.
    again = reads.being_made_again(engine)
    owners = {name: again.get(owner[0], owner) for name, owner in owners.items()}
    needed = reads.started_from(engine)
    cached = _cached(engine, theirs) - needed
    alive = tuple(reads.living_workers(engine)["id"])
    return _Known(owners, reads.removed_models(engine), cached, set(dispensable) - needed, alive)


def _cached(engine: Engine, theirs: Sequence[placed.Placed]) -> set[int]:
    """The runs whose model is safe there: whole, at a place that no other database cleans up."""
    files = reads.model_files(engine)
    sizes = dict(zip(files["run"].astype(int), files["bytes"], strict=True))
    ours = ((run, file.bytes) for file in theirs if file.ours for run in file.runs)
    return {run for run, size in ours if sizes.get(run) == size}


def _judged_there(file: placed.Placed, known: _Known) -> StoredFile:
    if not file.digest:
        run, state = known.owners.get(file.fingerprint, (None, ""))
        reason = _reason(RESUME, run, state)
        return StoredFile(file.path, "artifact", file.bytes, run, state, reason if file.ours else "", there=True)  # fmt: skip
    reason = "orphan" if file.unnamed else ""
    if file.runs and set(file.runs) <= set(known.dispensable):
        reason = "dominated"
    run = file.runs[0] if file.runs else None
    state = "complete" if file.runs else ""
    return StoredFile(file.path, "artifact", file.bytes, run, state, reason if file.ours else "", there=True)  # fmt: skip


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)


def _judged(place: Path, folder: Path, known: _Known) -> StoredFile:
    parts = place.relative_to(folder).parts
    path = "/".join(parts)
    try:
        about = place.lstat()
    except FileNotFoundError:  # gone since it was listed
        return StoredFile(path, "leftover", 0)
    settled = time.time() - about.st_mtime > SETTLED_SECONDS
    if parts[:2] == ("logs", "runs") and len(parts) == 3:
        run, state = known.owners.get(place.name.partition(".")[0], (None, ""))
        orphan = "orphan" if run is None and settled else ""
        return StoredFile(path, "log", about.st_size, run, state, orphan, written=about.st_mtime_ns)  # fmt: skip
    if parts[0] != "checkpoints" or len(parts) != 3:
        old = parts[0] == "logs" and time.time() - about.st_mtime > OLD_SECONDS
        reason = "old" if old and not place.name.startswith(tuple(known.workers)) else ""
        return StoredFile(path, _kind(parts[0]), about.st_size, reason=reason, written=about.st_mtime_ns)  # fmt: skip
    run, state = known.owners.get(parts[1], (None, ""))
    kind = {MODEL: "checkpoint", RESUME: "resume"}.get(place.name, "leftover")
    reason, also = _reason(place.name, run, state) if settled else "", ""
    if settled and place.name == MODEL and state == "complete" and run is not None:
        reason, also = _of_model(run, known)
    return StoredFile(path, kind, about.st_size, run, state, reason, also, written=about.st_mtime_ns)  # fmt: skip


def _of_model(run: int, known: _Known) -> tuple[str, str]:
    """Why a complete run's model may go, and why it might besides."""
    if run in known.removed:
        return "orphan", ""
    also = "dominated" if run in known.dispensable else ""
    return ("cached", also) if run in known.cached else (also, "")


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
        mine = [file for file in files if reason in (file.reason, file.also)]
        if mine:
            rows.append((reason, why, len(mine), sum(file.bytes for file in mine)))
    return pd.DataFrame(rows, columns=["reason", "why", "files", "bytes"])


def clean(engine: Engine, reasons: Collection[str], *, dry_run: bool = False) -> Removed:
    """Remove the files that may go for these reasons, looked at anew; folders that become empty go too."""
    if not dry_run:
        return remove_files(engine, reasons)
    found = chosen(engine, reasons)
    return Removed(len(found), sum(file.bytes for file in found))


def chosen(engine: Engine | None, reasons: Collection[str]) -> list[StoredFile]:
    """The files that may go for these reasons, each under one of them.

    Raises:
        RunFailed: the place for models does not answer
    """
    if engine is None:
        return []
    store = placed.artifacts()
    unneeded = retention.dispensable(engine) if "dominated" in reasons else ()
    theirs = placed.files(engine, store) if store else ()
    return going(survey(engine, home(), unneeded, theirs), reasons)


def going(files: Sequence[StoredFile], reasons: Collection[str]) -> list[StoredFile]:
    """Of these files the ones that would go; the copy of a model that goes altogether goes with it."""
    named = (replace(f, reason=f.also) if f.also and f.also in reasons else f for f in files)
    return [replace(file, also="") for file in named if file.reason and file.reason in reasons]


@needs("admin")
def remove_files(engine: Engine, reasons: Collection[str]) -> Removed:
    """What `clean` removes, without asking again.

    A model that goes is first noted as removed, unless a run needs it by now; so what is left after an interruption is
    known to be nobody's.

    Raises:
        Refused: the actor is no admin
        RunFailed: the place for models does not answer
    """
    folder, found = home(), _noted(engine, chosen(engine, reasons))
    needed = reads.started_from(engine)  # a run that has begun since reads its inputs' copies here
    here = [file for file in found if not (file.there or (file.reason == "cached" and file.run in needed))]  # fmt: skip
    gone = [file for file in here if _removed(folder / file.path, file)]
    writes.forget_files(engine, [file.path for file in gone if file.reason == "unfinished"])
    there = placed.remove(engine, [file.path for file in found if file.there])
    gone += [file for file in found if file.there and file.path in there]
    if gone:
        size = sum(file.bytes for file in gone)
        writes.add_event(engine, "storage", f"{len(gone)} files removed, {size} bytes")
    return Removed(len(gone), sum(file.bytes for file in gone))


def _noted(engine: Engine, found: list[StoredFile]) -> list[StoredFile]:
    """The files without those of models that cannot go, once it is noted of the others that they are removed."""
    models = [file for file in found if file.reason == "dominated"]
    if not models:
        return found
    runs = {file.run for file in models if file.run is not None}
    runs |= placed.runs_of(engine, [file.path for file in models if file.there])
    gone = set(writes.remove_models(engine, sorted(runs)))
    return [file for file in found if file.reason != "dominated" or file.run in gone]


def _removed(place: Path, seen: StoredFile) -> bool:
    """Whether the file went; one that cannot be removed is left where it is, and so is one that was written since."""
    try:
        about = place.lstat()
        if (about.st_size, about.st_mtime_ns) != (seen.bytes, seen.written):
            return False
        place.unlink()
    except OSError:
        return False
    with contextlib.suppress(OSError):  # other files are left in it
        place.parent.rmdir()
    return True
