"""What people say about runs: tags, notes with versions, the archive, and saved views of the list."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from db.actor import signed
from db.models import Run
from db.models_marks import RunNote, RunTag, SavedView
from db.session import DatabaseProblem
from db.writes.guarded import needs
from db.writes.rows import clock, in_parts, upsert

LONGEST_TAG, LONGEST_NAME, LONGEST_NOTE = 60, 100, 20_000


@needs("runner")
def add_tag(engine: Engine, run_ids: Collection[int], tag: str) -> int:
    """Put a tag on runs; how many have it now that did not before.

    Raises:
        DatabaseProblem: the tag is empty, too long, or has a quotation mark
    """
    word = _named(tag, "tag", LONGEST_TAG)
    count = 0
    with engine.begin() as c:
        at = clock(c)
        for part in in_parts(run_ids):
            has = select(RunTag.run_id).where(RunTag.tag == word)
            bare = select(Run.id).where(Run.id.in_(part), Run.id.not_in(has))
            ids = list(c.execute(bare).scalars())
            upsert(c, RunTag, [{"run_id": one, "tag": word, "created_at": at} for one in ids])
            count += len(ids)
    return count


@needs("runner")
def remove_tag(engine: Engine, run_ids: Collection[int], tag: str) -> int:
    """Take a tag off runs; how many had it."""
    count = 0
    with engine.begin() as c:
        for part in in_parts(run_ids):
            gone = delete(RunTag).where(RunTag.run_id.in_(part), RunTag.tag == tag.strip())
            count += c.execute(gone).rowcount
    return count


@needs("runner")
def set_archived(engine: Engine, run_ids: Collection[int], archived: bool) -> int:
    """Hide runs from the list, or show them again; they count everywhere as before. How many changed."""
    count = 0
    with engine.begin() as c:
        for part in in_parts(run_ids):
            other = Run.archived_at.is_(None) if archived else Run.archived_at.is_not(None)
            changed = update(Run).where(Run.id.in_(part), other, Run.trashed_at.is_(None))
            count += c.execute(changed.values(archived_at=clock(c) if archived else None)).rowcount
    return count


@needs("runner")
def save_note(engine: Engine, run_id: int, text: str, author: str, seen: int) -> int:
    """Add a version to a run's note; its number. `seen` is the version that the writer had before them, 0 for none.

    Raises:
        DatabaseProblem: there is no such run, the text is too long, or somebody saved another version meanwhile
    """
    if len(text) > LONGEST_NOTE:
        raise DatabaseProblem(f"The note has {len(text)} characters; {LONGEST_NOTE} are the most.")
    with engine.begin() as c:
        # The run's row is locked, so that of two writers the second sees what the first saved.
        if c.execute(select(Run.id).where(Run.id == run_id).with_for_update()).first() is None:
            raise DatabaseProblem(f"There is no run {run_id}.")
        latest = _latest_note(c, run_id)
        if latest != seen:
            raise DatabaseProblem(
                f"Version {latest} of this note was saved while you wrote on version {seen}; yours is not lost: read the"
                " newer one, then save again."
            )
        values = {"run_id": run_id, "version": seen + 1, "text": text, "author": signed(author).strip()[:200]}  # fmt: skip
        c.execute(insert(RunNote).values(**values, created_at=clock(c)))
    return seen + 1


def _latest_note(c: Connection, run_id: int) -> int:
    query = select(func.max(RunNote.version)).where(RunNote.run_id == run_id)
    return int(c.execute(query).scalar() or 0)


@needs("runner")
def save_view(engine: Engine, name: str, address: Mapping[str, Any], replace: bool = False) -> str:
    """Keep a view of the list of runs under a name; the name as it is kept.

    Raises:
        DatabaseProblem: the name is empty or too long, or is taken and not to be replaced
    """
    word = _named(name, "view's name", LONGEST_NAME)
    with engine.begin() as c:
        if _view(c, word) is not None:
            if not replace:
                raise DatabaseProblem(f"There is a view {word!r} already; replace it, or choose another name.")  # fmt: skip
            changed = update(SavedView).where(SavedView.name == word)
            c.execute(changed.values(address=dict(address)))
        else:
            values = {"name": word, "address": dict(address), "created_at": clock(c)}
            c.execute(insert(SavedView).values(values))
    return word


@needs("runner")
def rename_view(engine: Engine, view_id: int, name: str) -> None:
    """Give a saved view another name.

    Raises:
        DatabaseProblem: the name is empty, too long or taken
    """
    word = _named(name, "view's name", LONGEST_NAME)
    with engine.begin() as c:
        if _view(c, word) not in (None, view_id):
            raise DatabaseProblem(f"There is a view {word!r} already; choose another name.")
        c.execute(update(SavedView).where(SavedView.id == view_id).values(name=word))


@needs("runner")
def delete_view(engine: Engine, view_id: int) -> None:
    """Forget a saved view; the runs that it showed stay as they are."""
    with engine.begin() as c:
        c.execute(delete(SavedView).where(SavedView.id == view_id))


def _view(c: Connection, name: str) -> int | None:
    return c.execute(select(SavedView.id).where(SavedView.name == name)).scalar_one_or_none()


def _named(given: str, what: str, longest: int) -> str:
    word = " ".join(given.split())
    if not word or len(word) > longest or '"' in word:
        raise DatabaseProblem(
            f"A {what} is 1 to {longest} characters without quotation marks; {word[:80]!r} is not."
        )
    return word
