"""The Runs page: filter, columns, order, pages, views, tags, notes, trash, parallel coordinates."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import update
from streamlit.elements.lib import policies
from streamlit.testing.v1 import AppTest

from backend.spreadsheets import csv
from db import reads, writes
from db.models import Run
from db.session import require_database
from pages.components.run_address import View
from pages.components.run_table import whole
from tests.seed_database import seed_study

ROOT = Path(__file__).resolve().parents[1]
SMALL = (
    'recipes=[{suppress="max_ent"}, {suppress="max_ent", robustify={name="undo", alpha=[0.2, 0.8]}}]',
    "attacks.0.learning_rate=[1e-3, 3e-3]",
    "seeds=[0, 1]",
)  # 40 runs
Open = Callable[..., AppTest]


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database whose UNDO runs failed; it is copied for every test."""
    home = tmp_path_factory.mktemp("seeded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LETHE_HOME", str(home))
        patch.delenv("LETHE_DATABASE_URL", raising=False)
        engine = require_database()
        seed_study(engine, SMALL, fail=("undo",))
        engine.dispose()
    return home


@pytest.fixture
def home(seeded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for file in seeded.glob("lethe.db*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setenv("LETHE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def open_runs(home: Path) -> Open:
    def opened(**address: str) -> AppTest:
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
        for key, value in address.items():
            at.query_params[key] = value
        at.switch_page("pages/3_Runs.py").run()
        assert not at.exception, at.exception[0].value
        return at

    return opened


def listed(at: AppTest) -> pd.DataFrame:
    return at.dataframe[0].value


def field(at: AppTest) -> Any:
    return next(one for one in at.text_input if one.label == "Filter")


def ids(at: AppTest) -> list[int]:
    return [int(link.split("=")[1]) for link in listed(at)["id"]]


def said(at: AppTest) -> str:
    kinds = ("markdown", "caption", "info", "warning", "error", "text")
    words = [str(element.value) for kind in kinds for element in at.get(kind)]
    return "\n".join([*words, *(str(getattr(one.proto, "body", "")) for one in at.get("html"))])


def ticked(at: AppTest, rows: list[int]) -> AppTest:
    """Tick rows of the list, as a click would."""
    return selected(at, rows=rows)


def selected(at: AppTest, rows: Sequence[int] = (), columns: Sequence[str] = ()) -> AppTest:
    """Select in the list, whose key changes with what it shows."""
    key = "runs_table-" + at.dataframe[0].proto.id.partition("-runs_table-")[2]
    at.session_state[key] = {"selection": {"rows": list(rows), "columns": list(columns), "cells": []}}  # fmt: skip
    at.run()
    assert not at.exception, at.exception[0].value
    return at


def button(at: AppTest, key: str) -> AppTest:
    at.button(key=key).click().run()
    assert not at.exception, at.exception[0].value
    return at


# ---- what is listed


def test_all_runs_are_listed_newest_first_with_how_many_there_are(open_runs: Open) -> None:
    at = open_runs(size="25")
    assert "1–25 of 40" in said(at)
    assert ids(at) == list(range(40, 15, -1))
    at = open_runs(size="25", page="2")
    assert "26–40 of 40" in said(at) and ids(at) == list(range(15, 0, -1))


def test_the_row_of_pages_follows_the_address_without_a_warning(
    open_runs: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[Any] = []
    monkeypatch.setattr(policies, "_shown_default_value_warning", False)
    monkeypatch.setattr(policies._LOGGER, "warning", lambda *told, **more: warnings.append(told))
    at = open_runs(size="25", page="2")
    del at.query_params["page"]
    at.run()
    assert "1–25 of 40" in said(at) and warnings == []


@pytest.mark.parametrize("page", ["9", "0", "-1", "x", "99999999999", "²"])
def test_a_page_that_is_not_there_is_one_that_is(open_runs: Open, page: str) -> None:
    at = open_runs(size="25", page=page)
    assert len(ids(at)) in (15, 25)


def test_the_filter_of_the_address_is_in_the_field_and_counts(open_runs: Open) -> None:
    at = open_runs(filter="method:undo state:failed")
    assert field(at).value == "method:undo state:failed"
    assert "1–4 of 4 that match; 40 in all" in said(at)
    assert set(listed(at)["state"]) == {"✗ failed"}


def test_a_study_in_the_address_is_a_filter_until_another_is_written(open_runs: Open) -> None:
    at = open_runs(study="quick")
    assert field(at).value == "study:quick"
    field(at).set_value("").run()
    assert field(at).value == ""


def test_a_mistake_is_named_and_the_last_good_list_stays(open_runs: Open) -> None:
    at = open_runs(filter="stage:base")
    before = ids(at)
    field(at).set_value("stage:base alpa>0.4").run()
    assert not at.exception
    told = at.error[0].value.replace("\\", "")
    assert "'alpa>0.4'" in told and "alpha" in told and "stage:base" in told
    assert ids(at) == before
    assert len(ids(open_runs(filter='"never closed'))) == 40


def test_chips_put_their_part_into_the_filter_and_take_it_out(open_runs: Open) -> None:
    at = open_runs(filter="method:undo")
    chips = next(one for one in at.get("button_group") if one.key.startswith("runs_chips"))
    chips.set_value(["Failed"]).run()
    assert field(at).value == "method:undo state:failed"
    assert set(listed(at)["state"]) == {"✗ failed"}
    chips = next(one for one in at.get("button_group") if one.key.startswith("runs_chips"))
    chips.set_value([]).run()
    assert field(at).value == "method:undo"


def test_the_address_sorts_and_chooses_columns_parameters_and_metrics_included(open_runs: Open) -> None:  # fmt: skip
    at = open_runs(columns="id,method,p.alpha,answer_accuracy@forget_score", sort="p.alpha")
    table = listed(at)
    assert list(table.columns) == ["id", "method", "p.alpha", "answer_accuracy@forget_score"]
    alphas = table["p.alpha"].tolist()
    assert alphas[:4] == [0.2, 0.2, 0.8, 0.8] and pd.isna(alphas[4])
    at = open_runs(columns="id,seconds", sort="-seconds")
    seconds = listed(at)["seconds"].dropna()
    assert seconds.tolist() == sorted(seconds, reverse=True)


def test_a_click_on_a_heading_sorts_the_whole_list(open_runs: Open) -> None:
    at = open_runs(size="25")
    selected(at, columns=["seed"])
    assert at.query_params["sort"] == "-seed"
    assert set(listed(at)["seed"]) == {1, 0} and listed(at)["seed"].iloc[0] == 1


def test_the_file_of_all_has_every_run_that_matches_in_the_views_order(home: Path) -> None:
    engine = require_database()
    view = View(columns=("id", "method", "p.alpha"), sort="-p.alpha", size=25)
    rows = whole(engine, view, [])
    assert len(rows) == 40 and list(rows.columns) == ["id", "method", "p.alpha"]
    assert rows["p.alpha"].tolist()[:4] == [0.8, 0.8, 0.2, 0.2]


def test_a_tag_that_a_spreadsheet_would_run_is_a_text_in_the_file_of_all(home: Path) -> None:
    engine = require_database()
    writes.add_tag(engine, [1], "=1+cmd(), x")
    rows = whole(engine, View(columns=("id", "seed", "tags"), sort="id"), [])
    told = csv(rows).decode().splitlines()
    assert told[:2] == ["id,seed,tags", '1,0,"\'=1+cmd(), x"']


def test_columns_that_no_run_has_are_said_and_left_out(open_runs: Open) -> None:
    at = open_runs(columns="id,p.foo,x; DROP TABLE run", sort="nothing")
    assert "No run has what the address names" in said(at)
    assert list(listed(at).columns) == ["id"]


def test_an_odd_address_shows_a_list(open_runs: Open) -> None:
    at = open_runs(size="7", show="Nothing", sort="-", columns=",,,", page="1e3")
    assert len(ids(at)) == 40


# ---- what is done with runs


def test_ticked_runs_lead_on_to_their_page_and_to_their_configurations(open_runs: Open) -> None:
    at = open_runs(filter="method:max_ent seed:0")
    at = ticked(at, [0])
    told = said(at)
    assert "1 chosen" in told
    assert f"Runs?run={ids(at)[0]}" in told
    assert (
        "Compare?study=quick&amp;pick=MaxEnt" in told or "Compare?study=quick&pick=MaxEnt" in told
    )
    assert at.session_state["selection"] == {"quick": ["MaxEnt"]}


def test_a_tag_is_put_on_all_that_are_ticked(open_runs: Open) -> None:
    at = ticked(open_runs(filter="stage:base"), [0, 1])
    at.session_state["runs_tag"] = None
    box = next(one for one in at.selectbox if one.key == "runs_tag")
    writes.add_tag(require_database(), [1], "paper")
    at = ticked(at.run(), [0, 1])
    box = next(one for one in at.selectbox if one.key == "runs_tag")
    box.select("paper").run()
    button(at, "runs_tag_add")
    engine = require_database()
    found = reads.matching_ids(engine, [reads.Condition("tag", ":", ("paper",))])
    assert set(ids(at)) <= set(found)


def test_archived_runs_leave_the_list_and_the_chip_shows_them(open_runs: Open) -> None:
    at = ticked(open_runs(filter="stage:base"), [0])
    gone = ids(at)[0]
    button(at, "runs_archive")
    assert gone not in ids(at)
    assert ids(open_runs(filter="is:archived")) == [gone]


def test_deleting_can_be_undone_at_once(open_runs: Open) -> None:
    at = ticked(open_runs(filter="method:undo state:failed"), [0])
    gone = ids(at)[0]
    assert "can be undone" in said(at)
    button(at, "runs_delete")
    assert gone not in ids(at) and "in the trash" in said(at)
    button(at, "undo")
    assert gone in ids(at)


def test_evidence_is_not_deleted_and_the_sentence_says_what_to_do(open_runs: Open) -> None:
    at = ticked(open_runs(filter="stage:base"), [0])
    assert "is a complete result of the study quick" in said(at).replace("\\", "") or "are complete results" in said(at)  # fmt: skip
    assert "archive it instead" in said(at)
    assert not [one for one in at.button if one.key == "runs_delete"]


def test_a_whole_study_goes_to_the_trash_and_comes_back(open_runs: Open) -> None:
    at = open_runs(show="Trash")
    at.selectbox(key="trash_study").select("quick").run()
    button(at, "trash_study_now")
    assert reads.studies(require_database()).empty
    assert "40 runs" in said(at)
    button(at, "restore quick")
    assert len(ids(open_runs())) == 40


def test_emptying_the_trash_says_what_it_frees_and_removes_the_files(open_runs: Open, home: Path) -> None:  # fmt: skip
    engine = require_database()
    gone = writes.trash_runs(engine, [int(reads.runs_in(engine, ["failed"])["id"].iloc[0])])
    fingerprint = reads.fingerprints(engine, gone)[gone[0]]
    (home / "checkpoints" / fingerprint).mkdir(parents=True)
    (home / "checkpoints" / fingerprint / "resume.safetensors").write_bytes(b"x")
    at = open_runs(show="Trash")
    assert f"removes {len(gone)} runs" in said(at)
    button(at, "empty_trash")
    assert not (home / "checkpoints" / fingerprint).exists()
    assert "The trash is empty." in said(at)


def test_the_trash_is_not_emptied_under_a_run_at_work(open_runs: Open) -> None:
    engine = require_database()
    gone = writes.trash_runs(engine, [int(reads.runs_in(engine, ["failed"])["id"].iloc[0])])
    with engine.begin() as c:
        c.execute(update(Run).where(Run.id == gone[0]).values(state="running"))
    at = open_runs(show="Trash")
    button(at, "empty_trash")
    assert [one.value for one in at.error] == [f"Run {gone[0]} is running; cancel it first."]
    assert reads.run(engine, gone[0]) is not None


# ---- saved views


def test_a_view_is_saved_and_its_link_shows_it_again(open_runs: Open) -> None:
    at = open_runs(filter='tag:"a b" <b>', columns="id,seed", sort="seed")
    at.text_input(key="view_name").set_value("mine & <i>").run()
    next(one for one in at.button if one.label == "Save" and one.key != "tags_save").click().run()
    assert not at.exception
    views = reads.views(require_database())
    assert views[0]["address"] == {"filter": 'tag:"a b" <b>', "columns": "id,seed", "sort": "seed"}
    told = said(at)
    assert "mine &amp; &lt;i&gt;" in told
    assert "filter=tag%3A%22a%20b%22%20%3Cb%3E" in told


# ---- notes and tags of one run


def test_a_note_is_saved_with_versions_and_shown_as_text(open_runs: Open) -> None:
    at = open_runs(run="1")
    at.text_area(key="note_text 1").set_value("**bold** <b>").run()
    at.text_input(key="note_author").set_value("Kim").run()
    button(at, "note_save")
    at.text_area(key="note_text 1").set_value("second").run()
    button(at, "note_save")
    told = reads.notes(require_database(), 1)
    assert told["text"].tolist() == ["second", "**bold** <b>"] and set(told["author"]) == {"Kim"}
    assert "**bold** <b>" in [one.value for one in at.text]
    button(at, "note_restore 1")
    assert at.text_area(key="note_text 1").value == "**bold** <b>"
    assert reads.notes(require_database(), 1)["version"].tolist() == [3, 2, 1]


def test_of_two_tabs_neither_loses_its_note(open_runs: Open) -> None:
    one, other = open_runs(run="1"), open_runs(run="1")
    one.text_area(key="note_text 1").set_value("from one").run()
    other.text_area(key="note_text 1").set_value("from the other").run()
    button(one, "note_save")
    button(other, "note_save")
    assert "was saved while you wrote" in other.error[0].value
    assert other.text_area(key="note_text 1").value == "from the other"
    assert "from one" in [text.value for text in other.text]
    button(other, "note_keep")
    button(other, "note_save")
    assert reads.notes(require_database(), 1)["text"].tolist() == ["from the other", "from one"]


def test_a_runs_page_says_where_it_went_and_brings_it_back(open_runs: Open) -> None:
    engine = require_database()
    failed = int(reads.runs_in(engine, ["failed"])["id"].iloc[0])
    writes.trash_runs(engine, [failed])
    at = open_runs(run=str(failed))
    assert "in the trash" in at.warning[0].value
    button(at, "run_restore")
    assert (reads.run(engine, failed) or {})["trashed_at"] is None and not at.warning
    writes.set_archived(engine, [failed], True)
    button(open_runs(run=str(failed)), "run_unarchive")
    assert (reads.run(engine, failed) or {})["archived_at"] is None


def test_a_runs_tags_lead_to_all_runs_that_have_them(open_runs: Open) -> None:
    writes.add_tag(require_database(), [1], "look again")
    at = open_runs(run="1")
    assert "Runs?filter=tag%3A%22look%20again%22" in said(at)


# ---- parallel coordinates


@pytest.mark.parametrize("of", ["Configurations", "Runs"])
def test_parallel_coordinates_have_a_twin_and_at_most_eight_axes(open_runs: Open, of: str) -> None:
    at = open_runs(show="Parallel coordinates", of=of, filter="" if of == "Runs" else "-stage:base")
    axes = next(box for box in at.multiselect if box.label == "Axes")
    assert 2 <= len(axes.value) <= 8
    twin = at.dataframe[-1].value
    assert list(twin.columns) == ["name", "method", *axes.value]
    assert len(at.get("arrow_vega_lite_chart") or at.get("vega_lite_chart")) == 1


def test_the_axes_are_in_the_address(open_runs: Open) -> None:
    at = open_runs(show="Parallel coordinates", of="Runs", axes="seed,seconds,nonsense")
    assert list(at.dataframe[-1].value.columns) == ["name", "method", "seed", "seconds"]


def test_nothing_to_compare_is_a_sentence(open_runs: Open) -> None:
    at = open_runs(show="Parallel coordinates", of="Runs", filter="run:1")
    assert "nothing to compare" in said(at)
    at = open_runs(show="Parallel coordinates", filter="tag:nobody")
    assert "No configuration of this study has a run that matches." in said(at)


def test_an_empty_database_names_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("LETHE_HOME", str(tmp_path / "none"))
    at: Any = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    at.switch_page("pages/3_Runs.py").run()
    assert "Launch?study=quick" in said(at)
