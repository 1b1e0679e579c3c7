"""What is watched while runs work: the end of each run's log, and what machines were at."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from db.models import Table, now
from db.values import UtcDateTime, Words


class RunLog(Table):
    """The last lines of a run's log, so that it can be read where the run's machine cannot be reached."""

    __tablename__ = "run_log"

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int]
    host: Mapped[str] = mapped_column(String(200), default="")
    text: Mapped[str] = mapped_column(Words)
    kept_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class MachineSample(Table):
    """What a machine was at: at a moment (`span` 0), or in the mean of `span` seconds from `at` on.

    `at` counts seconds since 1970, which both databases group alike. `cpu` is in percent of all cores.
    """

    __tablename__ = "machine_sample"
    __table_args__ = (Index("ix_machine_sample_span_at", "span", "at"),)

    host: Mapped[str] = mapped_column(String(200), primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    span: Mapped[int] = mapped_column(primary_key=True)
    cpu: Mapped[float | None]
    memory_used: Mapped[int | None] = mapped_column(BigInteger)
    memory_total: Mapped[int | None] = mapped_column(BigInteger)
    disk_free: Mapped[int | None] = mapped_column(BigInteger)


class GpuSample(Table):
    """The same of one GPU: bytes, percent, degrees Celsius, watts; what the card does not tell is null."""

    __tablename__ = "gpu_sample"
    __table_args__ = (Index("ix_gpu_sample_span_at", "span", "at"),)

    host: Mapped[str] = mapped_column(String(200), primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    span: Mapped[int] = mapped_column(primary_key=True)
    gpu: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), default="")
    used: Mapped[int | None] = mapped_column(BigInteger)
    total: Mapped[int | None] = mapped_column(BigInteger)
    busy: Mapped[float | None]
    temperature: Mapped[float | None]
    power: Mapped[float | None]
