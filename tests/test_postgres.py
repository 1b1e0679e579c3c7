"""What differs between the databases: texts, claims of many workers, migrations, and copying from one to the other."""

import multiprocessing
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, insert, select, text

from backend.access import make_token
from backend.engines.choosing import Elsewhere
from backend.engines.interface import Job, Work
from backend.results import frontier_document
from backend.worker import Happened, work
from db import reads, session, writes
from db.copying import copy_database
from db.models import Run, Study, Table
from db.writes import rows, submission
from tests.claiming import CLAIMERS, claim_all
from tests.postgres import Server
from tests.seed_database import seed_study
from tests.small_study import lives, run, submit

SMALL = (
    'recipes=[{suppress="max_ent"}, {suppress="max_ent", robustify={name="undo", alpha=[0.2, 0.8]}}]',
    "attacks.0.learning_rate=[1e-3, 3e-3]",
)
ODD = "a\x00b \ud800 é 한"


def opened(url: str) -> Engine:
    engine = session.open_database(url=url)
    assert engine is not None
    return engine


@pytest.fixture
def databases(postgres: Server, tmp_path: Path) -> Any:
    """An empty SQLite database and an empty PostgreSQL one."""
    urls = [f"sqlite:///{tmp_path}/here.db", postgres.new()]
    yield [opened(url) for url in urls]
    for url in urls:
        session.close(url)


def contents(engine: Engine) -> dict[str, list[Any]]:
    with session.reader(engine).connect() as c:
        return {
            table.name: [
                tuple(row) for row in c.execute(select(table).order_by(*table.primary_key))
            ]
            for table in Table.metadata.sorted_tables
        }


@pytest.mark.both_databases
@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_sixteen_claimers_never_get_the_same_run(kind_of_database: str, count: int) -> None:
    engine = session.require_database()
    submit(engine, *(run(f"r{number}") for number in range(count)))
    context = multiprocessing.get_context("spawn")
    queue, together = context.Queue(), context.Barrier(4)
    url = engine.url.render_as_string(hide_password=False)
    workers = [
        context.Process(target=claim_all, args=(url, f"w{n}", together, queue)) for n in range(4)
    ]
    for worker in workers:
        worker.start()
    found = [queue.get(timeout=300 + count / 20) for _ in range(4 * CLAIMERS)]
    for worker in workers:
        worker.join(300)
    taken = Counter(run_id for mine in found for run_id in mine)
    assert sorted(taken) == list(range(1, count + 1)) and set(taken.values()) == {1}


@pytest.mark.both_databases
def test_texts_of_models_are_stored_whatever_they_hold(kind_of_database: str) -> None:
    engine = session.require_database()
    submit(engine, run("a", parameters={"note": ODD, "share": float("nan")}))
    claimed = writes.claim(engine, "w", 60)
    assert claimed is not None
    writes.fail(engine, claimed.run_id, claimed.attempt, ODD, ODD)
    row = reads.run(engine, claimed.run_id) or {}
    assert row["error"] == row["traceback"] == row["parameters"]["note"] == "a␀b � é 한"
    assert row["parameters"]["share"] is None


def test_a_run_that_is_submitted_while_the_one_above_it_fails_is_blocked(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    engine = opened(url := postgres.new())
    submit(engine, run("a"))
    held = writes.claim(engine, "w", 60)
    assert held is not None
    about_to_commit, failed = threading.Event(), threading.Event()

    def slow(c: Connection) -> None:
        rows.block(c)
        about_to_commit.set()
        failed.wait(120)

    monkeypatch.setattr(submission, "block", slow)
    other = threading.Thread(target=submit, args=(engine, run("a"), run("b", "a"), run("c", "b")), kwargs={"name": "later"})  # fmt: skip
    other.start()
    assert about_to_commit.wait(120)
    assert writes.fail(engine, held.run_id, held.attempt, "It broke.")
    failed.set()
    other.join()
    told: list[Happened] = []
    waited = threading.Timer(300, writes.request_cancel, (engine, [2, 3]))  # rather than for ever
    waited.start()
    assert work(engine, until_idle=True, slots=1, place=Elsewhere(Nobody()), on_event=told.append)
    waited.cancel()
    found = [reads.run(engine, number) or {} for number in (2, 3)]
    assert [row["blocked_by"] for row in found] == [1, 1]
    assert "later: 2 blocked, 1 failed" in [one.text for one in told if one.kind == "ended"]
    assert writes.reblock(engine) == []
    session.close(url)


def test_mending_what_is_blocked_waits_for_nobody(postgres: Server) -> None:
    engine = opened(url := postgres.new())
    submit(engine, run("a"), run("b", "a"), run("c", "a"))
    with engine.begin() as c:
        c.execute(text("UPDATE run SET state = 'failed' WHERE id = 1"))
    with engine.begin() as c:
        c.execute(text("UPDATE run SET priority = 1 WHERE id = 2"))
        assert writes.reblock(engine) == [3]
    assert writes.reblock(engine) == [2]
    session.close(url)


class Nobody:
    """A cluster that is never asked for anything."""

    name = "nobody"

    def slots(self) -> int:
        """One."""
        return 1

    def start(self, work: Work) -> Job:
        """Never."""
        raise AssertionError("there is nothing to do")

    def close(self) -> None:
        """Nothing is held."""


def test_a_copy_holds_every_row_and_gives_the_same_frontier(databases: list[Engine], tmp_path: Path) -> None:  # fmt: skip
    here, there = databases
    seed_study(here, SMALL, fail=("undo",))
    writes.add_tag(here, [1], "paper")
    copied = copy_database(here, there)
    assert contents(there) == contents(here)
    assert copied["run"] == reads.counts(here)["complete"] + reads.counts(here)["failed"] + reads.counts(here)["blocked"]  # fmt: skip
    assert _frontier(there) == _frontier(here)
    back = opened(f"sqlite:///{tmp_path}/back.db")
    copy_database(there, back)
    assert contents(back) == contents(here)


def _frontier(engine: Engine) -> Any:
    return frontier_document(engine, "quick")


@pytest.mark.parametrize("way", [(0, 1), (1, 0)])
def test_a_number_that_was_given_once_stays_taken_in_the_copy(
    databases: list[Engine], way: tuple[int, int]
) -> None:
    old, new = (databases[place] for place in way)
    for name in ("one", "two", "three"):
        submit(old, run(name), name=name)
    with old.begin() as c:
        c.execute(text("DELETE FROM study_run"))
        c.execute(Study.__table__.delete().where(Study.name == "three"))  # type: ignore[attr-defined]
        c.execute(Run.__table__.delete().where(Run.fingerprint == "three"))  # type: ignore[attr-defined]
    copy_database(old, new)
    assert submit(new, run("four"), name="four").study_id == 4
    assert reads.study_runs(new, 4)["id"].tolist() == [4]


def test_a_copy_into_what_is_not_empty_is_refused_and_changes_nothing(databases: list[Engine]) -> None:  # fmt: skip
    here, there = databases
    submit(here, run("a"))
    submit(there, run("b"))
    before = contents(there)
    with pytest.raises(session.DatabaseProblem, match="holds studies and runs already"):
        copy_database(here, there)
    with pytest.raises(session.DatabaseProblem, match="into itself"):
        copy_database(here, here)
    assert contents(there) == before


@pytest.mark.parametrize("what", ["report", "token", "worker"])
def test_a_copy_replaces_no_report_and_no_token_and_stops_no_worker(databases: list[Engine], what: str) -> None:  # fmt: skip
    here, there = databases
    submit(here, run("a"))
    if what == "report":
        writes.create_report(there, "Mine")
    elif what == "token":
        make_token(there, "ci", "viewer", 7)
    else:
        lives(there, "w")
    before = contents(there)
    with pytest.raises(session.DatabaseProblem, match=what):
        copy_database(here, there)
    assert contents(there) == before
    if what == "worker":
        writes.stop_worker(there, "w")
        assert copy_database(here, there)["run"] == 1


def test_a_copy_that_fails_half_way_leaves_nothing(databases: list[Engine]) -> None:
    here, there = databases
    submit(here, run("a"), run("b", "a"))

    def stop(table: str, count: int) -> None:
        if table == "run":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_database(here, there, stop)
    assert not any(contents(there)[name] for name in ("study", "run", "study_run"))


def test_a_schema_of_the_first_release_with_data_in_it_is_brought_up_to_date(postgres: Server) -> None:  # fmt: skip
    url = postgres.new(empty=True)
    _first_release(url)
    engine = opened(url)
    assert reads.run(engine, 1) is not None
    assert reads.counts(engine)["waiting"] == 1
    session.close(url)


def test_a_newer_schema_is_refused_by_name(postgres: Server) -> None:
    url = postgres.new()
    engine = opened(url)
    with engine.begin() as c:
        c.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    session.close(url)
    with pytest.raises(session.DatabaseProblem, match="newer version .revision 9999"):
        session.open_database(url=url)


def _first_release(url: str) -> None:
    engine = session._connected(url)
    config = Config()
    config.set_main_option("script_location", str(session.MIGRATIONS))
    with engine.begin() as c:
        config.attributes["connection"] = c
        command.upgrade(config, "0001")
        held = {"name": "old", "revision": 1, "origin": "run", "document": {"name": "old"}}
        c.execute(insert(Study.__table__).values(**held))
        columns = "fingerprint, stage, name, version, parameters, setting, precision, seed, origin, state, attempt, attempts_allowed, priority, cancel_requested, fresh, created_at"
        c.execute(text(f"INSERT INTO run ({columns}) VALUES ('f', 'base', 'train', 1, '{{}}', '{{}}', 'fp32', 0, 'run', 'waiting', 0, 3, 0, false, false, now())"))  # fmt: skip
    engine.dispose()
