"""What the list of runs shows, as the address says it: filter, columns, order, page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from pages.components.shown import quoted

COLUMNS = ("id", "stage", "method", "seed", "state", "parameters", "seconds", "flops", "tags", "studies", "error", "finished")  # fmt: skip
SIZES = (25, 50, 100, 200)
SORT = "-id"
KEYS = ("filter", "columns", "sort", "size")  # of a saved view; the page is where somebody was


@dataclass(frozen=True)
class View:
    """A view of the list; `sort` begins with a minus where the largest value comes first."""

    filter: str = ""
    columns: tuple[str, ...] = COLUMNS
    sort: str = SORT
    size: int = 50
    page: int = 1

    @property
    def order(self) -> tuple[str, bool]:
        """The column that orders the list, and whether downwards."""
        return self.sort.removeprefix("-"), self.sort.startswith("-")


def view_of(address: Mapping[str, str]) -> View:
    """The view that an address describes; what makes no sense there is as if it were not there.

    An address with a study and without a filter shows that study, so links from other pages lead to its runs.
    """
    study = address.get("study", "")
    implied = f"study:{quoted(study)}" if study else ""
    columns = tuple(dict.fromkeys(name for name in address.get("columns", "").split(",") if name))
    size = _whole(address.get("size", ""), 50)
    return View(
        filter=address.get("filter", implied),
        columns=columns or COLUMNS,
        sort=address.get("sort", "") or SORT,
        size=size if size in SIZES else 50,
        page=max(1, _whole(address.get("page", ""), 1)),
    )


def _whole(text: str, otherwise: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else otherwise


def address_of(view: View) -> dict[str, str]:
    """The parameters that show a view again, its page apart; what is as usual is left out."""
    told = {"filter": view.filter, "columns": ",".join(view.columns), "sort": view.sort, "size": str(view.size)}  # fmt: skip
    usual = {"filter": "", "columns": ",".join(COLUMNS), "sort": SORT, "size": "50"}
    return {key: value for key, value in told.items() if value != usual[key]}


def change(**values: Any) -> None:
    """Write into the address what shall be shown from now on; another list begins with its first page."""
    for key, value in values.items():
        if value in (None, "") and not (key == "filter" and "study" in st.query_params):
            st.query_params.pop(key, None)
        else:
            st.query_params[key] = str(value)
    if "page" not in values:
        st.query_params.pop("page", None)
