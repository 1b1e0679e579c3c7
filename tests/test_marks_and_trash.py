"""Tags, notes with versions, saved views; and what deleting does to studies and their frontiers."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from backend.results import frontier_document
from db import reads, writes
from db.models import Measurement, Run, StudyRun
from db.session import DatabaseProblem
from tests.seed_database import seed_study
from tests.small_study import database, run, submit

pytestmark = pytest.mark.both_databases

SMALL = ('recipes=[{suppress="max_ent", robustify={name="undo", alpha=[0.2, 0.8]}}]', "attacks.0.learning_rate=[1e-3, 1e-2]")  # fmt: skip


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    return database(tmp_path, monkeypatch)


def ids(engine: Engine, text_state: str) -> list[int]:
    with engine.connect() as c:
        query = select(Run.id).where(Run.state == text_state, Run.trashed_at.is_(None))
        return list(c.execute(query.order_by(Run.id)).scalars())


def finish(engine: Engine, count: int) -> None:
    for _ in range(count):
        claim = writes.claim(engine, "w", 60)
        assert claim is not None
        writes.complete(engine, claim.run_id, claim.attempt, {})


# ---- tags


def test_tags_are_put_on_many_runs_once_and_taken_off(engine: Engine) -> None:
    submit(engine, run("a"), run("b"))
    assert writes.add_tag(engine, [1, 2, 99], "  look   again ") == 2
    assert writes.add_tag(engine, [1], "look again") == 0
    assert reads.tags(engine).to_dict("records") == [{"tag": "look again", "runs": 2}]
    assert writes.remove_tag(engine, [1, 2], "look again") == 2
    assert reads.tags_of(engine, 1) == []


@pytest.mark.parametrize("tag", ["", "  ", "x" * 61, 'say "no"'])
def test_a_tag_that_no_filter_could_name_is_refused(engine: Engine, tag: str) -> None:
    submit(engine, run("a"))
    with pytest.raises(DatabaseProblem, match="A tag is"):
        writes.add_tag(engine, [1], tag)


# ---- notes


def test_every_save_is_a_version_and_an_old_one_can_be_restored(engine: Engine) -> None:
    submit(engine, run("a"))
    assert writes.save_note(engine, 1, "first", "Kim", 0) == 1
    assert writes.save_note(engine, 1, "**second**", "", 1) == 2
    assert writes.save_note(engine, 1, "first", "Kim", 2) == 3
    told = reads.notes(engine, 1)
    assert told["version"].tolist() == [3, 2, 1] and told["text"].tolist() == ["first", "**second**", "first"]  # fmt: skip


def test_of_two_who_write_at_once_the_second_is_told_and_nothing_is_lost(engine: Engine) -> None:
    submit(engine, run("a"))
    writes.save_note(engine, 1, "mine", "Kim", 0)
    with pytest.raises(DatabaseProblem, match="Version 1 of this note was saved while you wrote"):
        writes.save_note(engine, 1, "also mine", "Lee", 0)
    assert reads.notes(engine, 1)["text"].tolist() == ["mine"]
    with pytest.raises(DatabaseProblem, match="no run 7"):
        writes.save_note(engine, 7, "x", "", 0)
    with pytest.raises(DatabaseProblem, match="20001 characters"):
        writes.save_note(engine, 1, "x" * 20_001, "", 1)


# ---- saved views


def test_views_are_saved_renamed_replaced_and_deleted(engine: Engine) -> None:
    submit(engine, run("a"))
    writes.save_view(engine, "failed ones", {"filter": "state:failed"})
    with pytest.raises(DatabaseProblem, match="replace it"):
        writes.save_view(engine, "failed  ones", {"filter": ""})
    writes.save_view(engine, "failed ones", {"filter": "state:failed seed:0"}, replace=True)
    writes.save_view(engine, "all", {})
    first, second = reads.views(engine)
    assert (first["name"], second["address"]) == ("all", {"filter": "state:failed seed:0"})
    with pytest.raises(DatabaseProblem, match="choose another name"):
        writes.rename_view(engine, first["id"], "failed ones")
    writes.rename_view(engine, first["id"], "every run")
    writes.delete_view(engine, second["id"])
    assert [view["name"] for view in reads.views(engine)] == ["every run"]


# ---- the trash


def test_a_complete_result_of_a_study_is_not_deleted_by_itself(engine: Engine) -> None:
    submit(engine, run("a"), run("b", "a"), name="mine")
    finish(engine, 1)
    with pytest.raises(DatabaseProblem, match="Run 1 is a complete result of the study mine"):
        writes.trash_runs(engine, [1])
    assert ids(engine, "complete") == [1]
    assert reads.removal_of(engine, [1]).refused and not reads.removal_of(engine, [2]).refused


def test_a_running_run_is_not_deleted_nor_what_it_is_built_on(engine: Engine) -> None:
    submit(engine, run("a"), run("b", "a"))
    submit(engine, run("c"))  # a newer revision: a and b are leftovers
    finish(engine, 1)
    claim = writes.claim(engine, "w", 60)
    assert claim is not None and claim.run_id == 2
    for chosen in ([1], [2]):
        with pytest.raises(DatabaseProblem, match="Run 2 is running; cancel it first"):
            writes.trash_runs(engine, chosen)
    with pytest.raises(DatabaseProblem, match="running runs"):
        writes.trash_study(engine, "study")


def test_what_is_built_on_a_run_goes_with_it_and_comes_back_with_it(engine: Engine) -> None:
    given = {"teachers": ["b"]}
    submit(engine, run("a"), run("b", "a"), run("c", inputs=given), run("d"))
    assert reads.removal_of(engine, [1]).built_on == 2
    assert writes.trash_runs(engine, [1]) == [1, 2, 3]
    assert reads.counts(engine)["waiting"] == 1
    assert writes.restore_runs(engine, [3]) == 3, "c needs b, and b needs a"
    assert reads.counts(engine)["waiting"] == 4


def test_nobody_works_on_what_is_in_the_trash(engine: Engine) -> None:
    submit(engine, run("a"))
    writes.trash_runs(engine, [1])
    assert writes.claim(engine, "w", 60) is None and reads.idle(engine)
    assert writes.retry(engine, [1]) == 0
    writes.restore_runs(engine, [1])
    assert writes.claim(engine, "w", 60) is not None


def test_a_run_in_the_trash_that_is_submitted_again_comes_back_to_be_done(engine: Engine) -> None:
    submit(engine, run("a"), run("b"))
    claim = writes.claim(engine, "w", 60)
    assert claim is not None
    writes.fail(engine, claim.run_id, claim.attempt, "broken")
    finish(engine, 1)
    writes.trash_runs(engine, [1])
    done = submit(engine, run("a"), run("b"))
    assert (done.new, done.existing) == (0, 2)
    row = reads.run(engine, 1) or {}
    assert (row["state"], row["error"], row["trashed_at"], row["first_attempt"]) == ("waiting", None, None, row["attempt"] + 1)  # fmt: skip
    assert ids(engine, "complete") == [2], "what is done is never done twice"


def test_a_study_goes_with_its_own_runs_and_comes_back_whole(engine: Engine) -> None:
    submit(engine, run("a"), run("b", "a"), name="one")
    submit(engine, run("a"), run("c", "a"), name="two")
    finish(engine, 3)
    assert writes.trash_study(engine, "one") == 1
    assert list(reads.studies(engine)["name"]) == ["two"] and reads.study(engine, "one") is None
    assert reads.counts(engine)["complete"] == 2
    assert writes.trash_study(engine, "two") == 2, "what both had goes with the last of them"
    held = reads.trash(engine)
    assert held.runs == 3 and held.studies["name"].tolist() == ["one", "two"]
    assert writes.restore_study(engine, "one") == 2
    assert reads.counts(engine)["complete"] == 2 and list(reads.studies(engine)["name"]) == ["one"]
    with pytest.raises(DatabaseProblem, match="no study 'two'"):
        writes.trash_study(engine, "two")


def test_submitting_a_study_that_is_in_the_trash_brings_it_back(engine: Engine) -> None:
    submit(engine, run("a"), run("b", "a"))
    submit(engine, run("a"))
    finish(engine, 2)
    writes.trash_study(engine, "study")
    assert submit(engine, run("a")).revision == 2
    assert reads.counts(engine)["complete"] == 2 and reads.trash(engine).runs == 0


def test_deleting_a_study_for_good_leaves_nothing_to_nobody(engine: Engine) -> None:
    submit(engine, run("a"), name="one")
    submit(engine, run("a"), run("b"), name="two")
    writes.trash_study(engine, "one")
    assert writes.delete_study(engine, "two").runs == 1
    assert reads.trash(engine).runs == 1, "a belongs to a study in the trash only"


def test_emptying_the_trash_removes_rows_and_names_the_files(engine: Engine) -> None:
    submit(engine, run("a"), run("b", "a"), name="one")
    submit(engine, run("z"), name="two")
    for _ in range(2):
        claim = writes.claim(engine, "w", 60)
        assert claim is not None
        held = (engine, claim.run_id, claim.attempt)
        writes.begin(*held, {}, 0)
        writes.record(*held, measurements=[{"metric": "loss", "split": "train", "value": 1.0}])
        file = {"kind": "model", "path": f"checkpoints/{claim.run_id}/model", "bytes": 10, "sha256": "0"}  # fmt: skip
        writes.complete(*held, {}, [file])
    writes.add_tag(engine, [1, 2], "gone")
    writes.save_note(engine, 1, "x", "", 0)
    writes.trash_study(engine, "one")
    told = reads.trash(engine)
    assert (told.runs, told.measurements, told.bytes) == (2, 2, 20)
    deleted = writes.empty_trash(engine)
    assert deleted.runs == 2 and sorted(deleted.fingerprints) == ["a", "b"]
    assert sorted(deleted.files) == ["checkpoints/1/model", "checkpoints/2/model"]
    with engine.connect() as c:
        for table in (Measurement, StudyRun):
            assert c.execute(select(func.count()).select_from(table)).scalar() == (table is StudyRun)  # fmt: skip
    assert reads.run(engine, 3) is not None and reads.trash(engine).runs == 0


@pytest.mark.parametrize("emptied", [False, True])
def test_a_frontier_says_the_same_with_failed_runs_there_in_the_trash_or_gone(engine: Engine, emptied: bool) -> None:  # fmt: skip
    seed_study(engine, SMALL, fail=("undo",))
    before = frontier_document(engine, "quick")["rows"]
    gone = writes.trash_runs(engine, ids(engine, "failed"))
    assert len(gone) > len(ids(engine, "failed")) == 0
    if emptied:
        writes.empty_trash(engine)
    after = frontier_document(engine, "quick")["rows"]
    keys = ("configuration", "robust_forget_quality", "utility", "compute", "cells_done", "cells_total", "weak_evidence")  # fmt: skip
    assert [[row[key] for key in keys] for row in after] == [[row[key] for key in keys] for row in before]  # fmt: skip


def test_an_older_revision_shows_deleted_leftovers_as_missing_never_as_another_number(engine: Engine) -> None:  # fmt: skip
    seed_study(engine, SMALL)
    seed_study(engine, (SMALL[0], "attacks.0.learning_rate=[1e-3]"))
    left = reads.matching_ids(engine, [reads.Condition("is", ":", ("leftover",))])
    assert left and not reads.removal_of(engine, left).refused
    new = frontier_document(engine, "quick")["rows"]
    writes.trash_runs(engine, left)
    assert frontier_document(engine, "quick")["rows"] == new
    old = frontier_document(engine, "quick", revision=1)["rows"]
    assert all(row["robust_forget_quality"]["mean"] is None for row in old if row["method"] == "undo")  # fmt: skip
    assert all(row["cells_done"] == row["cells_total"] / 2 for row in old)
