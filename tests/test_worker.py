import os
import signal
import threading
import time

import pytest
from sqlalchemy.exc import OperationalError

from backend import run_log, worker, working
from backend.engines import local
from db import reads, writes
from tests.small_study import database, run, submit

# A slot that starts in a moment; what it does with a run is said by the run's name.
FAKE = """
import os, signal, sqlite3, sys, time
file = os.environ["LETHE_DATABASE_URL"].removeprefix("sqlite:///")
database = sqlite3.connect(file, isolation_level=None, timeout=600)
database.execute("PRAGMA synchronous = OFF")
print("ready", flush=True)
for line in sys.stdin:
    run_id, attempt = (int(word) for word in line.split()[:2])
    (name,) = database.execute("SELECT name FROM run WHERE id = ?", [run_id]).fetchone()
    if name == "completes_and_crashes":
        database.execute("UPDATE run SET state = 'complete' WHERE id = ?", [run_id])
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "crashes" or (name == "crashes_once" and attempt == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "stuck":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if name in ("stuck", "long"):
        database.execute("UPDATE run SET lease_until = '2999-01-01 00:00:00.000000'")
        time.sleep(3600)
    if name == "fails":
        from db import session, writes
        writes.fail(session.require_database(), run_id, attempt, "It broke.")
        print("done", run_id, "failed", flush=True)
        break
    print("noise that a library printed", flush=True)
    database.execute("UPDATE run SET state = 'complete' WHERE id = ?", [run_id])
    print("done", run_id, "complete", flush=True)
    print("ready", flush=True)
"""


@pytest.fixture
def engine(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "SLOT", ("-c", FAKE))
    return database(tmp_path, monkeypatch)


def named(name, fingerprint=None, parent=None):
    return run(fingerprint or name, parent, name=name)


def states(engine):
    return reads.study_runs(engine, 1)["state"].tolist()


def work(engine, slots=1, told=None, lease_seconds=3600.0):
    tell = None if told is None else told.append
    return worker.work(
        engine, slots=slots, until_idle=True, on_event=tell, lease_seconds=lease_seconds
    )


def test_a_worker_does_all_runs_and_then_ends(engine):
    told = []
    submit(engine, named("fine", "a"), named("fine", "b", "a"), named("fine", "c", "b"))
    assert work(engine, slots=2, told=told)
    assert states(engine) == ["complete"] * 3
    kinds = [happened.kind for happened in told]
    assert (kinds[0], kinds[-1]) == ("started", "stopped")
    assert (kinds.count("claimed"), kinds.count("complete")) == (3, 3)
    assert reads.workers(engine).empty


def test_a_worker_with_nothing_to_do_starts_no_slot(engine, tmp_path):
    assert work(engine)
    assert not list((tmp_path / "logs").glob("*.log"))


def test_a_failed_run_is_told_and_blocks_only_what_is_below_it(engine):
    submit(engine, named("fails"), named("fine", "b", "fails"), named("fine", "c"))
    assert not work(engine)
    assert states(engine) == ["failed", "waiting", "complete"]
    assert work(engine), "a failure of an earlier worker is not this one's"


def test_a_run_whose_process_was_killed_is_done_again_at_once(engine):
    told = []
    submit(engine, named("crashes_once"), named("fine"))
    assert work(engine, told=told)
    assert states(engine) == ["complete"] * 2
    assert reads.run(engine, 1)["attempt"] == 2
    lost = next(happened for happened in told if happened.kind == "lost")
    assert (lost.run_id, "SIGKILL" in lost.text) == (1, True)


def test_a_run_that_always_takes_its_process_down_ends_failed(engine):
    submit(engine, named("crashes"), named("fine"))
    assert not work(engine)
    assert states(engine) == ["failed", "complete"]
    assert "Given up after attempt 3" in reads.run(engine, 1)["error"]


def test_a_run_that_was_complete_before_its_process_died_is_not_lost(engine, tmp_path):
    told = []
    submit(engine, named("completes_and_crashes"), named("fine"))
    assert work(engine, told=told)
    assert states(engine) == ["complete"] * 2
    assert "lost" not in {happened.kind for happened in told}
    assert not run_log.lines_of(tmp_path, "completes_and_crashes")


def test_telling_how_far_it_is_needs_no_database(engine, monkeypatch, capsys):
    def away(*_):
        raise OperationalError("SELECT", {}, Exception("the server closed the connection"))

    monkeypatch.setattr(working.reads, "run", away)
    submit(engine, named("fine", "a"), named("crashes_once", "b"))
    progress = working.Progress(engine)
    assert worker.work(engine, slots=1, until_idle=True, on_event=progress.tell)
    assert states(engine) == ["complete"] * 2
    assert "complete  run 1" in capsys.readouterr().err


def test_slots_that_cannot_start_end_the_worker_with_their_last_words(engine, monkeypatch):
    submit(engine, named("fine"))
    monkeypatch.setattr(local, "SLOT", ("-c", "raise SystemExit('There is no torch here')"))
    with pytest.raises(worker.WorkerProblem, match="3 slots in a row.*There is no torch here"):
        work(engine, slots=2)
    assert states(engine) == ["waiting"]


def test_a_worker_waits_for_the_lease_of_another_that_died(engine):
    submit(engine, named("fine"))
    writes.claim(engine, "a worker that died", 1.0)
    assert work(engine, lease_seconds=10.0)  # which its slot does not renew
    assert (states(engine), reads.run(engine, 1)["attempt"]) == (["complete"], 2)


def test_a_paused_queue_is_left_alone(engine):
    submit(engine, named("fine"))
    writes.set_paused(engine, True)
    assert work(engine)
    assert states(engine) == ["waiting"]


def test_a_run_that_ignores_its_cancel_loses_its_process(engine, monkeypatch):
    monkeypatch.setattr(worker, "CANCEL_SECONDS", 0.2)
    monkeypatch.setattr(worker, "KILL_SECONDS", 0.2)
    submit(engine, named("stuck"), named("fine"))

    def cancel(happened):
        if happened.kind == "claimed" and happened.run_id == 1:
            writes.request_cancel(engine, [1])

    assert worker.work(engine, slots=1, until_idle=True, on_event=cancel)
    assert states(engine) == ["cancelled", "complete"]


@pytest.mark.parametrize("caught", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_told_to_stop_hands_its_runs_back(engine, caught):
    submit(engine, named("long"), named("fine"))

    def interrupt(happened):
        if happened.kind == "claimed":
            os.kill(os.getpid(), caught)

    if caught == signal.SIGINT:
        with pytest.raises(KeyboardInterrupt):
            worker.work(engine, slots=1, on_event=interrupt)
    else:
        assert worker.work(engine, slots=1, on_event=interrupt)
    assert states(engine) == ["waiting"] * 2
    assert reads.run(engine, 1)["attempts_allowed"] == 4
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_worker_can_be_asked_to_stop_through_the_database(engine):
    stopped = threading.Event()

    def work_on():
        worker.work(engine, slots=1, lease_seconds=2.0)
        stopped.set()

    thread = threading.Thread(target=work_on)
    thread.start()
    while reads.workers(engine).empty:
        time.sleep(0.02)
    assert writes.request_stop(engine, reads.workers(engine)["id"].iloc[0])
    assert stopped.wait(120)
    thread.join()


def test_two_workers_on_one_database_do_every_run_once(engine):
    submit(engine, *(named("fine", str(number)) for number in range(60)))
    threads = [threading.Thread(target=work, args=(engine, 2)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(states(engine)) == {"complete"}
    assert set(reads.study_runs(engine, 1)["attempt"]) == {1}
    assert reads.events(engine)["kind"].tolist().count("claimed") == 60


def test_the_supervisor_needs_no_torch(engine, tmp_path):
    import subprocess
    import sys

    code = "import sys, backend.worker, db.session; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_the_number_of_slots_follows_cores_and_memory(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    monkeypatch.setattr(local, "available_memory", lambda: 64e9)
    assert local.default_slots() == 4
    monkeypatch.setattr(local, "available_memory", lambda: 1.7e9)
    assert local.default_slots() == 2
    monkeypatch.setattr(local, "available_memory", lambda: 1e6)
    assert local.default_slots() == 1
