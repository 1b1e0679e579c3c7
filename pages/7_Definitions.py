"""What is this number, and what does it not tell?"""

import app

app.guard()

import pandas as pd  # noqa: E402
import streamlit as st  # noqa: E402

from backend.definitions import CAUTIONS, Definition, definitions  # noqa: E402
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
    known = {one.name: one for one in definitions()}
    wanted = st.query_params.get("of", "")
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
    rows = [{"Number": o.label, "Kind": o.kind, "What it is": o.summary, "Direction": o.direction, "Range": o.range, "Floor": o.floor, "Source": o.source} for o in known.values()]  # fmt: skip
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        width="stretch",
        column_config={"What it is": st.column_config.TextColumn(width="large")},
    )


page()
