"""Alembic's entry: works on the connection that `db.session` hands over, in its transaction."""

from alembic import context

from db.models import Table


def run() -> None:
    """Run the migrations that were asked for."""
    connection = context.config.attributes.get("connection")
    if connection is not None:
        _on(connection)
        return
    from db.session import _connected, database_url  # noqa: PLC0415

    with _connected(database_url()).begin() as own:
        _on(own)


def _on(connection: object) -> None:
    context.configure(
        connection=connection,  # type: ignore[arg-type]
        target_metadata=Table.metadata,
        render_as_batch=True,
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
