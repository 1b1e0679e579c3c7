"""Types of columns that both databases take alike: moments in UTC, texts, and JSON of any content."""

import json
import math
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Text, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB

Json = JSON().with_variant(JSONB, "postgresql")
NUL, SHOWN = "\x00", "\u2400"
# In JSON that is written in ASCII: what PostgreSQL refuses begins like one of these.
SUSPECT = ("\\u0000", "\\ud", "NaN", "Infinity")


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, always in UTC; SQLite would hand it back without a zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """What is stored: the moment in UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """What was stored, with its zone."""
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


class Words(TypeDecorator[str]):
    """A text that a model or a person wrote. PostgreSQL takes no character zero; it is stored as its picture, ␀."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """What is stored."""
        return None if value is None else storable(value)


def storable(text: str) -> str:
    """The text as both databases take it: the character zero as ␀, half of a surrogate pair as �."""
    shown = text.replace(NUL, SHOWN)
    try:
        shown.encode()
    except UnicodeEncodeError:
        return shown.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return shown


def as_json(value: Any) -> str:
    """JSON that both databases take: texts as `storable` gives them, numbers that are none as null."""
    written = json.dumps(value)
    if any(part in written for part in SUSPECT):
        return json.dumps(_clean(value))
    return written


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_clean(key): _clean(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(held) for held in value]
    return value
