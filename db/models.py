"""The tables: studies, runs with their inputs, and everything that a run leaves behind.

`db` imports nothing of ours: states and stages are plain strings here, held in place by CHECK constraints.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    UniqueConstraint,
    desc,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from db.values import Json, UtcDateTime, Words

STAGES = ("base", "oracle", "pretrain", "suppress", "robustify", "wrap", "evaluate", "attack")
STATES = ("waiting", "running", "complete", "failed", "cancelled", "lost")
BLOCKS = ("text", "chart", "table", "case", "gates")
DECISIONS = ("approve", "needs work", "reject")
MODEL_STAGES = ("base", "oracle", "pretrain", "suppress", "robustify", "wrap")

# Kinds of a run's files: its model, and what is noted of one that was removed to make room.
MODEL_FILE, REMOVED_MODEL = "model", "removed model"
# A run that makes a removed model again: its origin, the role in which others wait for it, and in which it names the run whose model it makes.
AGAIN, AGAIN_OF = "again", "again of"

LARGEST_ID = 2**31 - 1  # that PostgreSQL's columns hold

# A link to a run, or a cached version of the data, never means something else after a deletion.
NEVER_REUSED = {"sqlite_autoincrement": True}


def now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


class Table(DeclarativeBase):
    """What all tables share: named constraints, which Alembic's batch mode needs."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Study(Table):
    """One revision of a study; `document` is the resolved study, every default written out."""

    __tablename__ = "study"
    __table_args__ = (UniqueConstraint("name", "revision"), NEVER_REUSED)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    revision: Mapped[int]
    origin: Mapped[str] = mapped_column(String(20), default="run")
    document: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    trashed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Run(Table):
    """One stage of one recipe with one seed. A fingerprint exists once."""

    __tablename__ = "run"
    __table_args__ = (
        CheckConstraint(_one_of("stage", STAGES), name="stage"),
        CheckConstraint(_one_of("state", STATES), name="state"),
        # The order in which runs are claimed: the first ready one is found without sorting.
        Index("ix_run_state_priority_id", "state", desc("priority"), "id"),
        Index("ix_run_state_trashed_at_blocked_by", "state", "trashed_at", "blocked_by"),
        Index("ix_run_archived_at_trashed_at", "archived_at", "trashed_at"),
        Index("ix_run_parent_id", "parent_id"),
        Index("ix_run_blocked_by", "blocked_by"),
        NEVER_REUSED,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64), unique=True)
    stage: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(100))
    version: Mapped[int] = mapped_column(default=1)
    parameters: Mapped[dict[str, Any]] = mapped_column(Json)
    setting: Mapped[dict[str, Any]] = mapped_column(Json)
    precision: Mapped[str] = mapped_column(String(20), default="fp32")
    seed: Mapped[int]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("run.id"))
    origin: Mapped[str] = mapped_column(String(20), default="run")

    state: Mapped[str] = mapped_column(String(20), default="waiting")
    attempt: Mapped[int] = mapped_column(default=0)
    attempts_allowed: Mapped[int] = mapped_column(default=3)
    priority: Mapped[int] = mapped_column(default=0)
    memory_need: Mapped[int | None] = mapped_column(BigInteger)  # bytes, as expected
    expected_seconds: Mapped[float | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    first_attempt: Mapped[int] = mapped_column(default=1, server_default="1")  # whose states count
    blocked_by: Mapped[int | None] = mapped_column(ForeignKey("run.id"))
    worker_id: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)

    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    step: Mapped[int | None]
    steps_total: Mapped[int | None]
    message: Mapped[str | None] = mapped_column(Words)

    # The ledger of a finished run: what it took.
    steps: Mapped[int | None]
    tokens: Mapped[int | None] = mapped_column(BigInteger)
    flops: Mapped[float | None]
    seconds: Mapped[float | None]
    peak_memory: Mapped[int | None] = mapped_column(BigInteger)
    note: Mapped[str | None] = mapped_column(Words)
    chosen: Mapped[dict[str, Any] | None] = mapped_column(Json)
    environment: Mapped[dict[str, Any] | None] = mapped_column(Json)
    error: Mapped[str | None] = mapped_column(Words)
    traceback: Mapped[str | None] = mapped_column(Words)

    archived_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    trashed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class RunInput(Table):
    """A run's inputs besides its parent: base, oracle, reference, teachers."""

    __tablename__ = "run_input"

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(String(20), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, default=0)
    input_id: Mapped[int] = mapped_column(ForeignKey("run.id"), index=True)


class StudyRun(Table):
    """Which runs a study's revision consists of, in the order in which they were planned."""

    __tablename__ = "study_run"

    study_id: Mapped[int] = mapped_column(
        ForeignKey("study.id", ondelete="CASCADE"), primary_key=True
    )
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), primary_key=True, index=True)
    position: Mapped[int]


class Measurement(Table):
    """One number: a metric on a split (and a category of its items) after a step of a run.

    The key leaves the attempt out, so a repeated attempt overwrites and never doubles.
    """

    __tablename__ = "measurement"
    __table_args__ = {"sqlite_with_rowid": False}

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    metric: Mapped[str] = mapped_column(String(60), primary_key=True)
    split: Mapped[str] = mapped_column(String(60), primary_key=True)
    category: Mapped[str] = mapped_column(String(60), primary_key=True, default="")
    step: Mapped[int] = mapped_column(primary_key=True, default=0)
    value: Mapped[float | None]
    standard_error: Mapped[float | None]
    items: Mapped[int | None]
    attempt: Mapped[int]


class ItemValues(Table):
    """A metric's value for every item of a split: zlib-compressed little-endian float32."""

    __tablename__ = "item_values"

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    metric: Mapped[str] = mapped_column(String(60), primary_key=True)
    split: Mapped[str] = mapped_column(String(60), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True, default=0)
    attempt: Mapped[int]
    count: Mapped[int]
    data: Mapped[bytes] = mapped_column(LargeBinary)


class Sample(Table):
    """One question with the model's answer at a step; shown as text, never as markup."""

    __tablename__ = "sample"

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    split: Mapped[str] = mapped_column(String(60), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[int] = mapped_column(primary_key=True)
    category: Mapped[str] = mapped_column(String(60), default="")
    question: Mapped[str] = mapped_column(Words)
    expected: Mapped[str] = mapped_column(Words)
    answer: Mapped[str] = mapped_column(Words)
    correct: Mapped[bool | None]
    attempt: Mapped[int]


class Artifact(Table):
    """A file of a run under the data directory, with its checksum."""

    __tablename__ = "artifact"

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(40), primary_key=True)
    path: Mapped[str] = mapped_column(Words)
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    attempt: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class Worker(Table):
    """A process that claims runs; its heartbeat is the pulse that pages show."""

    __tablename__ = "worker"
    __table_args__ = (
        CheckConstraint(_one_of("state", ("running", "stopping", "stopped")), name="state"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    host: Mapped[str] = mapped_column(String(200))
    pid: Mapped[int]
    engine: Mapped[str] = mapped_column(String(20), default="local")
    slots: Mapped[int]
    state: Mapped[str] = mapped_column(String(20), default="running")
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    heartbeat_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    machine: Mapped[dict[str, Any] | None] = mapped_column(Json)


class Event(Table):
    """What happened, one line each: claims, ends, losses, cancels, submissions."""

    __tablename__ = "event"
    __table_args__ = (NEVER_REUSED,)

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), index=True)
    worker_id: Mapped[str | None] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(40))
    text: Mapped[str] = mapped_column(Words, default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class Flag(Table):
    """A switch of the whole queue, such as `paused`."""

    __tablename__ = "flag"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[str] = mapped_column(String(200))


class Report(Table):
    """A report: blocks in an order. Once frozen, the text `frozen` is what it shows, whatever happens to runs later.

    `frozen` is text and not JSON, because a database may write JSON anew; `sha256` is that of its UTF-8 bytes.
    """

    __tablename__ = "report"
    __table_args__ = (NEVER_REUSED,)

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    frozen_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    frozen: Mapped[str | None] = mapped_column(Words)
    sha256: Mapped[str | None] = mapped_column(String(64))
    archived_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ReportBlock(Table):
    """A part of a report: text, chart, table, case or gates; it holds its data, not a reference to it.

    `created_at` says when the data were taken, `updated_at` which version of the block somebody has seen.
    """

    __tablename__ = "report_block"
    __table_args__ = (
        CheckConstraint(_one_of("kind", BLOCKS), name="kind"),
        NEVER_REUSED,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    report_id: Mapped[int] = mapped_column(ForeignKey("report.id", ondelete="CASCADE"), index=True)
    position: Mapped[int]
    kind: Mapped[str] = mapped_column(String(20))
    title: Mapped[str] = mapped_column(String(200), default="")
    content: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    removed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ReportEvent(Table):
    """The audit trail of a report: what was done, by whom, why. Rows are added and never changed."""

    __tablename__ = "report_event"
    __table_args__ = (NEVER_REUSED,)

    id: Mapped[int] = mapped_column(primary_key=True)
    report_id: Mapped[int] = mapped_column(ForeignKey("report.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(40))
    author: Mapped[str] = mapped_column(String(200), default="")
    text: Mapped[str] = mapped_column(Words, default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
