import os
import subprocess
import sys

import psutil
import pytest

from backend.kinship import ENVIRONMENT, child_of_this
from tests.in_browser import wait_for
from tests.killing import ROOT
from tests.small_study import database

SECONDS = 300  # to import what a process needs, on a machine that stalls


@pytest.fixture
def gone():
    """The number of a process that was there and ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def started(words, parent):
    command = [sys.executable, *words]
    environment = {
        **os.environ,
        **child_of_this(),
        **({ENVIRONMENT: str(parent)} if parent else {}),
    }
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdin=pipe, stdout=pipe, stderr=pipe
    )


@pytest.mark.parametrize(
    "words",
    [
        ("--serve",),
        ("--prompts", "nobody", "--idle", "3600"),
        ("--rank", "1", "--devices", "2", "--store", "store"),
    ],
    ids=["slot", "playground", "rank"],
)
def test_a_process_whose_parent_ended_before_it_could_look_ends_at_once(
    words, gone, tmp_path, monkeypatch
):
    database(tmp_path, monkeypatch)
    process = started(("-m", "backend", "run", *words), gone)
    with process:  # its pipes stay open: no end of file tells it
        try:
            assert process.wait(SECONDS) == 1
        finally:
            process.kill()
        assert (process.stdout.read(), process.stderr.read()) == ("", "")


def test_with_its_parent_there_it_works_and_its_own_children_are_not_told():
    program = f"""
import os
from backend.kinship import die_with_parent
die_with_parent()
print(os.environ.get({ENVIRONMENT!r}))
die_with_parent()
print("alive")
"""
    told, _ = started(("-c", program), None).communicate(timeout=SECONDS)
    assert told.split() == ["None", "alive"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it takes a second to notice")
def test_it_ends_with_its_parent_later_too():
    program = """
import subprocess, sys
from backend.kinship import child_of_this
child = "from backend.kinship import die_with_parent as d; d(); print('here', flush=True); import time; time.sleep(3600)"
process = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE, env={**__import__("os").environ, **child_of_this()})
process.stdout.readline()
print(process.pid, flush=True)
sys.stdin.read()
"""
    process = started(("-c", program), None)
    with process:
        child = int(process.stdout.readline())
        assert psutil.pid_exists(child)
        process.kill()
    wait_for(lambda: not psutil.pid_exists(child), SECONDS)
