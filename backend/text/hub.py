"""Whether the hub of models and datasets can be reached: asked once, in two seconds, instead of minutes of retries."""

import os
import socket
import sys
from functools import lru_cache
from urllib.parse import urlsplit
from urllib.request import getproxies

SECONDS = 2.0


@lru_cache(maxsize=1)
def prepare() -> bool:
    """Whether the hub answers; where it does not, its libraries are told to look into their local cache only."""
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        return False
    if _answers(os.environ.get("HF_ENDPOINT") or "https://huggingface.co"):
        return True
    os.environ["HF_HUB_OFFLINE"] = "1"
    for name in ("huggingface_hub.constants", "datasets.config"):
        if name in sys.modules:  # which read the environment when it was imported
            sys.modules[name].HF_HUB_OFFLINE = True  # type: ignore[attr-defined]
    return False


def _answers(address: str) -> bool:
    told = urlsplit(address)
    if told.scheme in getproxies():
        return True  # the proxy looks names up and connects
    port = told.port or (443 if told.scheme == "https" else 80)
    try:
        socket.create_connection((told.hostname or "", port), timeout=SECONDS).close()
    except OSError:
        return False
    return True
