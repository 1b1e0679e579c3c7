"""The attempt from which on a run's kept states count, in the place of a mark that stood until the run was complete.

Columns go by SQLite's own statement: making the table anew would lose what its first revision says of it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

MARKED = "SET first_attempt = attempt + (CASE WHEN state = 'running' THEN 0 ELSE 1 END) WHERE fresh"
NOW = "SET fresh = (first_attempt > 1 AND first_attempt > attempt)"


def upgrade() -> None:
    """To this revision."""
    op.add_column(
        "run", sa.Column("first_attempt", sa.Integer(), nullable=False, server_default="1")
    )
    op.execute(f"UPDATE run {MARKED}")
    op.drop_column("run", "fresh")


def downgrade() -> None:
    """Back to the one before."""
    op.add_column(
        "run", sa.Column("fresh", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.execute(f"UPDATE run {NOW}")
    op.drop_column("run", "first_attempt")
