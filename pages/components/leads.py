"""From a selection on to the pages that say more about it."""

from collections.abc import Sequence

import streamlit as st

from pages.components import reads
from pages.components.shown import plain

PAGES = {
    "Frontier": ":material/scatter_plot:",
    "Robustness": ":material/shield:",
    "Compare": ":material/compare:",
    "Playground": ":material/chat:",
}


def lead_on(study: str, chosen: Sequence[str], here: str) -> None:
    """In the sidebar: what is chosen, and links that take it to the other pages."""
    if not chosen:
        return
    with st.sidebar:
        st.markdown(f"**{len(chosen)} chosen** in {plain(study)}")
        st.markdown("\n".join(f"- {plain(name)}" for name in chosen))
        for name, icon in PAGES.items():
            files = list((reads.root() / "pages").glob(f"[0-9]*_{name}.py"))
            if files and name != here:
                st.page_link(
                    f"pages/{files[0].name}",
                    label=f"{name} with these",
                    icon=icon,
                    query_params=[
                        ("study", study),
                        *(("pick", one) for one in chosen),
                        *([("only", "true")] if name == "Robustness" else []),
                    ],
                )
