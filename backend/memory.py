"""The process's memory: what it took at most, and keeping what is freed, without which small models on a CPU fault pages a third of their time."""

import ctypes
import platform
import resource
import sys
from functools import lru_cache
from pathlib import Path

# glibc's mallopt parameters, from <malloc.h>
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3


@lru_cache(maxsize=1)
def keep_freed_memory() -> bool:
    """Tell glibc to reuse blocks of up to 256 MiB instead of returning each to the system; False elsewhere.

    Every activation of a tiny model is a block of about a megabyte, which glibc by default maps anew, and the system
    then has to zero page by page. See docs/lab-notes.md for the measured gain.
    """
    if platform.system() != "Linux":
        return False
    try:
        libc = ctypes.CDLL("libc.so.6")
        settings = ((MMAP_THRESHOLD, 1 << 28), (TRIM_THRESHOLD, 1 << 30), (TOP_PAD, 1 << 26))
        return all(bool(libc.mallopt(name, value)) for name, value in settings)
    except (OSError, AttributeError):  # another C library
        return False


def forget_peak() -> int:
    """Start the process's peak memory anew where the system allows it (Linux); bytes in use now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _status("VmRSS")
    except OSError:
        return peak_memory()


def peak_memory() -> int:
    """The most bytes that were resident since, of the whole process where the system counts from its start."""
    try:
        return _status("VmHWM")
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(name)
