"""The memory that a run is expected to need, by which workers let runs in."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0008"


def upgrade() -> None:
    """To this revision."""
    op.add_column("run", sa.Column("memory_need", sa.BigInteger()))


def downgrade() -> None:
    """Back to the one before."""
    with op.batch_alter_table("run") as table:
        table.drop_column("memory_need")
