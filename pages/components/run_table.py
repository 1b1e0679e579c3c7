"""The list of runs: which columns, the page that is shown, its order, and what was ticked."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from backend.run_filter import Words
from backend.spreadsheets import csv
from db import reads
from db.reads.run_columns import METRIC, OWN, PARAMETER
from pages.components.run_address import COLUMNS, SIZES, View, change
from pages.components.shown import DASH, SIGNS, listed
from pages.components.synced import synced, taken

TITLES = {"id": "Run", "flops": "FLOPs", "seconds": "Time", "memory": "Peak memory", "parent": "Made from"}  # fmt: skip
TOLD = ("setting", "tags", "studies", "note")
WIDTHS: dict[str, Any] = {"stage": 90, "method": 110, "state": 105, "parameters": "medium", "error": "medium", "note": "medium"}  # fmt: skip
MOMENTS = ("created", "started", "finished")
WHOLE = ("seed", "steps", "tokens", "attempt", "priority", "version", "parent")
ROW, HEAD, HIGHEST = 35, 40, 20  # pixels, pixels, rows before the table scrolls


def known_columns(words: Words) -> list[str]:
    """The names of all columns that there are: a run's own, parameters, metrics."""
    own = [*COLUMNS, *(name for name in (*OWN, *TOLD) if name not in COLUMNS)]
    return [*own, *(PARAMETER + name for name in words.parameters), *words.metrics]


def title(name: str) -> str:
    """A column's heading."""
    if name.startswith(PARAMETER):
        return name.removeprefix(PARAMETER)
    if METRIC in name:
        metric, _, split = name.partition(METRIC)
        return f"{metric.replace('_', ' ')}, {split.replace('_', ' ')}".capitalize()
    return TITLES.get(name, name.capitalize())


def columns_field(view: View, words: Words) -> None:
    """Which columns to show, in the order in which they are chosen."""
    known = known_columns(words)
    shown = [name for name in view.columns if name in known]
    key = synced("runs_columns", shown)
    st.multiselect(
        "Columns",
        known,
        default=shown,
        key=key,
        format_func=_listed_as,
        on_change=taken(key, lambda names: change(columns=",".join(names))),
        help="parameters, and the last value of any metric on any split: of the run itself, else of its evaluation",
    )
    if view.columns != COLUMNS:
        st.button("The usual columns", on_click=change, kwargs={"columns": None})


def _listed_as(name: str) -> str:
    kind = " (parameter)" if name.startswith(PARAMETER) else " (last value)" if METRIC in name else ""  # fmt: skip
    return f"{title(name)}{kind}"


def sensible(view: View, words: Words) -> View:
    """The view without columns that no run has; a sentence says which those were."""
    known = set(known_columns(words))
    unknown = [name for name in (*view.columns, view.order[0]) if name not in known]
    if not unknown:
        return view
    st.info(f"No run has what the address names: {', '.join(dict.fromkeys(unknown))[:200]}. The rest is shown.")  # fmt: skip
    columns = tuple(name for name in view.columns if name in known) or COLUMNS
    return View(view.filter, columns, view.sort if view.order[0] in known else "-id", view.size, view.page)  # fmt: skip


def page_of(engine: Engine, view: View, conditions: Sequence[reads.Condition]) -> reads.RunPage:
    """The page that the view shows; the last one where there are fewer."""
    sort, descending = view.order

    def at(page: int) -> reads.RunPage:
        start = (page - 1) * view.size
        return reads.run_page(engine, conditions, view.columns, sort, descending, view.size, start)

    found = at(view.page)
    if found.rows.empty and found.matching:
        last = pages(found, view)
        st.query_params["page"] = str(last)
        return at(last)
    return found


def pages(found: reads.RunPage, view: View) -> int:
    """How many pages the list has."""
    return max(1, -(-found.matching // view.size))


def counted(found: reads.RunPage, view: View) -> str:
    """Which part of the list is shown."""
    if not found.matching:
        return f"No run matches; there are {found.total:,}." if found.total else "Every run is archived or in the trash."  # fmt: skip
    first = (min(view.page, pages(found, view)) - 1) * view.size + 1
    told = f"{first:,}–{first + len(found.rows) - 1:,} of {found.matching:,}"
    return told if found.matching == found.total else f"{told} that match; {found.total:,} in all"


def table(found: reads.RunPage, view: View) -> list[int]:
    """The page as a table; the numbers of the runs that are ticked. A click on a heading sorts the whole list."""
    columns = ["id", *(name for name in view.columns if name != "id")]
    generation = st.session_state.setdefault("runs_generation", 0)
    event: Any = st.dataframe(
        _as_shown(found.rows[columns]),
        hide_index=True,
        width="stretch",
        height=HEAD + ROW * max(1, min(len(found.rows), HIGHEST)),
        placeholder=DASH,
        column_config={name: _configured(name, view) for name in columns},
        on_select="rerun",
        selection_mode=["multi-row", "single-column"],
        key=f"runs_table-{hash(view)}-{generation}",
        alt="Runs that match the filter, one a row",
    )
    picked = event["selection"] if event else {"rows": [], "columns": []}
    if picked["columns"]:
        _sort_by(picked["columns"][0], view)
    return [int(found.rows["id"].iloc[row]) for row in picked["rows"] if row < len(found.rows)]


def _sort_by(name: str, view: View) -> None:
    """Order by a column, the largest first; by the same again, the other way round."""
    change(sort=name if view.sort == f"-{name}" else f"-{name}")
    forget_ticks()
    st.rerun()


def forget_ticks() -> None:
    """A new key gives a table without ticks."""
    st.session_state["runs_generation"] = st.session_state.get("runs_generation", 0) + 1


def _as_shown(rows: pd.DataFrame) -> pd.DataFrame:
    shown = rows.copy()
    shown["id"] = [f"Runs?run={run}" for run in rows["id"]]
    if "state" in shown:
        shown["state"] = rows["state"].map(SIGNS)
    if "parameters" in shown:
        shown["parameters"] = rows["parameters"].map(listed)
    for name in (name for name in shown if str(name).startswith(PARAMETER)):
        shown[name] = _of_one_kind(rows[name])
    return shown


def _of_one_kind(values: pd.Series) -> pd.Series:
    """Numbers where all known values are numbers, else texts."""
    known = [value for value in values if value is not None]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return pd.to_numeric(values)
    return values.map(lambda value: None if value is None else str(value))


def _configured(name: str, view: View) -> Any:
    sort, descending = view.order
    label = f"{title(name)} {'↓' if descending else '↑'}" if name == sort else title(name)
    kinds = st.column_config
    if name == "id":
        return kinds.LinkColumn(label, display_text=r"run=(\d+)", width="small", help="opens the run in a tab of its own")  # fmt: skip
    if name in MOMENTS:
        return kinds.DatetimeColumn(label, format="YYYY-MM-DD HH:mm", timezone="UTC")
    if name in WHOLE:
        return kinds.NumberColumn(label, format="%d", width="small")
    formats = {"seconds": "%.1f s", "flops": "%.2e", "memory": "bytes"}
    if name in formats:
        return kinds.NumberColumn(label, format=formats[name])
    if METRIC in name:
        return kinds.NumberColumn(label, format="%.4f")
    return kinds.Column(label, width=WIDTHS.get(name))


def pager(
    engine: Engine, found: reads.RunPage, view: View, conditions: Sequence[reads.Condition]
) -> None:
    """The way to the other pages, all of them as a file, and how many runs a page has."""
    left, middle, right = st.columns([4, 2, 1], vertical_alignment="bottom")
    with left:
        count = pages(found, view)
        page = min(view.page, count)
        key = synced("runs_page", page)
        st.pagination(count, default=page, key=key, on_change=taken(key, _turned))
    middle.download_button(
        f"CSV of all {found.matching:,}",
        data=lambda: csv(whole(engine, view, conditions)),
        file_name="runs.csv",
        on_click="ignore",
        disabled=not found.matching,
        help="every run that matches, in this order, with these columns",
    )
    key = synced("runs_size", view.size)
    right.selectbox(
        "Runs a page",
        SIZES,
        index=SIZES.index(view.size),
        key=key,
        on_change=taken(key, lambda size: change(size=size)),
    )


def whole(engine: Engine, view: View, conditions: Sequence[reads.Condition]) -> pd.DataFrame:
    """All runs that match, in the view's order and with its columns."""
    sort, descending = view.order
    count = reads.matching(engine, conditions)
    return reads.run_page(engine, conditions, view.columns, sort, descending, count).rows


def _turned(page: int) -> None:
    change(page=page if page > 1 else None)
