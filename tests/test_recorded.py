"""What a run records: once, by the attempt that holds it, up to the step that the next one goes on from."""

import numpy as np
import pytest
from sqlalchemy import text

from db import reads, writes
from tests.small_study import database, run, submit
from tests.test_queue import claim, finish

pytestmark = pytest.mark.both_databases


@pytest.fixture
def engine(tmp_path, monkeypatch):
    return database(tmp_path, monkeypatch)


def test_a_late_writer_of_an_older_attempt_changes_nothing(engine):
    submit(engine, run("a"))
    old = claim(engine)
    assert writes.lose(engine, old.run_id, old.attempt, "it went quiet")
    new = claim(engine)
    row = {"metric": "loss", "split": "train", "step": 1, "value": 1.0}
    assert not writes.record(engine, old.run_id, old.attempt, [row])
    assert not writes.begin(engine, old.run_id, old.attempt, {}, 0)
    assert not writes.complete(engine, old.run_id, old.attempt, {"seconds": 9.0})
    assert not writes.fail(engine, old.run_id, old.attempt, "late")
    assert not writes.cancelled(engine, old.run_id, old.attempt)
    assert not writes.lose(engine, old.run_id, old.attempt, "late")
    assert not writes.hand_back(engine, old.run_id, old.attempt)
    assert reads.measurements(engine).empty
    assert writes.record(engine, new.run_id, new.attempt, [row])
    finish(engine, new)
    assert not writes.record(engine, new.run_id, new.attempt, [row])


def test_results_that_are_recorded_again_overwrite_and_never_double(engine):
    submit(engine, run("a"))
    held = claim(engine)
    for shift in (0.0, 0.5):
        assert writes.record(
            engine,
            held.run_id,
            held.attempt,
            [{"metric": "loss", "split": "train", "step": 1, "value": shift}] * 2,
            [{"metric": "loss", "split": "train", "step": 1, "values": np.array([shift, 2.0])}],
            [
                {
                    "split": "train",
                    "step": 1,
                    "item": 0,
                    "question": "1+1",
                    "expected": "2",
                    "answer": str(shift),
                }
            ],
        )
    assert reads.measurements(engine)["value"].tolist() == [0.5]
    assert reads.item_values(engine, [1], "loss", "train")[1, 1].tolist() == [0.5, 2.0]
    assert reads.samples(engine, 1)["answer"].tolist() == ["0.5"]


def test_a_value_that_is_no_number_is_stored_as_missing(engine):
    submit(engine, run("a"))
    held = claim(engine)
    row = {"metric": "loss", "split": "train", "step": 1, "value": float("nan")}
    writes.record(engine, held.run_id, held.attempt, [row])
    with engine.connect() as c:
        assert c.execute(text("SELECT value FROM measurement")).scalar() is None


@pytest.mark.parametrize(("from_step", "kept"), [(0, []), (4, [2, 4]), (9, [2, 4, 6])])
def test_a_new_attempt_keeps_the_rows_up_to_the_step_it_goes_on_from(engine, from_step, kept):
    submit(engine, run("a"))
    old = claim(engine)
    rows = [{"metric": "m", "split": "train", "step": step, "value": 1.0} for step in (2, 4, 6)]
    writes.record(engine, old.run_id, old.attempt, rows)
    writes.lose(engine, old.run_id, old.attempt, "it went quiet")
    new = claim(engine)
    assert writes.begin(engine, new.run_id, new.attempt, {"device": "cpu"}, from_step)
    assert reads.measurements(engine)["step"].tolist() == kept
    assert reads.run(engine, 1)["environment"] == {"device": "cpu"}


def test_a_finished_run_has_its_ledger_and_its_files(engine):
    submit(engine, run("a"))
    held = claim(engine)
    file = {"kind": "model", "path": "checkpoints/a/model", "bytes": 12, "sha256": "0" * 64}
    ledger = {"seconds": 2.0, "flops": 4.0, "tokens": 3, "note": "fine"}
    assert writes.complete(engine, held.run_id, held.attempt, ledger, [file])
    row = reads.run(engine, 1)
    assert (row["state"], row["flops"], row["note"]) == ("complete", 4.0, "fine")
    assert row["finished_at"] >= row["started_at"]
    assert reads.artifacts(engine, 1)["path"].tolist() == ["checkpoints/a/model"]
    assert reads.disk_used(engine) == 12
    assert reads.cost_history(engine)["seconds_per_flop"].tolist() == [0.5]
