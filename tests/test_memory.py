"""What a process took at most, counted anew for every run."""

import subprocess
import sys

import pytest

CODE = """
import numpy as np
from backend.memory import forget_peak, peak_memory

before = forget_peak()
held = np.ones(300_000_000, dtype=np.uint8)
large = peak_memory() - before
del held
between = forget_peak()
held = np.ones(30_000_000, dtype=np.uint8)
print(large, peak_memory() - between)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts the peak anew")
def test_a_peak_is_that_of_the_work_since_it_was_forgotten() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    large, small = map(int, done.stdout.split())
    assert 295e6 < large < 340e6
    assert 25e6 < small < 60e6, "the large one was counted again"
