"""The process that answers: started when somebody asks, gone when nobody does, and killed without losing a request."""

import subprocess
import threading
import time

import psutil
import pytest

from backend import worker
from backend.engines import local
from backend.playground import attendant, requests
from backend.playground.attendant import Attendant
from backend.playground.kept_models import KeptModels
from backend.playground.server import answer
from db import reads, writes
from tests.asking import asked_models, home, queue, request, trained
from tests.small_study import database
from tests.test_worker import FAKE as FAKE_SLOT

__all__ = ["home", "trained"]  # fixtures

# A server that starts in a moment; what it does is said by the request's study and its attempt.
FAKE = """
import os, signal, sys, time
from db import reads, session, writes
engine, name = session.require_database(), sys.argv[1]
while reads.prompts_waiting(engine):
    claim = writes.claim_prompt(engine, name, 600)
    what = claim.asked["what"]
    if what == "crashes" or (what == "crashes_once" and claim.attempt == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "long":
        time.sleep(3600)
    writes.answer_prompt(engine, claim.id, claim.attempt, {"attempt": claim.attempt})
"""


@pytest.fixture
def engine(tmp_path, monkeypatch):
    monkeypatch.setattr(attendant, "SERVER", ("-c", FAKE))
    monkeypatch.setattr(local, "SLOT", ("-c", FAKE_SLOT))
    return database(tmp_path, monkeypatch)


def ask(engine, what, key=None):
    return writes.ask(engine, key or what, "study", {"what": what})


def until(done, seconds=300.0):
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def until_answered(engine, watcher):
    def look():
        watcher.look()
        return not reads.prompts_open(engine)

    until(look)


def test_a_worker_answers_before_it_is_idle(engine):
    told = []
    ask(engine, "fine")
    ask(engine, "fine", "another")
    assert worker.work(engine, slots=1, until_idle=True, on_event=told.append)
    assert [reads.prompt_by_key(engine, key)["state"] for key in ("fine", "another")] == ["complete"] * 2  # fmt: skip
    assert "asked" in [happened.kind for happened in told]


def test_a_killed_server_loses_no_request(engine, tmp_path):
    told = []
    ask(engine, "crashes_once")
    ask(engine, "fine")
    watcher = Attendant(engine, tmp_path, lambda kind, text: told.append(text))
    until_answered(engine, watcher)
    assert reads.prompt_by_key(engine, "crashes_once")["answers"] == {"attempt": 2}
    assert reads.prompt_by_key(engine, "fine")["answers"] == {"attempt": 1}
    assert any("SIGKILL" in text for text in told)
    watcher.stop()


def test_a_request_that_takes_every_server_down_ends_failed_and_others_are_answered(engine, tmp_path):  # fmt: skip
    ask(engine, "crashes")
    ask(engine, "fine")
    watcher = Attendant(engine, tmp_path, lambda kind, text: None)
    until_answered(engine, watcher)
    found = reads.prompt_by_key(engine, "crashes")
    assert found["state"] == "failed" and "Given up after attempt 3" in found["error"]
    assert "SIGKILL" in found["error"]
    assert reads.prompt_by_key(engine, "fine")["state"] == "complete"
    watcher.stop()


def test_a_server_that_cannot_start_fails_what_waits_with_its_last_words(engine, tmp_path, monkeypatch):  # fmt: skip
    monkeypatch.setattr(attendant, "SERVER", ("-c", "raise SystemExit('There is no torch here')"))
    ask(engine, "fine")
    watcher = Attendant(engine, tmp_path, lambda kind, text: None)
    until_answered(engine, watcher)
    assert reads.prompt_by_key(engine, "fine")["error"] == "Nothing could answer here: There is no torch here"  # fmt: skip


def test_a_worker_that_stops_takes_its_server_along_and_returns_the_request(engine, monkeypatch):
    monkeypatch.setattr(attendant, "STOP_SECONDS", 0.5)
    ask(engine, "long")
    thread = threading.Thread(target=worker.work, args=(engine,), kwargs={"slots": 1})
    thread.start()
    until(lambda: (reads.prompt_by_key(engine, "long") or {})["state"] == "running")
    name = reads.prompt_by_key(engine, "long")["server_id"]
    assert running(name)
    writes.request_stop(engine, reads.workers(engine)["id"].iloc[0])
    thread.join(600)
    found = reads.prompt_by_key(engine, "long")
    assert (found["state"], found["attempts_allowed"]) == ("waiting", 4)
    assert not running(name)


def running(name):
    return bool(subprocess.run(["pgrep", "-f", name], capture_output=True).stdout)


def test_a_claimed_request_is_answered_or_fails_with_a_sentence(trained, home):
    kept = KeptModels(trained, home)
    queue(trained, request(trained))
    assert answer(trained, kept, writes.claim_prompt(trained, "s", 15)) == "complete"
    found = reads.prompt_by_key(trained, requests.key_of(request(trained)))
    assert len(found["answers"]["items"]) == 6 and found["finished_at"] is not None
    wrong = request(trained, requests.free_prompt("hello"))
    queue(trained, wrong)
    assert answer(trained, kept, writes.claim_prompt(trained, "s", 15)) == "failed"
    found = reads.prompt_by_key(trained, requests.key_of(wrong))
    assert "does not know 'hello'" in found["error"]


def test_a_server_that_is_told_to_stop_hands_its_request_back(trained, home):
    stop = threading.Event()
    stop.set()
    asked = request(trained, max_tokens=3)
    queue(trained, asked)
    claim = writes.claim_prompt(trained, "s", 15)
    assert answer(trained, KeptModels(trained, home), claim, stop) == "returned"
    found = reads.prompt_by_key(trained, requests.key_of(asked))
    assert (found["state"], found["attempts_allowed"]) == ("waiting", 4)
    writes.cancel_prompt(trained, found["id"])


def test_answers_that_nobody_wants_any_more_are_not_stored(trained, home):
    asked = request(trained, max_tokens=4)
    made = queue(trained, asked)
    claim = writes.claim_prompt(trained, "s", 15)
    writes.cancel_prompt(trained, made)
    assert answer(trained, KeptModels(trained, home), claim) == "unwanted"
    assert reads.prompt_by_key(trained, requests.key_of(asked)) is None


@pytest.mark.slow
def test_a_real_worker_answers_is_killed_answers_again_and_unloads(trained, home, monkeypatch):
    """From the request to the answer through the processes that do it for people."""
    monkeypatch.setattr(local, "SLOT", ("-c", FAKE_SLOT))
    monkeypatch.setattr(attendant, "IDLE_SECONDS", 2.0)
    told: list[worker.Happened] = []
    options = {"slots": 1, "on_event": told.append, "home": home}
    thread = threading.Thread(target=worker.work, args=(trained,), kwargs=options)
    thread.start()
    try:
        first = requests.asked(asked_models(trained), requests.free_prompt("3 × 4 =", "12"), requests.decoding(max_tokens=1))  # fmt: skip
        queue(trained, first)
        until(lambda: any(one.kind == "asked" for one in told))
        for process in psutil.Process().children():
            if "--prompts" in process.cmdline():
                process.kill()
        until(lambda: reads.prompt_by_key(trained, requests.key_of(first))["state"] == "complete")
        told_by = reads.prompt_by_key(trained, requests.key_of(first))["answers"]
        assert told_by["items"][0]["answers"][0]["text"] == "12"
        assert [one.kind for one in told].count("asked") == 2
        until(lambda: any(one.kind == "rested" for one in told))
        assert not reads.workers(trained).empty, "the worker goes on without its models"
    finally:
        for name in reads.workers(trained)["id"]:
            writes.request_stop(trained, name)
        thread.join(300)
