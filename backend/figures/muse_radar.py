"""MUSE's radar: six ways to look at an unlearnt model, each outward where it is better."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from backend.anchors import ANCHORS, competing
from backend.charts.figure_panels import colour_of, dash_of, legend
from backend.charts.naming import told_apart
from backend.charts.theme import ANCHOR, SVG
from backend.figure_views import Drawn, Material

TITLE = "Six criteria in one radar"
SOURCE = "Shi et al. 2024, MUSE (arXiv 2407.06460): verbatim and knowledge memorisation, privacy leakage, utility, scalability, sustainability"
PLACE = 70
FEWEST = 3
MOST = 6
END = 1.2  # the largest radius that is drawn
SIDE = 360  # pixels: a radar must not be stretched

Row = Mapping[str, Any]
Known = tuple[Row, Row]  # base, oracle


def draw(material: Material) -> Drawn | str:
    """A polygon a configuration over the criteria that are measured, with the values in the table."""
    anchors = [next((r for r in material.rows if r["method"] == m), None) for m in ANCHORS]  # fmt: skip
    if anchors[0] is None or anchors[1] is None:
        return "It takes a base and an oracle, between which the criteria are scaled."
    frame = _long(material.rows, (anchors[0], anchors[1]))
    plain = competing(frame) if len(frame) else pd.Series(dtype=bool)
    spokes = [name for name in SPOKES if len(frame) and name in set(frame[plain]["criterion"])]
    if len(spokes) < FEWEST:
        lacking = ", ".join(name for name in SPOKES if name not in spokes)
        return f"It takes {FEWEST} of MUSE's six criteria; this study has {len(spokes)} and lacks {lacking}."
    frame = frame[frame["criterion"].isin(spokes)]
    names = _complete(frame, spokes)
    if not [n for n in names if n not in ("Base", "Oracle")]:
        return f"No configuration has all of {', '.join(spokes)} yet."
    shown = frame[frame["line"].isin(names)]
    chart = _chart(shown, spokes, names, material.theme)
    return Drawn(frame, _caption(material, frame, spokes, names), chart, sized=True)


def _value(row: Row, name: str) -> float | None:
    told = row["metrics"].get(name) or row["pair_metrics"].get(name) or {}
    return told.get("mean")


def _memory(*metrics: str) -> Callable[[Row, Known], tuple[float | None, float | None]]:
    """A forget metric, the first of these that is there: raw, and 0 at the base and 1 at the oracle."""

    def scaled(row: Row, known: Known) -> tuple[float | None, float | None]:
        there = (m for m in metrics if _value(known[0], m) is not None)
        metric = next(there, metrics[0])
        raw, base, oracle = (_value(one, metric) for one in (row, *known))
        if raw is None or base is None or oracle is None or base == oracle:
            return raw, None
        return raw, (base - raw) / (base - oracle)

    return scaled


def _privacy(row: Row, known: Known) -> tuple[float | None, float | None]:
    """Leakage in percent, and 1 at none, 0 at the base's, in either direction."""
    raw, base = _value(row, "privacy_leakage"), _value(known[0], "privacy_leakage")
    return raw, None if raw is None or not base else 1 - abs(raw) / abs(base)


def _utility(row: Row, known: Known) -> tuple[float | None, float | None]:
    """MUSE's own where it is measured, knowledge of retain data as a share of the base's; else the study's utility."""
    raw, base = (_value(one, "retain_knowledge_memorization") for one in (row, known[0]))
    if raw is not None and base:
        return raw, raw / base
    return row["utility"]["mean"], row["utility"]["mean"]


def _change(metric: str) -> Callable[[Row, Known], tuple[float | None, float | None]]:
    """A change of utility: raw, and 1 where nothing is lost, 0 where all is."""

    def scaled(row: Row, known: Known) -> tuple[float | None, float | None]:
        raw = row.get("study_metrics", {}).get(metric, {}).get("value")
        return raw, None if raw is None else 1 + raw

    return scaled


SPOKES = {
    "verbatim memorisation": _memory(
        "verbatim_verbatim_memorization", "forget_verbatim_memorization"
    ),
    "knowledge memorisation": _memory("forget_knowledge_memorization"),
    "privacy leakage": _privacy,
    "utility": _utility,
    "scalability": _change("scalability"),
    "sustainability": _change("sustainability"),
}


def _long(rows: Sequence[Row], known: Known) -> pd.DataFrame:
    """One row a configuration and criterion: configuration, method, line, criterion, raw, scaled."""
    plain = [str(row["configuration"]) for row in rows if row["method"] not in ANCHORS]
    short = told_apart(plain)
    found = []
    for row in rows:
        for name, scale in SPOKES.items():
            raw, scaled = scale(row, known)
            if scaled is not None:
                line = short.get(row["configuration"], row["method"].capitalize())
                found.append({"configuration": row["configuration"], "method": row["method"], "line": line, "criterion": name, "raw": raw, "scaled": scaled})  # fmt: skip
    return pd.DataFrame(found)


def _complete(frame: pd.DataFrame, spokes: Sequence[str]) -> list[str]:
    """Who has every spoke, configurations first and no more than can be told apart; the references lack size and requests."""
    count = frame.groupby("line", sort=False)["criterion"].nunique()
    whole = [str(name) for name in count.index if count[name] == len(spokes)]
    plain = [name for name in whole if name not in ("Base", "Oracle")][:MOST]
    return plain + [name for name in ("Base", "Oracle") if name in whole]


def polar(frame: pd.DataFrame, spokes: Sequence[str]) -> pd.DataFrame:
    """The rows with x and y: the first spoke upward, the others clockwise, radius `scaled` within 0 and its end."""
    angle = frame["criterion"].map({s: 2 * np.pi * i / len(spokes) for i, s in enumerate(spokes)})
    radius = frame["scaled"].clip(0, END)
    return frame.assign(x=radius * np.sin(angle), y=radius * np.cos(angle), order=angle)


def _chart(frame: pd.DataFrame, spokes: Sequence[str], names: Sequence[str], theme: str) -> Any:
    placed = polar(frame, spokes)
    first = placed[placed["criterion"] == spokes[0]].assign(order=2 * np.pi)
    closed = pd.concat([placed, first], ignore_index=True)
    x, y = (_hidden(channel, name, half) for channel, name, half in ((alt.X, "x", 2.1), (alt.Y, "y", 1.6)))  # fmt: skip
    below = legend(1)
    colour = alt.Color("line:N", scale=colour_of(names, theme), sort=list(names), title="Configuration", legend=below)  # fmt: skip
    dash = alt.StrokeDash("line:N", scale=dash_of(names), sort=list(names), title="Configuration", legend=below)  # fmt: skip
    lines = alt.Chart(closed).mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, strokeDash=dash, order="order:Q")  # fmt: skip
    told = ["configuration:N", "criterion:N", alt.Tooltip("raw:Q", format=".3f"), alt.Tooltip("scaled:Q", format=".3f")]  # fmt: skip
    points = alt.Chart(placed).mark_point(filled=True, size=45, opacity=1).encode(x=x, y=y, color=colour, tooltip=told)  # fmt: skip
    chart = alt.layer(*_web(spokes, x, y, theme), lines, points)
    plain = alt.ViewBackground(stroke=None)
    chart = chart.properties(width=SIDE, height=round(SIDE * 1.6 / 2.1), view=plain)
    return alt.hconcat(chart).properties(usermeta=SVG)  # a size of its own in files too


def _hidden(channel: Any, name: str, half: float) -> Any:
    return channel(f"{name}:Q", scale=alt.Scale(domain=[-half, half], nice=False), axis=None)


def _web(spokes: Sequence[str], x: Any, y: Any, theme: str) -> list[Any]:
    """Rings at 0.5 and 1, a line for each spoke, its name at the end in two lines."""
    angles = 2 * np.pi * np.arange(len(spokes) + 1) / len(spokes)
    rings = [{"ring": r, "x": r * np.sin(a), "y": r * np.cos(a), "order": a} for r in (0.5, 1.0) for a in angles]  # fmt: skip
    ring = alt.Chart(pd.DataFrame(rings)).mark_line(color=ANCHOR[theme], opacity=0.45, strokeWidth=1)  # fmt: skip
    ends = [{"spoke": s, "x": np.sin(a), "y": np.cos(a), "tx": (1.28 + 0.34 * abs(np.sin(a))) * np.sin(a), "ty": 1.28 * np.cos(a)} for s, a in zip(spokes, angles, strict=False)]  # fmt: skip
    table = pd.DataFrame(ends).assign(told=[s.replace(" ", "\n") for s in spokes])
    base = alt.Chart(table)
    spoke = base.mark_rule(color=ANCHOR[theme], opacity=0.45).encode(x=x, y=y, x2=alt.X2Datum(0), y2=alt.Y2Datum(0))  # fmt: skip
    tx, ty = x.copy(), y.copy()
    tx.shorthand, ty.shorthand = "tx:Q", "ty:Q"
    names = base.mark_text(lineBreak="\n", baseline="middle", fontSize=11, color=ANCHOR[theme])
    scale = alt.Chart(pd.DataFrame([{"x": 0, "y": r, "told": f"{r:g}"} for r in (0.5, 1.0)]))
    numbers = scale.mark_text(dx=-4, align="right", fontSize=9, color=ANCHOR[theme])
    return [ring.encode(x=x, y=y, detail="ring:N", order="order:Q"), spoke, names.encode(x=tx, y=ty, text="told:N"), numbers.encode(x=x, y=y, text="told:N")]  # fmt: skip


def _caption(
    material: Material, frame: pd.DataFrame, spokes: Sequence[str], names: Sequence[str]
) -> str:
    words = [f"Outward is better; 1 is the oracle's memory, no leakage beyond it, the base's utility, and no utility lost to size or requests. Means over {material.seeds_told()}; raw values in the table."]  # fmt: skip
    lacking = [name for name in SPOKES if name not in spokes]
    if lacking:
        words.append(f"Not measured: {', '.join(lacking)}.")
    shown = frame[frame["line"].isin(list(names))]
    outside = int(((shown["scaled"] < 0) | (shown["scaled"] > END)).sum())
    if outside:
        words.append(f"{outside} value{'s lie' if outside > 1 else ' lies'} outside what is drawn (0 to {END:g}) and {'stand' if outside > 1 else 'stands'} at its edge.")  # fmt: skip
    left = frame.loc[~frame["line"].isin([*names, "Base", "Oracle"]), "line"].nunique()
    if left:
        words.append(f"{left} more {'configurations are' if left > 1 else 'configuration is'} in the table only.")  # fmt: skip
    return " ".join(words)
