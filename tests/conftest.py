"""Every test has a data directory of its own; some run over both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.engines import local
from db import session

pytest_plugins = ["tests.in_browser", "tests.postgres"]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """LETHE_HOME in a fresh folder that does not exist yet; no database address from outside."""
    home = tmp_path / "lethe-home"
    monkeypatch.setenv("LETHE_HOME", str(home))
    monkeypatch.delenv("LETHE_DATABASE_URL", raising=False)
    monkeypatch.delenv("LETHE_ARTIFACTS", raising=False)
    monkeypatch.setenv("LETHE_PLUGINS", "")  # so that what a test sets is taken back
    monkeypatch.delenv("LETHE_PLUGINS")
    return home


@pytest.fixture(autouse=True)
def steady_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Free memory comes and goes while tests run; the default number of slots follows it, and shall not."""
    monkeypatch.setattr(local, "available_memory", lambda: 64e9)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is marked `both_databases` over SQLite and over PostgreSQL."""
    if metafunc.definition.get_closest_marker("both_databases"):
        metafunc.fixturenames.insert(0, "kind_of_database")  # before a fixture opens a database
        metafunc.parametrize("kind_of_database", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def kind_of_database(
    request: pytest.FixtureRequest, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Which database the test runs over; for PostgreSQL its address is that of a new one."""
    kind = str(request.param)
    if kind == "sqlite":
        yield kind
        return
    url = request.getfixturevalue("postgres").new()
    monkeypatch.setenv("LETHE_DATABASE_URL", url)
    yield kind
    opened = session.close(url)
    assert opened, "the test used another database"
