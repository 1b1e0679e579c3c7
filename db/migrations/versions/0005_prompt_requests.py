"""Prompts that people put to several models at once."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
MOMENT = sa.DateTime(timezone=True)
STATES = "'waiting', 'running', 'complete', 'failed', 'cancelled'"


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "prompt_request",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("study", sa.String(length=200), nullable=False),
        sa.Column("asked", JSON, nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("attempts_allowed", sa.Integer(), nullable=False),
        sa.Column("server_id", sa.String(length=100), nullable=True),
        sa.Column("lease_until", MOMENT, nullable=True),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT, nullable=True),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.Column("answers", JSON, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_prompt_request"),
        sa.CheckConstraint(f"state IN ({STATES})", name="ck_prompt_request_state"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_prompt_request_key", "prompt_request", ["key"])
    op.create_index("ix_prompt_request_state_id", "prompt_request", ["state", "id"])


def downgrade() -> None:
    """Back to the one before."""
    op.drop_index("ix_prompt_request_state_id", table_name="prompt_request")
    op.drop_index("ix_prompt_request_key", table_name="prompt_request")
    op.drop_table("prompt_request")
