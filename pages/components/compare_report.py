"""Charts and tables of a comparison on their way into a report."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pages.components.reporting import add_to_report, chart_content


def chart_to_report(
    title: str,
    chart: Any,
    frame: pd.DataFrame,
    caption: str,
    key: str,
    study: str,
    document: Mapping[str, Any],
) -> None:
    """A button that puts a chart with its data into a report."""

    def content() -> dict[str, Any]:
        return chart_content(chart, frame, caption, study=study, revision=document["revision"])

    add_to_report("chart", title, content, key)


def table_to_report(
    title: str,
    frame: pd.DataFrame,
    caption: str,
    key: str,
    study: str,
    document: Mapping[str, Any],
) -> None:
    """A button that puts a table into a report, cell by cell as it is shown."""

    def content() -> dict[str, Any]:
        rows = frame.to_numpy(dtype=object).tolist()
        about = {"caption": caption, "study": study, "revision": document["revision"]}
        return {"columns": [str(name) for name in frame], "rows": rows, **about}

    add_to_report("table", title, content, key)
