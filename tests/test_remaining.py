"""How long the queue still has: by hand for made-up runs, and of a real study what the time then was."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine, update

from backend.remaining import remaining
from backend.study import resolve
from backend.submission import submitted
from db import reads, session, writes
from db.models import Run, now
from tests.small_study import lives, run, submit

pytestmark = pytest.mark.both_databases


@pytest.fixture
def engine(kind_of_database: str) -> Engine:
    return session.require_database()


def worker(engine: Engine, slots: int) -> None:
    lives(engine, "w", slots)


def finished(engine: Engine, seconds: float) -> None:
    claim = writes.claim(engine, "w", 30)
    assert isinstance(claim, writes.Claim)
    assert writes.complete(engine, claim.run_id, claim.attempt, {"seconds": seconds})


def test_nothing_is_told_without_a_worker_or_without_anything_to_go_by(engine: Engine) -> None:
    submit(engine, run("a", expected_seconds=8.0))
    assert remaining(engine) is None
    worker(engine, 2)
    assert remaining(engine) == 8.0
    submit(engine, run("b"), name="other")
    assert remaining(engine) is None, "nobody knows how long that takes"


def test_what_waits_is_told_at_the_pace_of_what_has_finished(engine: Engine) -> None:
    worker(engine, 2)
    submit(engine, run("a", expected_seconds=10.0), *(run(f"r{k}", "a", expected_seconds=4.0) for k in range(5)), run("x", "a"))  # fmt: skip
    finished(engine, 20.0)  # half as fast as was expected
    assert remaining(engine) == pytest.approx((5 * 4.0 * 2 + 20.0) / 2)
    writes.set_paused(engine, True)
    assert remaining(engine) == pytest.approx((5 * 4.0 * 2 + 20.0) / 2), "as long once it goes on"


def test_one_long_run_is_not_shared_between_slots(engine: Engine) -> None:
    worker(engine, 8)
    submit(engine, run("a", expected_seconds=100.0), run("b", expected_seconds=4.0))
    assert remaining(engine) == 100.0


def test_what_runs_is_told_by_its_expectation_first_and_by_its_steps_then(engine: Engine) -> None:
    worker(engine, 1)
    submit(engine, run("a", expected_seconds=100_000.0))
    claim = writes.claim(engine, "w", 3_000_000)
    assert isinstance(claim, writes.Claim)
    with engine.begin() as c:
        c.execute(update(Run).values(started_at=now() - timedelta(seconds=30_000)))
    assert remaining(engine) == pytest.approx(70_000, abs=1000)
    writes.heartbeat(engine, claim.run_id, claim.attempt, 3_000_000, 1, 100)
    assert remaining(engine) == pytest.approx(70_000, abs=1000), "one step says little"
    writes.heartbeat(engine, claim.run_id, claim.attempt, 3_000_000, 50, 100)
    assert remaining(engine) == pytest.approx(30_000, abs=1000)
    assert writes.complete(engine, claim.run_id, claim.attempt, {"seconds": 60.0})
    assert remaining(engine) == 0.0


def test_what_cannot_begin_does_not_count(engine: Engine) -> None:
    worker(engine, 1)
    submit(engine, run("a", expected_seconds=5.0), run("b", "a", expected_seconds=50.0), run("c", expected_seconds=7.0))  # fmt: skip
    claim = writes.claim(engine, "w", 30)
    assert isinstance(claim, writes.Claim)
    writes.fail(engine, claim.run_id, claim.attempt, "it broke", "")
    assert remaining(engine) == 7.0


def test_a_submitted_study_says_how_long_each_of_its_runs_takes(engine: Engine) -> None:
    submitted(resolve({"name": "small", "setting": {"name": "arithmetic"}, "recipes": [{"suppress": "max_ent"}], "attacks": []}), engine)  # fmt: skip
    found = reads.runs_in(engine, ("waiting",))
    assert len(found) and found["expected_seconds"].between(0.05, 3600).all()
    worker(engine, 1)
    assert remaining(engine) == pytest.approx(found["expected_seconds"].sum())
