"""Real data for tests, where it lies: in LETHE_TEST_DATA, else beside the repository."""

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
DATA = Path(os.environ.get("LETHE_TEST_DATA", BESIDE))


def needs(path: str) -> pytest.MarkDecorator:
    """Skip a test where this file or folder of the data is missing."""
    missing = not (DATA / path).exists()
    return pytest.mark.skipif(missing, reason=f"no {path} in {DATA}; set LETHE_TEST_DATA")
