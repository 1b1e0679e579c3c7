"""The memory that a run is expected to need, by which workers let runs in; an index that counts the runs that are listed."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

# In this order: the other way round SQLite takes it for counts by state too, and reads every run for them.
LISTED = "ix_run_archived_at_trashed_at"


def upgrade() -> None:
    """To this revision."""
    op.add_column("run", sa.Column("memory_need", sa.BigInteger()))
    op.create_index(LISTED, "run", ["archived_at", "trashed_at"])


def downgrade() -> None:
    """Back to the one before."""
    op.drop_index(LISTED, "run")
    with op.batch_alter_table("run") as table:
        table.drop_column("memory_need")
