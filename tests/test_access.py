"""Roles: the functions refuse, whatever a page shows; and everything that is done is written down."""

import inspect
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from backend import access, backup, storage
from backend.access import ROLES, Actor, Refused, acting, name_of, role_of, unverified
from backend.commands.storage import copied_to
from backend.stage import UserError
from db import copying, reads, writes
from db.session import DatabaseProblem, require_database
from db.writes import guarded
from pages.components import starting
from tests.small_study import database, run, submit

ROOT = Path(__file__).resolve().parents[1]
# What workers and their children write. Nobody else calls it, so it asks nobody's role.
WORKERS = {
    "add_artifacts", "add_event", "answer_prompt", "beat_prompt", "beat_worker", "begin", "cancelled", "claim",
    "claim_prompt", "complete", "fail", "fail_prompt", "fail_waiting_prompts", "hand_back", "keep_log", "sample_machine", "tidy_samples", "heartbeat", "identity", "leases", "lose",
    "lose_prompts", "reap", "reap_prompts", "reblock", "record", "register_worker", "return_prompt", "stop_worker", "take_ended",
}  # fmt: skip
EVERY_WRITE = {
    name: one for name in writes.__all__ if not inspect.isclass(one := getattr(writes, name))
}
ELSEWHERE = {
    "backup": backup.backup, "restore": backup.restore, "remove_files": storage.remove_files,
    "copied_to": copied_to, "start_worker": starting.start_worker,
}  # fmt: skip
GUARDED = {name: one for name, one in EVERY_WRITE.items() if hasattr(one, "needs")} | ELSEWHERE


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    return database(tmp_path, monkeypatch)


def somebody(role: str, name: str = "ada@example.org") -> Actor:
    return Actor(name, role, "page", known=True)


def test_every_write_asks_a_role_or_is_a_workers() -> None:
    assert set(EVERY_WRITE) - set(GUARDED) == WORKERS


def test_no_page_and_no_verb_of_people_writes_what_only_workers_write() -> None:
    called = re.compile(r"\bwrites\.(\w+)")
    people = [*(ROOT / "pages").rglob("*.py"), *(ROOT / "backend/commands").glob("*.py"), ROOT / "backend/service.py", *(ROOT / "backend/rest").glob("*.py")]  # fmt: skip
    found = {name for path in people for name in called.findall(path.read_text(encoding="utf-8"))}
    assert len(found) > 30 and not found & WORKERS


@pytest.mark.parametrize("name", GUARDED)
def test_a_lower_role_is_refused_before_anything_happens(name: str, engine: Engine) -> None:
    function: Any = GUARDED[name]
    asked = inspect.signature(function).parameters.values()
    given = {p.name: engine if p.annotation is Engine else "x" for p in asked}
    positional = [given[p.name] for p in asked if p.kind is not p.KEYWORD_ONLY]
    named = {p.name: given[p.name] for p in asked if p.kind is p.KEYWORD_ONLY}
    before = reads.data_version(engine)
    for role in ROLES[: ROLES.index(function.needs)]:
        with acting(somebody(role)), pytest.raises(Refused, match=f"takes the role {function.needs}"):  # fmt: skip
            function(*positional, **named)
    assert reads.data_version(engine) == before
    assert set(reads.audit(engine)["outcome"]) == {"refused"}


def test_copying_a_database_takes_an_admin(engine: Engine) -> None:
    with acting(somebody("reviewer")), pytest.raises(Refused, match="takes the role admin"):
        copying.copy_database(engine, engine)


def test_the_roles_are_what_they_shall_be() -> None:
    held = {role: {n for n, f in GUARDED.items() if f.needs == role} for role in ROLES}
    assert not held["none"] and held["viewer"] == {"set_flag"}
    assert held["reviewer"] == {"freeze_report", "decide"}
    assert held["admin"] == {
        "delete_study", "forget_files", "empty_trash", "copied_to", "backup", "restore", "remove_files",
        "remove_models", "keep_token", "revoke_token",
    }  # fmt: skip


def test_each_role_may_do_what_is_its_own(engine: Engine) -> None:
    with acting(somebody("runner")):
        assert submit(engine, run("a"), run("b", "a")).new == 2
        assert writes.request_cancel(engine, [1]) == 1
        report = writes.create_report(engine, "One")
        with pytest.raises(
            Refused, match="To freeze report takes the role reviewer .* ada@example"
        ):
            writes.freeze_report(engine, report, "{}", reads.report(engine, report)["updated_at"])
    with acting(somebody("reviewer", "eve@example.org")):
        writes.freeze_report(engine, report, "{}", reads.report(engine, report)["updated_at"])
        writes.decide(engine, report, "approve", "Somebody else", "as measured")
        with pytest.raises(Refused):
            writes.delete_study(engine, "study")
    with acting(somebody("admin")):
        assert writes.delete_study(engine, "study").runs == 2
    events = reads.report_events(engine, report).set_index("kind")["author"]
    assert events["approve"] == "eve@example.org", "a name that is vouched for cannot be another's"
    assert events["created"] == "ada@example.org"


def test_a_worker_is_the_system_and_a_process_without_pages_is_local() -> None:
    from backend.__main__ import _actor

    assert _actor("work") == _actor("run") == access.SYSTEM
    assert _actor("submit").role == "admin" and _actor("submit").through == "command line"
    assert access.may("admin", access.LOCAL)


# ---- roles of those who sign in

TABLE = {"default": "viewer", "ada@example.org": "admin", "example.org": "runner", "@lab.org": "reviewer"}  # fmt: skip


@pytest.mark.parametrize(
    ("person", "role"),
    [
        ({"email": "ada@example.org"}, "admin"),
        ({"email": " ADA@Example.org "}, "admin"),
        ({"email": "eve@example.org"}, "runner"),
        ({"email": "eve@lab.org", "email_verified": "true"}, "reviewer"),
        ({"email": "eve@sub.example.org"}, "viewer"),
        ({"email": "ada@example.org@evil.example"}, "viewer"),
        ({"email": "default"}, "viewer"),
        ({"email": "ada@example.org", "email_verified": False}, "none"),
        ({"email": "ada@example.org", "email_verified": "false"}, "none"),
        ({"email": "ada@example.org", "email_verified": "unknown"}, "none"),
        ({"name": "no address"}, "viewer"),
        ({"name": "ada@example.org"}, "viewer"),
    ],
)
def test_a_role_goes_by_address_then_domain_then_default(person: dict[str, Any], role: str) -> None:
    assert role_of({"email_verified": True, **person}, TABLE) == role


@pytest.mark.parametrize("person", [{}, {"email_verified": None}])
def test_an_address_gives_a_role_only_where_the_provider_says_that_it_is_verified(person: dict[str, Any]) -> None:  # fmt: skip
    ada = {"email": "ada@example.org", "sub": "17", **person}
    assert role_of(ada, TABLE) == "none"
    assert "sends no email_verified for ada@example.org" in unverified(ada, TABLE)
    taken = {**TABLE, access.TRUST: True}
    assert role_of(ada, taken) == "admin" and not unverified(ada, taken)
    assert role_of(ada, {**TABLE, access.TRUST: False}) == "none"
    denied = {**ada, "email_verified": False}
    assert role_of(denied, taken) == "none" and "has not verified" in unverified(denied, taken)


def test_the_choice_to_take_addresses_as_they_come_is_yes_or_no() -> None:
    with pytest.raises(UserError, match="it is true or false"):
        role_of({}, {**TABLE, access.TRUST: "admin"})


@pytest.mark.parametrize(
    ("person", "name"),
    [
        ({"email": "ada@example.org", "email_verified": True, "sub": "17"}, "ada@example.org"),
        ({"name": "ada@example.org", "sub": "17", "iss": "https://id"}, "17 of https://id"),
        ({"email": "ada@example.org", "sub": "17", "iss": "https://id"}, "17 of https://id"),
        ({"sub": "ada@example.org"}, "ada@example.org of the provider"),
        ({"name": "ada@example.org"}, "unnamed of the provider"),
    ],
)
def test_nobody_acts_under_a_name_that_they_may_choose(person: dict[str, Any], name: str) -> None:
    assert name_of(person, TABLE) == name


def test_without_a_default_nobody_has_a_role() -> None:
    assert role_of({"email": "ada@example.org", "email_verified": True}, {}) == "none"


@pytest.mark.parametrize("wrong", [{"a@b.c": "root"}, {"example": {"org": "admin"}}])
def test_a_table_that_names_no_role_is_one_sentence(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="there are none, viewer, runner, reviewer, admin"):
        role_of({"email": "x@y.z"}, wrong)


# ---- the audit log


def last(engine: Engine) -> dict[str, Any]:
    return {str(k): v for k, v in reads.audit(engine, 1).to_dict("records")[0].items()}


@pytest.mark.both_databases
def test_who_did_what_with_which_arguments_is_written_down(engine: Engine) -> None:
    with acting(somebody("runner")):
        submit(engine, run("a"))
        writes.add_tag(engine, [1], "look again")
        found = last(engine)
        assert (found["actor"], found["role"], found["through"]) == ("ada@example.org", "runner", "page")  # fmt: skip
        assert (found["action"], found["outcome"]) == ("add_tag", "done")
        assert found["arguments"] == {"run_ids": [1], "tag": "look again"}
        with pytest.raises(DatabaseProblem):
            writes.add_tag(engine, [1], "")
        assert last(engine)["outcome"] == "failed" and "1 to 60 characters" in last(engine)["told"]
    assert list(reads.audit(engine, actor="ada@example.org")["action"]) == ["add_tag"] * 2 + ["submit"]  # fmt: skip


@pytest.mark.both_databases
def test_nothing_is_done_without_its_line_in_the_log(kind_of_database: str, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    engine = require_database()

    def full(*_: Any) -> None:
        raise OperationalError("INSERT", {}, Exception("the disk is full"))

    with monkeypatch.context() as broken, pytest.raises(OperationalError):
        broken.setattr(guarded, "_add", full)
        writes.set_paused(engine, True)
    assert not reads.paused(engine) and reads.audit(engine).empty
    writes.set_paused(engine, True)
    assert reads.paused(engine)
    assert list(reads.audit(engine)["outcome"]) == ["done"]


def test_what_calls_a_guarded_function_stands_in_the_log_once(engine: Engine, tmp_path: Path) -> None:  # fmt: skip
    submit(engine, run("a"))
    orphan = tmp_path / "checkpoints" / ("0" * 24)
    orphan.mkdir(parents=True)
    (orphan / "model.safetensors").write_bytes(b"x")
    import os

    os.utime(orphan / "model.safetensors", (1, 1))
    storage.clean(engine, ["orphan"], dry_run=True)
    assert last(engine)["action"] == "submit"
    storage.clean(engine, ["orphan"])
    assert list(reads.audit(engine)["action"]) == ["remove_files", "submit"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"to": "s3://id:hunter2@bucket/x?token=hunter2"}, {"to": "s3://…@bucket/x?token=…"}),
        ({"url": "postgresql://ada:hun/ter2@host/lethe"}, {"url": "postgresql://…@host/lethe"}),
        ({"url": "postgresql://ada:hun@ter2@host/lethe"}, {"url": "postgresql://…@host/lethe"}),
        ({"url": "postgresql://ada:'hunter2\"<@host/lethe"}, {"url": "postgresql://…@host/lethe"}),
        ({"url": "https://example.org/a"}, {"url": "https://example.org/a"}),
        ({"url": "s3://bucket/x?token=hun@ter2&n=1"}, {"url": "s3://…@&n=1"}),
        (
            {"url": "write to a@b.c, see https://b.c/d"},
            {"url": "write to a@b.c, see https://b.c/d"},
        ),
        ({"of": {"url": "file://x"}}, {"of": {"url": "file://x"}}),
        ({"password": "hunter2"}, {"password": "…"}),
        ({"text": "x" * 10_000}, {"text": "x" * 200}),
        ({"ids": list(range(1000))}, {"ids": {"count": 1000, "first": list(range(20))}}),
        ({"runs": [{}] * 3}, {"runs": {"count": 3}}),
        ({"make": print, "none": None}, {"none": None}),
    ],
)
def test_arguments_are_kept_short_and_without_secrets(given: dict[str, Any], kept: Any) -> None:
    from db.writes.guarded import shortened

    assert shortened(given) == kept


def test_long_arguments_are_read_in_no_time() -> None:
    from db.writes.guarded import shortened

    begun = time.process_time()
    shortened({"one": "://" * 300_000, "two": "?" + "key" * 300_000, "three": "?token=@" * 100_000})
    assert time.process_time() - begun < 5


def test_a_document_with_a_secret_is_only_a_hash() -> None:
    from db.writes.guarded import shortened

    found = shortened({"document": {"api_key": "hunter2", "secret": "hunter2"}})
    assert "hunter2" not in str(found) and found["document"]["sha256"]


def test_nothing_in_the_code_changes_or_deletes_an_entry() -> None:
    changing: Callable[[str], Any] = re.compile(r"(update|delete|upsert)\([^)]*AuditEntry|audit_entry SET|FROM audit_entry").search  # fmt: skip
    paths = [p for folder in ("backend", "db", "pages") for p in (ROOT / folder).rglob("*.py")]
    assert not [path for path in paths if changing(path.read_text(encoding="utf-8"))]
