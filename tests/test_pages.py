"""Every page on every kind of database: it draws, says what to do next, and hides no failure."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from backend import study
from backend.results import frontier_document
from db import reads
from db.session import require_database
from tests.seed_database import seed_study

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(path.name for path in (ROOT / "pages").glob("[0-9]*.py"))
SMALL = (
    'recipes=[{suppress="max_ent"}, {suppress="max_ent", robustify={name="undo", alpha=[0.2, 0.8]}}]',
    "attacks.0.learning_rate=[1e-3, 3e-3]",
)
CASES: dict[str, dict[str, Any]] = {
    "done": {},
    "three seeds": {"overrides": (*SMALL, "seeds=[0, 1, 2]")},
    "failed": {"fail": ("undo",)},
    "base failed": {"fail": ("base",)},
    "at work": {"stop_after": 9},
    "waiting": {"stop_after": 0},
}

Open = Callable[..., AppTest]


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One data directory for each kind of database, `empty` without any."""
    found = {"empty": tmp_path_factory.mktemp("empty")}
    for case, options in CASES.items():
        found[case] = tmp_path_factory.mktemp(case.replace(" ", "_"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LETHE_HOME", str(found[case]))
            patch.delenv("LETHE_DATABASE_URL", raising=False)
            seed_study(require_database(), **{"overrides": SMALL, **options})
    return found


@pytest.fixture
def open_page(homes: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open a page of the app on one of the databases, with what the address says."""
    monkeypatch.delenv("LETHE_DATABASE_URL", raising=False)

    def opened(page: str, case: str, **address: str | list[str]) -> AppTest:
        monkeypatch.setenv("LETHE_HOME", str(homes[case]))
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
        for key, value in address.items():
            at.query_params[key] = value
        return at.switch_page(f"pages/{page}").run()

    return opened


def told(at: AppTest) -> str:
    """All that a page says in words."""
    kinds = ("title", "header", "subheader", "markdown", "caption", "info", "warning", "error")
    words = [str(element.value) for kind in kinds for element in at.get(kind)]
    words += [str(getattr(element.proto, "body", "")) for element in at.get("html")]
    return "\n".join(words)


@pytest.mark.parametrize("case", ["empty", *CASES])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_with_its_question(open_page: Open, page: str, case: str) -> None:
    at = open_page(page, case)
    assert not at.exception, at.exception[0].value
    assert len(at.title) == 1
    assert "?" in told(at)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if not page.endswith(("Launch.py", "Definitions.py"))]
)
def test_an_empty_database_names_the_next_step(open_page: Open, page: str) -> None:
    assert "Launch?study=quick" in told(open_page(page, "empty"))


@pytest.mark.parametrize("page", PAGES)
def test_opening_a_page_creates_nothing(open_page: Open, homes: dict[str, Path], page: str) -> None:
    open_page(page, "empty")
    assert list(homes["empty"].iterdir()) == []


@pytest.mark.parametrize("page", [page for page in PAGES if not page.endswith("Definitions.py")])
def test_a_database_that_cannot_be_read_is_one_sentence(
    open_page: Open, homes: dict[str, Path], tmp_path: Path, page: str
) -> None:
    homes["damaged"] = tmp_path
    (tmp_path / "lethe.db").write_bytes(b"no database at all" * 100)
    at = open_page(page, "damaged")
    assert not at.exception
    assert "cannot be read" in told(at)


def test_the_frontier_shows_the_numbers_of_the_document(open_page: Open) -> None:
    at = open_page("1_Frontier.py", "done")
    engine = require_database()
    rows = {row["configuration"]: row for row in frontier_document(engine, "quick")["rows"]}
    shown = at.dataframe[-1].value.set_index("configuration")
    for name, row in rows.items():
        robust = row["robust_forget_quality"]["mean"]
        if robust is not None:
            assert shown.loc[name, "robust_forget_quality"] == pytest.approx(robust)


def test_a_selection_in_the_address_opens_its_reasons(open_page: Open) -> None:
    at = open_page("1_Frontier.py", "done", pick="MaxEnt")
    assert "recovery = (after − oracle after)" in told(at)
    assert "Runs?run=" in told(at)


def test_a_selection_of_something_unknown_does_no_harm(open_page: Open) -> None:
    assert not open_page("1_Frontier.py", "done", pick="<b>nobody</b>", budget="99999").exception


def test_a_missing_number_is_no_zero(open_page: Open) -> None:
    at = open_page("1_Frontier.py", "failed")
    shown = at.dataframe[-1].value.set_index("configuration")
    lost = shown[shown.index.str.contains("UNDO")]
    assert len(lost) == 2
    assert lost[["robust_forget_quality", "utility", "compute"]].isna().all().all()


def failed_run() -> dict[str, Any]:
    """The run of the open database that failed."""
    engine = require_database()
    return reads.run(engine, int(reads.runs_in(engine, ["failed"])["id"].iloc[0])) or {}


def test_a_failed_run_says_so_and_why(open_page: Open) -> None:
    open_page("3_Runs.py", "failed")
    at = open_page("3_Runs.py", "failed", run=str(failed_run()["id"]))
    assert not at.exception
    assert "failed" in told(at)
    assert any("not a number at step 40" in error.value for error in at.error)
    assert "complete" not in at.header[0].value


def test_jobs_shows_failed_runs_with_their_reason(open_page: Open) -> None:
    at = open_page("6_Jobs.py", "failed")
    reasons = [reason for frame in at.dataframe if "error" in frame.value for reason in frame.value["error"]]  # fmt: skip
    assert any("not a number" in str(reason) for reason in reasons)


def test_every_kind_of_run_opens(open_page: Open) -> None:
    open_page("3_Runs.py", "at work")
    engine = require_database()
    record = reads.study(engine, "quick")
    assert record is not None
    runs = reads.study_runs(engine, record.id).drop_duplicates(["stage", "state"])
    for run in runs["id"]:
        at = open_page("3_Runs.py", "at work", run=str(int(run)))
        assert not at.exception, f"run {run}: {at.exception[0].value}"


@pytest.mark.parametrize("wanted", ["999999", "x", "-1", "²"])
def test_an_unknown_run_is_a_sentence(open_page: Open, wanted: str) -> None:
    at = open_page("3_Runs.py", "done", run=wanted)
    assert not at.exception
    assert len(at.warning) == 1


def test_model_output_is_never_markup(open_page: Open) -> None:
    open_page("3_Runs.py", "done")
    engine = require_database()
    record = reads.study(engine, "quick")
    assert record is not None
    runs = reads.study_runs(engine, record.id)
    attacked = runs[runs["stage"] == "attack"]["id"].iloc[-1]
    at = open_page("3_Runs.py", "done", run=str(int(attacked)))
    assert "**17**" not in told(at)


def test_launch_says_what_is_wrong_and_queues_nothing(open_page: Open) -> None:
    at = open_page("5_Launch.py", "empty", study="quick")
    seeds = next(box for box in at.text_input if box.label == "Seeds")
    seeds.set_value("0, zero").run()
    assert not at.exception
    assert any("Seeds" in error.value for error in at.error)
    assert not [button for button in at.button if button.label.startswith("Queue")]


def test_labels_and_requests_are_fields_whose_mistakes_are_said(open_page: Open) -> None:
    at = open_page("5_Launch.py", "empty", study="quick")
    label = next(box for box in at.text_input if box.label == "label fraction")
    label.set_value("0.1, 0.5").run()
    assert not at.exception and not at.error
    assert "label_fraction = [0.1, 0.5]" in "".join(box.value for box in at.code) + told(at)
    requests = next(box for box in at.text_input if box.label == "requests")
    requests.set_value("0").run()
    assert any("requests = 0" in error.value for error in at.error)
    assert not [button for button in at.button if button.label.startswith("Queue")]


def test_the_precision_is_chosen_and_fields_stand_under_what_shares_them(open_page: Open) -> None:
    at = open_page("5_Launch.py", "empty", study="language_small")
    headings = [text.value for text in at.markdown]
    assert {"**Base and oracle**", "**Model and tokenizer**"} <= set(headings)
    precision = next(box for box in at.selectbox if box.label == "Precision")
    assert precision.value == "fp32"
    precision.set_value("bf16").run()
    assert not at.exception and not at.error
    assert 'precision = "bf16"' in "".join(box.value for box in at.code)


def test_a_method_says_against_whom_it_holds_and_which_data_it_takes(open_page: Open) -> None:
    assert "white-box" in told(open_page("5_Launch.py", "empty", study="quick"))


def test_launch_queues_once_however_often_it_is_pressed(
    open_page: Open, homes: dict[str, Path], tmp_path: Path
) -> None:
    homes["fresh"] = tmp_path
    at = open_page("5_Launch.py", "fresh", study="quick")
    assert not at.exception
    for _ in range(2):
        at.button(key="queue").click().run()
        assert not at.exception
    engine = require_database()
    studies = reads.studies(engine)
    assert list(studies["name"]) == ["quick"] and int(studies["revision"].iloc[0]) == 1
    assert reads.counts(engine)["waiting"] == int(studies["runs"].iloc[0])


def test_no_page_loads_torch(open_page: Open) -> None:
    import subprocess

    script = (
        "from streamlit.testing.v1 import AppTest; import sys;"
        + "".join(
            f"AppTest.from_file({str(ROOT / 'app.py')!r}, default_timeout=300)"
            f".switch_page('pages/{page}').run();"
            for page in PAGES
        )
        + "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    open_page(PAGES[0], "done")  # sets LETHE_HOME
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-800:]


def test_the_form_writes_every_attack_of_a_stored_study_as_it_was(open_page: Open) -> None:
    at = open_page("5_Launch.py", "empty", study="attacks")
    assert not at.exception and not at.error, [error.value for error in at.error]
    resolved = study.resolve(study.load("attacks"))
    told = {metric.label: metric.value for metric in at.metric}
    assert told["New runs"] == f"{len(resolved.runs)} of {len(resolved.runs)}"
