"""Keeping freed memory in the process: on a CPU, small models otherwise spend a third of their time on page faults."""

import ctypes
import platform
from functools import lru_cache

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
