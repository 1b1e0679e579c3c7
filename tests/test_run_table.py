"""The list of runs page by page: filters and orders of the database against the same done by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import Engine, select
from sqlalchemy.dialects import postgresql

from backend.run_filter import Words, parse
from db import reads, writes
from db.models import Run
from db.reads.run_columns import column
from db.reads.run_conditions import where
from tests.seed_database import seed_study
from tests.small_study import database, run, submit

pytestmark = pytest.mark.both_databases

RECIPES = 'recipes=[{suppress="max_ent", robustify={name="undo", alpha=[0.2, 0.8]}}, {suppress="max_ent", robustify={name="distill", student="random"}}]'
Found = Callable[[str], list[int]]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A study of 30 runs, one method of which failed, with tags and notes."""
    with pytest.MonkeyPatch.context() as patch:
        made = database(tmp_path_factory.mktemp("home"), patch)
        seed_study(made, (RECIPES, "attacks.0.learning_rate=[1e-3, 1e-2]", 'name="one two"'), ("distill",))  # fmt: skip
        writes.add_tag(made, [1, 2, 3], "look again")
        writes.add_tag(made, [3], "paper")
        writes.save_note(made, 5, "100 % of it, größer", "Kim", 0)
        yield made


@pytest.fixture(scope="module")
def runs(engine: Engine) -> pd.DataFrame:
    """The same runs, for filters done by hand."""
    record = reads.study(engine, "one two")
    assert record is not None
    return reads.study_runs(engine, record.id).set_index("id", drop=False)


@pytest.fixture
def found(engine: Engine) -> Found:
    words = Words(reads.parameter_names(engine), reads.metric_names(engine))
    return lambda text: reads.matching_ids(engine, parse(text, words))


BY_HAND: dict[str, Callable[[Any], bool]] = {
    "method:undo": lambda r: r["name"] == "undo",
    "method:UN*": lambda r: r["name"] == "undo",
    "stage:attack,evaluate": lambda r: r["stage"] in ("attack", "evaluate"),
    "-state:complete": lambda r: r["state"] != "complete",
    "state:blocked": lambda r: r["state"] == "waiting" and pd.notna(r["blocked_by"]),
    "state:waiting": lambda r: False,
    "seed:0 seconds>60": lambda r: pd.notna(r["seconds"]) and r["seconds"] > 60,
    "alpha>=0.4": lambda r: r["parameters"].get("alpha", 0) >= 0.4,
    "-alpha>=0.4": lambda r: not r["parameters"].get("alpha", 0) >= 0.4,
    "alpha:0.2,0.8": lambda r: r["parameters"].get("alpha") in (0.2, 0.8),
    "learning_rate:1e-2": lambda r: r["parameters"].get("learning_rate") == 0.01,
    "student:random": lambda r: r["parameters"].get("student") == "random",
    "student>1": lambda r: False,
    "metrics:answer_accuracy": lambda r: "answer_accuracy" in r["parameters"].get("metrics", []),
    'tag:"look again"': lambda r: r["id"] in (1, 2, 3),
    "tag:paper,nothing": lambda r: r["id"] == 3,
    "has:tag -tag:paper": lambda r: r["id"] in (1, 2),
    "author:kim": lambda r: r["id"] == 5,
    "has:note": lambda r: r["id"] == 5,
    "has:error": lambda r: isinstance(r["error"], str),
    '"100 %"': lambda r: r["id"] == 5,
    "größer": lambda r: r["id"] == 5,
    '"not a number"': lambda r: isinstance(r["error"], str),
    'study:"one two"': lambda r: True,
    "study:one*": lambda r: True,
    "study:other": lambda r: False,
    "is:leftover": lambda r: False,
    "finished>=1h-ago": lambda r: pd.notna(r["finished_at"]),
    "finished<1h-ago": lambda r: False,
    "setting:arithmetic": lambda r: True,
    "method:u_do": lambda r: False,
    "method:%": lambda r: False,
    "x' OR 1=1 --": lambda r: False,
}  # fmt: skip


@pytest.mark.parametrize("text", [t for t in BY_HAND if not t.endswith("--")])
def test_a_filter_finds_what_the_same_done_by_hand_finds(text: str, found: Found, runs: pd.DataFrame) -> None:  # fmt: skip
    wanted = [int(r["id"]) for r in runs.to_dict("records") if BY_HAND[text](r)]
    assert found(text) == sorted(wanted)


def test_a_value_is_never_sql(found: Found, engine: Engine) -> None:
    assert found('"\' OR 1=1 --"') == []
    assert found("tag:'x';DROP") == []
    assert reads.counts(engine)["complete"] > 0


def test_a_metric_is_read_off_a_model_as_off_its_evaluation(engine: Engine, found: Found, runs: pd.DataFrame) -> None:  # fmt: skip
    name = "answer_accuracy@forget_score"
    rows = reads.run_page(engine, (), ("stage", name), limit=100).rows.set_index("id")
    base = runs.index[runs["stage"] == "base"][0]
    look = runs.index[(runs["stage"] == "evaluate") & (runs["parent"] == base)][0]
    assert rows.loc[base, name] == rows.loc[look, name] == 1.0
    attack = runs.index[(runs["stage"] == "attack") & (runs["state"] == "complete")][0]
    measured = reads.measurements(engine, run_ids=[attack], metrics=["answer_accuracy"], splits=["forget_score"])  # fmt: skip
    assert rows.loc[attack, name] == measured["value"].iloc[-1]
    assert base in found(f"{name}>0.9") and look in found(f"{name}>0.9")


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("sort", ["id", "seconds", "method", "state", "p.alpha", "loss@train", "tags", "studies", "parameters", "note", "setting", "finished"])  # fmt: skip
def test_pages_put_together_are_the_whole_list_in_order(engine: Engine, sort: str, descending: bool) -> None:  # fmt: skip
    pages = [reads.run_page(engine, (), (sort,), sort, descending, 7, offset) for offset in range(0, 42, 7)]  # fmt: skip
    whole = pd.concat([page.rows for page in pages], ignore_index=True)
    assert whole["id"].is_unique and len(whole) == pages[0].matching == pages[0].total
    known = whole[sort].notna()
    assert known.tolist() == sorted(known.tolist(), reverse=True), "what has no value comes last"
    if sort != "parameters":
        values = whole[sort][known].tolist()
        assert values == sorted(values, reverse=descending)


def test_an_unknown_column_is_no_sql(engine: Engine) -> None:
    with pytest.raises(KeyError):
        reads.run_page(engine, (), ("id; DROP TABLE run",))


def test_on_postgresql_parameters_are_read_with_its_own_operators() -> None:
    words = Words(("alpha", "student"), ("loss@train",))
    conditions = parse("alpha>=0.4 student:random -loss@train<1 x state:blocked has:note", words)
    query = select(column("p.alpha", "postgresql", True), column("tags", "postgresql"))
    told = str(query.where(where(conditions, "postgresql")).compile(dialect=postgresql.dialect()))
    assert "jsonb_typeof" in told and "string_agg" in told and "json_extract" not in told.lower()


def test_runs_that_only_an_older_revision_has_are_leftovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    made = database(tmp_path, monkeypatch)
    submit(made, run("a"), run("b", "a"))
    submit(made, run("a"))
    assert reads.matching_ids(made, parse("is:leftover", Words())) == [2]
    assert reads.run_page(made, (), ("studies",)).rows["studies"].fillna("").tolist() == [
        "",
        "study",
    ]


def test_what_is_archived_or_in_the_trash_shows_only_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    made = database(tmp_path, monkeypatch)
    submit(made, *(run(name) for name in "abcd"))
    assert writes.set_archived(made, [1, 2], True) == 2 and writes.set_archived(made, [1], True) == 0  # fmt: skip
    writes.trash_runs(made, [2, 3])
    shown = {text: reads.matching_ids(made, parse(text, Words())) for text in ("", "is:archived", "-is:archived", "is:trashed")}  # fmt: skip
    assert shown == {"": [4], "is:archived": [1], "-is:archived": [4], "is:trashed": [2, 3]}
    writes.set_archived(made, [1], False)
    assert reads.matching_ids(made, ()) == [1, 4]
    with made.connect() as c:
        assert c.execute(select(Run.archived_at).where(Run.id == 1)).scalar() is None
