"""The table of what people ask models in the playground: a queue beside that of the runs."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from db.models import NEVER_REUSED, Table, _one_of, now
from db.values import Json, UtcDateTime, Words

PROMPT_STATES = ("waiting", "running", "complete", "failed", "cancelled")


class PromptRequest(Table):
    """The same prompts to some models; `key` is a hash of all that the answers depend on.

    `asked` holds models, prompts and decoding, `answers` what came back. `done` of `total` says how far it is.
    """

    __tablename__ = "prompt_request"
    __table_args__ = (
        CheckConstraint(_one_of("state", PROMPT_STATES), name="state"),
        Index("ix_prompt_request_state_id", "state", "id"),
        NEVER_REUSED,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(64), index=True)
    study: Mapped[str] = mapped_column(String(200), default="")
    asked: Mapped[dict[str, Any]] = mapped_column(Json)
    state: Mapped[str] = mapped_column(String(20), default="waiting")
    attempt: Mapped[int] = mapped_column(default=0)
    attempts_allowed: Mapped[int] = mapped_column(default=3)
    server_id: Mapped[str | None] = mapped_column(String(100))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    message: Mapped[str] = mapped_column(Words, default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    answers: Mapped[dict[str, Any] | None] = mapped_column(Json)
    error: Mapped[str | None] = mapped_column(Words)
