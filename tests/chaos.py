"""What goes wrong on machines that are left alone: processes die, clocks are set, disks fill, databases stop answering."""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from db import reads
from tests.in_browser import wait_for
from tests.killing import ROOT, WORK, kill, slots_of

FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


class Clock:
    """The wall clock of the processes that are started with `environment`; nobody else's, and no steady clock."""

    def __init__(self, folder: Path):
        if not FAKETIME:
            pytest.skip("libfaketime is not installed, without which no test may set the clock")
        self.file = folder / "clock"
        self.jump(0)
        self.environment = {
            "LD_PRELOAD": str(FAKETIME[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def jump(self, seconds: float) -> None:
        """Set it that far from the true time."""
        written = self.file.with_suffix(".new")
        written.write_text(f"{seconds:+.0f}\n", encoding="ascii")
        written.replace(self.file)


class Crew:
    """Workers in processes of their own; one that is killed or has ended is replaced until `stop`."""

    def __init__(self, count: int, environment: dict[str, str], log: Path):
        self.environment, self.log = {**os.environ, **environment}, log
        self.workers = [self._start() for _ in range(count)]

    def _start(self) -> "subprocess.Popen[bytes]":
        with open(self.log, "ab") as log:
            return subprocess.Popen([sys.executable, "-c", WORK, "1", "2.0"], cwd=ROOT, env=self.environment, stderr=log)  # fmt: skip

    def kill_a_child(self, chance: random.Random) -> None:
        """`kill -9` to whatever some worker has started."""
        kill(*slots_of(chance.choice(self.workers)))

    def kill_a_worker(self, chance: random.Random) -> None:
        """`kill -9` to a worker; another takes its place."""
        index = chance.randrange(len(self.workers))
        self.workers[index].kill()
        self.workers[index].wait()
        self.workers[index] = self._start()

    def staff(self) -> None:
        """Replace who has ended."""
        for index, worker in enumerate(self.workers):
            if worker.poll() is not None:
                self.workers[index] = self._start()

    def stop(self) -> None:
        """Ask all to end, and wait."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.wait(300)


def until_done(engine: Engine, crew: Crew, blows: Iterator[Callable[[], None]], seconds: float) -> None:  # fmt: skip
    """One blow after another while there is work, all of them in any case, and then until the queue is empty."""
    deadline = time.monotonic() + seconds
    for blow in blows:
        blow()
    while not _empty(engine):
        assert time.monotonic() < deadline, f"not done in {seconds:.0f} s: {reads.counts(engine)}"
        crew.staff()
        time.sleep(0.5)


def _empty(engine: Engine) -> bool:
    with suppress(DBAPIError):
        counts = reads.counts(engine)
        return counts["waiting"] + counts["running"] == 0
    return False


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of that size; skips where this machine does not let us make one."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system could be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """The disk without a byte left, kept full against what is freed meanwhile."""
    ballast, over = disk / "ballast", threading.Event()

    def fill() -> None:
        with open(ballast, "ab", buffering=0) as file:
            while not over.wait(0.05):
                with suppress(OSError):
                    for size in (1 << 20, 1 << 12):
                        while shutil.disk_usage(disk).free >= size and not over.is_set():
                            file.write(b"\0" * size)

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        ballast.unlink()


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """The file held by somebody who writes and writes."""
    rival = sqlite3.connect(database, timeout=600, isolation_level=None)
    rival.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        rival.execute("ROLLBACK")
        rival.close()


def working_in(home: Path) -> list[int]:
    """The processes that were started for that data directory."""
    found, mark = [], f"LETHE_HOME={home}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return [pid for pid in found if pid != os.getpid()]


def left_behind(home: Path, seconds: float = 300.0) -> list[str]:
    """What still works there once all have had the time to notice that nobody is left; with what it is."""
    with suppress(AssertionError):
        wait_for(lambda: not working_in(home), seconds)
    return [_described(pid) for pid in working_in(home)]


def _described(pid: int) -> str:
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        state = Path(f"/proc/{pid}/status").read_text().splitlines()[2:7]
        return f"{pid}: {words}, {' '.join(state)}"
    return f"{pid}, which has ended"


def half_written(home: Path) -> list[str]:
    """Files of writers that are gone, and states of runs that are over."""
    hidden = [str(path) for path in home.rglob(".*")]
    return hidden + [str(path) for path in home.rglob("resume.safetensors")]
