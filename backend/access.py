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
TRUST = (
    "trust_missing_email_verified"  # in the table of roles: some providers never send that claim
)


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

    `person` is what the provider says of them, `roles` the table of the same name in the secrets. An address counts only
    where the provider says that it is verified, or says nothing of that and the table takes it so.

    Raises:
        UserError: the table names no role
    """
    table = {
        str(key).lower().lstrip("@"): _role(str(key), role)
        for key, role in roles.items()
        if not _is_choice(str(key), role)
    }
    fallback = table.pop("default", "none")
    address = _address(person)
    if not address:
        return fallback
    if unverified(person, roles):
        return "none"
    return table.get(address) or table.get(address.rpartition("@")[2]) or fallback


def name_of(person: Mapping[str, Any], roles: Mapping[str, Any]) -> str:
    """Under which name somebody acts: the address where it counts, else the provider's own number for them.

    What people may change themselves, such as `name`, is none: it would sign as somebody else.
    """
    if _address(person) and not unverified(person, roles):
        return str(person["email"]).strip()
    subject, issuer = str(person.get("sub") or "unnamed"), str(person.get("iss") or "")
    return f"{subject} of {issuer}" if issuer else f"{subject} of the provider"


def unverified(person: Mapping[str, Any], roles: Mapping[str, Any]) -> str:
    """Why somebody's address counts for nothing, in one sentence; empty where it counts, or there is none."""
    claim, address = person.get("email_verified"), _address(person)
    said = str("" if claim is None else claim).strip().lower()
    if not address or said in ("true", "1") or (claim is None and roles.get(TRUST) is True):
        return ""
    if claim is None:
        return (
            f"The provider sends no email_verified for {address}, so the address gives no role; an admin may take its"
            f" addresses without, by {TRUST} = true under [roles]."
        )
    return f"The provider says that it has not verified {address} (email_verified), so the address gives no role."


def _address(person: Mapping[str, Any]) -> str:
    return str(person.get("email") or "").strip().lower()


def _is_choice(key: str, given: Any) -> bool:
    """Whether a key of the table is the choice of taking addresses as they come, and no address."""
    if key != TRUST:
        return False
    if not isinstance(given, bool):
        raise UserError(f"[roles] has {TRUST} = {given!r}; it is true or false.")
    return True


def _role(key: str, role: Any) -> str:
    if not isinstance(role, str) or role not in ROLES:
        raise UserError(
            f"[roles] gives {key} the role {role!r}; there are {', '.join(ROLES)}, and keys with dots stand in quotes."
        )
    return role


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
