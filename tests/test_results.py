"""From the database to the frontier document: what the numbers may lean on."""

import pytest
from sqlalchemy import Engine

from backend import plan, results
from db import reads
from db.session import require_database
from tests.seed_database import seed_study


@pytest.fixture
def engine() -> Engine:
    return require_database()


def weak(engine: Engine) -> dict[str, str]:
    document = results.frontier_document(engine, "quick")
    return {row["configuration"]: ", ".join(row["weak_evidence"]) for row in document["rows"]}


def test_runs_of_an_older_version_are_stale(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed_study(engine)
    record = results.known_study(engine, "quick")
    runs = reads.study_runs(engine, record.id)
    assert results.stale_runs(runs) == set()
    assert "stale" not in weak(engine)["Oracle"]
    monkeypatch.setitem(plan.STAGE_VERSIONS, "oracle", 2)  # a fix to how the oracle is trained
    oracles = set(runs[runs["stage"] == "oracle"]["id"])
    assert results.stale_runs(runs) == oracles
    told = weak(engine)
    assert "stale code" in told["Oracle"]


def test_a_part_that_is_gone_and_an_imported_run_are_not_called_stale(engine: Engine) -> None:
    seed_study(engine)
    runs = reads.study_runs(engine, results.known_study(engine, "quick").id)
    gone = runs[runs["stage"] == "suppress"].assign(name="of_another_time", version=0)
    assert results.stale_runs(gone) == set()
    assert results.stale_runs(runs.assign(version=0, origin="import")) == set()
    assert results.stale_runs(runs.assign(version=0)) == set(runs["id"])
