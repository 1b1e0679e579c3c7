"""The dashboard's frame: every page is a file in `pages/`; `streamlit run app.py` starts it."""

import sys
from pathlib import Path

import streamlit as st
from altair.utils.schemapi import disable_debug_mode

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:  # a page that is opened first does not come through this file
    sys.path.insert(0, str(HERE))


def main() -> None:
    """Draw the frame and run the page that the address names, for those who may see it."""
    disable_debug_mode()  # a chart is checked whole when it is drawn; every part of it besides takes as long again
    st.set_page_config(page_title="Lethe", page_icon="🌊", layout="wide")
    files = sorted(
        (HERE / "pages").glob("[0-9]*.py"), key=lambda path: int(path.stem.partition("_")[0])
    )
    pages = [st.Page(path, default=path == files[0]) for path in files]
    from pages.components.signing_in import admitted, badge, gate

    # Ends Streamlit's own page discovery, which knows no frame.
    chosen = st.navigation(pages, position="sidebar" if admitted() else "hidden")
    gate()
    st.session_state["_framed"] = True  # only once the gate is passed: pages go by it
    from pages.components.comfort import strong_contrast, style
    from pages.components.pulse import sidebar

    sidebar()
    style(strong_contrast())
    badge()
    run(chosen)


def run(chosen: "st.Page") -> None:  # type: ignore[valid-type]
    """The page; what its reader's role does not reach is one sentence."""
    from db.actor import Refused

    try:
        chosen.run()  # type: ignore[attr-defined]
    except Refused as refusal:
        st.error(str(refusal))


def guard() -> None:
    """First call of every page: after a server's start a deep link would run the page without its frame."""
    if not st.session_state.get("_framed"):
        main()
        st.stop()
    from pages.components.signing_in import gate

    gate()


if __name__ == "__main__":
    main()
