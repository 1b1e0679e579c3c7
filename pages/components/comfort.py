"""What makes pages easier to read: captions that are dark enough, strong contrast on request, a word of welcome."""

import streamlit as st
from sqlalchemy import Engine

from db import reads, writes
from db.actor import may
from pages.components.reads import theme

SEEN = "tour seen"
# Streamlit's own grey of captions is too pale on white (3.9 : 1); the text's own colour, a little thinned, is not.
CAPTIONS = """
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] * { color: inherit !important; }
[data-testid="stCaptionContainer"] { opacity: 0.86; }
"""
# A picture of several panels is as wide as it is: on a phone it moves within its own frame, not the whole page.
CHARTS = """
[data-testid="stVegaLiteChart"] { max-width: 100%; overflow-x: auto; }
"""
# White on the dark theme's light blue is not enough.
DARK = """
[data-testid="stBaseButton-primary"], [data-testid="stBaseButton-primary"] *,
[data-testid="stMultiSelect"] span[title], [data-testid="stMultiSelect"] span[title] * { color: #0e1117 !important; }
"""
STRONG = """
[data-testid="stCaptionContainer"] { opacity: 1 !important; }
[data-testid="stMain"], [data-testid="stSidebar"] { filter: contrast(1.45); }
[data-testid="stMain"] a, [data-testid="stMain"] button { text-decoration-thickness: 2px; outline-offset: 2px; }
[data-testid="stMain"] button, [data-baseweb="select"] > div, [data-baseweb="input"] { border: 2px solid currentColor !important; }
"""
TOUR = (
    "Every point on **Frontier** is one way to unlearn: up lasts, right keeps what is useful, small is cheap. Click one to see why it is there.",
    "**Robustness** says what an attacker brought back, **Compare** whether a difference is more than chance, **Playground** what the models answer.",
    "**Launch** plans new runs and **Jobs** shows them at work; what you decide goes into **Reports**.",
)


def style(strong: bool) -> None:
    """Styles of all pages; strong contrast where the reader's system or the switch asks for it."""
    asked = STRONG if strong else f"@media (prefers-contrast: more) {{ {STRONG} }}"
    dark = DARK if theme() == "dark" else ""
    st.html(f"<style>{CAPTIONS}{CHARTS}{dark}{asked}</style>")


def strong_contrast() -> bool:
    """The switch in the sidebar."""
    with st.sidebar:
        return st.toggle("High contrast", key="contrast", persist_state="session")


def tour(engine: Engine | None) -> None:
    """Three sentences for a first visit, until somebody has read them."""
    if st.session_state.get(SEEN) or (engine is not None and reads.flag(engine, SEEN) == "yes"):
        return
    with st.container(border=True):
        st.markdown("\n".join(f"{number}. {sentence}" for number, sentence in enumerate(TOUR, 1)))
        st.button("Got it", on_click=_seen, args=(engine,))


def _seen(engine: Engine | None) -> None:
    st.session_state[SEEN] = True
    # Looking around makes no database, and a viewer turns nothing for others.
    if engine is not None and may("runner"):
        writes.set_flag(engine, SEEN, "yes")
