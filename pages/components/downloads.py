"""One button under a chart: its figure at a paper's size, its data, and everything in one file, made on the click."""

import logging
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import pandas as pd
import streamlit as st

from backend import exports
from backend.charts.presets import DEFAULT, POINTS, PRESETS, preset_of
from backend.figure_archive import archive
from backend.spreadsheets import csv
from backend.stage import UserError

LOG = logging.getLogger(__name__)
SIZE, GREYS = (
    "figure",
    "greys",
)  # in the address; the size also in the session, so that it stays from chart to chart
PREVIEW_WIDTH, PREVIEW_HEIGHT = 520, 330  # pixels


def downloads(
    chart: Any,
    frame: pd.DataFrame,
    name: str,
    table: bool = True,
    caption: str = "",
    document: Mapping[str, Any] | None = None,
    parts: Collection[str] = (),
) -> None:
    """A button that opens the choice of size and the files of a chart and of the very frame it is drawn from.

    `caption` goes into the archive, true words of the page; `document`, a frontier document, gives the tables intervals
    and marks; `parts` are names of parts whose papers belong to the picture besides those that the frame names.
    """
    if frame.empty:
        st.caption("There is nothing to download yet: no row of this picture is known.")
        return
    made_of = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "figure"
    opened = st.popover(
        "Download", icon=":material/download:", key=f"download {name}", on_change="rerun"
    )
    with opened:
        preset, greys = _choice(name)
        everything = lambda: archive(  # noqa: E731 - made on the click
            chart, frame, made_of, caption=caption, preset=preset, greys=greys,
            document=document if table else None, parts=parts,
        )  # fmt: skip
        buttons = {"All (.zip)": ("zip", everything)}
        buttons |= _files(chart, frame, preset, greys, table, document)
        with st.container(horizontal=True):
            for label, (ending, write) in buttons.items():
                st.download_button(
                    label,
                    data=_logged(write, label, name),
                    file_name=f"{made_of}.{ending}",
                    on_click="ignore",
                    type="primary" if ending == "zip" else "secondary",
                    key=f"download-{name}-{ending}-{preset}-{greys}",
                )
        # Of one height whatever the figure's: the panel neither jumps nor leaves the window.
        with st.container(height=PREVIEW_HEIGHT, border=False):
            if opened.open:
                _preview(chart, preset, greys)


def _files(
    chart: Any,
    frame: pd.DataFrame,
    preset: str,
    greys: bool,
    table: bool,
    document: Mapping[str, Any] | None,
) -> dict[str, tuple[str, Callable[[], bytes]]]:
    """What can be downloaded by the button's label: the file's ending, and what makes it."""
    made: dict[str, tuple[str, Callable[[], bytes]]] = {
        "PDF": ("pdf", lambda: exports.pdf(chart, preset, greys)),
        "SVG": ("svg", lambda: exports.svg(chart, preset, greys)),
        "PNG": ("png", lambda: exports.png(chart, preset, greys)),
        "HTML": ("html", lambda: exports.html(chart, preset, greys)),
        "Vega-Lite": ("vl.json", lambda: exports.vega(chart, preset, greys)),
        "CSV": ("csv", lambda: csv(frame)),
    }
    if table:
        made["LaTeX"] = ("tex", lambda: exports.latex(frame, document))
        made["Markdown"] = ("md", lambda: exports.markdown(frame, document))
    return made


def _logged(write: Callable[[], bytes], label: str, name: str) -> Callable[[], bytes]:
    """The same; what goes wrong is in the server's log, since the browser only learns that something did."""

    def made() -> bytes:
        try:
            return write()
        except Exception:
            LOG.exception("%s of %s could not be made", label, name)
            raise

    return made


def _choice(name: str) -> tuple[str, bool]:
    """The preset and whether it is drawn in greys: of the address, else what was chosen for the chart before."""
    held = st.query_params.get(SIZE, st.session_state.get(f"chosen {SIZE}", DEFAULT))
    try:
        current = preset_of(str(held)).name
    except UserError:
        current = DEFAULT
    grey = bool(st.session_state.get(f"chosen {GREYS}", False))
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    key, switch = f"{SIZE} {name} {current}", f"{GREYS} {name} {grey}"
    left.selectbox(
        "Size", list(PRESETS), index=list(PRESETS).index(current), format_func=_told, key=key,
        on_change=_remember, args=(SIZE, key),
    )  # fmt: skip
    right.toggle("Greys", grey, key=switch, on_change=_remember, args=(GREYS, switch))
    return current, grey


def _told(name: str) -> str:
    wide, high = PRESETS[name].inches
    # Columns of paper grow downwards with their rows and legends.
    size = f"{wide:.4g} in wide" if name.endswith(("column", "columns")) else f"{wide:.4g} × {high:.3g} in"  # fmt: skip
    return f"{name.capitalize()} ({size})"


def _remember(what: str, key: str) -> None:
    chosen = st.session_state[key]
    st.session_state[f"chosen {what}"] = chosen
    if what == SIZE:
        st.query_params[SIZE] = str(chosen).replace(" ", "-")


def _preview(chart: Any, preset: str, greys: bool) -> None:
    """What the file will look like, with the size that it gets."""
    try:
        with st.spinner("Laying out …"):
            drawn = exports.figure(chart, preset, greys)
            dots = max(72, round(PREVIEW_WIDTH / drawn.width * POINTS))
            picture = exports.png(chart, preset, greys, dots)
    except Exception:
        LOG.exception("the preview could not be made")
        st.error("This chart cannot be laid out at that size; the server's log says why.")
        return
    wide, high = drawn.width / POINTS, drawn.height / POINTS
    st.image(picture, width=min(PREVIEW_WIDTH, round(drawn.width * 2)))
    st.caption(
        f"{wide:.2f} × {high:.2f} in; fonts are embedded in the PDF; PNG has 300 dots an inch."
    )
