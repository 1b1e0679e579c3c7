"""Lethe from Python: studies in a notebook or a script, through the functions that stand behind the command line.

    from backend.api import Study, run, frontier

    study = Study("quick", seeds=[0, 1])
    study.plan()         # how many runs, what they will cost
    study.run()          # queue them and work until they are done
    study.frontier()     # one row a configuration
    study.chart()        # the picture of the Frontier page

Runs are done by processes of their own, which are started by command line: no event loop is in their way, and a script needs
no `if __name__ == "__main__"`.
"""

import copy
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import Engine

from backend import plugins
from backend import study as study_file
from backend.results import curves, frontier_document, known_study, run_rows
from backend.stage import RunFailed, UserError
from backend.submission import planned, stored_source, submitted
from backend.worker import Happened, work
from backend.working import Progress
from db import reads, session

__all__ = ["RunFailed", "Study", "UserError", "frontier", "run", "use_plugin"]

MEASURED = ("run", "stage", "name", "seed", "parent", "metric", "split", "category", "step", "value", "standard_error", "items")  # fmt: skip


def use_plugin(*paths: str | Path) -> None:
    """Take methods, attacks, metrics, options and settings from these files or folders, here and in the processes of runs.

    Raises:
        UserError: a path is not there, or a plugin is refused; the sentence says why and what is valid
    """
    plugins.use(paths)


def run(
    study: "str | Path | Mapping[str, Any] | Study | None" = None,
    *,
    slots: int | None = None,
    progress: bool | Callable[[Happened], None] = True,
    home: str | Path | None = None,
    **keys: Any,
) -> "Study":
    """Do one study, in a line: `run("quick", seeds=[0, 1]).frontier()`; takes and raises what `Study` and its `run` do.

    The study comes back: where `home` or a keyword is given beside a Study, that is a new one, and the given one stays.
    """
    same = isinstance(study, Study) and not keys and home is None
    asked = study if isinstance(study, Study) and same else Study(study, home=home, **keys)
    asked.run(slots=slots, progress=progress)
    return asked


def frontier(
    study: "str | Study",
    *,
    budget: int | None = None,
    revision: int | None = None,
    attacker_flops: float | None = None,
    home: str | Path | None = None,
) -> list[dict[str, Any]]:
    """The rows that `frontier --json` gives: one a configuration, each objective with mean, interval and values by seed.

    With `home` they are those of the study of that name in that data directory, of whichever a Study was.

    Raises:
        UserError: the database has no such study or revision, or the budget is beyond the attacks' steps
    """
    asked = study if isinstance(study, Study) and home is None else Study.stored(_name(study), home)
    rows: list[dict[str, Any]] = asked.document(budget, revision, attacker_flops)["rows"]
    return rows


class Study:
    """One setting, some recipes, one attack grid, some seeds; what a study file says, and what came of it.

    Its results are those of the newest study of its name in the database, whoever submitted it.
    """

    def __init__(
        self,
        source: "str | Path | Mapping[str, Any] | Study | None" = None,
        *,
        home: str | Path | None = None,
        put: Mapping[str, Any] | None = None,
        **keys: Any,
    ):
        """Of a shipped name, a study of the database, a TOML file, a mapping, another study, or of keywords alone.

        Keywords are those of the study file (`name`, `setting`, `recipes`, `attacks`, `seeds`, …) and replace what the
        source says; `put` lays values under dotted keys, as `submit --set` does: `put={"attacks.0.steps": 50}`. `home` is
        the data directory, else that of LETHE_HOME; LETHE_DATABASE_URL names another database for both.

        Raises:
            UserError: there is no such study, or a key is none of a study's
        """
        self.home = Path(os.path.expanduser(home)).absolute() if home is not None else None
        if isinstance(source, Study) and self.home is None:
            self.home = source.home
        with self._here():
            self.source = _source(source)
        if self.source is None:
            self.name = _name(source)
            if keys or put:
                raise UserError(f"{self.name} was imported: it can be looked at, not changed.")
            return
        self.source |= keys
        for key, value in (put or {}).items():
            study_file.put(self.source, key, value)
        study_file.check_keys(self.source)
        self.name = str(self.source.setdefault("name", "study"))

    @classmethod
    def stored(cls, name: str, home: str | Path | None = None) -> "Study":
        """The study of the database that has this name, also where a shipped one is called so.

        Raises:
            UserError: the database has no such study; the sentence lists those that it has
        """
        found = cls({"name": name}, home=home)
        with found._here():
            engine = found._engine()
            known_study(engine, name)
            found.source = stored_source(engine, name)
        return found

    @contextmanager
    def _here(self) -> Iterator[None]:
        with session.at_home(self.home):
            yield

    def _engine(self) -> Engine | None:
        return session.open_database(create=False)

    def _resolved(self, outline: bool = False) -> study_file.Plan:
        if self.source is None:
            raise UserError(f"{self.name} was imported: there is nothing to run.")
        return study_file.resolve(copy.deepcopy(self.source), outline)

    def plan(self) -> dict[str, Any]:
        """What submitting would do, as `submit --dry-run --json` tells: new and existing runs, and what the new ones cost.

        Raises:
            UserError: something in the study does not fit; the sentence says what, and what is valid
        """
        with self._here():
            return planned(self._resolved(outline=True), self._engine())

    def submit(self) -> dict[str, Any]:
        """Queue the runs that do not exist yet, for `run` or any worker, and say the same as `submit --json`; raises as `plan`."""
        with self._here():
            return submitted(self._resolved(), session.require_database())

    def run(
        self, *, slots: int | None = None, progress: bool | Callable[[Happened], None] = True
    ) -> "Study":
        """Submit the study and work, `slots` runs at a time, until all of its runs have ended; the study comes back.

        Only this study's runs are done: those of others stay in the queue as they are, and a run that another worker is
        doing for this study is waited for. Runs that exist are not done again. `progress` says on standard error what
        happens, or calls a function with it. An interrupt (Ctrl-C, the notebook's stop button) puts what is at work
        back into the queue with its state, says how it goes on, and is then raised.

        Raises:
            UserError: as in `plan`, or `slots` is no number of runs; nothing is queued then
            RunFailed: some runs failed; the others were done, and `runs` and `frontier` show them
            KeyboardInterrupt: somebody stopped it
        """
        if slots is not None and (not isinstance(slots, int) or slots < 1):
            raise UserError(f"slots = {slots!r} must be a whole number from 1, or None for as many as this machine bears.")  # fmt: skip
        with self._here():
            resolved = self._resolved()  # a mistake makes no database
            engine = session.require_database()
            told = submitted(resolved, engine)
            study_id = known_study(engine, self.name).id
            tell = progress if callable(progress) else Progress(engine, study_id).tell if progress else None  # fmt: skip
            if progress is True:
                print(f"{self.name}: {told['new']} new runs, {told['existing']} exist.", file=sys.stderr, flush=True)  # fmt: skip
            try:
                work(engine, slots=slots, until_idle=True, on_event=tell, study_id=study_id)
            except KeyboardInterrupt:
                print(self._how_it_goes_on(engine, study_id), file=sys.stderr, flush=True)
                raise
            self._complain(engine, study_id)
        return self

    def _how_it_goes_on(self, engine: Engine, study_id: int) -> str:
        left = len(reads.unfinished(engine, study_id))
        return f"Stopped: {left} runs of {self.name} wait in the queue; run() again, or `python -m backend work`, goes on from their last state."  # fmt: skip

    def _complain(self, engine: Engine, study_id: int) -> None:
        """RunFailed where not all of the study's runs are complete."""
        runs = reads.study_runs(engine, study_id)
        failed = runs[runs["state"] == "failed"]
        if len(failed):
            first = failed.iloc[0]
            raise RunFailed(f"{len(failed)} of {len(runs)} runs of {self.name} failed, the first, {first['stage']} {first['name']} of seed {first['seed']}, with: {first['error']}")  # fmt: skip
        left = int((runs["state"] != "complete").sum())
        if left:
            why = "the queue is paused" if reads.paused(engine) else "they were cancelled, or wait for such that were"  # fmt: skip
            raise RunFailed(f"{left} of {len(runs)} runs of {self.name} were not done: {why}.")

    def document(
        self,
        budget: int | None = None,
        revision: int | None = None,
        attacker_flops: float | None = None,
    ) -> dict[str, Any]:
        """Everything that `frontier --json` prints: see `backend.frontier.build`; raises as `frontier`."""
        with self._here():
            return frontier_document(self._engine(), self.name, budget, revision, attacker_flops)

    def frontier(
        self,
        *,
        budget: int | None = None,
        revision: int | None = None,
        attacker_flops: float | None = None,
    ) -> pd.DataFrame:
        """One row a configuration: an objective or metric NAME is its mean over seeds, beside NAME_low and NAME_high.

        Raises:
            UserError: the database has no such study or revision, or the budget is beyond the attacks' steps
        """
        from backend.frontier import frame

        return frame(self.document(budget, revision, attacker_flops))

    def runs(self) -> pd.DataFrame:
        """The study's runs as they are now, as `runs --json` tells; UserError where it was not submitted."""
        with self._here():
            return pd.DataFrame(run_rows(self._engine(), self.name))

    def results(self, category: str | None = "") -> pd.DataFrame:
        """Every measurement of the study's runs: which run, metric, split and step, and the value.

        `category` is that of the items, "" for all of them together; None gives every category. UserError where the
        study was not submitted.
        """
        with self._here():
            engine = self._engine()
            record = known_study(engine, self.name)
            assert engine is not None, "a study is known only where there is a database"
            runs = reads.study_runs(engine, record.id)[["id", "stage", "name", "seed", "parent"]]
            found = reads.measurements(engine, study_id=record.id, category=category)
        merged = found.merge(runs.rename(columns={"id": "run"}), on="run", how="left")
        return merged[list(MEASURED)]

    def export(self, path: str | Path, preset: str = "two columns") -> list[Path]:
        """Write data, plots, tables and manifest into a folder and say which files, as `export --to` does.

        Raises:
            UserError: the study has no results, or there is no such preset
        """
        from backend import exports

        document = self.document()
        with self._here():
            found = curves(self._engine(), self.name)
        return list(exports.bundle(document, found, Path(os.path.expanduser(path)), preset))

    def chart(
        self,
        x: str | None = None,
        y: str | None = None,
        size: str | None = None,
        *,
        budget: int | None = None,
        theme: str = "light",
    ) -> Any:
        """The chart of the Frontier page, as Altair makes it; a notebook draws it; over the objectives where none are named.

        Raises:
            UserError: as in `frontier`, the study has no results yet, or a column is none that can be drawn
        """
        from backend.charts.pictured import frontier_picture

        return frontier_picture(self.document(budget), x, y, size, theme)

    def __repr__(self) -> str:
        with self._here():
            try:
                engine = self._engine()
            except session.DatabaseProblem as problem:
                return f"<Study {self.name}: {problem}>"
            record = reads.study(engine, self.name) if engine is not None else None
            states = [] if engine is None or record is None else list(reads.study_runs(engine, record.id)["state"])  # fmt: skip
        if record is None:
            return f"<Study {self.name}: not submitted>"
        failed = f", {states.count('failed')} failed" if "failed" in states else ""
        return f"<Study {self.name}: {states.count('complete')} of {len(states)} runs complete{failed}>"  # fmt: skip


def _name(given: object) -> str:
    return given.name if isinstance(given, Study) else str(given)


def _source(given: "str | Path | Mapping[str, Any] | Study | None") -> dict[str, Any] | None:
    """A study's source, ours to change; None for one of the database that was imported."""
    if given is None:
        return {}
    if isinstance(given, Study):
        return copy.deepcopy(given.source)
    if isinstance(given, Mapping):
        return copy.deepcopy(dict(given))
    name = os.path.expanduser(str(given))
    engine = session.open_database(create=False)
    if study_file.is_shipped_or_file(name) or engine is None or reads.study(engine, name) is None:
        return study_file.load(name)
    return stored_source(engine, name)
