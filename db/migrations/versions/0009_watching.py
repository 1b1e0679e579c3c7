"""The end of each run's log, and what machines were at."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

KEY = (
    sa.Column("host", sa.String(length=200), nullable=False),
    sa.Column("at", sa.BigInteger(), nullable=False),
    sa.Column("span", sa.Integer(), nullable=False),
)


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "run_log",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("host", sa.String(length=200), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("kept_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name="fk_run_log_run_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", name="pk_run_log"),
    )
    op.create_table(
        "machine_sample",
        *(column.copy() for column in KEY),
        sa.Column("cpu", sa.Double(), nullable=True),
        sa.Column("memory_used", sa.BigInteger(), nullable=True),
        sa.Column("memory_total", sa.BigInteger(), nullable=True),
        sa.Column("disk_free", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("host", "at", "span", name="pk_machine_sample"),
    )
    op.create_index("ix_machine_sample_span_at", "machine_sample", ["span", "at"])
    op.create_table(
        "gpu_sample",
        *(column.copy() for column in KEY),
        sa.Column("gpu", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=True),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.Column("busy", sa.Double(), nullable=True),
        sa.Column("temperature", sa.Double(), nullable=True),
        sa.Column("power", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("host", "at", "span", "gpu", name="pk_gpu_sample"),
    )
    op.create_index("ix_gpu_sample_span_at", "gpu_sample", ["span", "at"])


def downgrade() -> None:
    """Back to the one before."""
    op.drop_table("gpu_sample")
    op.drop_table("machine_sample")
    op.drop_table("run_log")
