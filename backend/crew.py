"""The processes in which a slot does runs on several devices: its own, the first rank, and one for every further rank.

Ranks find one another through a file, and speak through the machine's loopback interface or between its GPUs; nothing listens
to the network. A further rank reads requests, a line of JSON each, from standard input and answers with a line; it ends with
the first rank, whatever ends that.
"""

import contextlib
import gc
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from backend.kinship import child_of_this
from backend.ranks import Team, at_work
from backend.stage import (  # fmt: skip
    Answered,
    Cancelled,
    Measured,
    Owner,
    RunFailed,
    Sink,
    StageOutcome,
    StageRequest,
)

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = timedelta(hours=1)  # for a rank that writes or prepares while others wait
SETTLING = 10.0  # seconds in which the other ranks have to come to a run's end after the first one
GRACE = 15.0  # seconds after a rank's end in which the first one should notice by itself


class RankSink:
    """Where a rank reports: nowhere but in the first one, whose wish to stop is every rank's at the same moment."""

    def __init__(self, sink: Sink | None, team: Team):
        self.sink, self.team = sink, team

    def progress(self, step: int, steps: int, message: str = "") -> None:
        """Say how far the run is."""
        if self.sink:
            self.sink.progress(step, steps, message)

    def record(self, rows: Sequence[Measured]) -> None:
        """Hand over measurements."""
        if self.sink:
            self.sink.record(rows)

    def samples(self, rows: Sequence[Answered]) -> None:
        """Hand over questions and answers."""
        if self.sink:
            self.sink.samples(rows)

    def flush(self) -> None:
        """Return when everything is stored."""
        if self.sink:
            self.sink.flush()

    def cancelled(self) -> bool:
        """True on all ranks once the run shall stop."""
        return self.team.agreed(self.sink.cancelled() if self.sink else False)


class Member:
    """The process of a further rank. What it says lies in `answers`, None after its end."""

    def __init__(self, rank: int, devices: int, store: Path, ended: Callable[["Member"], None]):
        self.rank, self.devices = rank, devices
        words = ["--rank", str(rank), "--devices", str(devices), "--store", str(store)]
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "backend", "run", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **child_of_this(), "PYTHONPATH": path},
            text=True,
        )
        self.answers: queue.Queue[str | None] = queue.Queue()
        self.failure = ""
        threading.Thread(target=self._listen, args=(ended,), daemon=True).start()

    def _listen(self, ended: Callable[["Member"], None]) -> None:
        assert self.process.stdout is not None, "stdout is a pipe"
        for line in self.process.stdout:
            word, _, sentence = line.strip().partition(" ")
            self.failure = sentence if word == "failed" else self.failure
            self.answers.put(word)
        self.process.wait()
        self.answers.put(None)
        ended(self)

    def send(self, message: dict[str, Any]) -> None:
        """Hand over a request; if the process is gone, the run will notice."""
        assert self.process.stdin is not None, "stdin is a pipe"
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()

    def answer(self, seconds: float | None) -> str | None:
        """The next word it says; None if it has ended, or said nothing for so long."""
        try:
            return self.answers.get(timeout=seconds)
        except queue.Empty:
            return None

    def last_words(self) -> str:
        """Why it is gone, in a sentence; empty while it is not."""
        status = self.process.poll()
        if status is None or self.failure:
            return self.failure
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended ({status})"
        return f"The process of device {self.rank + 1} of {self.devices} {how}; the run cannot go on without it."


class Crew:
    """All ranks of a slot, in the hands of the first one. Use it as a context, from the process's main thread.

    A process has one crew in its life; a slot whose crew is broken ends, and another takes its place.

    Raises:
        RunFailed: a process ended before it could work
    """

    def __init__(self, devices: int, sharding: str = "none"):
        self.sharding, self.broken, self.busy = sharding, False, False
        # What a rank calls should the first one be stuck.
        self.on_loss: Callable[[str], None] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="lethe-ranks-"))
        store = self.folder / "store"
        self.members = [Member(rank, devices, store, self._ended) for rank in range(1, devices)]
        for member in self.members:
            if member.answer(None) != "ready":
                self.close()
                raise RunFailed(member.last_words())
        self.team = joined(0, devices, store)

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    @property
    def environment(self) -> dict[str, Any]:
        """What is recorded with a run beside its device."""
        return {"devices": self.team.ranks, "sharding": self.sharding}

    def execute(self, request: StageRequest, sink: Sink) -> StageOutcome:
        """Do the run on all ranks, as `backend.recipe.execute` does it on one.

        Raises:
            RunFailed: also where a rank was lost
        """
        from backend import recipe

        asked = {**asdict(request), "home": str(request.home)}
        for member in self.members:
            member.send({"request": asked, "sharding": self.sharding})
        self.team.sharding, self.busy = self.sharding, True
        try:
            with at_work(self.team):
                outcome = recipe.execute(request, RankSink(sink, self.team))
        except Exception as problem:
            self._settle()
            if _is_lost_connection(problem) and (told := self._last_words()):
                raise RunFailed(told) from problem
            raise
        self._settle()
        return outcome

    def _settle(self) -> None:
        """Wait for the others to come to the run's end; without those that do not, there is no next run."""
        until = time.monotonic() + SETTLING
        for member in self.members:
            if member.answer(max(0.1, until - time.monotonic())) not in ("done", "cancelled"):
                self.broken = True
        self.busy = False

    def _last_words(self) -> str:
        return next(filter(None, (member.last_words() for member in self.members)), "")

    def _ended(self, member: Member) -> None:
        """A rank's process is gone: if the first rank has not noticed after a while, it waits for it in vain."""
        if not self.busy:
            return
        time.sleep(GRACE)
        if self.busy and self.on_loss:
            self.on_loss(member.last_words())

    def close(self) -> None:
        """End the other ranks' processes: those that wait at once, others without mercy."""
        for member in self.members:
            assert member.process.stdin is not None, "stdin is a pipe"
            with contextlib.suppress(BrokenPipeError):
                member.process.stdin.close()
        for member in self.members:
            try:
                member.process.wait(timeout=0.1 if self.broken or self.busy else 5)
            except subprocess.TimeoutExpired:
                member.process.kill()
                member.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _is_lost_connection(problem: Exception) -> bool:
    import torch

    return isinstance(problem, torch.distributed.DistError) or "gloo" in str(problem).lower()


def joined(rank: int, ranks: int, store: Path) -> Team:
    """This process as one rank among others, with its device; returns once all have come."""
    import torch

    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks}
    os.environ.update({name: str(number) for name, number in places.items()})
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    os.environ |= {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback}
    os.environ.setdefault("NCCL_IB_DISABLE", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from accelerate import PartialState

    on_gpu = torch.cuda.is_available()
    found = {"rank": rank, "world_size": ranks, "timeout": PATIENCE}
    state = PartialState(cpu=not on_gpu, init_method=f"file://{store}", **found)
    return Team(rank, ranks, device=state.device if on_gpu else torch.device("cpu"))


def assist(rank: int, devices: int, store: Path) -> int:
    """Be a further rank: say `ready`, then do every request with the others and say `done`, `cancelled` or `failed WHY`."""
    from backend.child import own_standard_output, ready_recipe

    answers = own_standard_output()
    for ignored in (signal.SIGTERM, signal.SIGINT):  # the first rank's to handle
        signal.signal(ignored, signal.SIG_IGN)
    ready_recipe()
    gc.collect()
    gc.freeze()
    print("ready", file=answers, flush=True)
    team = joined(rank, devices, store)
    for line in sys.stdin:
        _assist_once(json.loads(line), team, answers)
        gc.collect()
    os._exit(0)  # the others may be gone, whom an orderly end would wait for


def _assist_once(message: dict[str, Any], team: Team, answers: IO[str]) -> None:
    from backend import recipe
    from backend.child import explained

    asked = message["request"]
    team.sharding = message["sharding"]
    given = {**asked, "home": Path(asked["home"]), "owner": Owner(**asked["owner"])}
    request = StageRequest(**given)
    try:
        with at_work(team):
            recipe.execute(request, RankSink(None, team))
        print("done", file=answers, flush=True)
    except Cancelled:
        print("cancelled", file=answers, flush=True)
    except Exception as problem:
        sentence, trace = explained(problem)
        print(trace, file=sys.stderr, flush=True)
        print("failed", " ".join(sentence.split()), file=answers, flush=True)
        os._exit(1)  # now, so that nobody waits for this rank
