"""How what people wait for grows with the number of runs, on SQLite and PostgreSQL.

`python -m tests.growth 100 1000 10000` prints a table a database, with the exponent of each column; nothing is asserted,
because machines differ. The results in the databases are invented, the code that reads them is not.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from sqlalchemy import Engine, text

from backend.results import frontier_document
from db import reads, session, writes
from tests.large_database import fill
from tests.page_times import measured
from tests.postgres import missing, served
from tests.small_study import run, submit

MEASUREMENTS = 20  # of every run
CLAIMS = 50
STUDY = "undo_alpha"  # a quarter of the runs of a small database, an eighth of a large one's


def timed(action: Callable[[], object], repeats: int = 5) -> float:
    """The median of its seconds, the first time not counted."""
    action()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def figures(engine: Engine, runs: int) -> dict[str, float]:
    """Seconds, in a database of so many runs that ended or wait, and as many again that are submitted here."""
    made = fill(engine, runs, MEASUREMENTS * runs)
    if engine.dialect.name == "postgresql":  # what its own housekeeping does within a minute
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as c:
            c.execute(text("ANALYZE"))
            for name in ("run", "study", "event"):  # the rows came with their numbers
                c.execute(text(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT max(id) FROM {name}))"))  # fmt: skip
    began = time.perf_counter()
    submit(engine, *(run(f"grown{number}") for number in range(made.runs)), name="grown")  # fmt: skip
    found = {"runs": float(made.runs), "submit a run": (time.perf_counter() - began) / made.runs}
    found["claim and end"] = timed(lambda: _one(engine), CLAIMS)
    found["look for work"] = timed(lambda: (reads.idle(engine), writes.leases(engine)))
    found["count states"] = timed(lambda: reads.counts(engine))
    found["frontier"] = timed(lambda: frontier_document(engine, STUDY))
    for name, page in (("page Frontier", "1_Frontier.py"), ("page Runs", "3_Runs.py"), ("page Jobs", "6_Jobs.py")):  # fmt: skip
        found[name] = measured(page, {"study": STUDY} if page.startswith("1") else {})[1]
    return found


def _one(engine: Engine) -> None:
    claim = writes.claim(engine, "growth", 30.0)
    assert claim is not None, "nothing was left to claim"
    writes.complete(engine, claim.run_id, claim.attempt, {"seconds": 1.0})


@contextmanager
def empty(kind: str) -> Iterator[Engine]:
    """A database of that kind with nothing in it, which the pages use too."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LETHE_HOME"] = folder
        if kind == "SQLite":
            os.environ.pop("LETHE_DATABASE_URL", None)
            yield session.require_database()
            return
        with served() as server:
            os.environ["LETHE_DATABASE_URL"] = url = server.new()
            yield session.require_database()
            session.close(url)


def table(kind: str, sizes: list[int]) -> str:
    """Milliseconds for every size, and the exponents: between the last two sizes, and over all of them."""
    rows = []
    for size in sizes:
        with empty(kind) as engine:
            rows.append(figures(engine, size))
            print(rows[-1], file=sys.stderr, flush=True)
    names = list(rows[0])[1:]
    lines = [f"| {kind}, ms | {' | '.join(names)} |", "| --- " * (len(names) + 1) + "|"]
    for row in rows:
        lines.append(f"| {row['runs']:,.0f} runs | {' | '.join(f'{1e3 * row[name]:.3g}' for name in names)} |")  # fmt: skip
    for label, part in (("exponent, all", rows), ("exponent, last two", rows[-2:])):
        logs = np.log([row["runs"] for row in part])
        slopes = [np.polyfit(logs, np.log([row[name] for row in part]), 1)[0] for name in names]
        lines.append(f"| {label} | {' | '.join(f'{slope:.2f}' for slope in slopes)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    kinds = ["SQLite"] if missing() else ["SQLite", "PostgreSQL"]
    for each in kinds:
        print(table(each, [int(word) for word in sys.argv[1:]]), end="\n\n", flush=True)
