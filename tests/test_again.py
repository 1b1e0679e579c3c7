"""Models that were removed to make room: their numbers stay, and what needs them makes them again first."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import Engine, insert, select, update

from backend import plan, study
from backend.__main__ import main
from backend.playground.kept_models import KeptModels
from backend.recipe import task_of
from backend.results import frontier_document
from backend.stage import RunFailed
from backend.worker import work
from db import reads, writes
from db.models import Artifact, Measurement, Run, now
from db.session import DatabaseProblem
from db.writes.rows import models_alone
from tests.small_study import SETTING, database, numbers, run, submit

OPTIONS: dict[str, Any] = {"slots": 1, "until_idle": True}


def put(engine: Engine, rates: list[float], **more: Any) -> None:
    """A study of one method under an attack of these rates."""
    source = {
        "name": "small",
        "setting": SETTING,
        "recipes": [{"suppress": {"name": "max_ent", "steps": 3}, "robustify": {"name": "undo", "alpha": 0.6, "steps": 10}, **more}],
        "attacks": [{"name": "relearn", "learning_rate": rates, "steps": 6}],
    }  # fmt: skip
    resolved = study.resolve(source)
    writes.submit(engine, name="small", document=resolved.document, runs=plan.as_rows(resolved.runs))  # fmt: skip


def of(engine: Engine, stage: str, origin: str = "run") -> list[dict[str, Any]]:
    with engine.connect() as c:
        query = select(Run.__table__).where(Run.stage == stage, Run.origin == origin)
        return [dict(row) for row in c.execute(query.order_by(Run.id)).mappings()]


def model(home: Path, row: dict[str, Any]) -> Path:
    return home / "checkpoints" / row["fingerprint"] / "model.safetensors"


def removed(engine: Engine, home: Path, *rows: dict[str, Any]) -> None:
    """Remove the models of runs, as a clean-up does."""
    ids = sorted(row["id"] for row in rows)
    assert writes.remove_models(engine, ids) == ids
    for row in rows:
        model(home, row).unlink()


def of_study(engine: Engine) -> pd.DataFrame:
    """All numbers but those of models that were made again."""
    again = {row["fingerprint"] for stage in ("suppress", "robustify") for row in of(engine, stage, "again")}  # fmt: skip
    found = numbers(engine)
    return found[~found["run"].isin(again)].reset_index(drop=True)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    found = database(tmp_path, monkeypatch)
    put(found, [1e-3])
    assert work(found, **OPTIONS)
    return found


def test_a_new_attack_on_a_removed_model_makes_it_again_first_and_gets_the_same_numbers(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    (suppress,), (robust,) = of(engine, "suppress"), of(engine, "robustify")
    content = model(tmp_path, robust).read_bytes()
    before, shown = numbers(engine), frontier_document(engine, "small")
    removed(engine, tmp_path, suppress, robust)
    assert reads.model_file(engine, robust["id"])["removed"]
    assert frontier_document(engine, "small") == shown, "numbers do not rest on the file"
    put(engine, [1e-3, 1e-2])
    after_submission = of_study(engine)
    pd.testing.assert_frame_equal(after_submission, before)
    assert {row["state"] for row in of(engine, "robustify")} == {"complete"}
    assert work(engine, study_id=reads.study(engine, "small").id, **OPTIONS)
    assert model(tmp_path, robust).read_bytes() == content
    assert not reads.model_file(engine, robust["id"])["removed"]
    told = reads.events(engine, robust["id"])
    assert told["kind"].iloc[0] == "model made again" and told["text"].iloc[0].startswith("bit for bit")  # fmt: skip
    assert len(of(engine, "suppress", "again")) == len(of(engine, "robustify", "again")) == 1
    monkeypatch.setenv("LETHE_HOME", str(tmp_path / "alone"))
    alone = database(tmp_path / "alone", monkeypatch)
    put(alone, [1e-3, 1e-2])
    assert work(alone, **OPTIONS)
    pd.testing.assert_frame_equal(of_study(engine), numbers(alone))
    mine, theirs = (frontier_document(one, "small") for one in (engine, alone))
    for row, other in zip(mine["rows"], theirs["rows"], strict=True):
        for name in ("utility", "robust_forget_quality", "compute", "flops", "search_flops"):
            assert row[name] == other[name], name


def test_a_model_that_is_removed_again_is_made_again_again(engine: Engine, tmp_path: Path) -> None:
    (robust,) = of(engine, "robustify")
    for rates in ([1e-3, 1e-2], [1e-3, 1e-2, 3e-3]):
        removed(engine, tmp_path, robust)
        put(engine, rates)
        assert work(engine, **OPTIONS)
        assert model(tmp_path, robust).exists()
    (again,) = of(engine, "robustify", "again")
    assert again["state"] == "complete" and again["attempt"] == 2
    with engine.connect() as c:
        kept = list(c.execute(select(Artifact.kind).where(Artifact.run_id == robust["id"])).scalars())  # fmt: skip
        assert kept == ["model"]
        rows = select(Measurement.attempt).where(Measurement.run_id == again["id"]).distinct()
        assert list(c.execute(rows).scalars()) == [2]


def test_a_searched_model_is_made_again_without_its_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    engine = database(tmp_path, monkeypatch)
    search = {"trials": 2, "space": {"learning_rate": [1e-4, 1e-2]}, "utility_floor": 0.5}
    put(engine, [1e-3], search=search)
    assert work(engine, **OPTIONS)
    chosen = [row for stage in ("suppress", "robustify") for row in of(engine, stage) if row["chosen"]]  # fmt: skip
    assert chosen
    content = model(tmp_path, chosen[-1]).read_bytes()
    trials = [run for one in chosen for run, _ in reads.run(engine, one["id"])["inputs"]["trials"]]
    removed(engine, tmp_path, chosen[-1], *[reads.run(engine, one) for one in trials])
    assert writes.retry(engine, [], remake=[chosen[-1]["id"]]) == 1
    assert work(engine, **OPTIONS)
    assert model(tmp_path, chosen[-1]).read_bytes() == content
    assert not model(tmp_path, reads.run(engine, trials[0])).exists()


def test_the_command_line_makes_a_removed_model_again(engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    (robust,) = of(engine, "robustify")
    digest = hashlib.sha256(model(tmp_path, robust).read_bytes()).hexdigest()
    removed(engine, tmp_path, robust)
    name = str(robust["id"])
    with pytest.raises(RunFailed, match=f"`retry {name}` makes it again"):
        KeptModels(engine, tmp_path).get(robust, task_of(robust["setting"]))
    assert main(["export-model", name, "--to", str(tmp_path / "out")]) == 1
    assert f"was removed to make room; `retry {name}` makes it again" in capsys.readouterr().err
    assert main(["retry", "small", "--json"]) == 0
    assert '"queued again": 0' in capsys.readouterr().out, "a whole study's models stay removed"
    assert main(["retry", name, "--json"]) == 0
    assert '"queued again": 1' in capsys.readouterr().out
    assert work(engine, **OPTIONS)
    assert hashlib.sha256(model(tmp_path, robust).read_bytes()).hexdigest() == digest
    assert main(["export-model", name, "--to", str(tmp_path / "out")]) == 0


@pytest.mark.both_databases
def test_what_an_unfinished_run_needs_cannot_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    engine = database(tmp_path, monkeypatch)
    submit(engine, run("a"), run("b", "a"), run("t"), run("c", "b", inputs={"teacher": ["t"]}), run("d", "b"))  # fmt: skip
    file = {"kind": "model", "path": "checkpoints/x/model.safetensors", "bytes": 1, "sha256": "0"}
    for _ in range(3):
        held = writes.claim(engine, "w", 30)
        writes.complete(engine, held.run_id, held.attempt, {}, [file])
    assert [reads.run(engine, n)["state"] for n in (1, 2, 3)] == ["complete"] * 3
    assert writes.remove_models(engine, [1, 2, 3, 4]) == [1]
    held = writes.claim(engine, "w", 30)
    writes.fail(engine, held.run_id, held.attempt, "no")
    assert writes.remove_models(engine, [2, 3]) == [], "it may be retried"
    writes.retry(engine, [held.run_id])
    for _ in range(2):
        held = writes.claim(engine, "w", 30)
        writes.complete(engine, held.run_id, held.attempt, {}, [file])
    assert writes.remove_models(engine, [2, 3]) == [2, 3]


@pytest.mark.both_databases
def test_a_failed_making_blocks_what_waits_for_it_until_it_is_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    engine = database(tmp_path, monkeypatch)
    submit(engine, run("a"), run("b", "a"))
    file = {"kind": "model", "path": "checkpoints/x/model.safetensors", "bytes": 1, "sha256": "0"}
    for _ in range(2):
        held = writes.claim(engine, "w", 30)
        writes.complete(engine, held.run_id, held.attempt, {}, [file])
    assert writes.remove_models(engine, [1, 2]) == [1, 2]
    submit(engine, run("a"), run("b", "a"), run("c", "b"), run("d", "b"))
    again = writes.claim(engine, "w", 30)
    assert reads.made_again(engine, again.run_id) == (1, "a"), "the chain is made from its start"
    assert writes.claim(engine, "w", 30) is None
    writes.fail(engine, again.run_id, again.attempt, "no")
    blocked = {reads.run(engine, n)["blocked_by"] for n in (3, 4)}
    assert blocked == {again.run_id} and reads.idle(engine)
    writes.retry(engine, [again.run_id])
    order = []
    while held := writes.claim(engine, "w", 30):
        made = reads.made_again(engine, held.run_id)
        order.append(made[1] if made else reads.run(engine, held.run_id)["fingerprint"])
        writes.complete(engine, held.run_id, held.attempt, {}, [file], made[0] if made else None)
    assert order == ["a", "b", "c", "d"]
    assert reads.events(engine, 2)["text"].iloc[0].startswith("bit for bit")
    assert writes.delete_study(engine, "study").runs == 6
    assert reads.row_counts(engine)["run"] == reads.row_counts(engine)["run_input"] == 0


FILE = {"kind": "model", "path": "checkpoints/x/model.safetensors", "bytes": 1, "sha256": "0"}


def done(engine: Engine, count: int = 99) -> list[int]:
    """Do what can be claimed, each with a model; the numbers of the runs."""
    found: list[int] = []
    while len(found) < count and (held := writes.claim(engine, "w", 30)):
        made = reads.made_again(engine, held.run_id)
        writes.complete(engine, held.run_id, held.attempt, {}, [FILE], made[0] if made else None)
        found.append(held.run_id)
    return found


@pytest.mark.both_databases
@pytest.mark.parametrize("state", ["waiting", "failed", "cancelled", "complete"])
def test_a_making_that_is_in_the_trash_comes_back_where_somebody_needs_it(kind_of_database: str, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    engine = database(tmp_path, monkeypatch)
    submit(engine, run("a"))
    assert done(engine) == [1]
    assert writes.remove_models(engine, [1]) == [1]
    assert writes.retry(engine, [], remake=[1]) == 1
    if state == "cancelled":
        writes.request_cancel(engine, [2])
    elif state == "failed":
        held = writes.claim(engine, "w", 30)
        writes.fail(engine, held.run_id, held.attempt, "no")
    elif state == "complete":
        assert done(engine) == [2]
        assert writes.remove_models(engine, [1]) == [1]
    assert reads.run(engine, 2)["state"] == state
    assert writes.trash_runs(engine, [2]) == [2]
    submit(engine, run("a"), run("b", "a"))
    assert done(engine) == [2, 3]
    assert reads.idle(engine)


@pytest.mark.both_databases
def test_a_retry_tells_what_it_queued_and_not_what_was_queued_before(kind_of_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    engine = database(tmp_path, monkeypatch)
    submit(engine, run("a"), run("b", "a"))
    assert done(engine) == [1, 2]
    assert writes.remove_models(engine, [1, 2]) == [1, 2]
    assert writes.retry(engine, [], remake=[2]) == 1, "its parent's making is not what was asked"
    assert writes.retry(engine, [], remake=[2]) == 0, "it waits already"
    assert writes.retry(engine, [], remake=[1, 2]) == 0


@pytest.fixture
def trashed(kind_of_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A study of two runs, and what makes their models again: 3 and 4."""
    engine = database(tmp_path, monkeypatch)
    submit(engine, run("a"), run("b", "a"))
    assert done(engine) == [1, 2]
    assert writes.remove_models(engine, [1, 2]) == [1, 2]
    assert writes.retry(engine, [], remake=[1, 2]) == 2
    return engine


@pytest.mark.both_databases
def test_a_study_takes_the_makings_of_its_models_to_the_trash_and_brings_them_back(trashed: Engine) -> None:  # fmt: skip
    assert writes.trash_study(trashed, "study") == 4
    assert writes.claim(trashed, "w", 30) is None and reads.idle(trashed)
    assert writes.restore_study(trashed, "study") == 4
    assert done(trashed) == [3, 4]
    assert not reads.removed_models(trashed)


@pytest.mark.both_databases
def test_a_study_whose_model_is_being_made_again_does_not_go_to_the_trash(trashed: Engine) -> None:
    held = writes.claim(trashed, "w", 30)
    assert held is not None and held.run_id == 3
    with pytest.raises(DatabaseProblem, match="study has running runs"):
        writes.trash_study(trashed, "study")
    assert reads.run(trashed, 1)["trashed_at"] is None and reads.study(trashed, "study") is not None


@pytest.mark.both_databases
def test_a_study_whose_models_were_made_again_is_emptied_with_the_trash(trashed: Engine) -> None:
    assert done(trashed) == [3, 4]
    writes.trash_study(trashed, "study")
    assert writes.empty_trash(trashed).runs == 4
    assert reads.row_counts(trashed)["run"] == reads.row_counts(trashed)["run_input"] == 0


@pytest.mark.both_databases
def test_what_was_stranded_outside_of_the_trash_goes_when_it_is_emptied(trashed: Engine) -> None:
    writes.trash_study(trashed, "study")
    with trashed.begin() as c:  # as it was left before
        c.execute(update(Run).where(Run.id.in_([3, 4])).values(trashed_at=None))
    held = writes.claim(trashed, "w", 30)
    with pytest.raises(DatabaseProblem, match="Run 3 is running; cancel it first"):
        writes.empty_trash(trashed)
    writes.fail(trashed, held.run_id, held.attempt, "no")
    assert writes.empty_trash(trashed).runs == 4
    assert reads.row_counts(trashed)["run"] == 0


@pytest.mark.both_databases
def test_a_run_outlasts_what_made_its_input_again(kind_of_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    engine = database(tmp_path, monkeypatch)
    submit(engine, run("a"))
    assert done(engine) == [1] and writes.remove_models(engine, [1]) == [1]
    submit(engine, run("a"), run("b", "a"))
    assert done(engine) == [3, 2]
    with engine.begin() as c:
        making = c.execute(select(Run.id).where(Run.origin == "again")).scalar_one()
        c.execute(update(Run).where(Run.id == making).values(trashed_at=now()))
    assert writes.empty_trash(engine).runs == 1
    assert reads.row_counts(engine)["run"] == 2 and reads.study(engine, "study").revision == 2


@pytest.mark.both_databases
def test_a_worker_of_a_study_makes_only_what_its_study_waits_for(kind_of_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    engine = database(tmp_path, monkeypatch)
    submit(engine, run("a"), run("b", "a"), name="one")
    submit(engine, run("x"), name="two")
    assert done(engine) == [1, 2, 3]
    assert writes.remove_models(engine, [1, 2, 3]) == [1, 2, 3]
    other = submit(engine, run("x"), run("y", "x"), name="two").study_id
    mine = submit(engine, run("a"), run("b", "a"), run("c", "b"), name="one").study_id
    making = {name: made for made in range(4, 10) if reads.run(engine, made) and (name := (reads.made_again(engine, made) or (0, ""))[1])}  # fmt: skip
    assert set(making) == {"a", "b", "x"}
    before = reads.last_event(engine)
    held = writes.claim(engine, "w", 30, mine)
    assert held is not None and held.run_id == making["a"], "it is two removes away"
    assert writes.claim(engine, "w", 30, mine) is None, "what the other study waits for is not ours"
    writes.fail(engine, held.run_id, held.attempt, "no")
    assert reads.failed_since(engine, before, mine) == [making["a"]]
    assert reads.failed_since(engine, before, other) == []
    held = writes.claim(engine, "w", 30, other)
    assert held is not None and held.run_id == making["x"]


@pytest.mark.parametrize("kind_of_database", ["postgresql"], indirect=True)  # SQLite has one writer
@pytest.mark.parametrize("first", ["submission", "removal"])
def test_removing_a_model_and_submitting_what_needs_it_wait_for_each_other(kind_of_database: str, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    engine = database(tmp_path, monkeypatch)
    submit(engine, run("a"))
    assert done(engine) == [1]
    with engine.begin() as c, ThreadPoolExecutor(1) as pool:
        models_alone(c)
        if first == "submission":
            child = {"fingerprint": "b", "stage": "suppress", "name": "b", "version": 1, "parameters": {}, "setting": {}, "precision": "fp32", "seed": 0, "parent_id": 1}  # fmt: skip
            c.execute(insert(Run).values(**child))
            second = pool.submit(writes.remove_models, engine, [1])
        else:
            note = update(Artifact).where(Artifact.run_id == 1).values(kind="removed model")
            c.execute(note)
            second = pool.submit(submit, engine, run("a"), run("b", "a"))
        with pytest.raises(TimeoutError):
            second.result(1.0)
        c.commit()
        assert second.result(600) == [] if first == "submission" else second.result(600).new == 1
    making = [row["name"] for row in of(engine, "base", "again")]
    assert making == ([] if first == "submission" else ["made_up"])


@pytest.mark.both_databases
def test_two_that_need_the_same_removed_model_have_it_made_once(kind_of_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    engine = database(tmp_path, monkeypatch)
    submit(engine, run("a"))
    assert done(engine) == [1] and writes.remove_models(engine, [1]) == [1]
    with ThreadPoolExecutor(8) as pool:
        names = [f"b{n}" for n in range(8)]
        made = [pool.submit(submit, engine, run("a"), run(name, "a"), name=name) for name in names]
        assert [one.result(600).new for one in made] == [1] * 8
    assert len(of(engine, "base", "again")) == 1


def test_weights_that_differ_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = database(tmp_path, monkeypatch)
    submit(engine, run("a"))
    file = {"kind": "model", "path": "checkpoints/a/model.safetensors", "bytes": 1, "sha256": "0" * 64}  # fmt: skip
    held = writes.claim(engine, "w", 30)
    writes.complete(engine, held.run_id, held.attempt, {}, [file])
    writes.remove_models(engine, [1])
    writes.retry(engine, [], remake=[1])
    held = writes.claim(engine, "w", 30)
    writes.complete(engine, held.run_id, held.attempt, {}, [{**file, "sha256": "1" * 64}], 1)
    assert "not bit for bit the one that was measured (000000000000 then" in reads.events(engine, 1)["text"].iloc[0]  # fmt: skip
    assert not reads.model_file(engine, 1)["removed"]
