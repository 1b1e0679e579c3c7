"""What must not stand in a log: passwords in addresses, tokens, and the values of variables that hold secrets."""

import contextlib
import os
import re
from collections.abc import Mapping
from urllib.parse import quote, unquote

from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

HIDDEN = "***"
SHORTEST = 6  # a shorter value would blot out words that are no secret
SECRET_NAMES = re.compile(
    r"(?:^|_)(?:TOKENS?|SECRETS?|PASSWD|PASS|(?:API|ACCESS|ACCOUNT|PRIVATE)_?KEYS?|CREDENTIALS?|CONNECTION_STRING|WEBHOOK)(?:_|$)"
    r"|PASSWORD(?:_|$)",
    re.IGNORECASE,
)
PATTERNS = (
    # Up to the last @ of the word: a password may hold a slash, and a name alone may be a token.
    (re.compile(r"([a-z][a-z0-9+.-]*://)[^\s\"'<>]+@", re.IGNORECASE), rf"\1{HIDDEN}@"),
    (re.compile(r"lethe_[0-9a-f]{8}_[\w-]{43}"), HIDDEN),
    (re.compile(r"\b(?:hf|gh[pousr]|github_pat|glpat|xox[abprs]|sk)[-_][\w-]{16,}"), HIDDEN),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (
        re.compile(
            r"\b((?:\w*(?:password|passwd|secret|secret_access_key|api_?key|account_?key|shared_?access_?signature)|\bsig|(?:access|auth|api|refresh)_token)[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,;)]+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
)


def secrets_here(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The secrets that this process knows, longest first: the database's password, and values of variables named like one."""
    found = {value for name, value in environment.items() if names_secret(name)}
    with contextlib.suppress(SQLAlchemyError):  # no address at all
        found.add(str(make_url(environment.get("LETHE_DATABASE_URL", "")).password or ""))
    forms = {form for value in found for form in (value, unquote(value), quote(value, safe=""))}  # fmt: skip
    return sorted((form for form in forms if len(form) >= SHORTEST), key=len, reverse=True)


def redacted(text: str, secrets: list[str]) -> str:
    """The text with every secret in it hidden: those of the list, and what looks like one."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    for pattern, instead in PATTERNS:
        text = pattern.sub(instead, text)
    return text


def names_secret(name: str) -> bool:
    """Whether a variable or field of that name holds a secret."""
    return SECRET_NAMES.search(name) is not None
