"""What a page says of the worker that it starts."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from pages.components import starting
from tests.small_study import database, lives


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(starting, "PATIENCE_SECONDS", 2.0)
    return database(tmp_path, monkeypatch)


def python_is(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


def test_one_that_takes_long_is_said_to_be_starting(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python_is(tmp_path, monkeypatch, "exec sleep 600")
    processes: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def noted(*words: Any, **how: Any) -> "subprocess.Popen[bytes]":
        processes.append(popen(*words, **how))
        return processes[-1]

    monkeypatch.setattr(subprocess, "Popen", noted)
    try:
        assert starting.start_worker(engine).startswith("The worker is starting")
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_one_that_ends_at_once_did_not_start_and_its_log_is_named(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "PATIENCE_SECONDS", 300.0)
    python_is(tmp_path, monkeypatch, "echo There is no torch here; exit 1")
    log = tmp_path / "logs" / "worker.log"
    assert starting.start_worker(engine) == f"The worker did not start; see {log}."
    assert log.read_text() == "There is no torch here\n"


def test_where_one_lives_no_other_is_started(engine: Engine, tmp_path: Path) -> None:
    lives(engine, "w")
    assert starting.start_worker(engine) == "A worker is running already."
    assert not (tmp_path / "logs").exists()
