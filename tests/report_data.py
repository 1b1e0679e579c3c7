"""Fixtures for tests of reports: a small study that is done, made once and copied for every test."""

import os
import shutil
from pathlib import Path

import pytest
from sqlalchemy import Engine

from db.copying import copy_database
from db.session import open_database, require_database
from tests.seed_database import seed_study

SMALL = (
    'recipes=[{suppress="max_ent"}, {suppress="max_ent", robustify={name="undo", alpha=[0.2, 0.8]}}]',
    "attacks.0.learning_rate=[1e-3, 3e-3]",
)


@pytest.fixture(scope="session")
def small_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the database of a small study that is done."""
    found = tmp_path_factory.mktemp("reported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LETHE_HOME", str(found))
        patch.delenv("LETHE_DATABASE_URL", raising=False)
        engine = require_database()
        seed_study(engine, SMALL)
        with engine.connect() as c:  # what is in the log comes into the file that is copied
            c.exec_driver_sql("COMMIT")
            c.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return found


@pytest.fixture
def engine(small_home: Path, own_home: Path) -> Engine:
    """The test's own copy of that database, in whichever one the test runs over."""
    own_home.mkdir()
    if os.environ.get("LETHE_DATABASE_URL"):
        source, found = open_database(url=f"sqlite:///{small_home}/lethe.db"), require_database()
        assert source is not None
        copy_database(source, found)
        return found
    shutil.copyfile(small_home / "lethe.db", own_home / "lethe.db")
    return require_database()
