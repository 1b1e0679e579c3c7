"""The message that a study has ended, to an address that the operator names in LETHE_WEBHOOK."""

import json
import os
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Any

from sqlalchemy import Engine

from backend.redaction import SHORTEST, redacted, secrets_here
from backend.stage import UserError
from db import writes
from db.writes import Ended

ENVIRONMENT = "LETHE_WEBHOOK"
SECONDS = 10.0
PAUSES = (1.0, 5.0)  # before another try
LONGEST = 300  # characters of a problem: what answers there may say anything


def webhook() -> str:
    """The address to tell; empty where there is none.

    Raises:
        UserError: it is no address of HTTP, or holds a login or blanks; the sentence leaves the address out, which is a secret
    """
    given = os.environ.get(ENVIRONMENT, "").strip()
    if given:
        wrong = _wrong(given)
        if wrong:
            raise UserError(f"{ENVIRONMENT} {wrong}.")
    return given


def _wrong(address: str) -> str:
    """What is wrong with an address; empty where nothing is."""
    if any(sign.isspace() or not sign.isprintable() for sign in address):
        return "holds a blank or a control character; write them as %20 and the like"
    try:
        parts = urllib.parse.urlsplit(address)
        host, _ = parts.hostname, parts.port  # the port is looked at only when it is asked for
    except ValueError:
        return "is not an address: its host or port is none"
    if parts.scheme not in ("http", "https") or not host:
        return "is not an address that begins with http:// or https:// and a host"
    # urllib would take it for a part of the host and of the port, and say so with the password.
    return (
        "holds a login (user:password@), which webhooks do not take" if "@" in parts.netloc else ""
    )


def message(ended: Ended) -> dict[str, Any]:
    """What is sent. `text` is what chat services show, the rest is for programs."""
    total = sum(ended.counts.values())
    fine = ended.counts.get("complete", 0) == total
    text = f"Study {ended.name} has ended: {ended.words} of {total} runs."
    told = {"event": "study ended", "study": ended.name, "revision": ended.revision}
    return {"text": text, **told, "complete": fine, "runs": ended.counts}


class Herald:
    """What one worker tells. Every end is told by one worker, which tries three times and then says that it could not."""

    def __init__(self, engine: Engine, tell: Callable[[str, str], None], address: str):
        self.engine, self.tell, self.address = engine, tell, address
        self._ended: list[int] = []
        self._sending: list[threading.Thread] = []

    def run_ended(self, run_id: int) -> None:
        """Note a run after whose end its studies may have ended."""
        self._ended.append(run_id)

    def look(self) -> None:
        """Tell of the studies that have ended."""
        if not self._ended:
            return
        found = writes.take_ended(self.engine, self._ended)
        self._ended = []
        for one in found:
            self.tell("ended", f"{one.name}: {one.words}")
            if self.address:
                thread = threading.Thread(target=self._send, args=(message(one),), daemon=True)
                self._sending.append(thread)
                thread.start()

    def close(self) -> None:
        """Tell of the last ends, and wait until all is said."""
        self.look()
        for thread in self._sending:
            thread.join(3 * SECONDS + sum(PAUSES))

    def _send(self, told: dict[str, Any]) -> None:
        data = json.dumps(told).encode()
        kind = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.address, data, kind, method="POST")
        for pause in (*PAUSES, None):
            try:
                with urllib.request.urlopen(request, timeout=SECONDS):  # nosec B310 - `webhook` has looked at the scheme
                    return
            except (OSError, ValueError, HTTPException) as problem:
                if pause is None:
                    host = urllib.parse.urlsplit(self.address).hostname
                    self.tell("problem", f"{host} could not be told that a study has ended: {self._words(problem)}.")  # fmt: skip
                else:
                    time.sleep(pause)

    def _words(self, problem: Exception) -> str:
        """What went wrong, in one line of bounded length; the server's words may repeat the address, whose path is a secret."""
        path = urllib.parse.urlsplit(self.address)._replace(scheme="", netloc="").geturl()
        secrets = [one for one in (self.address, path) if len(one) >= SHORTEST]
        told = redacted(str(problem) or type(problem).__name__, [*secrets, *secrets_here()])
        return " ".join(told.split())[:LONGEST]
