"""The quick study from submission to table, with the dashboard beside it where that is asked for."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backend.commands import Verbs, database, show, verb
from backend.commands.queue import count, engine_words
from backend.stage import UserError

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 300.0  # on a machine that has just come up; one that ends is noticed at once


def add(verbs: Verbs) -> None:
    """Add `demo`."""
    demo = verb(verbs, "demo", _demo, "work the quick study off and print its frontier")
    demo.add_argument("--serve", action="store_true", help="serve the dashboard meanwhile")
    demo.add_argument("--port", type=int, default=8501)
    demo.add_argument("--slots", type=count)
    engine_words(demo)


def _demo(arguments: argparse.Namespace) -> int:
    if not arguments.serve:
        return _study(arguments)
    check_port(arguments.port)
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # a shell's background job starts with SIGINT ignored
        signal.signal(number, _interrupt)
    with served(arguments.port) as server:
        address = f"http://localhost:{arguments.port}"
        print(address, flush=True)
        if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
            webbrowser.open(address)
        status = _study(arguments)
        print(f"The dashboard goes on serving; Ctrl-C ends it.\n{address}", flush=True)
        server.wait()
    return status


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _study(arguments: argparse.Namespace) -> int:
    from backend import study
    from backend.commands.results import print_frontier
    from backend.engines.choosing import chosen
    from backend.engines.devices import Devices
    from backend.results import frontier_document
    from backend.submission import submitted
    from backend.working import Progress, work_off

    place = chosen(arguments.engine, arguments.engine_option, Devices())
    resolved = study.resolve(study.load("quick"))
    engine = database()
    done = submitted(resolved, engine)
    print(f"quick: {done['new']} new runs, {done['existing']} exist.", file=sys.stderr, flush=True)
    status = work_off(arguments.slots, True, 30.0, Progress(engine).tell, place)
    document = frontier_document(engine, "quick")
    show(document) if arguments.json else print_frontier(document)
    return status


def check_port(port: int) -> None:
    """UserError where the port is no port or taken."""
    if not 1 <= port <= 65535:
        raise UserError(f"PORT = {port} must be between 1 and 65535.")
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError as problem:
            raise UserError(
                f"Port {port} is in use; choose another one, as in `make demo PORT={port % 65535 + 1}`."
            ) from problem


@contextmanager
def served(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The dashboard's server on loopback, answering; gone with everything it started when this ends."""
    command = [
        sys.executable, "-m", "streamlit", "run", str(ROOT / "asgi.py"),
        "--server.headless", "true", "--server.address", "127.0.0.1",
        "--server.port", str(port), "--browser.gatherUsageStats", "false",
    ]  # fmt: skip
    # No standard input: Streamlit would ask for an e-mail address and wait.
    server = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_until_it_answers(server, port)
        yield server
    finally:
        _end(server)


def _wait_until_it_answers(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        address = f"http://127.0.0.1:{port}/_stcore/health"
        try:
            with urllib.request.urlopen(address, timeout=2):  # nosec B310 - our own server
                return
        except OSError:
            time.sleep(0.2)
    raise UserError(
        f"The dashboard did not start on port {port}; `python -m backend doctor` helps."
    )


def _end(server: subprocess.Popen[bytes]) -> None:
    for sent in (signal.SIGTERM, signal.SIGKILL):
        if server.poll() is None:
            os.killpg(server.pid, sent)
            try:
                server.wait(5)
            except subprocess.TimeoutExpired:
                continue
