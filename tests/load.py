"""Writers and readers at once: processes that store measurements, and people who browse over real websockets.

`python -m tests.load --seconds 600` prints a table; nothing is asserted, because machines differ. The readers' browser is
not here: it would take more of the processor than the server does. What its sockets carry is.
"""

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Engine
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import connect

from db import session, writes
from tests.in_browser import ROOT, answers, free_port, wait_for
from tests.large_database import fill
from tests.small_study import run, submit

RUNS, STUDY = 1_000, "undo_alpha"
PAGES = {
    "": f"study={STUDY}", "Robustness": f"study={STUDY}", "Runs": "filter=state:complete", "Compare": f"study={STUDY}",
    "Jobs": "", "Data": "", "Launch": "", "Reports": "", "Definitions": "",
}  # fmt: skip
ROWS = 100
Times = dict[str, list[float]]


def batch(step: int) -> list[dict[str, Any]]:
    """What a run at work might store after a step: its training loss, and accuracies on two splits by kind of item."""
    places = [("loss", "train", "")]
    places += [("answer_accuracy", f"{part}_score", f"kind {k}" if k else "") for part in ("forget", "retain") for k in range(ROWS // 2)]  # fmt: skip
    return [{"metric": metric, "split": split, "category": category, "step": step, "value": 1.0 / (step + number), "standard_error": None, "items": 10} for number, (metric, split, category) in enumerate(places[:ROWS])]  # fmt: skip


def write(url: str, number: int, seconds: float) -> None:
    """Be a run at work: store a batch every second, show the progress, and count what was refused or late."""
    engine = session.open_database(url=url)
    assert engine is not None
    claim = writes.claim(engine, f"load {number}", 600.0)
    assert claim is not None, "there was no run to claim"
    print("ready", flush=True)
    began, step, late = time.monotonic(), 0, 0
    while time.monotonic() - began < seconds:
        step += 1
        stored = writes.record(engine, claim.run_id, claim.attempt, batch(step))
        wish = writes.heartbeat(engine, claim.run_id, claim.attempt, 600.0, step, 10_000)
        assert stored and wish == "continue", (stored, wish)
        left = began + step - time.monotonic()
        late += left < 0
        time.sleep(max(0.0, left))
    print(f"{step} {late}", flush=True)


class Reader:
    """One person with one tab: opens pages, and what runs by itself on them runs by itself."""

    def __init__(self, address: str, name: int, times: Times, wrong: Counter[str]):
        self.address, self.chance, self.times, self.wrong = (
            address,
            random.Random(name),
            times,
            wrong,
        )
        self.socket: Any = None
        self.page, self.title = "", ""
        self.alone: dict[str, asyncio.Task[None]] = {}
        self.finished = asyncio.Event()

    async def browse(self, seconds: float, pause: float) -> None:
        """An action every `pause` seconds on average."""
        where = self.address.replace("http", "ws") + "/_stcore/stream"
        async with connect(where, origin=self.address, subprotocols=["streamlit"], max_size=None) as self.socket:  # type: ignore[list-item, arg-type]  # fmt: skip
            listening = asyncio.create_task(self._listen())
            until, left = time.monotonic() + seconds, list[str]()
            await asyncio.sleep(self.chance.uniform(0, pause))
            while time.monotonic() < until:
                if not left:
                    left = self.chance.sample(list(PAGES), len(PAGES))
                await self._open(left.pop())
                await asyncio.sleep(self.chance.uniform(0.5, 1.5) * pause)
            for task in (*self.alone.values(), listening):
                task.cancel()

    async def _open(self, page: str) -> None:
        for task in self.alone.values():
            task.cancel()
        self.alone, self.page, self.title = {}, page, ""
        self.finished.clear()
        began = time.perf_counter()
        await self._ask()
        try:
            await asyncio.wait_for(self.finished.wait(), 60)
        except TimeoutError:
            self.wrong["not drawn in a minute"] += 1
        if self.title != (page or "Frontier"):
            self.wrong[f"{self.title or 'nothing'} instead of {page or 'Frontier'}"] += 1
        self.times.setdefault(page or "Frontier", []).append(time.perf_counter() - began)

    async def _ask(self, fragment: str = "") -> None:
        message = BackMsg()
        message.rerun_script.query_string = PAGES[self.page]
        message.rerun_script.page_name = self.page
        if fragment:
            message.rerun_script.fragment_id = fragment
            message.rerun_script.is_auto_rerun = True
        await self.socket.send(message.SerializeToString())

    async def _listen(self) -> None:
        async for data in self.socket:
            message = ForwardMsg()
            message.ParseFromString(data)
            kind = message.WhichOneof("type")
            if kind == "script_finished":
                if message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
                    self.finished.set()
            elif kind == "auto_rerun":
                self._by_itself(message.auto_rerun.fragment_id, message.auto_rerun.interval)
            elif kind == "delta":
                self._drawn(message.delta.new_element)

    def _drawn(self, element: Any) -> None:
        kind = element.WhichOneof("type")
        if kind == "exception":
            self.wrong[element.exception.message[:100]] += 1
        elif kind == "heading" and element.heading.tag == "h1":
            self.title = element.heading.body

    def _by_itself(self, fragment: str, interval: float) -> None:
        async def again() -> None:
            while True:
                await asyncio.sleep(interval)
                await self._ask(fragment)

        if fragment not in self.alone:
            self.alone[fragment] = asyncio.create_task(again())


async def browsing(address: str, users: int, seconds: float, pause: float) -> tuple[Times, Counter[str]]:  # fmt: skip
    """What they waited for each page, and what went wrong."""
    times: Times = {}
    wrong: Counter[str] = Counter()
    await asyncio.gather(*(Reader(address, one, times, wrong).browse(seconds, pause) for one in range(users)))  # fmt: skip
    return times, wrong


def table(idle: Times, loaded: Times) -> str:
    """Milliseconds of every page, alone and under load: median and 95th percentile."""
    lines = [
        "| page | alone, median | 95 % | under load, median | 95 % | ratios |",
        "| --- " * 6 + "|",
    ]
    for page in [*sorted(idle), "all"]:
        both = [sum(found.values(), []) if page == "all" else found.get(page, []) for found in (idle, loaded)]  # fmt: skip
        if min(map(len, both)) < 2:
            continue
        told = [(statistics.median(one), statistics.quantiles(one, n=20)[-1]) for one in both]
        ratios = " ".join(f"{told[1][k] / told[0][k]:.1f}" for k in (0, 1))
        lines.append(f"| {page} | {' | '.join(f'{1e3 * x:.0f}' for pair in told for x in pair)} | {ratios} |")  # fmt: skip
    return "\n".join(lines)


def prepared(engine: Engine, writers: int) -> None:
    """A database with studies in it, and a run for every writer."""
    fill(engine, RUNS, 20 * RUNS)
    submit(engine, *(run(f"writer{number}") for number in range(writers)), name="writers")


def started(module: list[str]) -> "subprocess.Popen[str]":
    """A process of this project, with its output to read."""
    return subprocess.Popen([sys.executable, "-m", *module], cwd=ROOT, stdout=subprocess.PIPE, text=True)  # fmt: skip


def main(seconds: float, users: int, writers: int, pause: float, calm: float) -> None:
    """Serve, browse alone, browse under load, and tell."""
    engine = session.require_database()
    prepared(engine, writers)
    port = free_port()
    with open(session.home() / "server.log", "wb") as log:
        server = subprocess.Popen([sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)], cwd=ROOT, stdout=log, stderr=log)  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(f"{address}/_stcore/health"), 60)
        asyncio.run(browsing(address, 1, 40.0, 1.0))  # imports and caches, as on any morning
        idle, wrong = asyncio.run(browsing(address, 1, calm, 2.0))
        url = engine.url.render_as_string(hide_password=False)
        at_work = [started(["tests.load", "--write", str(one), "--seconds", str(seconds), "--url", url]) for one in range(writers)]  # fmt: skip
        for one in at_work:  # their imports are no load that a study makes
            assert one.stdout is not None and one.stdout.readline() == "ready\n"
        process, before = psutil.Process(server.pid), time.monotonic()
        spent, memory = sum(process.cpu_times()[:2]), [process.memory_info().rss]
        loaded, more = asyncio.run(browsing(address, users, seconds, pause))
        share = (sum(process.cpu_times()[:2]) - spent) / (time.monotonic() - before)
        memory.append(process.memory_info().rss)
        told = [one.communicate()[0].split() for one in at_work]
    finally:
        server.terminate()
        server.wait(20)
    print(table(idle, loaded), end="\n\n")
    print(f"{sum(map(len, loaded.values()))} pages drawn for {users} readers; wrong: {dict(wrong + more) or 'nothing'}.")  # fmt: skip
    batches, late = (sum(int(words[k]) for words in told) for k in (0, 1))
    print(f"{batches} batches of {ROWS} by {writers} writers, {late} begun late; statuses {[one.returncode for one in at_work]}.")  # fmt: skip
    print(f"The server took {share:.2f} of a processor of {os.cpu_count()}; its memory grew from {memory[0] / 1e6:.0f} to {memory[1] / 1e6:.0f} MB.")  # fmt: skip


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--seconds", type=float, default=600.0)
    words.add_argument("--users", type=int, default=20)
    words.add_argument("--writers", type=int, default=8)
    words.add_argument(
        "--pause", type=float, default=30.0, help="seconds between a reader's actions"
    )
    words.add_argument("--calm", type=float, default=120.0, help="seconds of one reader alone")
    words.add_argument("--write", type=int, help=argparse.SUPPRESS)
    words.add_argument("--url", default="", help=argparse.SUPPRESS)
    given = words.parse_args()
    if given.write is not None:
        write(given.url, given.write, given.seconds)
    else:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["LETHE_HOME"] = str(Path(folder))
            main(given.seconds, given.users, given.writers, given.pause, given.calm)
