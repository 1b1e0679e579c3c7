"""What a worker bears of a cluster: jobs that are not taken, not answered for, or gone without a word."""

import os
import threading
import time
import types
from pathlib import Path

import pytest

from backend import starting, worker
from backend.engines import remote, slurm
from backend.engines.choosing import Elsewhere, _Book
from backend.engines.interface import Work
from backend.engines.pipe import last_line
from backend.engines.remote import RemoteSlot
from db import reads, session, writes
from tests.small_study import database, run, submit

AWAY = "sbatch: error: Unable to contact slurm controller"


@pytest.fixture
def engine(tmp_path, monkeypatch):
    monkeypatch.setattr(starting, "PAUSES", (0.05, 0.2))
    monkeypatch.setattr(remote, "POLL_SECONDS", 0.02)
    return database(tmp_path, monkeypatch)


class Job:
    """A job that ends as it is told to."""

    def __init__(self, *ends):
        self.ends, self.stopped = list(ends), []

    def poll(self):
        end = self.ends.pop(0) if self.ends else None
        if isinstance(end, Exception):
            raise end
        return end

    def told(self):
        return ""

    def stop(self, hard):
        self.stopped.append(hard)


class Stepping:
    """A clock that goes on by minutes whenever all tries of a cluster have been told to have failed."""

    def __init__(self, cluster):
        self.cluster, self.time, self.failed = cluster, 0.0, 0

    def __call__(self):
        return self.time

    def append(self, happened):
        self.failed += happened.kind == "problem"
        if self.failed == self.cluster.tries:
            self.time += 100.0


class Moody:
    """A cluster that takes no job at its first `refusals` tries; what it takes is done at once."""

    name = "moody"

    def __init__(self, engine, refusals):
        self.engine, self.refusals, self.tries = engine, refusals, 0

    def slots(self):
        return 4

    def start(self, work):
        self.tries += 1
        if self.tries <= self.refusals:
            raise RuntimeError(AWAY)
        writes.complete(self.engine, work.run_id, work.attempt, {})
        return Job(0)

    def close(self):
        pass


def work(engine, cluster, told=None):
    tell = None if told is None else told.append
    return worker.work(engine, until_idle=True, place=Elsewhere(cluster), on_event=tell)


def rows(engine):
    return [reads.run(engine, number) for number in reads.study_runs(engine, 1)["id"]]


def test_a_cluster_that_takes_no_job_for_a_while_costs_no_attempt(engine):
    told = []
    submit(engine, *(run(str(number)) for number in range(6)))
    assert work(engine, Moody(engine, 7), told)
    assert {row["state"] for row in rows(engine)} == {"complete"}
    for row in rows(engine):
        assert row["attempts_allowed"] - row["attempt"] == 2
    assert any(AWAY in one.text for one in told if one.kind == "problem")
    assert "lost" not in {one.kind for one in told}


def test_a_cluster_that_takes_no_job_ends_the_worker_with_its_sentence(engine, monkeypatch):
    cluster = Moody(engine, 10**6)
    clock = Stepping(cluster)
    monkeypatch.setattr(worker, "Starts", lambda: starting.Starts(clock))
    submit(engine, *(run(str(number)) for number in range(6)))
    with pytest.raises(worker.WorkerProblem, match=f"8 times in a row.*{AWAY}"):
        work(engine, cluster, clock)
    assert {row["state"] for row in rows(engine)} == {"waiting"}
    assert cluster.tries <= 4 + starting.MOST


def test_jobs_under_way_are_left_alone_by_those_that_are_not_taken(engine, monkeypatch):
    monkeypatch.setattr(starting, "MOST", 2)
    ends = threading.Event()

    class Long(Job):
        def poll(self):
            return 0 if ends.is_set() and writes.complete(engine, 1, 1, {}) else None

    class Full(Moody):
        def start(self, work):
            if work.run_id == 1:
                return Long()
            self.tries += 1
            if self.tries > 5:
                ends.set()
                return super().start(work)
            raise RuntimeError("QOSMaxSubmitJobPerUserLimit")

    submit(engine, run("a"), run("b"), run("c"))
    assert work(engine, Full(engine, 0))
    assert [row["state"] for row in rows(engine)] == ["complete"] * 3
    assert rows(engine)[0]["attempt"] == 1


def slot_at_work(engine, tmp_path, job):
    """A slot, and the words that it says until it ends or is ready again."""
    held = writes.claim(engine, "w", 30.0)
    slot = RemoteSlot(0, tmp_path, str(engine.url), tmp_path / "slot.log", lambda work: job, _Book(engine))  # fmt: skip
    assert slot.hear() == [["ready"]]
    slot.send(held, 30.0)
    return slot, held


def heard(slot):
    words = []
    while (lines := slot.hear()) is not None:
        words += lines
        if ["ready"] in lines:
            break
    return words


def test_a_slot_bears_a_database_whose_connections_are_all_taken(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "ASK_SECONDS", 0.05)
    submit(engine, run("a"))
    narrow = session._connected(str(engine.url), pool_size=1, max_overflow=0, pool_timeout=0.05)
    held = writes.claim(engine, "w", 30.0)
    job = Job()
    slot = RemoteSlot(0, tmp_path, str(engine.url), tmp_path / "slot.log", lambda work: job, _Book(narrow))  # fmt: skip
    slot.hear()
    with narrow.connect():  # nobody else gets in
        slot.send(held, 30.0)
        time.sleep(0.5)
        writes.complete(engine, held.run_id, held.attempt, {})
        job.ends = [0]
        time.sleep(0.3)
    assert heard(slot) == [["started"], ["done", "1", "complete"], ["ready"]]
    assert job.stopped == []
    narrow.dispose()


def test_a_job_that_cannot_be_watched_is_ended_before_its_run_goes_back(engine, tmp_path):
    submit(engine, run("a"))
    job = Job(None, RuntimeError("no such thing"))
    slot, _ = slot_at_work(engine, tmp_path, job)
    said = heard(slot)
    assert " ".join(said[-1]) == "ended its job could not be watched: RuntimeError: no such thing"
    assert job.stopped == [True]
    assert slot.bury() == 1


def test_a_slot_whose_thread_breaks_ends(engine, tmp_path, monkeypatch):
    class Broken(_Book):
        def state(self, run_id, attempt):
            raise ZeroDivisionError

    monkeypatch.setattr(threading, "excepthook", lambda problem: None)
    slot = RemoteSlot(0, tmp_path, "sqlite://", tmp_path / "slot.log", lambda work: Job(0), Broken(engine))  # fmt: skip
    slot.hear()
    slot.send(writes.Claim(1, 1), 30.0)
    assert heard(slot) == [["started"]]
    assert slot.hear() is None
    slot.bury()  # its thread has told of the error before anybody else listens


def test_a_job_that_cannot_be_told_to_stop_is_watched_on(engine, tmp_path):
    submit(engine, run("a"))

    class Pending(Job):
        def stop(self, hard):
            super().stop(hard)
            if len(self.stopped) < 3:
                raise RuntimeError("Job is pending execution")
            writes.hand_back(engine, 1, 1)
            self.ends = [0]

    job = Pending()
    slot, _ = slot_at_work(engine, tmp_path, job)
    slot.signal(15)
    assert heard(slot)[1] == ["done", "1", "returned"]
    assert job.stopped == [False] * 3


def of_slurm(tmp_path, script, monkeypatch):
    """A job that a `squeue` answers for which does as the script says."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "squeue"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "LOOK_SECONDS", 0.0)
    paths = types.SimpleNamespace(result_pickle=tmp_path / "none.pkl")
    return slurm._Job(types.SimpleNamespace(paths=paths, job_id="7"), True)


def test_a_slurm_that_does_not_answer_has_forgotten_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(slurm, "ANSWER_SECONDS", 0.2)
    job = of_slurm(tmp_path, "exec sleep 5", monkeypatch)
    assert job.poll() is None
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert job.poll() is None


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo OUT_OF_MEMORY", "its job left no result; Slurm says OUT_OF_MEMORY"),
        ("echo 'Invalid job id specified' >&2; exit 1", "does not know it any more"),
        ("echo", "does not know it any more"),
    ],
)
def test_the_state_that_slurm_told_is_how_a_job_ended(tmp_path, monkeypatch, script, words):
    job = of_slurm(tmp_path, script, monkeypatch)
    assert job.poll() == -15
    assert words in job.told()


@pytest.mark.parametrize("script", ["echo RUNNING", "echo 'Unable to contact' >&2; exit 1"])
def test_a_job_that_goes_on_is_not_over(tmp_path, monkeypatch, script):
    assert of_slurm(tmp_path, script, monkeypatch).poll() is None


def test_a_job_whose_process_was_killed_says_so(engine, monkeypatch):
    pytest.importorskip("submitit", reason="submitit is not installed")
    monkeypatch.setattr(Work, "command", property(lambda self: ["bash", "-c", "kill -9 $$"]))
    submit(engine, run("a"))
    with engine.begin() as c:
        c.exec_driver_sql("UPDATE run SET attempts_allowed = 1")
    place = Elsewhere(slurm.Cluster(slurm.Options(cluster="local", most=1)))
    assert not worker.work(engine, until_idle=True, place=place)
    assert "was ended by SIGKILL" in rows(engine)[0]["error"]


def test_what_a_job_of_submitit_could_not_do_is_named(engine, monkeypatch):
    pytest.importorskip("submitit", reason="submitit is not installed")
    monkeypatch.setattr(Work, "command", property(lambda self: ["/no/such/program"]))
    submit(engine, run("a"))
    with engine.begin() as c:
        c.exec_driver_sql("UPDATE run SET attempts_allowed = 1")
    place = Elsewhere(slurm.Cluster(slurm.Options(cluster="local", most=1)))
    assert not worker.work(engine, until_idle=True, place=place)
    assert "No such file or directory: '/no/such/program'" in rows(engine)[0]["error"]


def test_the_log_of_a_slot_names_a_problem_once(tmp_path, engine):
    slot = RemoteSlot(0, tmp_path, "sqlite://", Path(tmp_path / "x.log"), lambda work: Job(0), _Book(engine))  # fmt: skip
    for _ in range(3):
        slot._note(RuntimeError("away\nfor long"))
    assert last_line(tmp_path / "x.log") == "RuntimeError: away for long"
    assert (tmp_path / "x.log").read_text().count("away") == 1
    slot.bury()
