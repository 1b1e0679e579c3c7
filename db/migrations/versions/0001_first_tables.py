"""The first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
MOMENT = sa.DateTime(timezone=True)
TABLES = (
    "flag",
    "run",
    "study",
    "worker",
    "artifact",
    "event",
    "item_values",
    "measurement",
    "run_input",
    "sample",
    "study_run",
)


def upgrade() -> None:
    """To this revision."""
    _flag()
    _run()
    _study()
    _worker()
    _artifact()
    _event()
    _item_values()
    _measurement()
    _run_input()
    _sample()
    _study_run()


def downgrade() -> None:
    """Back to an empty database."""
    for table in reversed(TABLES):
        op.drop_table(table)


def _flag() -> None:
    op.create_table(
        "flag",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_flag"),
    )


def _run() -> None:
    op.create_table(
        "run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("stage", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("parameters", JSON, nullable=False),
        sa.Column("setting", JSON, nullable=False),
        sa.Column("precision", sa.String(length=20), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("parent_id", sa.Integer(), nullable=True),
        sa.Column("origin", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("attempts_allowed", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("fresh", sa.Boolean(), nullable=False),
        sa.Column("blocked_by", sa.Integer(), nullable=True),
        sa.Column("worker_id", sa.String(length=64), nullable=True),
        sa.Column("lease_until", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT, nullable=True),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.Column("step", sa.Integer(), nullable=True),
        sa.Column("steps_total", sa.Integer(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("steps", sa.Integer(), nullable=True),
        sa.Column("tokens", sa.BigInteger(), nullable=True),
        sa.Column("flops", sa.Double(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("peak_memory", sa.BigInteger(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("chosen", JSON, nullable=True),
        sa.Column("environment", JSON, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("traceback", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "stage IN ('base', 'oracle', 'pretrain', 'suppress', 'robustify', 'wrap', 'evaluate', 'attack')",
            name="ck_run_stage",
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'running', 'complete', 'failed', 'cancelled', 'lost')",
            name="ck_run_state",
        ),
        sa.ForeignKeyConstraint(["blocked_by"], ["run.id"], name="fk_run_blocked_by"),
        sa.ForeignKeyConstraint(["parent_id"], ["run.id"], name="fk_run_parent_id"),
        sa.PrimaryKeyConstraint("id", name="pk_run"),
        sa.UniqueConstraint("fingerprint", name="uq_run_fingerprint"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_run_state_priority_id", "run", ["state", sa.text("priority DESC"), "id"])
    op.create_index("ix_run_blocked_by", "run", ["blocked_by"])
    op.create_index("ix_run_parent_id", "run", ["parent_id"])


def _study() -> None:
    op.create_table(
        "study",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("origin", sa.String(length=20), nullable=False),
        sa.Column("document", JSON, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_study"),
        sa.UniqueConstraint("name", "revision", name="uq_study_name_revision"),
        sqlite_autoincrement=True,
    )


def _worker() -> None:
    op.create_table(
        "worker",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=200), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("engine", sa.String(length=20), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("heartbeat_at", MOMENT, nullable=False),
        sa.CheckConstraint("state IN ('running', 'stopping', 'stopped')", name="ck_worker_state"),
        sa.PrimaryKeyConstraint("id", name="pk_worker"),
    )


def _artifact() -> None:
    op.create_table(
        "artifact",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name="fk_artifact_run_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "kind", name="pk_artifact"),
    )


def _event() -> None:
    op.create_table(
        "event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=True),
        sa.Column("worker_id", sa.String(length=64), nullable=True),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_event_run_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_event_run_id", "event", ["run_id"])


def _item_values() -> None:
    op.create_table(
        "item_values",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("metric", sa.String(length=60), nullable=False),
        sa.Column("split", sa.String(length=60), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name="fk_item_values_run_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "metric", "split", "step", name="pk_item_values"),
    )


def _measurement() -> None:
    op.create_table(
        "measurement",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("metric", sa.String(length=60), nullable=False),
        sa.Column("split", sa.String(length=60), nullable=False),
        sa.Column("category", sa.String(length=60), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("standard_error", sa.Double(), nullable=True),
        sa.Column("items", sa.Integer(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name="fk_measurement_run_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(
            "run_id", "metric", "split", "category", "step", name="pk_measurement"
        ),
        sqlite_with_rowid=False,
    )


def _run_input() -> None:
    op.create_table(
        "run_input",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("input_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["input_id"], ["run.id"], name="fk_run_input_input_id"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name="fk_run_input_run_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "role", "position", name="pk_run_input"),
    )
    op.create_index("ix_run_input_input_id", "run_input", ["input_id"])


def _sample() -> None:
    op.create_table(
        "sample",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("split", sa.String(length=60), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("item", sa.Integer(), nullable=False),
        sa.Column("category", sa.String(length=60), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("expected", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("correct", sa.Boolean(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name="fk_sample_run_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "split", "step", "item", name="pk_sample"),
    )


def _study_run() -> None:
    op.create_table(
        "study_run",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_study_run_run_id"),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name="fk_study_run_study_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("study_id", "run_id", name="pk_study_run"),
    )
    op.create_index("ix_study_run_run_id", "study_run", ["run_id"])
