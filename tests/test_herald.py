"""The end of a study is told once, to a real server."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from sqlalchemy import Engine

from backend import herald
from backend.stage import UserError
from backend.study import resolve
from backend.submission import submitted
from backend.worker import work
from db import reads, writes
from tests.in_browser import free_port
from tests.own_parts import written
from tests.small_study import SETTING, database, run, submit, submit_real

pytestmark = pytest.mark.both_databases


@pytest.fixture
def engine(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(herald, "SECONDS", 300.0)
    return database(tmp_path, monkeypatch)


@contextmanager
def listening(statuses: Iterator[int]) -> Iterator[tuple[str, list[Any]]]:
    """A server that answers with these statuses; its address, and what it was told."""
    heard: list[Any] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = next(statuses, 200)
            heard.append((status, json.loads(body)))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *words: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", heard
    finally:
        server.shutdown()
        server.server_close()


def end(engine: Engine, how: str) -> int:
    claim = writes.claim(engine, "w", 30.0)
    assert claim is not None
    if how == "fail":
        writes.fail(engine, claim.run_id, claim.attempt, "no")
    else:
        writes.complete(engine, claim.run_id, claim.attempt, {})
    return claim.run_id


def test_an_end_is_taken_once_and_again_after_more_work(engine: Engine) -> None:
    submit(engine, run("a"), run("b", "a"), run("c"))
    first = end(engine, "fail")
    assert writes.take_ended(engine, [first]) == []  # c is still to be done
    last = end(engine, "complete")
    counts = {"failed": 1, "blocked": 1, "complete": 1}
    assert writes.take_ended(engine, [first, last]) == [writes.Ended("study", 1, counts)]
    assert writes.take_ended(engine, [first, last]) == []
    writes.retry(engine, [first])
    assert writes.take_ended(engine, [first]) == []
    end(engine, "complete")
    end(engine, "complete")
    assert [one.counts for one in writes.take_ended(engine, [first])] == [{"complete": 3}]
    assert (reads.events(engine)["kind"] == "study ended").sum() == 2


def test_a_worker_sends_one_message(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(herald, "PAUSES", (0.1, 0.1))
    submit_real(engine)
    with listening(iter([500, 200])) as (address, heard):
        monkeypatch.setenv("LETHE_WEBHOOK", address)
        assert work(engine, slots=2, until_idle=True)
    assert [status for status, _ in heard] == [500, 200]  # it tried again
    told = heard[1][1]
    runs = len(reads.study_runs(engine, 1))
    assert told == {
        "text": f"Study small has ended: {runs} complete of {runs} runs.",
        "event": "study ended", "study": "small", "revision": 1, "complete": True, "runs": {"complete": runs},
    }  # fmt: skip


def test_runs_in_the_trash_neither_hold_up_an_end_nor_are_told(engine: Engine) -> None:
    submit(engine, run("a"), run("b"))
    first = end(engine, "complete")
    assert writes.take_ended(engine, [first]) == []
    writes.trash_runs(engine, [first + 1])
    assert reads.idle(engine)
    assert writes.take_ended(engine, [first]) == [writes.Ended("study", 1, {"complete": 1})]
    submit(engine, run("c"), name="other")
    last = end(engine, "fail")
    writes.trash_runs(engine, [last])
    assert writes.take_ended(engine, [last]) == [], "there is nothing left to tell of"


DEATH = '''
"""A method that takes its process along."""

import os
import signal

from backend.registry import method


@method(stage="suppress", label="Death", source="")
def death(model, task, run):
    """No model."""
    os.kill(os.getpid(), signal.SIGKILL)
'''


def test_an_end_by_crashes_is_told(
    engine: Engine, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETHE_PLUGINS", str(written(tmp_path / "own", "death.py", DEATH)))
    source = {"name": "fatal", "setting": SETTING, "recipes": [{"suppress": "death"}]}
    submitted(resolve(source), engine)
    with listening(iter([])) as (address, heard):
        monkeypatch.setenv("LETHE_WEBHOOK", address)
        assert not work(engine, slots=1, until_idle=True)
    assert [(told["study"], told["runs"]["failed"]) for _, told in heard] == [("fatal", 1)]


def test_an_end_with_a_machine_is_told(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(engine, run("a"))
    for last in (False, False, True):
        claim = writes.claim(engine, "a machine that is gone", 0.5)
        assert last or writes.lose(engine, claim.run_id, claim.attempt, "it went")
    with listening(iter([])) as (address, heard):
        monkeypatch.setenv("LETHE_WEBHOOK", address)
        assert not work(engine, slots=1, until_idle=True, lease_seconds=2.0)
    assert [told["runs"] for _, told in heard] == [{"failed": 1}]


def test_nobody_listening_hinders_nobody(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(herald, "PAUSES", (0.1, 0.1))
    submit(engine, run("a"))
    said: list[tuple[str, str]] = []
    one = herald.Herald(engine, lambda *words: said.append(words), f"http://127.0.0.1:{free_port()}")  # fmt: skip
    one.run_ended(end(engine, "complete"))
    one.close()
    assert [kind for kind, _ in said] == ["ended", "problem"]
    assert "127.0.0.1 could not be told" in said[1][1]


@contextmanager
def answering(words: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that says these words to whatever it is told; its address, and what it was told."""
    heard: list[bytes] = []

    class Answer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            heard.append(self.rfile.readline())
            self.wfile.write(words)

    with socketserver.TCPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/hooks/verysecret", heard
        server.shutdown()


@pytest.mark.parametrize(
    "words", [b"no HTTP /hooks/verysecret\r\n", b"HTTP/1.1 404 /hooks/verysecret\r\n\r\n", b"x" * 9000]
)  # fmt: skip
def test_an_answer_that_is_none_is_a_problem_after_three_tries_and_repeats_no_secret(engine: Engine, monkeypatch: pytest.MonkeyPatch, words: bytes) -> None:  # fmt: skip
    monkeypatch.setattr(herald, "PAUSES", (0.05, 0.05))
    submit(engine, run("a"))
    said: list[tuple[str, str]] = []
    with answering(words) as (address, heard):
        one = herald.Herald(engine, lambda *words: said.append(words), address)
        one.run_ended(end(engine, "complete"))
        one.close()
    assert len(heard) == 3
    assert [kind for kind, _ in said] == ["ended", "problem"]
    assert "verysecret" not in said[1][1] and len(said[1][1]) < 500 and "\n" not in said[1][1]


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("https://ada:hunter2@example.org/hook", "a login"),
        ("https://hunter2@example.org:443/hook", "a login"),
        ("https://ada:hun/ter2@example.org/hook", "host or port"),
        ("https://example.org/hunter2 x", "a blank"),
        ("https://example.org/hunter2\tx", "a blank"),
        ("https://example.org/hunter2\x7fx", "control character"),
        ("https://[hunter2/x", "host or port"),
        ("https:///hunter2", "and a host"),
    ],
)
def test_an_address_with_a_login_or_blanks_is_refused_without_repeating_it(monkeypatch: pytest.MonkeyPatch, address: str, says: str) -> None:  # fmt: skip
    monkeypatch.setenv("LETHE_WEBHOOK", address)
    with pytest.raises(UserError, match=says) as refused:
        herald.webhook()
    assert "hunter2" not in str(refused.value) and "ter2" not in str(refused.value)


@pytest.mark.parametrize("address", ["file:///etc/passwd", "example.org/hook", "ftp://x"])
def test_an_address_that_is_none_is_refused_before_work_starts(engine: Engine, monkeypatch: pytest.MonkeyPatch, address: str) -> None:  # fmt: skip
    monkeypatch.setenv("LETHE_WEBHOOK", address)
    with pytest.raises(UserError, match="begins with http"):
        work(engine, slots=1, until_idle=True)
