"""Who may come in by a token, and who did what."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from db.actor import ROLES
from db.models import NEVER_REUSED, Table, now
from db.values import Json, UtcDateTime, Words

OUTCOMES = ("done", "failed", "refused")


class ApiToken(Table):
    """A token of the REST interface; only a hash of it is kept."""

    __tablename__ = "api_token"
    __table_args__ = (
        CheckConstraint(f"role IN {ROLES[1:]!r}", name="role"),
        NEVER_REUSED,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    prefix: Mapped[str] = mapped_column(String(20), index=True)
    sha256: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(20))
    created_by: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AuditEntry(Table):
    """Somebody did something, or tried to. Rows are added and never changed."""

    __tablename__ = "audit_entry"
    __table_args__ = (
        CheckConstraint(f"outcome IN {OUTCOMES!r}", name="outcome"),
        NEVER_REUSED,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)
    actor: Mapped[str] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(20))
    through: Mapped[str] = mapped_column(String(20))
    action: Mapped[str] = mapped_column(String(100))
    arguments: Mapped[dict[str, Any]] = mapped_column(Json)
    outcome: Mapped[str] = mapped_column(String(20))
    told: Mapped[str] = mapped_column(Words, default="")
