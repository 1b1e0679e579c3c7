"""The time that a run is expected to take, by which the queue tells how long it still has."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """To this revision."""
    op.add_column("run", sa.Column("expected_seconds", sa.Double()))


def downgrade() -> None:
    """Back to the one before."""
    with op.batch_alter_table("run") as table:
        table.drop_column("expected_seconds")
