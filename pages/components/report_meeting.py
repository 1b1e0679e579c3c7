"""A report before a meeting: one block a slide, large type, the keys Right and Left, the place in the address."""

from html import escape
from typing import Any

import streamlit as st
from sqlalchemy import Engine

from backend.reports import review
from db import reads as database
from pages.components import report_drawing, shown
from pages.components.report_decision import decisions, told
from pages.components.report_doing import at, say
from pages.components.report_proof import hash_line

STYLE = """
[data-testid="stSidebar"], [data-testid="stHeader"], [data-testid="stExpandSidebarButton"] { display: none !important; }
[data-testid="stMainBlockContainer"] { max-width: none; padding: 2rem 4vw 1rem; font-size: 1.5rem; }
[data-testid="stMainBlockContainer"] h1 { font-size: 3rem; } [data-testid="stMainBlockContainer"] h2 { font-size: 2.4rem; }
[data-testid="stMainBlockContainer"] [data-testid="stMarkdownContainer"] p, [data-testid="stMainBlockContainer"] [data-testid="stText"] { font-size: 1.5rem; }
[data-testid="stMainBlockContainer"] [data-testid="stCaptionContainer"] p { font-size: 1.2rem; }
.st-key-slide { min-height: calc(100vh - 11rem); }
.rep { font-size: 1.5rem; } .rep table { font-size: .82em; } .rep .scroll { max-height: 50vh; } .rep .quiet { opacity: 1; }
.bar { height: .35rem; background: color-mix(in srgb, currentColor 18%, transparent); border-radius: 1rem; }
.bar > div { height: 100%; background: currentColor; border-radius: 1rem; }
"""


def meeting(engine: Engine, found: dict[str, Any]) -> None:
    """The slide that the address names."""
    payload, events = review.payload(found), database.report_events(engine, found["id"])
    report_drawing.style()
    st.html(f"<style>{STYLE}</style>")
    blocks = payload["blocks"]
    count = len(blocks) + 2
    at_slide = _place(count)
    with st.container(key="slide"):
        if at_slide == 1:
            _first(found, payload, events)
        elif at_slide == count:
            _last(events)
        else:
            block = blocks[at_slide - 2]
            st.header(shown.plain(block["title"]), anchor=False)
            key = f"slide {found['id']} {at_slide}"
            report_drawing.inside(block["kind"], block["content"], key, live=True, large=True)
    _steer(at_slide, count, payload["title"])


def _place(count: int) -> int:
    given = st.query_params.get("slide", "1")
    return min(max(int(given), 1), count) if given.isascii() and given.isdigit() else 1


def _first(found: dict[str, Any], payload: dict[str, Any], events: Any) -> None:
    st.title(shown.plain(payload["title"]), anchor=False)
    st.markdown("**What did we decide, and on what evidence?**")
    say()
    if found["frozen_at"] is None:
        st.warning("This report is open: what it shows can still change, and it cannot be decided on.")  # fmt: skip
    else:
        st.markdown(f"Frozen {shown.plain(at(found['frozen_at']))}.")
        hash_line(found, events)
    st.caption("Right and Left turn the slides, Escape leaves.")


def _last(events: Any) -> None:
    st.header("What was decided", anchor=False)
    told(decisions(events))


def _go(to: int) -> None:
    st.query_params["slide"] = str(to)


def _leave() -> None:
    for name in ("present", "slide"):
        st.query_params.pop(name, None)


def _steer(place: int, count: int, title: str) -> None:
    """Where we are, and the way on."""
    share = round(100 * place / count)
    st.html(f'<div class="bar" role="progressbar" aria-valuenow="{place}" aria-valuemin="1" aria-valuemax="{count}" aria-label="Slide {place} of {count}"><div style="width:{share}%"></div></div>')  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Back", shortcut="Left", disabled=place == 1, on_click=_go, args=(place - 1,))
        st.button("Next", shortcut="Right", disabled=place == count, on_click=_go, args=(place + 1,))  # fmt: skip
        st.html(f'<span class="place">Slide {place} of {count} · {escape(title)}</span>')
        st.button("Leave", shortcut="Escape", type="tertiary", on_click=_leave)
