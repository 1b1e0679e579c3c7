"""Studies from Python: what the command line says, in a process with an event loop and without a guard."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from backend.__main__ import main
from backend.api import RunFailed, Study, UserError, frontier, run
from db import reads, session, writes
from tests import small_study
from tests.own_parts import ASCENT, METRIC, written

ROOT = Path(__file__).resolve().parents[1]
SETTING = {"name": "arithmetic", "addends": 6, "factors": 6, "base_steps": 8, "batch_size": 16}
TINY: dict[str, Any] = {
    "name": "tiny",
    "setting": SETTING,
    "recipes": [{"suppress": {"name": "max_ent", "steps": 2, "batch_size": 8}}],
    "attacks": [{"name": "relearn", "learning_rate": [1e-3, 1e-2], "steps": 4}],
}
# What somebody types into a notebook: no guard, and the main thread has a running event loop.
NOTEBOOK = """
import asyncio, json, sys
sys.path.insert(0, {root!r})
from backend.api import Study, use_plugin

use_plugin({own!r})
own = {{"suppress": {{"name": "clipped_ascent", "steps": 2, "batch_size": 8}}}}
study = Study({tiny!r}, recipes=[own], metrics=["surprise"], home="data")

async def cell():
    return study.run(slots=1)

asyncio.run(cell())
print(study)
"""


def made_up(engine: Any) -> int:
    """A run of somebody else's study that would fail if it were done."""
    done = small_study.submit(engine, small_study.run("others"), name="others")
    return int(reads.study_runs(engine, done.study_id)["id"].iloc[0])


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A tiny study of a user's own parts, done from another folder, beside a run of somebody else's."""
    folder = tmp_path_factory.mktemp("notebook")
    own = written(folder / "own", "ascent.py", ASCENT).parent
    written(own, "surprise.py", METRIC)
    script = NOTEBOOK.format(root=str(ROOT), own=str(own), tiny=TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LETHE_HOME", "nobody asks for this")
        with session.at_home(folder / "data"):
            others = made_up(session.require_database())
        command = [sys.executable, str(written(folder, "cell.py", script))]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr[-3000:]
    yield {"home": folder / "data", "own": own, "done": done, "others": others, "folder": folder}


def test_a_notebook_runs_a_study_of_its_own_method_and_metric(worked: dict[str, Any]) -> None:
    assert "<Study tiny: 15 of 15 runs complete>" in worked["done"].stdout
    assert "[15/15]" in worked["done"].stderr, "progress counts this study's runs"
    study = Study.stored("tiny", worked["home"])
    table = study.frontier().set_index("method")
    assert list(table.index) == ["base", "oracle", "clipped_ascent"]
    assert table.loc["clipped_ascent", "configuration"].startswith("Clipped ascent")
    assert table.loc["clipped_ascent", "cells_done"] == 2
    for part in ("forget", "retain"):
        twice = table[f"{part}_surprise"] / table[f"{part}_loss"]
        assert twice.between(1.5, 2.5).all(), "measured by the user's metric"
    assert not (worked["folder"] / "nobody asks for this").exists()


@pytest.mark.parametrize(("page", "address"), [("1_Frontier.py", {}), ("11_Definitions.py", {"of": "forget_surprise"}), ("2_Robustness.py", {}), ("4_Compare.py", {})])  # fmt: skip
def test_pages_show_what_an_absent_metric_measured(
    worked: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    page: str,
    address: dict[str, str],
) -> None:
    monkeypatch.setenv("LETHE_HOME", str(worked["home"]))
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    for key, value in {"study": "tiny", **address}.items():
        at.query_params[key] = value
    at.switch_page(f"pages/{page}").run()
    if page == "1_Frontier.py":
        next(box for box in at.selectbox if box.label == "Across").set_value("forget_surprise").run()  # fmt: skip
    assert not at.exception, at.exception[0].value


def test_others_runs_stay_as_they_were(worked: dict[str, Any]) -> None:
    with session.at_home(worked["home"]):
        row = reads.run(session.require_database(), worked["others"]) or {}
    assert (row["state"], row["attempt"]) == ("waiting", 0)


def test_the_rows_are_those_of_the_command_line(
    worked: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LETHE_HOME", str(worked["home"]))
    assert main(["frontier", "tiny", "--json", "--budget", "2"]) == 0
    printed = json.loads(capsys.readouterr().out)["rows"]
    assert frontier("tiny", budget=2) == printed
    assert frontier(Study.stored("tiny", worked["home"]), budget=2) == printed
    assert main(["runs", "tiny", "--json"]) == 0
    runs = Study("tiny").runs()
    assert runs["fingerprint"].tolist() == [one["fingerprint"] for one in json.loads(capsys.readouterr().out)]  # fmt: skip
    with pytest.raises(UserError, match="budget = 99 must be between 0 and 4"):
        Study("tiny").frontier(budget=99)


def test_results_chart_and_export(
    worked: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETHE_HOME", str(worked["home"]))
    study = Study("tiny")
    assert study.source and study.source["recipes"][0]["suppress"]["name"] == "clipped_ascent"
    found = study.results()
    score = found[(found["stage"] == "evaluate") & (found["split"] == "retain_score")]
    assert set(score["metric"]) == {"answer_accuracy", "loss", "surprise"}
    assert found["category"].eq("").all() and study.results(category=None)["category"].ne("").any()
    chart = study.chart()
    assert isinstance(chart, alt.TopLevelMixin)
    assert "vega-lite" in str(chart._repr_mimebundle_())
    words = json.dumps(chart.to_dict())
    assert "Clipped ascent" in words and "Utility" in words
    for options, why in (({"x": "beauty"}, "'beauty' is no column"), ({"theme": "blue"}, "light, dark")):  # fmt: skip
        with pytest.raises(UserError, match=why):
            study.chart(**options)
    files = study.export(tmp_path / "out")
    assert tmp_path / "out" / "manifest.json" in files and all(path.is_file() for path in files)


def test_a_run_of_a_plugin_that_was_edited_since_fails_in_a_sentence(
    worked: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the runs of a cluster's node that has another file there, or none."""
    folder = written(tmp_path / "own", "ascent.py", ASCENT).parent
    monkeypatch.setenv("LETHE_PLUGINS", str(folder))
    study = Study(TINY, recipes=[{"suppress": {"name": "clipped_ascent", "steps": 2}}], attacks=[])
    study.submit()
    written(folder, "ascent.py", ASCENT.replace("4.0", "5.0"))
    engine = session.require_database()
    from backend.worker import work

    assert not work(engine, slots=1, until_idle=True)
    failed = study.runs().set_index("name").loc["clipped_ascent"]
    assert failed["state"] == "failed"
    assert "ascent.py is not what it was when this run of its method clipped_ascent was planned" in failed["error"]  # fmt: skip
    told = study.submit()
    assert told["new"] == 2, "the edited method's run and its evaluation have names of their own"
    monkeypatch.delenv("LETHE_PLUGINS")
    assert not work(engine, slots=1, until_idle=True)
    errors = Study.stored("tiny").runs()["error"].dropna()
    assert errors.str.contains("needs the method clipped_ascent of a plugin that is not here").any()
    with pytest.raises(UserError, match="no method 'clipped_ascent'.*--plugin PATH"):
        Study("tiny").run()


def test_a_plan_is_what_a_dry_run_says_and_nothing_is_written(
    own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = Study("quick", seeds=[0, 1], put={"attacks.0.steps": 50}).plan()
    words = ["--set", "seeds=[0, 1]", "--set", "attacks.0.steps=50", "--dry-run", "--json"]
    assert main(["submit", "quick", *words]) == 0
    said = json.loads(capsys.readouterr().out)
    rooms = [told.pop("disk") for told in (planned, said)]  # what is free changes by the moment
    assert planned == said and rooms[0]["needed"] == rooms[1]["needed"] > 0
    assert not own_home.exists()
    assert repr(Study("quick")) == "<Study quick: not submitted>"


def test_a_study_is_made_of_a_name_a_file_a_mapping_keywords_or_another(tmp_path: Path) -> None:
    text = 'name = "tiny"\nseeds = [3]\nrecipes = [{suppress = "max_ent"}]\n'
    path = written(tmp_path, "file.toml", text)
    same = {"name": "tiny", "seeds": [3], "recipes": [{"suppress": "max_ent"}]}
    made = [Study(path), Study(str(path)), Study(same), Study(**same), Study(Study(path))]
    assert all(one.source == same and one.name == "tiny" for one in made)
    changed = Study(made[2], seeds=[4])
    assert changed.source and changed.source["seeds"] == [4] and same["seeds"] == [3]


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Study("quik"), "no study 'quik'"),
        (lambda: Study("quick", recipe=[]), "a study has no key 'recipe'"),
        (lambda: Study("quick", put={"attacks.7.steps": 3}), "not an index from 0 to 0"),
        (lambda: Study(TINY, seeds=[]).plan(), "at least one whole number"),
        (lambda: Study(TINY).frontier(), "no study 'tiny' in the database"),
        (lambda: frontier("tiny"), "no study 'tiny' in the database"),
        (lambda: Study(TINY).export("out"), "no study 'tiny' in the database"),
        (lambda: Study.stored("tiny").run(), "no study 'tiny' in the database"),
        (lambda: run(Study(TINY), home="out", seeds=[]), "at least one whole number"),
    ],
)
def test_a_mistake_is_a_sentence_and_writes_nothing(make: Any, why: str, own_home: Path) -> None:
    with pytest.raises(UserError, match=why):
        make()
    assert not own_home.exists() and not Path("out").exists()


def test_the_data_directory_is_an_argument_or_the_environments(
    own_home: Path, tmp_path: Path
) -> None:
    told = Study(TINY, home=tmp_path / "mine").submit()
    assert (told["new"], told["revision"]) == (12, 1)
    assert (tmp_path / "mine" / "lethe.db").exists() and not own_home.exists()
    assert repr(Study(TINY, home=tmp_path / "mine")) == "<Study tiny: 0 of 12 runs complete>"
    assert session.home() == own_home
    assert Study(TINY).submit()["new"] == 12 and (own_home / "lethe.db").exists()


def test_imported_results_are_looked_at_and_not_run(tmp_path: Path) -> None:
    table = written(tmp_path, "theirs.csv", "model,accuracy\nfirst,0.5\nsecond,0.75\n")
    assert main(["import", str(table), "--name", "theirs"]) == 0
    study = Study("theirs")
    assert study.frontier()["accuracy"].tolist() == [0.5, 0.75]
    with pytest.raises(UserError, match="was imported"):
        study.run()
    with pytest.raises(UserError, match="was imported"):
        Study("theirs", seeds=[1])
    again = Study(study)
    assert again.name == "theirs" and again.frontier()["accuracy"].tolist() == [0.5, 0.75]
    with pytest.raises(UserError, match="theirs was imported: it can be looked at, not changed"):
        Study(study, seeds=[1])


def test_home_means_the_same_beside_a_study(own_home: Path, tmp_path: Path) -> None:
    """`run` and `frontier` look where `home` says, and a study that is given stays what it is."""
    small = {**TINY, "recipes": [], "attacks": []}
    first, other = Study(small, home=tmp_path / "one"), tmp_path / "two"
    done = run(first, home=other, slots=1, progress=False)
    assert done is not first and (done.home, first.home) == (other, tmp_path / "one")
    assert (other / "lethe.db").exists() and not (tmp_path / "one").exists()
    assert not own_home.exists()
    assert len(frontier(first, home=other)) == len(frontier(done)) == 2
    with pytest.raises(UserError, match="no study 'tiny' in the database"):
        frontier(done, home=tmp_path / "one")
    assert run(done, slots=1, progress=False) is done


@pytest.mark.parametrize("slots", [0, -1, "2", 1.5])
def test_slots_are_a_number_of_runs(slots: Any, own_home: Path) -> None:
    with pytest.raises(UserError, match="slots = .* must be a whole number from 1"):
        run(TINY, slots=slots)
    assert not own_home.exists()


@pytest.mark.parametrize("slots", ["0", "-1", "two"])
def test_the_demo_takes_slots_as_work_does(slots: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", f"--slots={slots}"]) == 2
    assert f"'{slots}' is not a whole number from 1" in capsys.readouterr().err


def test_a_path_may_begin_with_the_users_folder(
    worked: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "own.toml", 'name = "tiny"\nrecipes = [{suppress = "max_ent"}]\n')
    assert Study("~/own.toml").name == "tiny" == Study(Path("~/own.toml")).name
    Study.stored("tiny", worked["home"]).export("~/out")
    assert (tmp_path / "out" / "manifest.json").exists() and not (tmp_path / "~").exists()


def test_a_paused_queue_and_failed_runs_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    engine = session.require_database()
    writes.set_paused(engine, True)
    with pytest.raises(RunFailed, match="12 of 12 runs of tiny were not done: the queue is paused"):
        run(TINY, slots=1)
    writes.set_paused(engine, False)
    study = Study(TINY, name="wild", recipes=[{"suppress": {"name": "grad_diff", "steps": 20, "learning_rate": 1e30}}], attacks=[])  # fmt: skip
    events: list[str] = []
    with pytest.raises(RunFailed, match="1 of 6 runs of wild failed, the first, suppress grad_diff of seed 0, with: "):  # fmt: skip
        study.run(slots=1, progress=lambda happened: events.append(happened.kind))
    assert "failed" in events and len(study.frontier()) == 3
    assert reads.counts(engine)["waiting"] > 1, "tiny's own runs were not touched"
    assert isinstance(study.runs(), pd.DataFrame)


def test_an_interrupt_leaves_the_runs_in_the_queue_and_says_how_they_go_on(
    own_home: Path, tmp_path: Path
) -> None:
    longer = {**TINY, "setting": {**SETTING, "base_steps": 400_000}, "recipes": [], "attacks": []}
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom backend.api import run\nrun({longer!r}, slots=1)\n"
    command = [sys.executable, str(written(tmp_path, "cell.py", script))]
    at_work = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    engine = session.require_database()
    deadline = time.monotonic() + 600
    while not (reads.runs_in(engine, ["running"])["step"].fillna(0) > 0).any():
        assert time.monotonic() < deadline and at_work.poll() is None
        time.sleep(0.2)
    at_work.send_signal(signal.SIGINT)
    _, said = at_work.communicate(timeout=600)
    assert "Stopped: 4 runs of tiny wait in the queue; run() again, or `python -m backend work`, goes on" in said  # fmt: skip
    assert at_work.returncode != 0 and "KeyboardInterrupt" in said
    assert set(Study.stored("tiny").runs()["state"]) == {"waiting"}
