"""Who may do what: roles of people who sign in, and tokens of programs.

The guard itself is `needs`, on every function that people change something with (`db.writes`, `backend.backup`, …).
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from backend.stage import UserError
from db import reads, writes
from db.actor import (  # fmt: skip
    LOCAL,
    NOBODY,
    ROLES,
    SYSTEM,
    Actor,
    Refused,
    acting,
    ask_instead,
    may,
    present,
    require,
)
from db.writes.guarded import needs

__all__ = ["LOCAL", "NOBODY", "ROLES", "SYSTEM", "Actor", "Refused", "acting", "ask_instead", "may", "needs", "present", "require"]  # fmt: skip

TOKEN = re.compile(r"lethe_([0-9a-f]{8})_([\w-]{43})", re.ASCII)
LONGEST_DAYS = 366
NO_MATCH = "0" * 64


@dataclass(frozen=True)
class Made:
    """A new token: the only time that `secret` is there to be read."""

    id: int
    name: str
    role: str
    prefix: str
    expires_at: datetime
    secret: str


def role_of(person: Mapping[str, Any], roles: Mapping[str, Any]) -> str:
    """The role of somebody who signed in: that of the address, else of its domain, else `default`, else none.

    `person` is what the provider says of them, `roles` the table of the same name in the secrets.

    Raises:
        UserError: the table names no role
    """
    table = {str(key).lower().lstrip("@"): _role(str(key), role) for key, role in roles.items()}
    fallback = table.pop("default", "none")
    address = str(person.get("email") or "").strip().lower()
    if not address or _says_no(person.get("email_verified", True)):
        return fallback if not address else "none"
    return table.get(address) or table.get(address.rpartition("@")[2]) or fallback


def _role(key: str, role: Any) -> str:
    if not isinstance(role, str) or role not in ROLES:
        raise UserError(
            f"[roles] gives {key} the role {role!r}; there are {', '.join(ROLES)}, and keys with dots stand in quotes."
        )
    return role


def _says_no(claim: Any) -> bool:
    return str(claim).strip().lower() in ("false", "0", "no")


def make_token(engine: Engine, name: str, role: str, days: int) -> Made:
    """A new token of 256 random bits, of which only the hash is kept.

    Raises:
        UserError: the name, the role or the days are none
        Refused: the actor is no admin
    """
    word = " ".join(name.split())
    if not word or len(word) > 100:
        raise UserError(f"A token's name has 1 to 100 characters; {word[:80]!r} has {len(word)}.")
    if role not in ROLES[1:]:
        raise UserError(f"{role!r} is no role; there are {', '.join(ROLES[1:])}.")
    if not 1 <= days <= LONGEST_DAYS:
        raise UserError(f"A token is good for 1 to {LONGEST_DAYS} days; {days} is neither.")
    prefix = secrets.token_hex(4)
    secret = f"lethe_{prefix}_{secrets.token_urlsafe(32)}"
    expires = datetime.now(UTC) + timedelta(days=days)
    made = writes.keep_token(engine, word, role, prefix, digest(secret), expires)
    return Made(made, word, role, prefix, expires, secret)


def digest(secret: str) -> str:
    """What is kept of a token. Its 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def bearer(engine: Engine | None, given: str, now: datetime | None = None) -> Actor | None:
    """Who holds this token; None where it is forged, expired or revoked."""
    found = TOKEN.fullmatch(given)
    known = reads.tokens_with(engine, found[1]) if engine is not None and found else []
    moment = now or datetime.now(UTC)
    holder = None
    for token in known or [{"sha256": NO_MATCH}]:  # as much work where there is none
        same = hmac.compare_digest(digest(given), token["sha256"])
        if same and token["revoked_at"] is None and token["expires_at"] > moment:
            holder = Actor(f"token {token['name']}", token["role"], "rest", known=True)
    return holder
