"""What the command line and the REST interface both do: every function gives the document that `--json` prints."""

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from backend.results import known_study
from backend.stage import UserError
from db import reads, writes
from db.session import open_database, require_database

Document = dict[str, Any]
COLUMNS = ("id", "stage", "name", "parameters", "seed", "parent", "inputs", "fingerprint", "state", "blocked_by", "attempt", "seconds", "flops", "error")  # fmt: skip
WHOLE = ("parent", "blocked_by", "id", "seed", "attempt")


def forecast_of(resolved: Any, engine: Engine | None) -> Document:
    """The forecast of a plan's new runs as plain values."""
    import pandas as pd

    from backend.engines.local import default_slots
    from backend.forecast import forecast

    history = pd.DataFrame() if engine is None else reads.finished_runs(engine)
    known = set() if engine is None else reads.existing(engine)
    return dict(vars(forecast(resolved, known, history, default_slots())))


def submit(source: Document, dry_run: bool = False) -> Document:
    """Queue a study's runs, or only say what would be queued, with a forecast of cost.

    Raises:
        UserError: one sentence on what is wrong with the study
        Refused: the actor is no runner and this is no dry run
    """
    from backend import plan, study

    resolved = study.resolve(source, dry_run)
    engine = open_database(create=False) if dry_run else require_database()
    told = forecast_of(resolved, engine)
    known = set() if engine is None else reads.existing(engine)
    told["existing"] = sum(run.fingerprint in known for run in resolved.runs)
    told["new"] = len(resolved.runs) - told["existing"]
    absent = resolved.document["setting"].get("absent", "")
    told |= {"absent": absent} if absent else {}
    told |= {"study": resolved.document["name"], "revision": None}
    if not dry_run and engine is not None:
        rows = plan.as_rows(resolved.runs)
        name = resolved.document["name"]
        done = writes.submit(engine, name=name, document=resolved.document, runs=rows)
        told |= {"revision": done.revision, "new": done.new, "existing": done.existing}
        ended = reads.study_runs(engine, done.study_id)["state"].isin(["failed", "cancelled"])
        told["stopped"] = int(ended.sum())
    return told


def run_ids(engine: Engine | None, words: Iterable[str]) -> list[int]:
    """The runs that numbers and study names stand for; UserError for what is neither."""
    found: list[int] = []
    for word in words:
        if word.isdecimal() and word.isascii():
            if engine is None or reads.run(engine, int(word)) is None:
                raise UserError(f"There is no run {word}; `runs STUDY` lists them.")
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
    """Queue failed and cancelled runs again; how many that were."""
    ids = run_ids(open_database(create=False), words)
    return {"queued again": writes.retry(require_database(), ids, fresh)}


def pause(paused: bool) -> Document:
    """Stop claiming, or go on; what runs goes on in either case."""
    writes.set_paused(require_database(), paused)
    return {"queue": "paused" if paused else "claiming"}


def status() -> Document:
    """What runs, what failed, who works."""
    engine = open_database(create=False)
    if engine is None:
        return {"counts": {}, "paused": False, "workers": [], "running": [], "failed": []}
    columns = ["id", "stage", "name", "seed", "step", "steps_total", "message", "error"]
    told: Document = {
        "counts": reads.counts(engine),
        "paused": reads.paused(engine),
        "workers": reads.workers(engine).to_dict("records"),
    }
    for state in ("running", "failed"):
        told[state] = reads.runs_in(engine, [state])[columns].to_dict("records")
    cleaned: Document = clean(told)
    return cleaned


def runs(study: str, text: str = "") -> list[Document]:
    """A study's runs, those that a filter's text matches (see `backend.run_filter`)."""
    engine = open_database(create=False)
    record = known_study(engine, study)
    assert engine is not None
    given: dict[int, dict[str, list[int]]] = {}
    for row in reads.inputs(engine, record.id).to_dict("records"):
        given.setdefault(row["run"], {}).setdefault(row["role"], []).append(row["input"])
    records = reads.study_runs(engine, record.id).to_dict("records")
    kept = _matching(engine, text) if text.strip() else lambda one: True
    whole = [{**one, "inputs": given.get(int(one["id"]), {})} for one in records if kept(one["id"])]
    return [plain({name: one[name] for name in COLUMNS}) for one in whole]


def _matching(engine: Engine, text: str) -> Callable[[int], bool]:
    from backend.run_filter import Words, parse

    words = Words(reads.parameter_names(engine), reads.metric_names(engine))
    return set(reads.matching_ids(engine, parse(text, words))).__contains__


def run(run_id: int) -> Document:
    """Everything about a run; UserError where there is none."""
    engine = open_database(create=False)
    found = None if engine is None else reads.run(engine, run_id)
    if found is None or engine is None:
        raise UserError(f"There is no run {run_id}; `runs STUDY` lists them.")
    measured = reads.measurements(engine, run_ids=[run_id], category=None)
    return {**found, "measurements": [plain(row) for row in measured.to_dict("records")]}


def frontier(
    study: str, budget: int | None = None, flops: float | None = None, revision: int | None = None
) -> Document:
    """The frontier of a study; UserError where there is no such study or budget."""
    from backend.results import frontier_document

    engine = open_database(create=False)
    known_study(engine, study)
    assert engine is not None
    return frontier_document(engine, study, budget, revision, flops)


def plain(row: dict[Any, Any]) -> Document:
    """A row with None for what is missing and whole numbers where a column of them has gaps."""
    found: Document = {}
    for key, value in row.items():
        missing = value is None or (isinstance(value, float) and value != value)
        found[str(key)] = None if missing else int(value) if key in WHOLE else value
    return found


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
