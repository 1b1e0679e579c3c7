"""The pages about cost and about where a loss will end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from backend import loss_forecast
from backend.loss_law import Law
from db import reads, writes
from db.models import Measurement, Run
from db.session import require_database
from tests.seed_database import WORKER, seed_study

ROOT = Path(__file__).resolve().parents[1]
SMALL = ('recipes=[{suppress="max_ent"}]', "attacks.0.learning_rate=[1e-3]", "seeds=[0, 1, 2]")
LAW = Law(1.8, 0.9, 0.5, 0.3, 0.5, 0.5, 0.5, 3e-3)
# What the quick setting trains its base with.
TIMED: dict[str, Any] = {"steps": 1200, "learning_rate": 3e-3, "schedule": "cosine"}

Open = Callable[..., AppTest]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seeds: bases that follow a law, the last of them half done; everything else invented."""
    found = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LETHE_HOME", str(found))
        patch.delenv("LETHE_DATABASE_URL", raising=False)
        engine = require_database()
        seed_study(engine, SMALL)
        for run in _bases(engine):
            _follow_the_law(engine, run)
    return found


def _bases(engine: Engine) -> list[int]:
    runs = reads.finished_runs(engine)
    return [int(run) for run in runs.loc[runs["stage"] == "base", "id"]]


def _follow_the_law(engine: Engine, run: int) -> None:
    steps = np.arange(12, 1201, 12)
    values = LAW.predict(loss_forecast.rates(**TIMED), steps) * (1 + 0.01 * (-1) ** steps)
    rows = [
        {"metric": "loss", "split": "train", "step": int(s), "value": float(v)}
        for s, v in zip(steps, values, strict=True)
    ]
    attempt = (reads.run(engine, run) or {})["attempt"]
    with engine.begin() as connection:
        connection.execute(Measurement.__table__.delete().where(Measurement.run_id == run))
        state = Run.__table__.update().where(Run.id == run)
        connection.execute(state.values(state="running", worker_id=WORKER))
    writes.record(engine, run, attempt, measurements=rows)
    with engine.begin() as connection:
        connection.execute(state.values(state="complete"))


@pytest.fixture
def open_page(home: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """The Runs page of the app, with what the address says."""
    monkeypatch.setenv("LETHE_HOME", str(home))
    monkeypatch.delenv("LETHE_DATABASE_URL", raising=False)

    def opened(**address: str) -> AppTest:
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
        for key, value in address.items():
            at.query_params[key] = value
        at = at.switch_page("pages/3_Runs.py").run()
        assert not at.exception, at.exception[0].value
        return at

    return opened


def captions(at: AppTest) -> str:
    return "\n".join(str(caption.value) for caption in at.caption)


def test_a_base_is_forecast_from_the_others_and_the_error_is_shown(open_page: Open) -> None:
    bases = _bases(require_database())
    at = open_page(run=str(bases[0]))
    said = captions(at)
    others = ", ".join(map(str, bases[1:]))
    assert f"It rests on the finished runs {others} of the same kind" in said
    end = LAW.predict(loss_forecast.rates(**TIMED), np.array([1200]))[0]
    told = float(said.partition("ending at **")[2].partition("**")[0])
    assert told == pytest.approx(end, rel=0.02)
    checks = next(t.value for t in at.dataframe if "forecast" in t.value)
    assert checks["run"].tolist() == bases[1:]
    assert checks["forecast"].tolist() == pytest.approx(checks["came"].tolist(), rel=0.02)
    assert "at least two courses of the learning rate" in said


def test_what_cannot_be_forecast_says_why(open_page: Open) -> None:
    runs = reads.finished_runs(require_database())
    method = runs.loc[runs["stage"] == "suppress", "id"].iloc[0]
    assert "No forecast of the loss" in captions(open_page(run=str(int(method))))


def test_the_runs_page_shows_the_cost_of_every_stage(open_page: Open) -> None:
    at = open_page(show="Cost by stage")
    table = next(t.value for t in at.dataframe if "share_of_seconds" in t.value)
    assert table["stage"].tolist() == ["base", "oracle", "suppress", "evaluation", "attacks"]
    assert table["share_of_seconds"].sum() == pytest.approx(1.0)
    runs = reads.finished_runs(require_database())
    assert f"{len(runs)} of {len(runs)} runs have finished" in captions(at)


def test_the_cost_of_each_configuration_is_in_the_address(open_page: Open) -> None:
    at = open_page(show="Cost by stage", cost_of="Each configuration")
    table = next(t.value for t in at.dataframe if "share_of_seconds" in t.value)
    assert list(dict.fromkeys(table["configuration"])) == ["Base", "Oracle", "MaxEnt"]
    assert "add up to more than the study" in captions(at)
