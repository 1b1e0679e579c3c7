"""How long every page's script takes on a database, warm, and how much memory it holds.

`python -m tests.page_times DIR [STUDY]` prints a table; nothing is asserted, because machines differ.
"""

import os
import statistics
import sys
import time
from pathlib import Path

from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((path.name for path in (ROOT / "pages").glob("[0-9]*.py")), key=lambda name: int(name.partition("_")[0]))  # fmt: skip
REPEATS = 5
# Besides how it opens: views of a page that ask for more.
VIEWS: dict[str, list[dict[str, str]]] = {
    "3_Runs.py": [
        {},
        {"filter": ""},
        {"filter": "method:undo stage:robustify alpha>=0.4 -tag:paper", "sort": "answer_accuracy@forget_score", "columns": "id,method,p.alpha,answer_accuracy@forget_score,tags"},
        {"filter": "", "sort": "studies", "page": "150"},
        {"show": "Parallel coordinates"},
        {"show": "Parallel coordinates", "of": "Runs", "filter": "stage:robustify"},
        {"show": "Cost by stage"},
        {"show": "Trash"},
    ]
}  # fmt: skip


def resident() -> float:
    """This process's memory in MB."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1000
    return float("nan")


def measured(page: str, address: dict[str, str]) -> tuple[float, float, float]:
    """Seconds of the first script run, and the medians of the following ones: by the clock, and of the processor.

    The second tells what a page takes on a machine that has nothing else to do.

    Raises:
        RuntimeError: the page shows an exception
    """
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=600)
    for key, value in address.items():
        at.query_params[key] = value
    at.switch_page(f"pages/{page}")
    times, worked = [], []
    for _ in range(REPEATS + 1):
        began, before = time.perf_counter(), time.process_time()
        at.run()
        times.append(time.perf_counter() - began)
        worked.append(time.process_time() - before)
        if at.exception:
            raise RuntimeError(f"{page} {address}: {at.exception[0].value}")
    return times[0], statistics.median(times[1:]), statistics.median(worked[1:])


def table(study: str) -> str:
    """A Markdown table: page, view, first script run, warm one, and the processor's share of it."""
    lines = ["| page | view | first, ms | warm, ms | of the processor, ms |", "| --- | --- | ---: | ---: | ---: |"]  # fmt: skip
    for page in PAGES:
        for view in VIEWS.get(page, [{}]):
            first, warm, work = measured(page, {"study": study, **view})
            told = ", ".join(f"{key} = {value}" for key, value in view.items()) or "as it opens"
            lines.append(
                f"| {page[:-3]} | {told} | {first * 1000:.0f} | {warm * 1000:.0f} | {work * 1000:.0f} |"
            )
    return "\n".join([*lines, "", f"Memory of this process: {resident():.0f} MB."])


if __name__ == "__main__":
    os.environ["LETHE_HOME"] = sys.argv[1]
    os.environ.pop("LETHE_DATABASE_URL", None)
    print(table(sys.argv[2] if len(sys.argv) > 2 else "undo_alpha"))
