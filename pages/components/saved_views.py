"""Views of the list of runs that were saved under a name."""

import html
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

import streamlit as st
from sqlalchemy import Engine

from db import reads, writes
from db.session import DatabaseProblem
from pages.components.run_address import KEYS, View, address_of
from pages.components.signing_in import beyond


def saved_views(engine: Engine, view: View) -> None:
    """Links to all saved views, and the way to save, rename and delete one."""
    known = reads.views(engine)
    for one in known:
        st.html(link(one))
    if not known:
        st.caption("None yet. A view is the filter, the columns and the order.")
    name = st.text_input("Save what is shown as", key="view_name", placeholder="A name")
    taken = " ".join(name.split()) in {one["name"] for one in known}
    if st.button("Replace it" if taken else "Save", type="primary", **beyond("runner", disabled=not name.strip())):  # fmt: skip
        _try(lambda: writes.save_view(engine, name, address_of(view), replace=taken))
    if not known:
        return
    st.divider()
    names = {one["id"]: one["name"] for one in known}
    chosen = st.selectbox("Change", list(names), format_func=lambda one: names[one], key="view")
    other = st.text_input("Its other name", key="view_other")
    rename, delete = st.columns(2)
    if rename.button("Rename", key="view_rename", **beyond("runner", disabled=not other.strip())):  # fmt: skip
        _try(lambda: writes.rename_view(engine, int(chosen), other))
    if delete.button("Delete", key="view_delete", **beyond("runner")):
        _try(lambda: writes.delete_view(engine, int(chosen)))


def link(view: dict[str, Any]) -> str:
    """A link that shows a saved view again, also in somebody else's browser."""
    told = {key: value for key, value in view["address"].items() if key in KEYS}
    address = html.escape(f"Runs?{urlencode(told, quote_via=quote)}")
    return f'<a href="{address}" target="_self">{html.escape(view["name"])}</a>'


def _try(act: Callable[[], object]) -> None:
    try:
        act()
    except DatabaseProblem as problem:
        st.error(str(problem))
    else:
        st.rerun()
