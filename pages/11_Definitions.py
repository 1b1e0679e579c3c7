"""What is this number, and what does it not tell?"""

import app

app.guard()

import pandas as pd  # noqa: E402
import streamlit as st  # noqa: E402

from backend.definitions import CAUTIONS, Definition, definition_of, definitions  # noqa: E402
from pages.components.reported_definitions import reported_definitions  # noqa: E402
from pages.components.shown import plain  # noqa: E402

FACTS = {
    "direction": "Direction",
    "range": "Range",
    "floor": "A model that knows nothing",
    "source": "Source",
    "limits": "What it does not tell",
}


def card(one: Definition) -> None:
    """Everything about one number."""
    with st.container(border=True):
        st.subheader(one.label)
        st.caption(f"{one.kind} `{one.name}`")
        st.markdown(plain(one.summary))
        if one.formula:
            st.latex(one.formula)
        for field, title in FACTS.items():
            if told := getattr(one, field):
                st.markdown(f"**{title}**: {plain(told)}")


def page() -> None:
    """One number in full, all numbers in short, and what holds for all of them."""
    st.title("Definitions")
    st.markdown("**What is this number, and what does it not tell?**")
    ours, theirs = list(definitions()), reported_definitions()
    known = {one.name: one for one in (*theirs, *ours)}  # where both have a name, ours is the one
    known = {one.name: known[one.name] for one in (*ours, *theirs)}
    wanted = definition_of(st.query_params.get("of", ""), known)
    if wanted and wanted not in known:
        st.warning(f"There is no number called {plain(wanted)}; choose one below.")
    start = list(known).index(wanted) if wanted in known else 0
    name = st.selectbox(
        "Number", list(known), start, format_func=lambda key: f"{known[key].label} ({known[key].kind})"
    )  # fmt: skip
    st.query_params["of"] = name
    card(known[name])
    st.subheader("What holds for all of them")
    st.markdown("\n".join(f"- {caution}" for caution in CAUTIONS))
    st.subheader("All numbers")
    rows = [{"Number": o.label, "Kind": o.kind, "What it is": o.summary, "Direction": o.direction, "Range": o.range, "Floor": o.floor, "Source": o.source} for o in ours]  # fmt: skip
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        width="stretch",
        column_config={"What it is": st.column_config.TextColumn(width="large")},
    )
    if theirs:
        st.subheader("What others report")
        st.caption("The numbers of imported studies, as their files have them; none was measured here.")  # fmt: skip
        rows = [{"Number": o.label, "What the files say": o.summary, "Direction": o.direction, "Range": o.range, "Source": o.source} for o in theirs]  # fmt: skip
        st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", column_config={"What the files say": st.column_config.TextColumn(width="large")})  # fmt: skip


page()
