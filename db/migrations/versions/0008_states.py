"""An index that counts runs by state without reading them: every open page asks for that every few seconds."""

from alembic import op

revision = "0008"
down_revision = "0007"

NAME = "ix_run_state_trashed_at_blocked_by"


def upgrade() -> None:
    """To this revision."""
    op.create_index(NAME, "run", ["state", "trashed_at", "blocked_by"])


def downgrade() -> None:
    """Back to the one before."""
    op.drop_index(NAME, "run")
