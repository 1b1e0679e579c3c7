"""What speaks for keeping a run's model: who starts from it, who marked it, who asked it."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, func, select, union

from db.models import (
    AGAIN,
    AGAIN_OF,
    MODEL_FILE,
    REMOVED_MODEL,
    Artifact,
    ReportBlock,
    Run,
    RunInput,
    now,
)
from db.models_marks import RunNote, RunTag
from db.prompt_models import PromptRequest
from db.session import reader


def started_from(engine: Engine) -> set[int]:
    """The runs that a run needs which is not complete and not in the trash."""
    unfinished = (Run.state != "complete", Run.trashed_at.is_(None))
    above = select(Run.parent_id).where(Run.parent_id.is_not(None), *unfinished)
    given = select(RunInput.input_id).join(Run, Run.id == RunInput.run_id)
    given = given.where(*unfinished, RunInput.role.not_in((AGAIN, AGAIN_OF)))
    with reader(engine).connect() as c:
        return set(c.execute(union(above, given)).scalars())


def marked(engine: Engine) -> set[int]:
    """The runs that have a tag, or a note that is not empty."""
    newest = select(func.max(RunNote.id)).group_by(RunNote.run_id)
    noted = select(RunNote.run_id).where(RunNote.id.in_(newest), RunNote.text != "")
    with reader(engine).connect() as c:
        return set(c.execute(union(select(RunTag.run_id), noted)).scalars())


def block_contents(engine: Engine) -> list[dict[str, Any]]:
    """What the blocks of all reports hold, archived and frozen ones too."""
    with reader(engine).connect() as c:
        return list(c.execute(select(ReportBlock.content).where(ReportBlock.removed_at.is_(None))).scalars())  # fmt: skip


def asked_models(engine: Engine, days: float) -> set[int]:
    """The runs whose models somebody asked in the playground in the last days, attacked ones too."""
    since = now() - timedelta(days=days)
    with reader(engine).connect() as c:
        query = select(PromptRequest.asked).where(PromptRequest.created_at > since)
        return {int(model["run"]) for asked in c.execute(query).scalars() for model in asked.get("models", ())}  # fmt: skip


def parents(engine: Engine) -> dict[int, int]:
    """Run → the run that it looks at, of evaluations and attacks."""
    query = select(Run.id, Run.parent_id).where(Run.stage.in_(("evaluate", "attack")))
    with reader(engine).connect() as c:
        rows = c.execute(query.where(Run.parent_id.is_not(None)))
        return {int(row[0]): int(row[1] or 0) for row in rows}


def stored_models(engine: Engine) -> set[int]:
    """The complete runs, the trash apart, whose model is stored."""
    query = select(Artifact.run_id).join(Run, Run.id == Artifact.run_id)
    mine = (Artifact.kind == MODEL_FILE, Run.state == "complete", Run.trashed_at.is_(None))
    with reader(engine).connect() as c:
        return set(c.execute(query.where(*mine)).scalars())


def is_named(engine: Engine, sha256: str) -> bool:
    """Whether a run has a stored model of that content."""
    query = select(Artifact.run_id).where(Artifact.sha256 == sha256, Artifact.kind == MODEL_FILE)
    with reader(engine).connect() as c:
        return c.execute(query.limit(1)).first() is not None


def removed_models(engine: Engine) -> set[int]:
    """The runs whose model was removed to make room."""
    with reader(engine).connect() as c:
        query = select(Artifact.run_id).where(Artifact.kind == REMOVED_MODEL)
        return set(c.execute(query).scalars())


def being_made_again(engine: Engine) -> dict[int, tuple[int, str]]:
    """Run whose removed model is being made → (the run that makes it, its state), while that is not complete."""
    query = select(RunInput.input_id, Run.id, Run.state).join(Run, Run.id == RunInput.run_id)
    with reader(engine).connect() as c:
        mine = query.where(RunInput.role == AGAIN_OF, Run.state != "complete")
        return {row[0]: (row[1], row[2]) for row in c.execute(mine)}
