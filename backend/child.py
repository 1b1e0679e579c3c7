"""Doing runs for a worker: one run from its row to its end state, and the slot that serves many."""

import contextlib
import functools
import gc
import logging
import os
import platform
import signal
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sqlalchemy import Engine

from backend import run_log
from backend.cargo import Cargo
from backend.log_lines import say
from backend.patience import is_full, patiently
from backend.redaction import redacted, secrets_here
from backend.remedies import out_of_memory
from backend.sink import DatabaseSink
from backend.stage import Cancelled, Owner, RunFailed, StageOutcome, StageRequest, UserError
from backend.time_limit import given
from db import reads, session, writes
from db.models import AGAIN

if TYPE_CHECKING:  # which imports torch
    from backend.crew import Crew

RUNS_PER_SLOT = 100  # then the process is replaced, so that nothing that leaks adds up
LEASE_SECONDS = 30.0
PACKAGES = ("torch", "transformers", "numpy", "safetensors")


def run_once(
    engine: Engine,
    run_id: int,
    attempt: int,
    home: Path | None = None,
    lease_seconds: float = LEASE_SECONDS,
    stopping: threading.Event | None = None,
    crew: "Crew | None" = None,
) -> str:
    """Do a claimed run here, with a crew on all its devices, and write its end; says how it ended.

    `complete`, `failed` or `cancelled`; `returned` to the queue because `stopping` was set; or
    `refused` because this attempt does not hold the run (any more).
    """
    ready_recipe()
    home = home or session.home()
    row = patiently(lambda: reads.run(engine, run_id))
    if row is None or row["attempt"] != attempt or row["state"] != "running":
        return "refused"
    if crew:
        crew.on_loss = functools.partial(_give_up, engine, row, attempt, home)
    made = patiently(lambda: reads.made_again(engine, run_id)) if row["origin"] == AGAIN else None
    request = _request(row, attempt, home, made)
    with run_log.keeping(home, row["fingerprint"], attempt):
        _say_begun(row, crew)
        stopping = stopping or threading.Event()
        state = _do(engine, row, attempt, request, made, lease_seconds, stopping, crew)
        if state == "refused":
            _drop_late_state(engine, run_id, request)
    run_log.keep_tail(engine, home, run_id, row["fingerprint"], attempt)
    return state


def _do(
    engine: Engine,
    row: dict[str, Any],
    attempt: int,
    request: StageRequest,
    made: tuple[int, str] | None,
    lease_seconds: float,
    stop: threading.Event,
    crew: "Crew | None",
) -> str:
    execute = crew.execute if crew else ready_recipe().execute
    run_id, started = row["id"], time.monotonic()
    try:
        with (
            DatabaseSink(engine, run_id, attempt, lease_seconds, stop) as sink,
            Cargo(engine, row, request, sink) as cargo,
        ):
            if not _begin(engine, row, attempt, request, crew):
                return _said("refused", started)
            outcome = execute(request, sink)
            cargo.take(outcome.files)
        sink.flush()
        ledger, owner = _ledger(outcome), made[0] if made else None
        done = patiently(lambda: writes.complete(engine, run_id, attempt, *ledger, owner))
        if done:
            cargo.forget_state()
        took = ("steps", "tokens", "flops", "peak_memory")
        return _said("complete" if done else "refused", started, {name: getattr(outcome, name) for name in took})  # fmt: skip
    except Cancelled:
        return _stopped(engine, run_id, attempt, sink, request, started)
    except Exception as problem:
        secrets = secrets_here()
        sentence, trace = (redacted(text, secrets) for text in explained(problem, row))
        whole = trace or "".join(traceback.format_exception(problem))
        say("failed", sentence, logging.ERROR, traceback=whole, seconds=_since(started))
        with contextlib.suppress(Exception):
            sink.flush_now()  # the curve up to here may show why
        done = patiently(lambda: writes.fail(engine, run_id, attempt, sentence, trace))
        return "failed" if done else "refused"


ENDS = {
    "complete": "the run is complete",
    "cancelled": "the run was cancelled",
    "returned": "the worker stops; the run goes back to the queue",
    "refused": "another attempt holds the run, so nothing more is written",
}


def _said(state: str, started: float, took: dict[str, Any] | None = None) -> str:
    """The state, once the log has it."""
    say(state, ENDS[state], seconds=_since(started), **(took or {}))
    return state


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)


def _say_begun(row: dict[str, Any], crew: "Crew | None") -> None:
    """Where and with what the attempt works, and what it does."""
    about = {key: row[key] for key in ("stage", "name", "seed", "precision", "parameters")}
    setting = {key: row["setting"].get(key) for key in ("name", "parameters")}
    where = {**environment(), **(crew.environment if crew else {})}
    say("begun", f"run {row['id']} on {where['host']}", **about, setting=setting, **where)


def _begin(
    engine: Engine, row: dict[str, Any], attempt: int, request: StageRequest, crew: "Crew | None"
) -> bool:
    from backend.checkpoints import resume_step, tidy

    from_step = resume_step(request.home, request.fingerprint, request.owner)
    where = {**environment(), **(crew.environment if crew else {})}
    if not patiently(lambda: writes.begin(engine, row["id"], attempt, where, from_step)):
        return False
    tidy(request.home, request.fingerprint)
    return True


def _give_up(engine: Engine, row: dict[str, Any], attempt: int, home: Path, sentence: str) -> None:
    """End the run and this process, whose main thread waits for a device that is gone."""
    say("failed", sentence, logging.ERROR)
    with contextlib.suppress(Exception):
        patiently(lambda: writes.fail(engine, row["id"], attempt, sentence, ""))
    run_log.keep_tail(engine, home, row["id"], row["fingerprint"], attempt)
    os._exit(1)


def _request(row: dict[str, Any], attempt: int, home: Path, made: tuple[int, str] | None = None) -> StageRequest:  # fmt: skip
    """What to do; where it is to make another run's model again, under that one's fingerprint."""
    parent = row["parent"] or {}
    row = {**row, "fingerprint": made[1]} if made else row
    copied = ("stage", "name", "parameters", "setting", "seed", "precision", "fingerprint")
    return StageRequest(
        **{key: row[key] for key in copied},
        home=home,
        parent=parent.get("fingerprint"),
        parent_stage=parent.get("stage"),
        inputs={role: [name for _, name in given] for role, given in row["inputs"].items()},
        owner=Owner(row["id"], attempt, row["first_attempt"]),
    )


def _ledger(outcome: StageOutcome) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    ledger = {key: value for key, value in vars(outcome).items() if key != "files"}
    ledger["note"] = ledger["note"] or None
    return ledger, [asdict(file) for file in outcome.files]


def _stopped(
    engine: Engine,
    run_id: int,
    attempt: int,
    sink: DatabaseSink,
    request: StageRequest,
    started: float,
) -> str:
    """The end of a run that was told to stop, by whoever told it."""
    if sink.lost:
        return _said("refused", started)
    if sink.cancel_requested or not sink.stopping.is_set():
        done = patiently(lambda: writes.cancelled(engine, run_id, attempt))
        return _said("cancelled" if done else "refused", started)
    why = _why_it_returns(request, time.monotonic() - started)
    state = patiently(lambda: writes.hand_back(engine, run_id, attempt, *why)) or "refused"
    if state == "failed":
        say("failed", why[-1], logging.ERROR, seconds=_since(started))
        return state
    return _said(state, started)


def _drop_late_state(engine: Engine, run_id: int, request: StageRequest) -> None:
    """An attempt that was taken for dead may have kept a state when another had completed the run: nothing goes on from it."""
    from backend.checkpoints import drop_resume

    row = patiently(lambda: reads.run(engine, run_id))
    if row and row["state"] == "complete":
        drop_resume(request.home, request.fingerprint)


def _why_it_returns(request: StageRequest, seconds: float) -> tuple[str, ...]:
    """The reason, and what is said of a run that comes no further; nothing where its worker simply stops."""
    from backend.checkpoints import NOT_BEGUN, resume_progress

    limit = given()
    if limit is None or not limit.ended(seconds):
        return ()
    progress = resume_progress(request.home, request.fingerprint, request.owner)
    # A run from its start does not go on from a state, whatever lies there.
    kept = None if progress == NOT_BEGUN else progress
    return limit.reason(kept), limit.sentence(kept)


def explained(problem: BaseException, row: dict[str, Any] | None = None) -> tuple[str, str]:
    """(one sentence, traceback) for what ended a run; no traceback where the sentence says it all.

    What the run's row says of its batches makes the remedy for too little memory a concrete one.
    """
    if isinstance(problem, RunFailed | UserError):
        return str(problem), ""
    trace = "".join(traceback.format_exception(problem))
    if is_full(problem):
        where = getattr(problem, "filename", None)
        what = f"{Path(where).name} could not be written" if where else "nothing could be written"
        return f"The disk is full: {what}; free some space, then retry.", trace
    if _out_of_memory(problem):
        return out_of_memory(problem, row or {}), trace
    lines = str(problem).strip().splitlines()
    return f"{type(problem).__name__}: {lines[0]}" if lines else type(problem).__name__, trace


def _out_of_memory(problem: BaseException) -> bool:
    named = type(problem).__name__ == "OutOfMemoryError"  # torch's, without importing it
    return isinstance(problem, MemoryError) or named or "can't allocate memory" in str(problem)


@functools.lru_cache(maxsize=1)
def environment() -> dict[str, Any]:
    """Where and with what this process works: recorded with every run, never part of its identity."""
    import torch

    on_gpu = torch.cuda.is_available()
    versions = {name: metadata.version(name) for name in PACKAGES}
    return {
        "python": platform.python_version(),
        **versions,
        "platform": platform.platform(),
        "host": platform.node(),
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "threads": torch.get_num_threads(),
        "git": _git_revision(),
    }


def _git_revision() -> str | None:
    """The commit of this code, with `+` where files differ from it; None outside a repository."""
    folder = Path(__file__).resolve().parent.parent
    if not (folder / ".git").exists():
        return None
    told = [_git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain", "-uno")]
    return None if told[0] is None else told[0] + ("+" if told[1] else "")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # nosec B607 - the git of whoever started the worker
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def serve(
    engine: Engine | None = None,
    home: Path | None = None,
    devices: int = 1,
    sharding: str = "none",
) -> int:
    """Be a slot: say `ready`, then do each `RUN ATTEMPT [LEASE]` line of standard input, on so many devices.

    Every run is answered with `done RUN STATE`. Ends, with status 0, at the end of the input, after
    a failure or a cancel, and after a hundred runs; otherwise it says `ready` again.
    """
    answers = own_standard_output()
    stopping, busy = threading.Event(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: _told_to_stop(stopping, busy))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the worker's to handle
    ready_recipe()
    gc.collect()
    gc.freeze()
    engine = engine or patiently(session.require_database)
    if devices == 1:
        return _serve(engine, home, answers, stopping, busy)
    with recruited(devices, sharding) as crew:
        return _serve(engine, home, answers, stopping, busy, crew)


def _serve(
    engine: Engine,
    home: Path | None,
    answers: IO[str],
    stopping: threading.Event,
    busy: threading.Event,
    crew: "Crew | None" = None,
) -> int:
    for _ in range(RUNS_PER_SLOT):
        print("ready", file=answers, flush=True)
        line = sys.stdin.readline().split()
        if not line:
            break
        busy.set()
        run_id, attempt = int(line[0]), int(line[1])
        lease = float(line[2]) if len(line) > 2 else LEASE_SECONDS
        state = run_once(engine, run_id, attempt, home, lease, stopping, crew)
        print(f"done {run_id} {state}", file=answers, flush=True)
        if state in ("failed", "cancelled") or stopping.is_set() or (crew and crew.broken):
            break
        busy.clear()
        gc.collect()  # cheap, because all modules are frozen; a model must not outlive its run
    return 0


def recruited(devices: int, sharding: str) -> "Crew":
    """The ranks of this slot, all ready to work."""
    from backend.crew import Crew

    return Crew(devices, sharding)


def _told_to_stop(stopping: threading.Event, busy: threading.Event) -> None:
    """At work, the run stops at its next step and goes back to the queue; else the slot ends here."""
    stopping.set()
    if not busy.is_set():
        raise SystemExit(0)


def told_to_return() -> threading.Event:
    """Set once this process gets SIGTERM: its run then keeps its state and goes back to the queue."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    return stopping


def own_standard_output() -> IO[str]:
    """The pipe to the worker; what libraries print goes to standard error, which is the log."""
    answers = os.fdopen(os.dup(1), "w")
    sys.stdout.flush()
    os.dup2(2, 1)
    return answers


def ready_recipe() -> Any:
    """The module that does runs, with one thread: then the number of slots changes no number."""
    import torch  # seconds

    from backend import recipe

    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    return recipe
