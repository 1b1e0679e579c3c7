"""The command line: exit codes, one sentence for mistakes, JSON and nothing else for scripts."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from backend.__main__ import main

ROOT = Path(__file__).resolve().parent.parent
SMALL = """
name = "tiny"
setting = { name = "arithmetic", addends = 6, factors = 6, base_steps = 6, batch_size = 16 }
seeds = [0]

[[recipes]]
suppress = { name = "max_ent", steps = 3, batch_size = 8 }
robustify = { name = "undo", alpha = 0.5, steps = 4, check_every = 2 }

[[attacks]]
name = "relearn"
learning_rate = [1e-3, 1e-2]
steps = 10
"""
OBJECTIVES = ("utility", "claimed_forget_quality", "robust_forget_quality", "compute")


def backend(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "backend", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, **options)


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    path = tmp_path / "tiny.toml"
    path.write_text(SMALL)
    return str(path)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["submit", "quik"], "no study 'quik'"),
        (["submit", "quick", "--set", "recipes.0.suppress=npoo"], "no method 'npoo'"),
        (["submit", "quick", "--set", "recipes.2.robustify.gamma=1"], "no parameter 'gamma'"),
        (["submit", "quick", "--set", 'recipes.2.robustify.steps="many"'], "not of type int"),
        (["submit", "quick", "--set", "recipes.2.robustify.steps=-3"], "at least 1"),
        (["submit", "quick", "--set", "recipes.2.robustify.alpha=1.5"], "at most 1"),
        (["submit", "quick", "--set", "setting.factors=1"], "forget set empty"),
        (["submit", "quick", "--set", "seeds=[]"], "at least one whole number"),
        (["frontier", "quick"], "no study 'quick' in the database"),
        (["runs", "quick"], "no study 'quick'"),
        (["show", "7"], "no run 7"),
        (["show", "seven"], "invalid int value: 'seven'"),
        (["cancel", "7"], "no run 7"),
        (["delete", "quick"], "no study 'quick'"),
        (["export", "quick", "--to", "out"], "no study 'quick'"),
        (["run", "3", "--attempt", "1"], "no run 3"),
        (["work", "--slots", "0"], "whole number from 1"),
        (["work", "--engine", "slurmm"], "there are local, ray, slurm"),
        (["conquer"], "invalid choice: 'conquer'"),
        ([], "required"),
        (["demo", "--serve", "--port", "99999"], "between 1 and 65535"),
    ],
)
def test_a_mistake_is_one_sentence_exit_2_and_nothing_written(
    words: list[str], sentence: str, own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    told = capsys.readouterr()
    assert sentence in told.err and told.out == ""
    assert len(told.err.strip().splitlines()) == 1
    assert not own_home.exists()


def test_a_damaged_file_is_one_sentence(tmp_path: Path, capsys: Any, own_home: Path) -> None:
    damaged = tmp_path / "mine.toml"
    damaged.write_text("seeds = [0")
    assert main(["submit", str(damaged)]) == 2
    assert "mine.toml is not valid TOML" in capsys.readouterr().err
    assert not own_home.exists()


def test_a_database_of_a_newer_version_is_one_sentence(
    tiny: str, own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from sqlalchemy import text

    from db.session import require_database

    with require_database().begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999_future'"))
    require_database().dispose()
    done = backend("submit", tiny)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1
    assert "newer version" in done.stderr


def test_submitting_says_what_was_cancelled_and_how_it_goes_on(tiny: str, capsys: Any) -> None:
    assert main(["submit", tiny]) == 0 and "cancelled" not in capsys.readouterr().out
    name = Path(tiny).stem
    assert main(["cancel", name]) == 0
    capsys.readouterr()
    assert main(["submit", tiny]) == 0
    told = capsys.readouterr().out
    assert f"`retry {name}` queues them again" in told and "were cancelled" in told


def test_a_port_in_use_is_one_sentence_before_anything_starts(own_home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = backend("demo", "--serve", "--port", str(port))
    assert done.returncode == 2 and f"Port {port} is in use" in done.stderr
    assert not own_home.exists()


@pytest.mark.parametrize("verb", ["methods", "options", "attacks", "metrics", "settings"])
def test_catalogue_verbs_print_lists_of_parts(verb: str, capsys: Any, own_home: Path) -> None:
    assert main([verb, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert all({"name", "kind", "version", "summary", "source", "needs"} <= set(p) for p in shown)
    assert verb == "options" or shown
    assert main([verb]) == 0
    assert not own_home.exists()


def test_verbs_that_only_read_create_nothing(capsys: Any, own_home: Path) -> None:
    for words in (["status"], ["status", "--json"], ["studies"], ["doctor"]):
        assert main(words) == 0
    assert main(["submit", "quick", "--dry-run"]) == 0
    assert "70 new runs would be queued" in capsys.readouterr().out
    assert not own_home.exists()


@pytest.mark.parametrize("printing", ["print('x' * 300_000)", "print('x')"])
def test_a_reader_that_leaves_is_no_failure_to_tell_of_but_another_pipe_is(printing: str) -> None:
    code = """
import sys
sys.stdin.readline()
from backend import __main__ as line, service
def status():
    {}
service.status = lambda *a, **k: status()
sys.exit(line.main(["status"]))"""
    printed = code.format(f"[({printing}, sys.stdout.flush()) for _ in range(2)]")
    left = subprocess.Popen([sys.executable, "-c", printed], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    assert left.stdin and left.stdout and left.stderr
    left.stdout.close()
    left.stdin.close()  # and now it begins
    assert left.stderr.read() == b"" and left.wait() == 1
    other = subprocess.run([sys.executable, "-c", code.format("raise BrokenPipeError('a child of ours')")], capture_output=True, text=True, cwd=ROOT, stdin=subprocess.DEVNULL)  # fmt: skip
    assert other.returncode == 1 and "BrokenPipeError: a child of ours" in other.stderr


def test_light_verbs_leave_torch_out(tiny: str) -> None:
    code = (
        "import sys; from backend.__main__ import main;"
        f"main(['submit', {tiny!r}]); main(['status']); main(['runs', 'tiny']);"
        "main(['show', '1']); main(['frontier', 'tiny']); main(['methods']);"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip().splitlines()[-1] == "False", done.stderr


def test_a_study_goes_from_file_to_frontier_and_bundle(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", tiny, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["new"] == 16 and told["flops"] > 0
    assert main(["frontier", "tiny", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == []
    worked = backend("work", "--until-idle", "--slots", "2")
    assert worked.returncode == 0 and "[16/16]" in worked.stderr, worked.stderr
    assert main(["submit", tiny, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["new"], again["existing"], again["revision"]) == (0, 16, 1)
    check_frontier(capsys)
    check_runs(capsys)
    target = tmp_path / "bundle"
    assert main(["export", "tiny", "--to", str(target)]) == 0
    manifest = json.loads((target / "manifest.json").read_text())
    assert {"data/frontier.csv", "plots/frontier.pdf", "tables/frontier.tex"} <= set(
        manifest["files"]
    )
    assert main(["export", "tiny", "--to", str(target)]) == 0, "a bundle can be written again"
    (tmp_path / "file").write_text("mine")
    assert main(["export", "tiny", "--to", str(tmp_path / "file")]) == 2


def check_frontier(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["frontier", "tiny", "--json"]) == 0
    out = capsys.readouterr().out
    document = json.loads(out[out.index("{") :])
    keys = {"study", "revision", "setting", "budget", "attacks", "attack_grid_size", "anchor"}
    assert keys | {"reference", "rows"} <= set(document)
    assert [row["method"] for row in document["rows"]] == ["base", "oracle", "max_ent", "undo"]
    for row in document["rows"]:
        for name in OBJECTIVES:
            assert set(row[name]) == {"mean", "low", "high", "values"}
        assert row["cells_done"] == row["cells_total"] == 2
        if row["method"] in ("base", "oracle"):
            assert row["on_front"] is None
    assert document["rows"][0]["compute"]["mean"] == 0
    assert document["rows"][1]["compute"]["mean"] == 1
    assert main(["frontier", "tiny", "--budget", "11"]) == 2
    assert "10" in capsys.readouterr().err
    assert main(["frontier", "tiny", "--budget", "0"]) == 0
    assert "configuration" in capsys.readouterr().out


def check_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "tiny", "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)
    keys = {"id", "stage", "name", "parameters", "seed", "parent", "inputs", "fingerprint", "state"}
    assert len(runs) == 16 and all(run["state"] == "complete" for run in runs)
    assert set(runs[0]) == keys | {"blocked_by", "attempt", "seconds", "flops", "error"}
    assert main(["show", str(runs[0]["id"]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stage"] == "base"


def test_pausing_cancelling_retrying_and_deleting(
    tiny: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", tiny]) == 0
    assert main(["pause", "--json"]) == 0 and main(["pause", "--off", "--json"]) == 0
    assert main(["cancel", "tiny"]) == 0
    assert "16 runs cancelled" in capsys.readouterr().out
    assert main(["retry", "tiny"]) == 0
    assert "16 runs queued again" in capsys.readouterr().out
    assert main(["delete", "tiny"]) == 0
    assert main(["runs", "tiny"]) == 2


def test_a_failed_run_makes_work_exit_1(tiny: str, own_home: Path, capsys: Any) -> None:
    assert main(["submit", tiny, "--set", "recipes.0.suppress.learning_rate=1e30"]) == 0
    done = backend("work", "--until-idle", "--slots", "1")
    assert done.returncode == 1 and "not finite" in done.stderr


@pytest.mark.slow
def test_demo_serves_the_dashboard_and_ctrl_c_ends_all_of_it(own_home: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "backend", "demo", "--serve", "--port", str(port)]
    environment = {key: value for key, value in os.environ.items() if key != "DISPLAY"}
    demo = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert demo.stdout is not None
    assert demo.stdout.readline().strip() == f"http://localhost:{port}"
    deadline = time.monotonic() + 60
    while not (own_home / "lethe.db").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    demo.send_signal(signal.SIGINT)
    try:
        demo.wait(300)
    finally:
        demo.kill()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "the server outlived the demo"
