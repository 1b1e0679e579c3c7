"""The metric `accuracy` is called `answer_accuracy`."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
OLD, NEW = "accuracy", "answer_accuracy"
MEASURED = [
    sa.table(name, sa.column("metric", sa.String)) for name in ("measurement", "item_values")
]
STUDY = sa.table("study", sa.column("id", sa.Integer), sa.column("document", JSON))
RUN = sa.table(
    "run",
    sa.column("id", sa.Integer),
    sa.column("stage", sa.String),
    sa.column("parameters", JSON),
)


def upgrade() -> None:
    """To this revision."""
    _rename(OLD, NEW)


def downgrade() -> None:
    """Back to the one before."""
    _rename(NEW, OLD)


def _rename(old: str, new: str) -> None:
    connection = op.get_bind()
    for table in MEASURED:
        connection.execute(sa.update(table).where(table.c.metric == old).values(metric=new))
    for study_id, document in connection.execute(sa.select(STUDY.c.id, STUDY.c.document)).all():
        changed = sa.update(STUDY).where(STUDY.c.id == study_id)
        connection.execute(changed.values(document=_document(document, old, new)))
    evaluations = sa.select(RUN.c.id, RUN.c.parameters).where(RUN.c.stage == "evaluate")
    for run_id, parameters in connection.execute(evaluations).all():
        metrics = [new if name == old else name for name in parameters.get("metrics", [])]
        if metrics:
            values = {**parameters, "metrics": metrics}
            connection.execute(sa.update(RUN).where(RUN.c.id == run_id).values(parameters=values))


def _document(document: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    """A study's document with the metric's other name, wherever it stands."""
    setting = dict(document.get("setting", {}))
    for key in ("forget_metric", "retain_metric"):
        if setting.get(key) == old:
            setting[key] = new
    metrics = document.get("metrics", {})
    named = {new if name == old else name: told for name, told in metrics.items()}
    found = {**document}
    found |= {"setting": setting} if "setting" in document else {}
    found |= {"metrics": named} if "metrics" in document else {}
    return found
