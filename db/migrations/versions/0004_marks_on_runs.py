"""Tags, notes and saved views; runs that are archived, runs and studies that are in the trash."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
MOMENT = sa.DateTime(timezone=True)
MARKS = (("run", "archived_at"), ("run", "trashed_at"), ("study", "trashed_at"))


def upgrade() -> None:
    """To this revision."""
    for table, column in MARKS:
        op.add_column(table, sa.Column(column, MOMENT, nullable=True))
    _run_tag()
    _run_note()
    _saved_view()


def downgrade() -> None:
    """Back to the one before; what is in the trash is in the lists again."""
    op.drop_table("saved_view")
    op.drop_table("run_note")
    op.drop_index("ix_run_tag_tag", table_name="run_tag")
    op.drop_table("run_tag")
    for table, column in reversed(MARKS):
        op.drop_column(table, column)


def _of_run(table: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_run_id"
    return sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=name, ondelete="CASCADE")


def _run_tag() -> None:
    op.create_table(
        "run_tag",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("tag", sa.String(length=60), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "tag", name="pk_run_tag"),
        _of_run("run_tag"),
    )
    op.create_index("ix_run_tag_tag", "run_tag", ["tag"])


def _run_note() -> None:
    op.create_table(
        "run_note",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_run_note"),
        sa.UniqueConstraint("run_id", "version", name="uq_run_note_run_id_version"),
        _of_run("run_note"),
        sqlite_autoincrement=True,
    )


def _saved_view() -> None:
    op.create_table(
        "saved_view",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("address", JSON, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_saved_view"),
        sa.UniqueConstraint("name", name="uq_saved_view_name"),
        sqlite_autoincrement=True,
    )
