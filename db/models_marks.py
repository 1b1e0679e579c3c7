"""What people say about runs: tags, notes with their versions, and views of the list that they saved."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.models import NEVER_REUSED, Table, now
from db.values import Json, UtcDateTime, Words


class RunTag(Table):
    """A word that somebody put on a run."""

    __tablename__ = "run_tag"

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(60), primary_key=True, index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class RunNote(Table):
    """One version of the note on a run; the highest counts, and none is ever changed."""

    __tablename__ = "run_note"
    __table_args__ = (UniqueConstraint("run_id", "version"), NEVER_REUSED)

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    version: Mapped[int]
    text: Mapped[str] = mapped_column(Words)
    author: Mapped[str] = mapped_column(String(200), default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class SavedView(Table):
    """A view of the list of runs by name; `address` holds the parameters that show it again."""

    __tablename__ = "saved_view"
    __table_args__ = (UniqueConstraint("name"), NEVER_REUSED)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    address: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
