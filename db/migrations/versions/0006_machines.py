"""What a worker's machine is at."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """To this revision."""
    op.add_column("worker", sa.Column("machine", JSON, nullable=True))


def downgrade() -> None:
    """Back to the one before."""
    op.drop_column("worker", "machine")
