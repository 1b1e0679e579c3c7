import multiprocessing
import os
from datetime import timedelta

import pytest
from sqlalchemy import text

from backend.patience import patiently
from db import reads, session, writes
from db.models import now
from db.writes import Claim
from tests.small_study import database, run, submit

pytestmark = pytest.mark.both_databases


@pytest.fixture
def engine(tmp_path, monkeypatch):
    return database(tmp_path, monkeypatch)


def claim(engine, lease=30.0):
    return writes.claim(engine, "somebody", lease)


def finish(engine, claimed):
    assert writes.complete(engine, claimed.run_id, claimed.attempt, {"seconds": 1.0})


def state(engine, run_id):
    return reads.run(engine, run_id)["state"]


def test_a_submitted_study_waits_in_its_order(engine):
    done = submit(engine, run("a"), run("b", "a"), run("c", "b", inputs={"base": ["a"]}))
    assert (done.revision, done.new, done.existing) == (1, 3, 0)
    frame = reads.study_runs(engine, done.study_id)
    assert frame["fingerprint"].tolist() == ["a", "b", "c"]
    assert frame["state"].unique().tolist() == ["waiting"]
    assert frame["parent"].fillna(0).tolist() == [0, 1, 2]
    assert reads.inputs(engine, done.study_id).to_dict("records") == [
        {"run": 3, "role": "base", "position": 0, "input": 1}
    ]


def test_the_same_study_again_is_the_same_revision(engine):
    first = submit(engine, run("a"), run("b", "a"))
    again = submit(engine, run("a"), run("b", "a"))
    assert (again.study_id, again.revision, again.new, again.existing) == (1, 1, 0, 2)
    assert first.study_id == 1


def test_a_changed_study_is_a_new_revision_that_keeps_the_runs(engine):
    submit(engine, run("a"), run("b", "a"))
    changed = submit(engine, run("a"), run("c", "a"))
    assert (changed.revision, changed.new, changed.existing) == (2, 1, 1)
    assert reads.study(engine, "study").revision == 2
    assert reads.study(engine, "study", 1).id == 1
    assert reads.studies(engine)["runs"].tolist() == [2]


def test_studies_share_the_runs_that_they_have_in_common(engine):
    submit(engine, run("a"), run("b", "a"), name="one")
    other = submit(engine, run("a"), run("c", "a"), name="two")
    assert (other.new, other.existing) == (1, 1)


def test_a_submission_that_breaks_off_leaves_nothing(engine):
    with pytest.raises(KeyError):
        submit(engine, run("a"), run("b", "never planned"))
    assert reads.study(engine, "study") is None
    assert reads.existing(engine) == set()


def test_a_run_is_ready_when_its_parent_and_all_inputs_are_complete(engine):
    submit(engine, run("a"), run("b"), run("c", "a", inputs={"oracle": ["b"]}))
    first, second = claim(engine), claim(engine)
    assert [first.run_id, second.run_id] == [1, 2]
    assert claim(engine) is None
    finish(engine, first)
    assert claim(engine) is None
    finish(engine, second)
    assert claim(engine) == Claim(3, 1)


def test_higher_priority_goes_first_then_the_oldest(engine):
    submit(engine, *(run(name) for name in "abcd"))
    assert writes.set_priority(engine, [3, 4], 5) == 2
    assert [claim(engine).run_id for _ in range(4)] == [3, 4, 1, 2]


def test_nothing_is_claimed_while_the_queue_is_paused(engine):
    submit(engine, run("a"))
    writes.set_paused(engine, True)
    assert reads.paused(engine)
    assert claim(engine) is None
    writes.set_paused(engine, False)
    assert claim(engine) is not None


def _claim_all(url: str, results: "multiprocessing.Queue[list[int]]") -> None:
    os.environ["LETHE_DATABASE_URL"] = url
    mine = []
    while (found := patiently(lambda: claim(session.require_database()))) is not None:
        mine.append(found.run_id)
    results.put(mine)


def test_four_processes_claim_400_runs_once_each(engine):
    submit(engine, *(run(str(number)) for number in range(400)))
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    url = engine.url.render_as_string(hide_password=False)
    started = [context.Process(target=_claim_all, args=(url, results)) for _ in range(4)]
    for process in started:
        process.start()
    claimed = sum((results.get(timeout=600) for _ in started), [])
    for process in started:
        process.join()
    assert sorted(claimed) == list(range(1, 401))


def test_a_heartbeat_says_whether_to_go_on(engine):
    submit(engine, run("a"))
    held = claim(engine)
    assert writes.heartbeat(engine, held.run_id, held.attempt, 30, 5, 10, "half") == "continue"
    active = reads.queue(engine).active
    assert active[["step", "steps_total", "message"]].iloc[0].tolist() == [5, 10, "half"]
    writes.request_cancel(engine, [1])
    assert writes.heartbeat(engine, held.run_id, held.attempt, 30) == "cancel"
    assert writes.heartbeat(engine, held.run_id, held.attempt - 1, 30) == "lost"


def test_runs_below_a_failed_one_are_blocked_until_it_is_retried(engine):
    submit(engine, run("a"), run("b", "a"), run("c", "b"), run("d", inputs={"x": ["c"]}), run("e"))
    held = claim(engine)
    assert writes.fail(engine, held.run_id, held.attempt, "It broke.", "Traceback …")
    assert reads.study_runs(engine, 1)["blocked_by"].fillna(0).tolist() == [0, 1, 1, 1, 0]
    assert reads.counts(engine)["blocked"] == 3
    assert claim(engine).run_id == 5
    assert claim(engine) is None
    assert writes.retry(engine, [1]) == 1
    assert reads.counts(engine)["blocked"] == 0
    assert claim(engine) == Claim(1, 2)
    assert reads.run(engine, 1)["error"] is None


def test_a_run_stays_blocked_while_another_failure_is_above_it(engine):
    submit(engine, run("a"), run("b"), run("c", "a", inputs={"oracle": ["b"]}))
    for held in (claim(engine), claim(engine)):
        writes.fail(engine, held.run_id, held.attempt, "It broke.")
    assert reads.run(engine, 3)["blocked_by"] == 1
    writes.retry(engine, [1])
    assert reads.run(engine, 3)["blocked_by"] == 2
    writes.retry(engine, [2])
    assert reads.run(engine, 3)["blocked_by"] is None


def test_a_new_run_under_a_failed_one_is_blocked_from_the_start(engine):
    submit(engine, run("a"))
    held = claim(engine)
    writes.fail(engine, held.run_id, held.attempt, "It broke.")
    submit(engine, run("a"), run("b", "a"), name="later")
    assert reads.run(engine, 2)["blocked_by"] == 1


def test_a_lost_run_waits_again_until_its_third_attempt_then_it_failed(engine):
    submit(engine, run("a"), run("b", "a"))
    for attempt in (1, 2, 3):
        assert state(engine, 1) == "waiting"
        assert claim(engine) == Claim(1, attempt)
        writes.lose(engine, 1, attempt, "its process was ended")
    row = reads.run(engine, 1)
    assert row["state"] == "failed"
    assert row["error"] == "Given up after attempt 3, because its process was ended."
    assert reads.run(engine, 2)["blocked_by"] == 1
    assert writes.retry(engine, [1], fresh=True) == 1
    assert reads.run(engine, 1)["attempts_allowed"] == 6
    assert reads.run(engine, 1)["first_attempt"] == 4


def test_a_run_that_was_handed_back_lost_no_attempt(engine):
    submit(engine, run("a"))
    for attempt in range(1, 6):
        assert claim(engine) == Claim(1, attempt)
        assert writes.hand_back(engine, 1, attempt)
    assert state(engine, 1) == "waiting"


def test_a_run_that_was_cancelled_before_it_was_handed_back_is_cancelled(engine):
    submit(engine, run("a"), run("b", "a"))
    held = claim(engine)
    writes.request_cancel(engine, [1])
    assert writes.hand_back(engine, held.run_id, held.attempt) == "cancelled"
    assert state(engine, 1) == "cancelled"
    assert reads.run(engine, 2)["blocked_by"] == 1
    assert claim(engine) is None


def test_a_run_that_returns_for_the_same_reason_twice_may_be_given_up(engine):
    def handed_back(reason, given_up=""):
        held = claim(engine)
        return writes.hand_back(engine, held.run_id, held.attempt, reason, given_up)

    submit(engine, run("a"), run("b", "a"))
    for reason in ("at step 1", "at step 2", "its worker stopped", "at step 2"):
        assert handed_back(reason, "No further.") == "returned"
    assert handed_back("at step 2", "No further.") == "failed"
    assert reads.run(engine, 1)["error"] == "No further."
    assert reads.run(engine, 2)["blocked_by"] == 1
    writes.retry(engine, [1])
    assert handed_back("at step 2", "No further.") == "returned", "somebody has changed something"
    assert handed_back("at step 2") == "returned"


def test_only_runs_whose_lease_has_ended_are_reaped(engine):
    submit(engine, run("a"), run("b"))
    claim(engine, lease=-1.0)
    claim(engine, lease=3000.0)
    over = [lease for lease in writes.leases(engine) if lease.seconds < 0]
    assert writes.reap(engine, over) == [1]
    assert writes.reap(engine, over) == []
    assert [lease.run_id for lease in writes.leases(engine)] == [2]
    assert [state(engine, run_id) for run_id in (1, 2)] == ["waiting", "running"]
    assert reads.events(engine, 1)["kind"].iloc[0] == "lost"


def test_a_lease_that_was_renewed_meanwhile_is_not_over(engine):
    submit(engine, run("a"))
    held = claim(engine, lease=-1.0)
    over = writes.leases(engine)
    writes.heartbeat(engine, held.run_id, held.attempt, 30.0)
    assert writes.reap(engine, over) == []
    assert state(engine, 1) == "running"


def test_an_end_that_is_told_twice_is_an_end(engine):
    submit(engine, run("a"))
    held = claim(engine)
    ledger = {"seconds": 1.0}
    assert writes.complete(engine, held.run_id, held.attempt, ledger)
    assert writes.complete(engine, held.run_id, held.attempt, ledger)
    assert not writes.fail(engine, held.run_id, held.attempt, "too late")
    assert (reads.events(engine, 1)["kind"] == "complete").sum() == 1


def test_waiting_runs_are_cancelled_at_once_and_running_ones_are_asked(engine):
    submit(engine, run("a"), run("b"), run("c", "b"), run("d", "c"))
    held = claim(engine)
    assert writes.request_cancel(engine, [1, 2]) == 2
    assert [state(engine, run_id) for run_id in (1, 2)] == ["running", "cancelled"]
    assert reads.study_runs(engine, 1)["blocked_by"].fillna(0).tolist() == [0, 0, 2, 2]
    assert reads.cancel_requests(engine, "somebody") == {1}
    assert writes.cancelled(engine, held.run_id, held.attempt)
    assert writes.retry(engine, [1, 2]) == 2
    assert claim(engine) == Claim(1, 2)
    assert writes.heartbeat(engine, 1, 2, 30) == "continue"


def test_a_run_that_is_lost_while_it_should_stop_ends_cancelled(engine):
    submit(engine, run("a"))
    held = claim(engine)
    writes.request_cancel(engine, [1])
    writes.lose(engine, held.run_id, held.attempt, "its process was ended")
    assert state(engine, 1) == "cancelled"


def test_deleting_a_study_leaves_what_others_share(engine):
    submit(engine, run("a"), run("b", "a"), run("c", "b"), name="one")
    submit(engine, run("a"), name="two")
    for _ in range(3):
        held = claim(engine)
        file = {"kind": "model", "path": f"{held.run_id}", "bytes": 1, "sha256": "0" * 64}
        row = {"metric": "loss", "split": "train", "step": 1, "value": 1.0}
        writes.record(engine, held.run_id, held.attempt, [row])
        writes.complete(engine, held.run_id, held.attempt, {}, [file])
    deleted = writes.delete_study(engine, "one")
    assert deleted.runs == 2
    assert sorted(deleted.files) == ["2", "3"]
    assert sorted(deleted.fingerprints) == ["b", "c"]
    assert reads.existing(engine) == {"a"}
    assert reads.measurements(engine)["run"].tolist() == [1]
    assert reads.studies(engine)["name"].tolist() == ["two"]
    submit(engine, run("a"), run("d", "a"), name="three")
    assert reads.run(engine, 4)["fingerprint"] == "d"  # numbers are never used again


def test_a_study_with_running_runs_is_not_deleted(engine):
    submit(engine, run("a"), run("b", "a"))
    claim(engine)
    with pytest.raises(session.DatabaseProblem, match="running"):
        writes.delete_study(engine, "study")
    with pytest.raises(session.DatabaseProblem, match="no study 'other'"):
        writes.delete_study(engine, "other")
    assert reads.counts(engine)["waiting"] == 1


def test_the_queue_is_idle_when_nothing_can_become_ready(engine):
    submit(engine, run("a"), run("b", "a"))
    assert not reads.idle(engine)
    held = claim(engine)
    assert not reads.idle(engine, waiting_counts=False)
    writes.fail(engine, held.run_id, held.attempt, "It broke.")
    assert reads.idle(engine)


def test_a_worker_shows_its_pulse_and_can_be_asked_to_stop(engine):
    writes.register_worker(engine, "w", "host", 1, 2)
    assert writes.beat_worker(engine, "w") == "running"
    assert reads.workers(engine, 3600)["alive"].tolist() == [True]
    with engine.begin() as c:
        late = now() - timedelta(minutes=5)
        c.execute(text("UPDATE worker SET heartbeat_at = :late"), {"late": late.isoformat(" ")})
    assert reads.workers(engine)["alive"].tolist() == [False]
    with engine.begin() as c:
        late = now() - timedelta(hours=25)
        c.execute(text("UPDATE worker SET heartbeat_at = :late"), {"late": late.isoformat(" ")})
    assert reads.workers(engine).empty, "who is silent for a day has gone without a word"
    assert writes.beat_worker(engine, "w") == "running"
    assert reads.workers(engine, 3600)["alive"].tolist() == [True]
    assert writes.request_stop(engine, "w")
    assert writes.beat_worker(engine, "w") == "stopping"
    writes.stop_worker(engine, "w")
    assert reads.workers(engine).empty
