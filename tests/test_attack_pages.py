"""A small study with several attacks and metrics, run for real, from its file to the page that shows it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from backend import child, plan, study
from backend.results import frontier_document
from db import reads, session, writes
from tests.small_study import SETTING

ROOT = Path(__file__).resolve().parents[1]
SOURCE: dict[str, Any] = {
    "name": "attacked",
    "setting": {**SETTING, "base_steps": 150, "factors": 8},
    "placebo": True,
    "metrics": ["mia_loss", "cka", "depth_by_token", "pass_at_k", "probability", "mia_reference"],
    "recipes": [{"suppress": {"name": "max_ent", "steps": 5}}, {"wrap": "in_context_unlearning"}],
    "attacks": [
        {"name": "relearn", "learning_rate": [1e-3, 3e-3], "steps": 10},
        {"name": "quantize", "bits": [8, 4]},
        {"name": "decoding", "tries": 4},
        {"name": "tense"},
        {"name": "unwrap"},
        {"name": "linear_probe"},
        {"name": "logit_lens"},
        {"name": "few_shot"},
    ],
}
Open = Callable[..., AppTest]


def submitted(source: dict[str, Any]) -> Any:
    resolved = study.resolve(source)
    rows = plan.as_rows(resolved.runs)
    engine = session.require_database()
    writes.submit(engine, name=source["name"], document=resolved.document, runs=rows)
    return engine


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The study, worked off."""
    folder = tmp_path_factory.mktemp("attacked")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LETHE_HOME", str(folder))
        patch.delenv("LETHE_DATABASE_URL", raising=False)
        engine = submitted(SOURCE)
        writes.register_worker(engine, "tests", "here", os.getpid(), 1)
        while claim := writes.claim(engine, "tests", 3600):
            assert child.run_once(engine, claim.run_id, claim.attempt, folder) == "complete"
        yield folder


@pytest.fixture(autouse=True)
def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETHE_HOME", str(home))


@pytest.fixture
def document() -> dict[str, Any]:
    return frontier_document(session.require_database(), "attacked")


def opened() -> AppTest:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    at.query_params["study"] = "attacked"
    return at.switch_page("pages/2_Robustness.py").run()


def words(at: AppTest) -> str:
    kinds = ("subheader", "markdown", "caption", "info", "error")
    return "\n".join(str(element.value) for kind in kinds for element in at.get(kind))


def test_every_cell_is_known_or_says_why_it_is_not(document: dict[str, Any]) -> None:
    found = {row["configuration"]: row["attacks"] for row in document["rows"]}
    names = list(found)
    plain, wrapped = found[names[2]], found[names[3]]
    assert plain["relearn"]["mean"] is not None and plain["quantize"]["mean"] is not None
    assert plain["relearn"]["area"] is not None and plain["relearn"]["flops"] > 0
    for attack, words in (("tense", "in no other way"), ("unwrap", "no wrapper to take off"), ("few_shot", "context")):  # fmt: skip
        assert plain[attack]["mean"] is None and words in plain[attack]["reason"]
    assert wrapped["unwrap"]["mean"] == pytest.approx(1.0)
    assert wrapped["relearn"]["mean"] == 1.0  # the base's own weights
    assert all(one["cells_done"] == one["cells_total"] for one in (*plain.values(),))


def test_what_a_study_asks_for_is_measured_on_every_model(document: dict[str, Any]) -> None:
    rows = {row["configuration"]: row for row in document["rows"]}
    base, oracle = rows["Base"]["metrics"], rows["Oracle"]["metrics"]
    assert base["forget_probability"]["mean"] > oracle["forget_probability"]["mean"]
    assert base["mia_loss"]["mean"] > 0.6
    verdict = rows["Base"]["study_metrics"]["knowledge_verdict"]
    assert verdict["shares"]["shown"] > 0.5 and verdict["reason"] is None
    engine = session.require_database()
    record = reads.study(engine, "attacked")
    assert record is not None
    notes = reads.study_runs(engine, record.id).set_index("stage")["note"]
    assert any("n/a mia_reference: " in str(note) for note in notes["evaluate"])


def test_chance_grows_with_the_number_of_tries(document: dict[str, Any]) -> None:
    told = document["placebo"]
    assert told["decoding"]["tries"] == 4 and told["relearn"]["tries"] == 1
    assert told["decoding"]["commonest"] > told["relearn"]["commonest"]
    assert "linear_probe" not in told  # it brings a score of its own


def test_the_page_draws_the_matrix_and_what_is_inside(document: dict[str, Any]) -> None:
    at = opened()
    assert not at.exception, at.exception[0].value
    told = words(at)
    for title in ("Methods × attacks", "Absent, or present", "Where is it", "Can membership"):
        assert title in told
    table = next(d.value for d in at.dataframe if "Quantisation" in d.value.columns)
    assert table.loc["Base", "Tense and paraphrase"] == "n/a"
    rows = {row["configuration"]: row for row in document["rows"]}
    shown = float(table.loc["Oracle", "Quantisation"]) if table.loc["Oracle", "Quantisation"] not in ("n/a", "") else None  # fmt: skip
    assert shown is None or shown == pytest.approx(rows["Oracle"]["attacks"]["quantize"]["mean"], abs=1e-3)  # fmt: skip


def test_a_cell_opens_its_numbers_curve_and_examples() -> None:
    at = opened()
    options = _box(at, "Look at one cell").options
    name = next(o for o in options if o.startswith("MaxEnt") and o.endswith(": Relearning"))
    _box(at, "Look at one cell").set_value(name).run()
    assert not at.exception, at.exception[0].value
    assert name.replace(":", " under") in words(at)
    labels = [metric.label for metric in at.metric]
    assert {"Recovery", "Area under the curve", "Attacker's FLOPs"} <= set(labels)
    assert any({"question", "expected", "answer"} <= set(d.value.columns) for d in at.dataframe)
    assert "Answers after Relearning, seed 0, after " in words(at)
    _box(at, "Look at one cell").set_value(name.replace("Relearning", "Tense and paraphrase")).run()
    assert any("in no other way" in info.value for info in at.info)


def test_another_attack_is_queued_on_every_model_and_nothing_is_run_twice() -> None:
    engine = session.require_database()
    before = len(reads.existing(engine))
    at = opened()
    _box(at, "Attack").set_value("Pruning").run()
    at.button(key="queue_attack").click().run()
    assert not at.exception, at.exception[0].value
    record = reads.study(engine, "attacked")
    assert record is not None and record.revision == 2
    added = reads.study_runs(engine, record.id).query("state == 'waiting'")
    assert set(added["name"]) == {"prune"}
    assert len(reads.existing(engine)) == before + len(added)
    at = opened()
    assert "attack cells are not complete" in words(at)
    writes.request_cancel(engine, [int(run) for run in added["id"]])
    at = opened()
    at.button(key="queue_missing").click().run()
    assert not at.exception
    assert reads.counts(engine)["waiting"] == len(added)


def _box(at: AppTest, label: str) -> Any:
    return next(box for box in at.selectbox if box.label == label)
