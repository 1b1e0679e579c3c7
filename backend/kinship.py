"""Processes that end with the one that started them, from their first moment on."""

import ctypes
import os
import signal
import sys
import threading
import time

ENVIRONMENT = "LETHE_PARENT"  # the process that has to be there; children of children never see it


def child_of_this() -> dict[str, str]:
    """What a child finds in its environment, so that it knows its parent even where that ended before it could look."""
    return {ENVIRONMENT: str(os.getpid())}


def die_with_parent() -> None:
    """End this process with the one that started it and gave its number, if one did.

    By the kernel on Linux, elsewhere by looking once a second. To be called before anything that takes time.

    Raises:
        SystemExit: with status 1, where that one is gone already
    """
    parent = os.environ.pop(ENVIRONMENT, "")
    if not parent:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    else:
        threading.Thread(target=_watch, args=(int(parent),), daemon=True).start()
    if os.getppid() != int(parent):
        raise SystemExit(1)  # it died before it could take us along


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
