"""Reports with their blocks and audit trail."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
MOMENT = sa.DateTime(timezone=True)
BLOCKS = "'text', 'chart', 'table', 'case', 'gates'"


def upgrade() -> None:
    """To this revision."""
    _report()
    _report_block()
    _report_event()


def downgrade() -> None:
    """Back to the one before."""
    for table in ("report_event", "report_block"):
        op.drop_index(f"ix_{table}_report_id", table_name=table)
        op.drop_table(table)
    op.drop_table("report")


def _report() -> None:
    op.create_table(
        "report",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("frozen_at", MOMENT, nullable=True),
        sa.Column("frozen", sa.Text(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("archived_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_report"),
        sqlite_autoincrement=True,
    )


def _of_report(table: str) -> list[sa.schema.SchemaItem]:
    return [
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(
            ["report_id"], ["report.id"], name=f"fk_{table}_report_id", ondelete="CASCADE"
        ),
    ]


def _report_block() -> None:
    op.create_table(
        "report_block",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("report_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("content", JSON, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("removed_at", MOMENT, nullable=True),
        sa.CheckConstraint(f"kind IN ({BLOCKS})", name="ck_report_block_kind"),
        *_of_report("report_block"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_report_block_report_id", "report_block", ["report_id"])


def _report_event() -> None:
    op.create_table(
        "report_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("report_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        *_of_report("report_event"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_report_event_report_id", "report_event", ["report_id"])
