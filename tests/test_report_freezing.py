"""What was frozen stays as it was, to the byte, whatever happens to its study and whoever tries to write."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, select

from backend import plan, study
from backend.canonical import canonical, plain, sha256
from backend.reports import review
from backend.stage import UserError
from db import reads, writes
from db.models import Report
from db.session import DatabaseProblem, require_database
from tests.report_data import SMALL, engine, small_home
from tests.seed_database import seed_study

pytestmark = pytest.mark.both_databases

__all__ = ["engine", "small_home"]  # fixtures
FEWER = ('recipes=[{suppress="max_ent"}]', SMALL[1])


@pytest.fixture
def report(engine: Engine) -> int:
    return review.begin_review(engine, "quick", author="A")


def stored(engine: Engine, report_id: int) -> str:
    with engine.connect() as c:
        return str(c.execute(select(Report.frozen).where(Report.id == report_id)).scalar_one())


def test_the_template_has_words_picture_table_gates_and_the_question(
    engine: Engine, report: int
) -> None:
    held = reads.report(engine, report)["blocks"]
    assert [block["kind"] for block in held] == ["text", "chart", "table", "gates", "text"]
    values = held[1]["content"]["data"]
    from backend.results import frontier_document

    rows = {r["configuration"]: r for r in frontier_document(engine, "quick")["rows"]}
    assert {one["configuration"] for one in values} == set(rows)
    for one in values:
        robust = rows[one["configuration"]]["robust_forget_quality"]["mean"]
        assert one["robust_forget_quality"] == robust


def test_a_run_that_ends_later_changes_no_byte(engine: Engine) -> None:
    report = review.begin_review(engine, "quick")
    found = review.freeze(engine, report, "A")
    before = stored(engine, report)
    assert sha256(before) == found and canonical(json.loads(before)) == before
    told = review.payload(reads.report(engine, report))
    assert review.newer(engine, told["studies"])[0]["finished"] == 0
    seed_study(engine, (*SMALL, "seeds=[0, 1]"))  # the same study's next revision, with more runs
    assert stored(engine, report) == before
    again = reads.report(engine, report)
    assert review.verified(again, reads.report_events(engine, report)) == ""
    [since] = review.newer(engine, told["studies"])
    assert since["finished"] > 0 and since["revised"] and since["gone"] == 0


def test_what_is_pinned(engine: Engine, report: int) -> None:
    review.freeze(engine, report, "A")
    told = review.payload(reads.report(engine, report))
    [pinned] = told["studies"]
    runs = reads.study_runs(engine, reads.study(engine, "quick").id)
    assert pinned["runs"] == sorted(runs["id"].tolist())
    assert pinned["seeds"] == [0] and pinned["setting"]["name"] == "arithmetic"
    assert pinned["attacks"][0]["grid"] and pinned["budgets"] == [150]
    prints = reads.fingerprints(engine)
    assert all(run["fingerprint"] == prints[run["id"]] for run in told["runs"])
    assert told["parts"]["suppress max_ent"] == [
        int(runs[runs["name"] == "max_ent"]["version"].iloc[0])
    ]
    names = {one["name"] for one in told["definitions"]}
    assert {"robust_forget_quality", "utility", "compute", "relearn"} <= names
    assert told["software"]["packages"]["altair"] and told["environments"][0]["runs"]


def test_runs_that_ended_after_the_data_were_taken_are_not_pinned(tmp_path: Any) -> None:
    engine = require_database()
    seed_study(engine, SMALL, stop_after=9)
    done = set(reads.runs_in(engine, ["complete"])["id"])
    report = review.begin_review(engine, "quick")
    running = int(reads.runs_in(engine, ["running"])["id"].iloc[0])
    row = reads.run(engine, running)
    ledger = dict.fromkeys(("steps", "tokens", "flops", "seconds", "peak_memory", "note", "chosen"))
    writes.complete(engine, running, row["attempt"], ledger)
    review.freeze(engine, report)
    told = review.payload(reads.report(engine, report))
    assert set(told["studies"][0]["runs"]) == done
    assert review.newer(engine, told["studies"])[0]["finished"] == 1


CHANGES: dict[str, Callable[[Engine, int, dict[str, Any]], Any]] = {
    "add": lambda e, r, b: writes.add_block(e, r, "text", "More", {"text": ""}),
    "edit": lambda e, r, b: writes.edit_block(e, b["id"], "T", {"text": ""}, b["updated_at"]),
    "move": lambda e, r, b: writes.move_block(e, b["id"], 1),
    "remove": lambda e, r, b: writes.remove_block(e, b["id"]),
    "bring back": lambda e, r, b: writes.remove_block(e, b["id"] + 1, away=False),
    "rename": lambda e, r, b: writes.rename_report(e, r, "Another"),
    "freeze again": lambda e, r, b: review.freeze(e, r),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_a_frozen_report_is_refused(
    engine: Engine, report: int, change: str
) -> None:
    blocks = reads.report(engine, report)["blocks"]
    writes.remove_block(engine, blocks[1]["id"])
    review.freeze(engine, report)
    before, trail = stored(engine, report), len(reads.report_events(engine, report))
    with pytest.raises(DatabaseProblem, match="frozen"):
        CHANGES[change](engine, report, blocks[0])
    assert stored(engine, report) == before
    assert len(reads.report_events(engine, report)) == trail


def test_what_changed_behind_our_back_is_said(engine: Engine, report: int) -> None:
    review.freeze(engine, report)
    changed = stored(engine, report).replace("max_ent", "max_end")
    with engine.begin() as c:
        c.execute(Report.__table__.update().values(frozen=changed))
    trail = reads.report_events(engine, report)
    assert "SHA-256" in review.verified(reads.report(engine, report), trail)
    with engine.begin() as c:  # even where the hash was changed with it
        c.execute(Report.__table__.update().values(sha256=sha256(changed)))
    assert "audit trail" in review.verified(reads.report(engine, report), trail)


def test_decisions_need_a_frozen_report_a_name_and_a_reason_and_none_is_lost(
    engine: Engine, report: int
) -> None:
    with pytest.raises(DatabaseProblem, match="freeze it first"):
        writes.decide(engine, report, "approve", "A", "All gates hold.")
    review.freeze(engine, report)
    for verdict, name, reason in (
        ("maybe", "A", "x"),
        ("approve", " ", "x"),
        ("approve", "A", " \n"),
    ):
        with pytest.raises(DatabaseProblem):
            writes.decide(engine, report, verdict, name, reason)
    before = stored(engine, report)
    writes.decide(engine, report, "needs work", "A", "Two cells are missing.")
    writes.decide(engine, report, "approve", "B", "They are there now.")
    trail = reads.report_events(engine, report)
    decided = trail[trail["kind"].isin(reads.DECISIONS)]
    assert decided[["kind", "author"]].values.tolist() == [["needs work", "A"], ["approve", "B"]]
    assert reads.reports(engine)["decision"].tolist() == ["approve"]
    assert stored(engine, report) == before


def test_a_copy_is_open_and_keeps_the_data_and_their_date(engine: Engine, report: int) -> None:
    review.freeze(engine, report)
    first = reads.report(engine, report)
    made = review.copy(engine, report, "B")
    copied = reads.report(engine, made)
    assert copied["frozen_at"] is None and copied["title"].endswith("(copy)")
    assert [b["content"] for b in copied["blocks"]] == [b["content"] for b in first["blocks"]]
    assert copied["blocks"][1]["created_at"] == first["blocks"][1]["created_at"]
    assert first["sha256"] in reads.report_events(engine, made)["text"].iloc[0]
    writes.rename_report(engine, made, "Another")  # it can be changed, and the first stays
    assert review.payload(reads.report(engine, report))["title"] == "Review of quick"


def test_blocks_are_moved_changed_removed_and_brought_back(engine: Engine, report: int) -> None:
    def titles() -> list[str]:
        return [block["title"] for block in reads.report(engine, report)["blocks"]]

    first = titles()
    last = reads.report(engine, report)["blocks"][-1]
    writes.move_block(engine, last["id"], -2)
    assert titles() == [*first[:2], first[4], *first[2:4]]
    writes.move_block(engine, last["id"], 99)
    assert titles() == first
    writes.remove_block(engine, last["id"])
    assert titles() == first[:-1]
    assert [b["title"] for b in reads.report(engine, report)["removed"]] == first[-1:]
    writes.remove_block(engine, last["id"], away=False)
    assert titles() == first


def test_of_two_who_edit_one_block_the_second_is_told(engine: Engine, report: int) -> None:
    block = reads.report(engine, report)["blocks"][0]
    writes.edit_block(engine, block["id"], "Mine", {"text": "first"}, block["updated_at"])
    with pytest.raises(DatabaseProblem, match="meanwhile"):
        writes.edit_block(engine, block["id"], "Yours", {"text": "second"}, block["updated_at"])
    assert reads.report(engine, report)["blocks"][0]["content"] == {"text": "first"}


def test_freezing_what_changed_meanwhile_is_refused(engine: Engine, report: int) -> None:
    seen = reads.report(engine, report)["updated_at"]
    writes.rename_report(engine, report, "Another")
    with pytest.raises(DatabaseProblem, match="changed meanwhile"):
        writes.freeze_report(engine, report, "{}", seen)
    assert reads.report(engine, report)["frozen_at"] is None


def test_an_empty_report_is_not_frozen_and_unknown_ones_are_named(engine: Engine) -> None:
    made = writes.create_report(engine, "Empty")
    with pytest.raises(UserError, match="no block"):
        review.freeze(engine, made)
    with pytest.raises(UserError, match="no report 77"):
        review.freeze(engine, 77)
    with pytest.raises(UserError, match="no study 'nothing'"):
        review.begin_review(engine, "nothing")
    for title in ("", " \n", "x" * 201):
        with pytest.raises(DatabaseProblem):
            writes.create_report(engine, title)
    assert len(reads.reports(engine)) == 1


def test_a_waiting_study_gives_no_review() -> None:
    engine = require_database()
    resolved = study.resolve(study.load("quick", list(SMALL)))
    writes.submit(
        engine, name="quick", document=resolved.document, runs=plan.as_rows(resolved.runs)
    )
    with pytest.raises(UserError, match="no finished run"):
        review.begin_review(engine, "quick")
    assert reads.reports(engine).empty


def test_a_block_is_taken_anew_from_the_study_as_it_is(engine: Engine) -> None:
    seed_study(engine, FEWER)
    report = review.begin_review(engine, "quick")
    seed_study(engine, SMALL)
    blocks = reads.report(engine, report)["blocks"]
    for block in blocks[1:4]:
        review.take_anew(engine, block, "A")
    anew = reads.report(engine, report)["blocks"]
    assert len(anew[2]["content"]["rows"]) == 5 > len(blocks[2]["content"]["rows"])
    assert {r["configuration"] for r in anew[3]["content"]["rows"]} > {"MaxEnt"}
    assert anew[1]["created_at"] > blocks[1]["created_at"]
    with pytest.raises(UserError, match="how it was made"):
        review.take_anew(engine, anew[0])


def test_equal_values_have_one_text() -> None:
    import numpy as np
    import pandas as pd

    one = {"b": np.float64(0.1), "a": [float("nan"), np.int64(3), pd.NA, None, True, "é"]}
    assert canonical(one) == '{"a":[null,3,null,null,true,"\\u00e9"],"b":0.1}'
    assert canonical(dict(reversed(list(one.items())))) == canonical(one)
    assert plain(pd.NaT) is None
    with pytest.raises(UserError, match="cannot hold this object"):
        canonical({"a": object()})
