"""Many runs: every page opens, and the list counts, pages and finds right. Times are printed, never asserted."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select
from streamlit.testing.v1 import AppTest

from backend.results import frontier_document
from backend.run_filter import Words, parse
from db import reads
from db.models import Measurement
from db.session import require_database
from tests import large_database, page_times

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """500 runs and 60,000 measurements."""
    home = tmp_path_factory.mktemp("large")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LETHE_HOME", str(home))
        patch.delenv("LETHE_DATABASE_URL", raising=False)
        made = large_database.fill(require_database(), 500, 60_000)
        assert made.runs >= 500 and made.measurements >= 60_000
    return home


@pytest.fixture
def engine(large: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setenv("LETHE_HOME", str(large))
    return require_database()


def check(engine: Engine, runs: int, measurements: int) -> None:
    """Whether a large database is what it says: its states, its list page by page, its filters, its frontiers."""
    counts = reads.counts(engine)
    assert {state for state, count in counts.items() if count} >= {"waiting", "running", "complete", "failed", "cancelled", "blocked"}  # fmt: skip
    with engine.connect() as c:
        assert c.execute(select(func.count()).select_from(Measurement)).scalar_one() >= measurements
    found: list[int] = []
    size = max(50, runs // 20)
    for offset in range(0, 2 * runs, size):
        page = reads.run_page(engine, (), ("seconds",), "seconds", True, size, offset)
        assert page.matching == page.total >= runs
        found += page.rows["id"].tolist()
        if len(page.rows) < size:
            break
    assert len(found) == len(set(found)) == page.total
    words = Words(reads.parameter_names(engine), reads.metric_names(engine))
    for state in ("failed", "running", "blocked"):
        assert len(reads.matching_ids(engine, parse(f"state:{state}", words))) == counts[state]
    high = parse("answer_accuracy@forget_score>=0.5", words)
    low = parse("-answer_accuracy@forget_score>=0.5", words)
    assert len(reads.matching_ids(engine, high)) + len(reads.matching_ids(engine, low)) == page.total  # fmt: skip
    for name in reads.studies(engine)["name"]:
        rows = frontier_document(engine, name)["rows"]
        assert len(rows) > 5 and any(row["utility"]["mean"] is not None for row in rows)


def test_the_list_of_500_runs_counts_pages_and_finds_right(engine: Engine) -> None:
    check(engine, 500, 60_000)


@pytest.mark.parametrize("page", page_times.PAGES)
@pytest.mark.parametrize("study", ["undo_alpha", "at_work"])
def test_every_page_opens_on_500_runs(engine: Engine, page: str, study: str) -> None:
    at: Any = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    at.query_params["study"] = study
    at.switch_page(f"pages/{page}").run()
    assert not at.exception, at.exception[0].value
    assert len(at.title) == 1


def test_every_run_page_of_a_kind_opens(engine: Engine) -> None:
    page = reads.run_page(engine, (), ("stage", "state"), limit=1000)
    for run in page.rows.drop_duplicates(["stage", "state"])["id"]:
        at: Any = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
        at.query_params["run"] = str(int(run))
        at.switch_page("pages/3_Runs.py").run()
        assert not at.exception, (run, at.exception[0].value)


@pytest.mark.slow
def test_ten_thousand_runs_and_two_million_measurements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.setenv("LETHE_HOME", str(tmp_path))
    engine = require_database()
    made = large_database.fill(engine, 10_000, 2_000_000)
    assert made.runs >= 10_000 and made.measurements >= 2_000_000
    check(engine, 10_000, 2_000_000)
    told = page_times.table("undo_alpha")
    with capsys.disabled():
        print(f"\n{made}\n{told}")
