"""The page Compare: its numbers are the document's, its states are told apart, its address is its view."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy import stats
from streamlit.testing.v1 import AppTest

from backend.results import frontier_document
from db import reads
from db.session import require_database
from tests.flipped_answers import WRONG, rows_and_runs, store_answers
from tests.seed_database import seed_study

ROOT = Path(__file__).resolve().parents[1]
PLAIN = 'recipes=[{suppress="max_ent"}, {suppress="max_ent", robustify={name="undo", alpha=[0.2, 0.8]}}]'
GRID = "attacks.0.learning_rate=[1e-3, 3e-3]"
UNDO = "MaxEnt → UNDO (α 0.8)"
CASES: dict[str, tuple[str, ...]] = {
    "three": (PLAIN, GRID, "seeds=[0, 1, 2]"),
    "one": (PLAIN, GRID),
}
Open = Callable[..., AppTest]


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for case, overrides in CASES.items():
        found[case] = tmp_path_factory.mktemp(case)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LETHE_HOME", str(found[case]))
            patch.delenv("LETHE_DATABASE_URL", raising=False)
            engine = require_database()
            seed_study(engine, overrides)
            if case == "three":
                document = frontier_document(engine, "quick")
                store_answers(engine, *rows_and_runs(engine, document, ["MaxEnt", UNDO]))
    return found


@pytest.fixture
def compare_page(homes: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open Compare on one of the databases, with what the address says."""
    monkeypatch.delenv("LETHE_DATABASE_URL", raising=False)

    def opened(case: str, **address: str | list[str]) -> AppTest:
        monkeypatch.setenv("LETHE_HOME", str(homes[case]))
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
        for key, value in address.items():
            at.query_params[key] = value
        at = at.switch_page("pages/4_Compare.py").run()
        assert not at.exception, at.exception[0].value
        return at

    return opened


def told(at: AppTest) -> str:
    kinds = ("markdown", "caption", "info", "warning")
    return "\n".join(str(e.value) for kind in kinds for e in at.get(kind)).replace("\\", "")


def table(at: AppTest, column: str) -> Any:
    return next(frame.value for frame in at.dataframe if column in frame.value)


def test_nothing_chosen_compares_the_best_with_its_suppression_alone(compare_page: Open) -> None:
    at = compare_page("three")
    said = told(at)
    assert "Nothing is chosen" in said and "its suppression alone" in said
    assert f"{UNDO} against MaxEnt: better in robust forget quality" in said


def test_the_numbers_are_scipys_on_the_documents(compare_page: Open) -> None:
    at = compare_page("three", pick=["MaxEnt", UNDO])
    rows = {r["configuration"]: r for r in frontier_document(require_database(), "quick")["rows"]}
    one, other = (rows[name]["robust_forget_quality"]["values"] for name in ("MaxEnt", UNDO))
    expected = stats.ttest_rel(other, one)
    shown = table(at, "Verdict").set_index("Metric").loc["Robust forget quality"]
    low, high = expected.confidence_interval()
    mean = sum(b - a for a, b in zip(one, other, strict=True)) / 3
    assert shown["Difference"] == f"{mean:+.3f} ({low:+.3f} … {high:+.3f})"
    p = "< 0.001" if expected.pvalue < 0.001 else f"{expected.pvalue:.3f}"
    assert shown["p"] == p and shown["Seeds"] == 3 and shown["Verdict"] == "higher: better"
    assert "MaxEnt (reference)" in table(at, "Better")


def test_the_address_chooses_reference_test_and_metrics(compare_page: Open) -> None:
    label = "Wilcoxon signed-rank test, exact"
    at = compare_page("three", pick=["MaxEnt", UNDO, "Oracle"], ref=UNDO, test=label, metric=["Utility", "Retain loss"])  # fmt: skip
    shown = table(at, "Verdict")
    assert set(shown["Metric"]) == {"Utility", "Retain loss"}
    assert set(shown["Configuration"]) == {"MaxEnt", "Oracle"}
    assert "cannot give less than p = 0.25" in told(at)
    assert not set(shown["Verdict"]) & {"higher: better", "lower: worse"}


def test_one_configuration_gets_a_partner_in_words(compare_page: Open) -> None:
    said = told(compare_page("three", pick="MaxEnt → UNDO (α 0.2)"))
    assert "One configuration is chosen, so it is compared with its suppression alone" in said


def test_one_seed_is_no_test(compare_page: Open) -> None:
    at = compare_page("one", pick=["MaxEnt", UNDO])
    assert set(table(at, "Verdict")["Verdict"]) == {"1 seed: no test"}
    assert "1 seed, so no test" in told(at) and "Nothing could be tested" in told(at)
    assert set(table(at, "Verdict")["Effect (g_av)"]) == {"—"}


def test_unknown_names_in_the_address_do_no_harm(compare_page: Open) -> None:
    at = compare_page("three", pick=["<b>nobody</b>", UNDO], ref="nobody", test="no test", metric="nothing", along="x")  # fmt: skip
    assert "One configuration is chosen" in told(at)


def test_no_metric_chosen_is_a_sentence(compare_page: Open) -> None:
    at = compare_page("three")
    next(box for box in at.multiselect if box.label == "Metrics").set_value([]).run()
    assert not at.exception and "No metric is chosen" in told(at)


def test_recipes_turn_and_hide_what_is_equal(compare_page: Open) -> None:
    at = compare_page("three", pick=["MaxEnt → UNDO (α 0.2)", UNDO])
    different = next(f.value for f in at.dataframe if f.value.index.name == "parameter")
    assert list(different.index) == ["robustify alpha"]
    at.toggle(key="across").set_value(True).run()
    turned = next(f.value for f in at.dataframe if f.value.index.name == "configuration")
    assert turned["robustify alpha"].tolist() == ["0.2", "0.8"]
    assert any("equal in all of them" in one.label for one in at.expander)


def test_items_flip_by_seed_and_model_output_is_no_markup(compare_page: Open) -> None:
    at = compare_page("three", pick=["MaxEnt", UNDO])
    assert "all seeds pooled" in told(at) and "leak → safe" in told(at)
    listed = table(at, "answer_one")
    assert set(listed["answer_other"].dropna()) == {WRONG} and "**17**" not in told(at)
    at.selectbox(key="flip_seed").set_value("1").run()
    assert set(table(at, "answer_one")["seed"]) == {1}


def test_items_without_values_say_so(compare_page: Open, homes: dict[str, Path]) -> None:
    compare_page("one")
    from db.models import ItemValues

    with require_database().begin() as connection:
        connection.execute(ItemValues.__table__.delete())
    assert "Nothing to count" in told(compare_page("one", pick=["MaxEnt", "Oracle"]))


def test_what_is_shown_goes_into_a_report(compare_page: Open) -> None:
    at = compare_page("three", pick=["MaxEnt", UNDO])
    engine = require_database()
    for key in ("report-differences", "report-tests", "report-relearning", "report-flips"):
        at.button(key=f"{key}-add").click().run()
        assert not at.exception
    blocks = [b for r in reads.reports(engine)["id"] for b in reads.report(engine, int(r))["blocks"]]  # fmt: skip
    kinds = [block["kind"] for block in blocks]
    assert sorted(kinds) == ["chart", "chart", "chart", "table"]
    made = next(block["content"] for block in blocks if block["kind"] == "table")
    assert made["columns"][:3] == ["Metric", "Configuration", "Verdict"]
    assert len(made["rows"]) == 4 and all(len(row) == len(made["columns"]) for row in made["rows"])
    chart = next(block["content"] for block in blocks if block["kind"] == "chart")
    assert chart["spec"]["$schema"].startswith("https://vega") and chart["data"]
    assert chart["study"] == "quick" and chart["revision"] == 1
    # Of the page's size, not of a paper's, whose letters would be too small in a report.
    assert "width" not in chart["spec"] and "font" not in chart["spec"].get("config", {})


@pytest.mark.slow
def test_of_many_configurations_the_first_twelve_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETHE_HOME", str(tmp_path))
    monkeypatch.delenv("LETHE_DATABASE_URL", raising=False)
    betas = [round(0.01 * k, 2) for k in range(1, 9)]
    grid = f'recipes=[{{suppress="max_ent"}}, {{suppress="max_ent", robustify={{name="undo", alpha=[0.2, 0.4, 0.6, 0.8, 0.9], beta={betas}}}}}]'  # fmt: skip
    engine = require_database()
    seed_study(engine, (grid, "seeds=[0, 1, 2]", "attacks.0.learning_rate=[1e-3]"))
    names = [row["configuration"] for row in frontier_document(engine, "quick")["rows"]]
    assert len(names) > 40
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    at.query_params["pick"] = names
    at.switch_page("pages/4_Compare.py").run()
    assert not at.exception
    assert "first 12 of" in told(at)
    assert "objectives of the first 12 configurations" in told(at)
