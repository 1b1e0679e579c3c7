"""Every test has a data directory of its own."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """LETHE_HOME in a fresh folder that does not exist yet; no database address from outside."""
    home = tmp_path / "lethe-home"
    monkeypatch.setenv("LETHE_HOME", str(home))
    monkeypatch.delenv("LETHE_DATABASE_URL", raising=False)
    return home
