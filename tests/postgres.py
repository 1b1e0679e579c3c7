"""A throw-away PostgreSQL that listens on a socket in a private folder only, and a new database for every test."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from db import session

# As Debian lays it out; elsewhere the PATH.
FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
ACCOUNT = "postgres"  # PostgreSQL refuses to run as root


def binary(name: str) -> str | None:
    """The newest installed program of that name."""
    found = [str(folder / name) for folder in FOLDERS if (folder / name).exists()]
    return found[0] if found else shutil.which(name)


def missing() -> str | None:
    """Why no server can be started here; None where one can."""
    if binary("initdb") is None or binary("pg_ctl") is None:
        return "PostgreSQL's programs are not installed"
    try:
        import psycopg  # noqa: F401, PLC0415 - an optional package
    except ImportError:
        return "psycopg is not installed: pip install -r requirements-postgres.txt"
    if os.getuid() == 0 and (shutil.which("setpriv") is None or not _account()):
        return f"PostgreSQL does not run as root, and there is no account {ACCOUNT} to run it as"
    return None


def _account() -> bool:
    try:
        pwd.getpwnam(ACCOUNT)
    except KeyError:
        return False
    return True


class Server:
    """A cluster in a folder of its own. It can be stopped and started again while others use it."""

    def __init__(self) -> None:
        # Short: a socket's path has at most 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._made = ""
        self.user = ACCOUNT if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        if os.getuid() == 0:
            shutil.chown(self.folder, ACCOUNT, ACCOUNT)
        self._do("initdb", "-D", self.data, "-A", "trust", "-U", self.user, "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")  # fmt: skip

    @property
    def data(self) -> str:
        """The folder of its files."""
        return str(self.folder / "data")

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-k {self.folder} -c listen_addresses='' -c fsync=off -c autovacuum=off -c max_connections=60"
        self._do("pg_ctl", "-D", self.data, "-w", "-t", "300", "-l", str(self.folder / "log"), "-o", options, "start")  # fmt: skip

    def stop(self, how: str = "fast") -> None:
        """Stop it; `immediate` is a crash."""
        self._do("pg_ctl", "-D", self.data, "-m", how, "-t", "300", "stop")

    def address(self, database: str) -> str:
        """The URL of a database in it."""
        return f"postgresql+psycopg://{self.user}@/{database}?host={self.folder}"

    def new(self, empty: bool = False) -> str:
        """The URL of a new database, with our tables unless it shall be empty."""
        import psycopg  # noqa: PLC0415 - an optional package

        name = f"test_{uuid.uuid4().hex[:12]}"
        model = "" if empty else f" TEMPLATE {self._model()}"

        with psycopg.connect(f"host={self.folder} user={self.user} dbname=postgres", autocommit=True) as c:  # fmt: skip
            c.execute(f"CREATE DATABASE {name}{model}".encode())
        return self.address(name)

    def _model(self) -> str:
        """The name of a database with our tables, made once: copying it is faster than migrating."""
        if not self._made:
            url = self.new(empty=True)
            session.open_database(url=url)
            session.close(url)
            self._made = url.partition("@/")[2].partition("?")[0]
        return self._made

    def _do(self, program: str, *arguments: str) -> None:
        found = binary(program)
        assert found is not None, program
        as_other = ["setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--clear-groups"]
        command = [*(as_other if os.getuid() == 0 else []), found, *arguments]
        # Without the data directory of the test: the server is none of its processes.
        mine = {name: value for name, value in os.environ.items() if not name.startswith("LETHE_")}
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=600, env=mine)  # fmt: skip
        assert done.returncode == 0, f"{program}: {done.stderr or done.stdout}"


@contextmanager
def served() -> Iterator[Server]:
    """A running server, gone with its files afterwards."""
    server = Server()
    try:
        server.start()
        yield server
    finally:
        for _ in range(3):
            try:
                server.stop("immediate")
                break
            # It was just starting, was not there, or does not answer.
            except (AssertionError, subprocess.TimeoutExpired):
                time.sleep(0.2)
        shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One server for all tests of a process."""
    why = missing()
    if why:
        pytest.skip(why)
    with served() as server:
        yield server
