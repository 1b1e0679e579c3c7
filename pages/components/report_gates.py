"""The form in which a review says what it demands."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from backend import gates
from backend.anchors import ANCHORS
from backend.reports import blocks
from pages.components import reads, shown

Content = dict[str, Any]
WORST = "the worst attack"
DEFAULTS = {"utility_drop": 0.05, "recovery": 0.2, "compute": 1.0}


def document_of(study: str) -> Any:
    """The study's frontier document by budget, as the pages hold it."""
    whole = reads.document(study)

    def at(budget: int | None) -> Mapping[str, Any]:
        return whole if budget in (None, whole["budget"]) else reads.document(study, budget)

    return at


def new_gates(study: str) -> Content:
    """The usual gates asked of all configurations of a study."""
    return blocks.gates_content(document_of(study))


def gates_form(block: Mapping[str, Any], key: str) -> None:
    """The gates with what can be changed about them; `asked_anew` evaluates them."""
    content = block["content"]
    study = content.get("study")
    if study not in list(reads.studies()["name"]):
        st.warning(f"The study {shown.plain(str(study))} is not in the database any more: its gates stay as they are.")  # fmt: skip
        return
    document = document_of(study)(None)
    held: list[Content] = st.session_state.setdefault(f"{key} gates", list(content["gates"]))
    _listed(held, key)
    _another(held, document, key)
    names = [row["configuration"] for row in document["rows"] if row["method"] not in ANCHORS]
    of = content.get("configurations")
    st.multiselect("Asked of", names, [one for one in of or [] if one in names], key=f"{key} of", placeholder="All configurations")  # fmt: skip
    st.checkbox(
        "Must hold with the interval", bool(content.get("with_interval")), key=f"{key} strict",
        help="The worse end of the interval over seeds must be within the limit as well; with one seed there is none, and the gate is unknown.",
    )  # fmt: skip


def asked_anew(block: Mapping[str, Any], key: str) -> Content:
    """The content of a gates block as the form asks for it, evaluated on the study as it is now.

    Raises:
        UserError: the study does not have what a gate asks for
    """
    content: Content = dict(block["content"])
    if f"{key} gates" not in st.session_state:  # the study is gone: nothing was asked
        return content
    of = st.session_state[f"{key} of"] or None
    held, strict = st.session_state[f"{key} gates"], st.session_state[f"{key} strict"]
    return blocks.gates_content(document_of(content["study"]), held, of, strict)


def _listed(held: list[Content], key: str) -> None:
    for position, asked in enumerate(held):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(shown.plain(gates.gate(asked).words()))
            st.button(
                "Drop", key=f"{key} drop {position}", type="tertiary", icon=":material/close:",
                help=shown.plain(gates.gate(asked).words()),
                on_click=_drop, args=(held, position),
            )  # fmt: skip
    if not held:
        st.caption("No gate: every configuration is unknown.")


def _drop(held: list[Content], position: int) -> None:
    del held[position]


def _another(held: list[Content], document: Mapping[str, Any], key: str) -> None:
    """Fields for one more gate."""
    with st.container(border=True):
        columns = st.columns(4)
        kind = columns[0].selectbox("One more gate", list(gates.KINDS), format_func=gates.KINDS.__getitem__, key=f"{key} kind")  # fmt: skip
        if kind == "metric":
            columns[1].selectbox("Metric", gates.metric_names(document), key=f"{key} metric")
            columns[2].selectbox("At", ["most", "least"], key=f"{key} side")
        if kind == "recovery":
            labels = {a["name"]: a.get("label", a["name"]) for a in document["attacks"]}
            columns[1].selectbox("Under", [None, *labels], format_func=lambda name: labels.get(name, WORST), key=f"{key} attack")  # fmt: skip
        largest = max((int(a["steps"]) for a in document["attacks"]), default=0)
        if kind in gates.UNDER_ATTACK:
            columns[2].number_input("Up to step", 0, largest, largest, key=f"{key} budget")
        limit = DEFAULTS.get(kind, 0.8)
        columns[3].number_input("Limit", value=limit, step=0.01, format="%.4g", key=f"{key} limit {kind}")  # fmt: skip
        st.button("Add this gate", key=f"{key} add", on_click=_append, args=(held, key, largest))


def _append(held: list[Content], key: str, largest: int) -> None:
    told = {name: st.session_state.get(f"{key} {name}") for name in ("metric", "side", "attack", "budget")}  # fmt: skip
    kind = st.session_state[f"{key} kind"]
    asked = {"kind": kind, "limit": st.session_state[f"{key} limit {kind}"], **told}
    asked["budget"] = None if asked["budget"] == largest else asked["budget"]
    held.append(gates.stored(gates.gate(asked)))
