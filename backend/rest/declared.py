"""What the interface offers: every route once, with its role, its words, what it takes and what it does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from backend import service
from backend.given_files import MOST_FILES
from backend.stage import NotFound, UserError

HEALTH = "/health"  # 503 where the database does not answer
JSON, ZIP = "application/json", "application/zip"
IMPORT_BYTES = 50_000_000
TEXT = "text/plain; version=0.0.4; charset=utf-8"  # as Prometheus reads it


class Taken(BaseModel):
    """What a request holds; anything else is refused."""

    model_config = ConfigDict(extra="forbid")


class Nothing(Taken):
    """No parameters."""


class Submission(Taken):
    """A study to queue."""

    study: str | dict[str, Any] = Field(description="A shipped study's name, or what a study file says, as JSON.")  # fmt: skip
    set: list[str] = Field(default=[], max_length=100, description="KEY=VALUE over a shipped study.")  # fmt: skip
    dry_run: bool = Field(default=False, description="Only say what would be queued.")


Number = Annotated[int, Field(strict=True)]  # true is no 1


class Which(Taken):
    """Runs, by number or by study."""

    runs: list[Number | str] = Field(min_length=1, max_length=10_000, description="Numbers of runs, names of studies.")  # fmt: skip


class Again(Which):
    """Runs to queue again."""

    fresh: bool = Field(default=False, description="From the start, not from a kept state.")


class OneRun(Taken):
    """A run."""

    run: int = Field(ge=1, lt=2**31, description="Its number.")


class Log(OneRun):
    """The end of a run's log."""

    level: str = Field(default="info", max_length=20, description="The lowest one: info, warning or error.")  # fmt: skip
    last: int = Field(default=200, ge=1, le=2000, description="How many lines at most.")


class Runs(Taken):
    """A study's runs."""

    study: str = Field(max_length=200, description="Its name.")
    filter: str = Field(default="", max_length=2000, description="As above the list of runs: state:failed method:undo")  # fmt: skip


class Frontier(Taken):
    """A study at a budget."""

    study: str = Field(max_length=200, description="Its name.")
    budget: int | None = Field(default=None, ge=0, lt=2**31, description="Attack steps that count.")
    attacker_flops: float | None = Field(default=None, ge=0, allow_inf_nan=False, description="What one attack may cost at most.")  # fmt: skip
    revision: int | None = Field(default=None, ge=1, lt=2**31, description="Of the study; default the newest.")  # fmt: skip


class Export(Frontier):
    """A study's bundle."""

    preset: str = Field(default="two columns", max_length=40, description="Size of plots: one column, two columns, slides, poster.")  # fmt: skip


class OneStudy(Taken):
    """A study."""

    study: str = Field(max_length=200, description="Its name.")


class Kind(Taken):
    """A list of parts."""

    kind: str = Field(max_length=40, description="settings, methods, options, attacks or metrics.")


class ResultFile(Taken):
    """A file of results."""

    path: str = Field(min_length=1, max_length=500, description="Its name, or its path below the results' folder.")  # fmt: skip
    text: str = Field(description="What it holds: JSON, CSV or TSV.")


class Results(Taken):
    """Others' results to make a study of."""

    files: list[ResultFile] = Field(min_length=1, max_length=MOST_FILES, description="The result files.")  # fmt: skip
    kind: str | None = Field(default=None, max_length=40, description="What they are; else they tell.")  # fmt: skip
    reference: list[ResultFile] = Field(default=[], max_length=MOST_FILES, description="The retain model's results.")  # fmt: skip
    common: bool = Field(default=False, description="Take only the items that all have.")
    mapping: dict[str, Any] = Field(default={}, description="Which column of a CSV is what.")
    name: str = Field(default="import", min_length=1, max_length=200, description="Of the study.")
    dry_run: bool = Field(default=False, description="Only say what would be imported.")


class NewToken(Taken):
    """A token to make."""

    name: str = Field(max_length=200, description="What it is for.")
    role: str = Field(default="viewer", max_length=20, description="viewer, runner, reviewer or admin.")  # fmt: skip
    days: int = Field(default=90, description="How long it is good.")


class Revoked(Taken):
    """Tokens to revoke."""

    name: str = Field(max_length=200, description="The token's name or its prefix.")


class Entries(Taken):
    """A part of the audit log."""

    last: int = Field(default=50, ge=1, le=10_000, description="Entries, the latest first.")
    actor: str = Field(default="", max_length=200, description="Only of this one.")


@dataclass(frozen=True)
class Route:
    """One route: `role` "" needs no token; `takes` is the query, the path's part, or the body of a POST of `largest` bytes."""

    method: str
    path: str
    role: str
    summary: str
    takes: type[Taken]
    do: Callable[[Any], Any]
    gives: str = JSON
    largest: int = 1_000_000


def _submit(asked: Submission) -> Any:
    from backend import catalogue, study

    if isinstance(asked.study, dict):
        if asked.set:
            raise UserError("set is for shipped studies; write it into the study.")
        return service.submit(asked.study, asked.dry_run)
    if asked.study not in catalogue.studies():  # a path of the server is nobody's business
        raise NotFound(f"There is no study {asked.study!r}; give one of {', '.join(catalogue.studies())}, or a study as JSON.")  # fmt: skip
    return service.submit(study.load(asked.study, list(asked.set)), asked.dry_run)


def _export(asked: Export) -> bytes:
    from backend import exports
    from backend.figure_archive import zipped
    from backend.results import curves
    from db.session import require_database

    document = _frontier(asked)
    found = curves(require_database(), asked.study, asked.revision)
    with TemporaryDirectory() as folder:
        target = Path(folder) / "bundle"
        files: list[Path] = exports.bundle(document, found, target, asked.preset)
        packed: Mapping[str, bytes] = {str(p.relative_to(target)): p.read_bytes() for p in files}
        return zipped(packed)


def _frontier(asked: Frontier) -> Any:
    return service.frontier(asked.study, asked.budget, asked.attacker_flops, asked.revision)


def _import(asked: Results) -> Any:
    from backend.importers import Options

    reference = _given(asked.name, asked.reference) if asked.reference else None
    options = Options(reference, asked.common, asked.mapping)
    given = [_given(asked.name, asked.files)]
    return service.imported(given, asked.kind, options, asked.name, asked.dry_run)


def _given(name: str, files: list[ResultFile]) -> Any:
    from backend.given_files import from_bytes

    return from_bytes(name, [(file.path, file.text.encode("utf-8", "replace")) for file in files])


def _make_token(asked: NewToken) -> Any:
    from backend.access import make_token
    from db.session import require_database

    return vars(make_token(require_database(), asked.name, asked.role, asked.days))


ROUTES = (
    Route("GET", HEALTH, "", "Is the server alive, does the database answer, does anybody work", Nothing, lambda asked: service.health()),
    Route("GET", "/openapi.json", "viewer", "This description", Nothing, lambda asked: _described()),
    Route("GET", "/status", "viewer", "What runs, what waits, what failed", Nothing, lambda asked: service.status()),
    Route("GET", "/studies", "viewer", "The shipped studies and those in the database", Nothing, lambda asked: service.studies()),
    Route("POST", "/studies", "runner", "Queue a study's runs; those that exist are reused", Submission, _submit),
    Route("GET", "/runs", "viewer", "A study's runs", Runs, lambda asked: service.runs(asked.study, asked.filter)),
    Route("GET", "/runs/{run}", "viewer", "Everything about a run", OneRun, lambda asked: service.run(asked.run)),
    Route("GET", "/runs/{run}/log", "viewer", "The last lines of a run's log", Log, lambda asked: service.log(asked.run, asked.level, asked.last)),
    Route("POST", "/cancel", "runner", "Stop runs, or all of a study's", Which, lambda asked: service.cancel(map(str, asked.runs))),
    Route("POST", "/retry", "runner", "Queue failed and cancelled runs again", Again, lambda asked: service.retry(map(str, asked.runs), asked.fresh)),
    Route("POST", "/pause", "runner", "Stop claiming; what runs goes on", Nothing, lambda asked: service.pause(True)),
    Route("POST", "/resume", "runner", "Go on claiming", Nothing, lambda asked: service.pause(False)),
    Route("GET", "/frontier", "viewer", "The frontier of a study", Frontier, _frontier),
    Route("GET", "/metrics", "viewer", "Queue, workers, machines, disk and what runs took, for Prometheus", Nothing, lambda asked: _metered(), TEXT),
    Route("POST", "/delete", "admin", "Delete a study and the runs that no other study has", OneStudy, lambda asked: service.delete(asked.study)),
    Route("POST", "/import", "runner", "Make a study of others' result files", Results, _import, largest=IMPORT_BYTES),
    Route("GET", "/catalogue/{kind}", "viewer", "Settings, methods, options, attacks or metrics, with parameters, defaults and sources", Kind, lambda asked: service.parts(asked.kind)),
    Route("GET", "/audit", "admin", "Who did what, the latest first", Entries, lambda asked: service.audit(asked.last, asked.actor)),
    Route("GET", "/tokens", "admin", "All tokens, without what would let anybody in", Nothing, lambda asked: service.tokens()),
    Route("POST", "/tokens", "admin", "Make a token, which is told this once", NewToken, _make_token),
    Route("POST", "/tokens/revoke", "admin", "End a token", Revoked, lambda asked: service.revoke(asked.name)),
    Route("GET", "/export", "viewer", "A study's data, plots, tables and manifest", Export, _export, ZIP),
)  # fmt: skip


def _metered() -> str:
    from backend.metering import exposition
    from db.session import open_database

    return exposition(open_database(create=False))


def _described() -> Any:
    from backend.rest.openapi import document

    return document(ROUTES)
