"""The chosen configurations of a study: in the address, and remembered from page to page."""

from collections.abc import Iterable

import streamlit as st

KEY = "pick"  # the parameter of the address, once for each configuration
HELD = "selection"  # in the session: study → configurations


def selected(study: str, known: Iterable[str]) -> list[str]:
    """What is chosen in this study, of the `known` configurations: the address counts, else the page before."""
    held = st.session_state.setdefault(HELD, {})
    given = st.query_params.get_all(KEY)
    if given:
        held[study] = given
    names = [name for name in held.get(study, []) if name in set(known)]
    if names != given:
        _show(names)
    return names


def select(study: str, names: Iterable[str]) -> None:
    """Choose these configurations, here and on every page."""
    chosen = list(dict.fromkeys(names))
    st.session_state.setdefault(HELD, {})[study] = chosen
    _show(chosen)


def _show(names: list[str]) -> None:
    if names:
        st.query_params[KEY] = names
    else:
        st.query_params.pop(KEY, None)


def select_by_name(study: str, known: Iterable[str], label: str) -> list[str]:
    """A field to choose configurations by name, for keyboards too; what is chosen after it."""
    names = list(known)
    chosen = selected(study, names)
    named = st.multiselect(
        label,
        names,
        default=chosen,
        placeholder="Choose configurations",
        key=f"by_name {study} {chosen}",  # another selection, by a click say, is another widget
    )
    if named != chosen:
        select(study, named)
        st.rerun()
    return chosen
