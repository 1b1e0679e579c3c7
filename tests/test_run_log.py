"""Runs' logs: what a real run writes, what must not get in, and how each reader comes to it."""

import json
import logging
import os
import threading
import time
import types
import urllib.parse
import warnings
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from backend import child, log_lines, recipe, run_log, service, storage, worker
from backend.__main__ import main
from backend.engines import local
from backend.log_lines import LOG, say, words
from backend.redaction import redacted, secrets_here
from backend.stage import RunFailed, StageOutcome
from backend.worker_log import NEWEST, WorkerLog
from db import reads, writes
from db.session import home, require_database
from tests.midway import midway
from tests.small_study import database, run, submit, submit_real
from tests.test_pages import ROOT, told
from tests.test_rest import asking, started, token
from tests.test_worker import FAKE

PASSWORD = "p@ss/w:rd-7"
URL = f"postgresql+psycopg://ada:{urllib.parse.quote(PASSWORD, safe='')}@db.example.org/lethe"


@pytest.fixture
def engine(own_home, monkeypatch):
    return database(own_home, monkeypatch)


def do_next(engine, **options):
    held = writes.claim(engine, "test", 30.0)
    return child.run_once(engine, held.run_id, held.attempt, **options)


def lines(run_id: int = 1, **asked: Any) -> list[dict[str, Any]]:
    return service.log(run_id, **asked)["lines"]


def doing(monkeypatch, do: Any) -> None:
    """Runs that do this; the queue, the log and the database around them are real."""

    def execute(request: Any, sink: Any) -> StageOutcome:
        do()
        return StageOutcome(1, 1, 1.0, 0.1, 1)

    monkeypatch.setattr(recipe, "execute", execute)


def test_a_real_run_says_where_it_works_what_it_does_and_how_it_ended(engine):
    submit_real(engine)
    assert [do_next(engine) for _ in range(3)] == ["complete"] * 3
    found = lines()
    events = [line["event"] for line in found]
    assert (events[0], events[-1]) == ("begun", "complete")
    assert [name for name in ("loading", "training", "trained", "saved") if name in events] == ["loading", "training", "trained", "saved"]  # fmt: skip
    begun = found[0]["fields"]
    environment = reads.run(engine, 1)["environment"]
    assert {key: begun[key] for key in environment} == environment
    assert (begun["precision"], begun["threads"], begun["stage"]) == ("fp32", 1, "base")
    end, row = found[-1]["fields"], reads.run(engine, 1)
    assert end["steps"] == row["steps"] == 30
    assert end["seconds"] >= row["seconds"]
    assert {line["attempt"] for line in found} == {1}
    assert len(found) < 20, "a log has no line a step"
    evaluated = next(line for k in (2, 3) for line in lines(k) if line["event"] == "evaluation")
    assert "answer_accuracy" in evaluated["fields"]["metrics"]
    assert run_log.place(home(), row["fingerprint"]).stat().st_size < 10_000


def test_an_attack_says_its_cell(engine):
    submit_real(engine)
    kinds: set[str] = set()
    while "attack" not in kinds:
        held = writes.claim(engine, "test", 30.0)
        assert child.run_once(engine, held.run_id, held.attempt) == "complete"
        kinds.add(reads.run(engine, held.run_id)["stage"])
    cell = next(line for line in lines(held.run_id) if line["event"] == "attack cell")
    assert cell["fields"]["learning_rate"] == reads.run(engine, held.run_id)["parameters"]["learning_rate"]  # fmt: skip


def test_an_interrupted_run_says_from_where_it_goes_on(engine, monkeypatch):
    submit_real(engine, base_steps=120)
    stopping = threading.Event()
    midway(monkeypatch, stopping.set)
    assert do_next(engine, stopping=stopping) == "returned"
    assert do_next(engine) == "complete"
    found = lines()
    assert [line["event"] for line in found if line["attempt"] == 1][-1] == "returned"
    resumed = next(line for line in found if line["event"] == "resumed")
    assert resumed["attempt"] == 2
    assert not resumed["message"].startswith("going on from step 0 ")
    assert {line["attempt"] for line in found} == {1, 2}


def test_a_failure_is_there_with_its_traceback(engine, monkeypatch):
    def broken():
        raise ValueError("it cannot be")

    submit(engine, run("a"))
    doing(monkeypatch, broken)
    assert do_next(engine) == "failed"
    (end,) = lines(level="error")
    assert (end["event"], end["message"]) == ("failed", "ValueError: it cannot be")
    assert "in broken" in end["fields"]["traceback"]
    assert end["fields"]["seconds"] >= 0
    assert LOG.handlers == [] and LOG.level == logging.NOTSET, "the next run has a log of its own"


def test_a_warning_is_kept_once_for_every_run(engine, monkeypatch, capsys):
    def warn():
        for _ in range(3):
            warnings.warn("this is deprecated", UserWarning, stacklevel=1)

    submit(engine, run("a"), run("b"))
    doing(monkeypatch, warn)
    assert [do_next(engine), do_next(engine)] == ["complete"] * 2
    for run_id in (1, 2):
        (found,) = lines(run_id, level="warning")
        assert (found["message"], found["fields"]["category"]) == ("this is deprecated", "UserWarning")  # fmt: skip
        assert found["fields"]["where"].startswith("test_run_log.py:")


def test_no_secret_gets_in(engine, monkeypatch, own_home):
    token = "lethe_0a1b2c3d_" + "x" * 43
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnop1234")
    monkeypatch.setenv("LETHE_WEBHOOK", "https://hooks.example.org/T000/verysecret")
    secrets = [PASSWORD, urllib.parse.quote(PASSWORD, safe=""), token, "hf_abcdefghijklmnop1234", "verysecret", "s3cr3t-value"]  # fmt: skip

    def leak():
        LOG.warning("Waiting, because: %s", f"could not connect to {URL} as {token}")
        say("note", "x" * 3990 + token, url=URL, password="s3cr3t-value", deep=[{"api_key": "s3cr3t-value"}], path=Path(PASSWORD))  # fmt: skip
        warnings.warn(f"Authorization: Bearer {token}", stacklevel=1)
        raise RuntimeError(f"hf_abcdefghijklmnop1234 at https://hooks.example.org/T000/verysecret, password={PASSWORD}, secret='s3cr3t-value'")  # fmt: skip

    submit(engine, run("a"))
    doing(monkeypatch, leak)
    monkeypatch.setenv("LETHE_DATABASE_URL", URL)  # what is open stays open
    assert do_next(engine) == "failed"
    monkeypatch.delenv("LETHE_DATABASE_URL")
    text = run_log.place(home(), "a").read_text()
    kept = reads.kept_log(engine, 1).text
    assert "could not connect to" in text and "Traceback" in text
    for secret in secrets:
        assert secret not in text and secret not in kept, secret
    assert "lethe_0a1b" not in text, "half of a secret is one too"


@pytest.mark.parametrize(
    "text",
    [
        "no bucket at s3://AKIAXX:ab/cdSECRETef@bucket/models",
        "https://SECRETtoken@host/x is away",
        "DefaultEndpointsProtocol=https;AccountKey=SECRETabc==;x",
        "https://account.example.org/a?sv=1&sig=SECRET%2Babc&se=2",
        "secret_access_key = SECRETabc",
    ],
)
def test_secrets_of_stores_are_hidden(text):
    hidden = redacted(text, [])
    assert "SECRET" not in hidden and "***" in hidden


@pytest.mark.parametrize("name", ["PGPASSWORD", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_CONNECTION_STRING", "AWS_SECRET_ACCESS_KEY"])  # fmt: skip
def test_what_stores_and_databases_call_their_secrets_is_one(name):
    assert secrets_here({name: "some value", "PATH": "/usr/bin"}) == ["some%20value", "some value"]


def test_words_about_tokens_are_no_secret():
    line = log_lines.Lines(1).format(log_lines.record_of("x", "768 tokens: 3 a step, at 12:30", 20, {"tokens": 768}))  # fmt: skip
    assert "***" not in line


def test_a_log_is_bounded_and_its_end_is_in_the_database(engine, monkeypatch):
    def chatter():
        for k in range(9000):
            say("chatter", f"line {k} " + "x" * 200, held=float("nan"), many=list(range(1000)))

    submit(engine, run("a"))
    doing(monkeypatch, chatter)
    assert do_next(engine) == "complete"
    files = list((home() / "logs" / "runs").iterdir())
    assert len(files) == 2 and sum(file.stat().st_size for file in files) <= 2 * run_log.MOST
    kept = reads.kept_log(engine, 1)
    assert len(kept.text.splitlines()) <= run_log.TAIL_LINES
    assert len(kept.text.encode()) <= run_log.TAIL_BYTES
    assert json.loads(kept.text.splitlines()[-1])["event"] == "complete"
    assert service.log(1, last=5)["total"] > 1000


def test_what_is_no_text_and_very_long_is_cut_and_stays_one_line():
    record = log_lines.record_of("x", "half a pair \ud800\n\x1b[31mred", 20, {f"k{k}": "y" * 5000 for k in range(50)})  # fmt: skip
    line = log_lines.Lines(1).format(record)
    assert "\n" not in line and len(line) < 2 * log_lines.LONGEST_LINE
    parsed = log_lines.parsed(line)
    assert parsed["fields"]["left_out"] > log_lines.LONGEST_LINE
    assert "\x1b" not in words(parsed, "now")


@pytest.mark.parametrize("line", ["", "{", "[]", "{}", '{"time": "x"}', '{"time": "2026-01-01T00:00:00Z", "level": "info", "attempt": "one", "event": "", "message": "", "fields": {}}', "[" * 100_000])  # fmt: skip
def test_lines_that_are_not_ours_are_left_out(line):
    assert log_lines.parsed(line) is None
    assert run_log.merged([line]) == []


@pytest.mark.both_databases
def test_a_run_of_another_machine_can_be_read_from_the_database(monkeypatch, own_home):
    engine = require_database()
    submit(engine, run("a"))
    doing(monkeypatch, lambda: say("note", "over there"))
    assert do_next(engine) == "complete"
    whole = lines()
    run_log.forget(home(), ["a"])
    assert not list((home() / "logs" / "runs").iterdir())
    told = service.log(1)
    assert told["lines"] == whole and told["source"] == "database"
    assert "the whole log lies on" in told["why"]
    assert writes.keep_log(engine, 1, 0, "late", lambda before: "") is False, "an older attempt"
    assert writes.keep_log(engine, 77, 1, "late", lambda before: "") is False
    writes.delete_study(engine, "study")
    assert reads.kept_log(engine, 1) is None


def test_attempts_of_two_machines_are_one_log(engine, monkeypatch, own_home, tmp_path):
    submit(engine, run("a"))
    doing(monkeypatch, lambda: (_ for _ in ()).throw(RunFailed("not here")))
    assert do_next(engine, home=tmp_path / "elsewhere") == "failed"
    writes.retry(engine, [1])
    doing(monkeypatch, lambda: None)
    assert do_next(engine) == "complete"
    told = service.log(1)
    assert told["source"] == "both"
    assert [(line["attempt"], line["event"]) for line in told["lines"]] == [(1, "begun"), (1, "failed"), (2, "begun"), (2, "complete")]  # fmt: skip


def test_why_there_is_no_log(engine):
    submit(engine, run("a"), run("b"), run("c"))
    assert service.log(1)["why"].startswith("The run has not begun")
    held = writes.claim(engine, "test", 30.0)
    writes.begin(engine, held.run_id, held.attempt, {"host": "node-7"}, 0)
    assert service.log(1)["why"].startswith("It works on node-7, whose files are not here")
    writes.complete(engine, held.run_id, held.attempt, {})
    assert "older than logs are" in service.log(1)["why"]
    assert service.log(1)["source"] is None


def test_a_log_that_cannot_be_written_harms_no_run(engine, monkeypatch):
    submit(engine, run("a"))
    (home() / "logs").write_text("a file where the folder should be")
    doing(monkeypatch, lambda: say("note", "into nothing"))
    assert do_next(engine) == "complete"


def test_a_killed_process_ends_its_log_with_the_workers_words(engine, monkeypatch):
    monkeypatch.setattr(local, "SLOT", ("-c", FAKE))
    submit(engine, run("c1", name="crashes_once"))
    assert worker.work(engine, slots=1, until_idle=True)
    (line,) = lines(level="error")
    assert (line["event"], line["attempt"]) == ("lost", 1) and "SIGKILL" in line["message"]
    (kept,) = (home() / "logs" / "workers").iterdir()
    told = [json.loads(line) for line in kept.read_text().splitlines()]
    kinds = [line["event"] for line in told]
    assert (kinds[0], kinds[-1]) == ("started", "stopped")
    assert {"claimed", "lost", "complete"} <= set(kinds)
    assert next(line for line in told if line["event"] == "lost")["fields"] == {"run": 1}


def test_logs_of_workers_do_not_pile_up(tmp_path):
    folder = tmp_path / "logs" / "workers"
    for k in range(NEWEST + 5):
        log = WorkerLog(tmp_path, f"w{k}")
        log("started")
        log.close()
    assert len(list(folder.iterdir())) == NEWEST + 5, "each may be a living worker's"
    for place in folder.iterdir():
        os.utime(place, (1e9, 1e9))
    WorkerLog(tmp_path, "new").close()
    assert len(list(folder.iterdir())) in (NEWEST, NEWEST + 1)


def test_storage_counts_logs_and_removes_those_of_no_run(engine, monkeypatch):
    submit(engine, run("a"))
    doing(monkeypatch, lambda: None)
    assert do_next(engine) == "complete"
    orphan = run_log.place(home(), "f00d")
    orphan.write_text("x" * 50)
    os.utime(orphan, (time.time() - 3600,) * 2)
    found = {file.path: file for file in storage.survey(engine)}
    assert found["logs/runs/a.jsonl"].run == 1 and not found["logs/runs/a.jsonl"].reason
    assert found["logs/runs/f00d.jsonl"].reason == "orphan"
    assert set(storage.by_kind(list(found.values())).query("files > 0")["kind"]) == {"database", "log"}  # fmt: skip
    assert storage.clean(engine, ["orphan"]).bytes == 50 and not orphan.exists()


def test_deleting_a_study_takes_its_logs_along(engine, monkeypatch, capsys):
    submit(engine, run("a"))
    doing(monkeypatch, lambda: None)
    assert do_next(engine) == "complete"
    assert run_log.place(home(), "a").exists()
    assert main(["delete", "study"]) == 0
    assert not run_log.place(home(), "a").exists()


def test_the_verb_prints_filters_and_follows(engine, monkeypatch, capsys):
    submit(engine, run("a"))

    def work():
        say("note", "first")
        say("trouble", "then <b>this</b>", logging.WARNING)

    doing(monkeypatch, work)
    assert do_next(engine) == "complete"
    assert main(["log", "1"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 4 and "begun: run 1 on" in said[0] and "complete" in said[3]
    assert main(["log", "1", "--level", "warning", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [line["message"] for line in document["lines"]] == ["then <b>this</b>"]
    assert main(["log", "1", "--follow"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    for wrong, names in (["log", "9"], "no run 9"), (["log", "1", "--level", "loud"], "info, warning, error"), (["log", "1", "--last", "0"], "1 to 2000"), (["log", "1", "--follow", "--json"], "leave out --json"):  # fmt: skip
        assert main(wrong) == 2
        assert names in capsys.readouterr().err


def test_following_goes_on_until_the_run_has_ended(engine, monkeypatch, capsys):
    from backend.commands import logs

    submit(engine, run("a"))
    gate = threading.Event()

    def work():
        say("note", "half way")
        gate.wait()

    def pause(seconds):
        gate.set()
        thread.join()

    doing(monkeypatch, work)
    monkeypatch.setattr(logs, "time", types.SimpleNamespace(sleep=pause))
    thread = threading.Thread(target=do_next, args=(engine,))
    thread.start()
    assert main(["log", "1", "--follow"]) == 0
    said = capsys.readouterr().out
    assert said.count("half way") == 1 and said.count("#1 begun") == 1
    assert "#1 complete" in said.splitlines()[-1]


def test_the_runs_page_shows_the_log_as_text(engine, monkeypatch):
    submit(engine, run("a"))

    def work():
        say("trouble", "<img src=x onerror=alert(1)> **bold** $x$", logging.WARNING)

    doing(monkeypatch, work)
    assert do_next(engine) == "complete"
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    at.query_params["run"] = "1"
    at.switch_page("pages/3_Runs.py").run()
    assert not at.exception, at.exception[0].value
    shown = next(code.value for code in at.code if "begun: run 1" in code.value)
    assert "#1 complete: the run is complete" in shown.splitlines()[-1]
    assert "<img src=x onerror=alert(1)> **bold** $x$" in shown
    for kind in ("markdown", "html", "caption"):
        assert not [one for one in at.get(kind) if "onerror" in str(one.proto)]
    at.segmented_control(key="log_level").set_value("error").run()
    assert "The log has no line of this level." in told(at)
    at.segmented_control(key="log_level").set_value("warning").run()
    assert next(code.value for code in at.code if "trouble" in code.value).count("\n") == 0


def test_rest_gives_what_the_verb_prints(engine, monkeypatch, capsys):
    submit(engine, run("a"))
    doing(monkeypatch, lambda: say("trouble", "a warning", logging.WARNING))
    assert do_next(engine) == "complete"
    server, address = started()
    ask, viewer = asking(address), token("viewer")
    status, found, _ = ask("GET", "/runs/1/log?level=warning&last=5", viewer)
    assert main(["log", "1", "--level", "warning", "--last", "5", "--json"]) == 0
    assert (status, found) == (200, json.loads(capsys.readouterr().out))
    assert [line["message"] for line in found["lines"]] == ["a warning"]
    assert ask("GET", "/runs/9/log", viewer)[0] == 404
    assert ask("GET", "/runs/1/log?level=loud", viewer)[0] == 400
    assert ask("GET", "/runs/1/log")[0] == 401
    server.should_exit = True
