"""docs/python.md as it stands: its blocks, one after the other, on a quick study of seconds."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE = "# file: "
# The quick study of seconds, and at the end what a reader would have seen.
BEFORE = """
import sys
sys.path.insert(0, {root!r})
from backend import study as _files

_load = _files.load

def _shrunk(name, overrides=None):
    source = _load(name, overrides)
    source["setting"] |= {{"addends": 6, "factors": 6, "base_steps": 60, "batch_size": 32}}
    source["recipes"] = [{{"suppress": {{"name": "max_ent", "steps": 3}}}}]
    source["attacks"] = [{{**source["attacks"][0], "steps": 4, "learning_rate": [1e-3, 1e-2]}}]
    return source

_files.load = _shrunk
"""
AFTER = """
print(len(table), *mine.frontier()["configuration"], sep="|")
print(*mine.runs().groupby("state").size().items())
"""


def blocks() -> list[str]:
    return BLOCK.findall((ROOT / "docs" / "python.md").read_text(encoding="utf-8"))


def test_every_block_is_python_and_one_is_a_file() -> None:
    for text in blocks():
        compile(text, "docs/python.md", "exec")
    assert [text.splitlines()[0] for text in blocks() if text.startswith(FILE)] == [f"{FILE}own/clipped_ascent.py"]  # fmt: skip


@pytest.mark.slow
def test_the_blocks_run_one_after_the_other(tmp_path: Path) -> None:
    cells = []
    for text in blocks():
        first, _, rest = text.partition("\n")
        if first.startswith(FILE):
            place = tmp_path / first.removeprefix(FILE)
            place.parent.mkdir()
            place.write_text(rest, encoding="utf-8")
        else:
            cells.append(text)
    script = tmp_path / "cells.py"
    script.write_text("\n".join([BEFORE.format(root=str(ROOT)), *cells, AFTER]), encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=600)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    table, runs = done.stdout.splitlines()
    assert table == "3|Base|Oracle|Clipped ascent (ceiling 3.0)|Clipped ascent (ceiling 6.0)"
    assert runs == "('complete', 16)"
