"""What the command line and the REST interface both do: every function gives the document that `--json` prints."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from backend.remaining import remaining
from backend.results import frontier_document, known_study, plain_row, run_rows
from backend.stage import NotFound, UserError
from db import reads, writes
from db.session import open_database, require_database

if TYPE_CHECKING:
    from backend.given_files import Given
    from backend.importers import Options

Document = dict[str, Any]


def submit(source: Document, dry_run: bool = False) -> Document:
    """Queue a study's runs, or only say what would be queued, with a forecast of cost.

    Raises:
        UserError: one sentence on what is wrong with the study
        Refused: the actor is no runner and this is no dry run
    """
    from backend.study import resolve
    from backend.submission import planned, submitted

    resolved = resolve(source, dry_run)
    if dry_run:
        return planned(resolved, open_database(create=False))
    return submitted(resolved, require_database())


def run_ids(engine: Engine | None, words: Iterable[str]) -> list[int]:
    """The runs that numbers and study names stand for.

    Raises:
        NotFound: there is no such run or study
        UserError: a number is too large for any run's
    """
    found: list[int] = []
    for word in words:
        if word.isdecimal() and word.isascii():
            if len(word) > len(str(reads.LARGEST_ID)) or int(word) > reads.LARGEST_ID:
                raise UserError(f"{word[:20]}{'…' * (len(word) > 20)} is no run's number; those end at {reads.LARGEST_ID}.")  # fmt: skip
            if engine is None or reads.run(engine, int(word)) is None:
                raise NotFound(f"There is no run {word}; `runs STUDY` lists them.")
            found.append(int(word))
        else:
            record = known_study(engine, word)
            assert engine is not None
            found += [int(run) for run in reads.study_runs(engine, record.id)["id"]]
    return found


def cancel(words: Iterable[str]) -> Document:
    """Stop runs, or all of a study's; how many that were."""
    ids = run_ids(open_database(create=False), words)
    return {"cancelled": writes.request_cancel(require_database(), ids)}


def retry(words: Iterable[str], fresh: bool = False) -> Document:
    """Queue failed and cancelled runs again, and the making of a removed model of a run that is named itself; how many."""
    words = list(words)
    ids = run_ids(open_database(create=False), words)
    named = [int(word) for word in words if word.isdecimal()]
    return {"queued again": writes.retry(require_database(), ids, fresh, named)}


def pause(paused: bool) -> Document:
    """Stop claiming, or go on; what runs goes on in either case."""
    writes.set_paused(require_database(), paused)
    return {"queue": "paused" if paused else "claiming"}


def delete(study: str) -> Document:
    """Delete a study with the runs that no other study has, their files and logs; how many runs that were."""
    from backend.deleting import remove_rest

    known_study(open_database(create=False), study)
    deleted = writes.delete_study(require_database(), study)
    remove_rest(deleted)
    return {"deleted": deleted.runs}


def imported(
    given: "Sequence[Given]", kind: str | None, options: "Options", name: str, dry_run: bool
) -> Document:
    """Make a study of others' results, or only say which it would be; nothing changes where it is there already.

    Raises:
        UserError: one sentence on what is wrong with the files
    """
    from backend.importing import prepared, store

    ready = prepared(given, kind, options, name)
    done = None if dry_run else store(require_database(), ready)
    return {
        "study": ready.name,
        "kind": ready.kind,
        "origin": "imported",
        "revision": None if done is None else done.revision,
        "new": None if done is None else done.new,
        "changed": done is not None and done.changed,
        "runs": ready.told(),
        "metrics": ready.document["metrics"],
        "notes": list(ready.report.notes),
    }


def parts(kind: str) -> list[Document]:
    """All methods, options, attacks, metrics or settings, with parameters, defaults and sources."""
    from backend import catalogue
    from backend.registry import KINDS

    if kind not in KINDS:
        raise NotFound(f"There is no list of {kind}; there are {', '.join(KINDS)}.")
    return [part.as_json() for part in catalogue.parts(kind)]


def audit(last: int, actor: str) -> list[Document]:
    """Who did what, the latest first."""
    engine = open_database(create=False)
    found = [] if engine is None else reads.audit(engine, last, actor).to_dict("records")
    cleaned: list[Document] = clean(found)
    return cleaned


def tokens() -> list[Document]:
    """All tokens of the REST interface, without what would let anybody in."""
    engine = open_database(create=False)
    return [] if engine is None else reads.tokens(engine)


def revoke(name: str) -> Document:
    """End a token, by its name or its prefix; how many that were."""
    return {"revoked": writes.revoke_token(require_database(), name)}


def status() -> Document:
    """What runs, what failed, who works."""
    engine = open_database(create=False)
    if engine is None:
        return {"counts": {}, "paused": False, "workers": [], "running": [], "failed": [], "seconds_left": None}  # fmt: skip
    columns = ["id", "stage", "name", "seed", "step", "steps_total", "message", "error"]
    told: Document = {
        "counts": reads.counts(engine),
        "paused": reads.paused(engine),
        "workers": reads.workers(engine).to_dict("records"),
        "seconds_left": remaining(engine),
    }
    for state in ("running", "failed"):
        told[state] = reads.runs_in(engine, [state])[columns].to_dict("records")
    cleaned: Document = clean(told)
    return cleaned


def runs(study: str, text: str = "") -> list[Document]:
    """A study's runs, those that a filter's text matches (see `backend.run_filter`)."""
    engine = open_database(create=False)
    rows = run_rows(engine, study)
    if engine is None or not text.strip():
        return rows
    kept = _matching(engine, text)
    return [row for row in rows if row["id"] in kept]


def _matching(engine: Engine, text: str) -> set[int]:
    from backend.run_filter import Words, parse

    words = Words(reads.parameter_names(engine), reads.metric_names(engine))
    return set(reads.matching_ids(engine, parse(text, words)))


def _known_run(run_id: int) -> tuple[Engine, Document]:
    engine = open_database(create=False)
    found = None if engine is None else reads.run(engine, run_id)
    if found is None or engine is None:
        raise NotFound(f"There is no run {run_id}; `runs STUDY` lists them.")
    return engine, found


def run(run_id: int) -> Document:
    """Everything about a run; UserError where there is none."""
    engine, found = _known_run(run_id)
    measured = reads.measurements(engine, run_ids=[run_id], category=None)
    return {**found, "measurements": [plain_row(row) for row in measured.to_dict("records")]}


def log(run_id: int, level: str = "info", last: int = 200) -> Document:
    """The last lines of a run's log, as `backend.log_reading.run_log` gives them; UserError where there is no such run."""
    from backend.log_reading import run_log
    from db.session import home

    engine, found = _known_run(run_id)
    return run_log(engine, found, home(), level, last)


def frontier(
    study: str, budget: int | None = None, flops: float | None = None, revision: int | None = None
) -> Document:
    """The frontier of a study; UserError where there is no such study or budget."""
    return frontier_document(open_database(create=False), study, budget, revision, flops)


def clean(value: Any) -> Any:
    """The same with pandas' missing values as None."""
    if isinstance(value, dict):
        return {key: clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item) for item in value]
    missing = value is None or value != value
    return None if missing else value.item() if hasattr(value, "item") else value


def studies() -> list[Document]:
    """The shipped studies and those in the database, each with what it asks."""
    from backend import catalogue
    from backend.study_questions import question_of, shipped_question

    engine = open_database(create=False)
    submitted = [] if engine is None else reads.studies(engine).to_dict("records")
    known = {row["name"]: row for row in submitted}
    shipped = catalogue.studies()
    rows = []
    for name in [*shipped, *(name for name in known if name not in shipped)]:
        row: Document = {"name": name, "shipped": name in shipped, "revision": None, "runs": 0, "complete": 0}  # fmt: skip
        row |= {key: known[name][key] for key in ("revision", "runs", "complete") if name in known}
        record = reads.study(engine, name) if engine is not None and row["revision"] else None
        row["question"] = question_of(name, record.document) if record else shipped_question(name)
        rows.append(row)
    return rows


def health() -> Document:
    """Whether this process and its database answer, the schema's revision, and how many workers are alive."""
    from db.session import DatabaseProblem, revisions

    try:
        engine = open_database(create=False)
        workers = None if engine is None else reads.workers(engine)
    except (DatabaseProblem, SQLAlchemyError):
        return {"state": "no database", "database": False, "schema": None, "workers": 0}
    alive = 0 if workers is None or workers.empty else int(workers["alive"].sum())
    schema = None if engine is None else revisions()[-1]
    return {"state": "ok", "database": engine is not None, "schema": schema, "workers": alive}
