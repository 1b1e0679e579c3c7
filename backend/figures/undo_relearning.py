"""UNDO's main figure: what relearning brings back from suppression alone, from what was distilled after it, and from the oracle."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from backend.anchors import ANCHORS
from backend.charts.figure_panels import lines_panel
from backend.charts.naming import family, told_apart
from backend.charts.theme import axis
from backend.figure_views import Drawn, Material, alpha_of, over_seeds, suppressed

TITLE = "Relearning after suppression alone, and after distillation"
SOURCE = "Lee et al. 2025, UNDO (arXiv 2506.06278): relearning curves, a panel for each suppression method"
PLACE = 10
MOST = 6  # panels that are drawn at once
ALONE = "Suppressed only"


def draw(material: Material) -> Drawn | str:
    """A panel for each suppression, a line for each thing done after it, the worst case over the attack's grid."""
    worst = material.drawn_worst()
    groups = _groups(material.rows, set(worst["configuration"]))
    if material.attack is None or not groups:
        return "It takes a configuration that goes on from a suppression (UNDO, or distillation into a random student) and all of its cells of an attack along its steps."
    chosen = list(groups)[:MOST]
    frame = pd.concat([_panel_frame(worst, name, groups[name]) for name in chosen])
    told = told_apart(chosen)
    lines = list(dict.fromkeys(frame.sort_values("order", kind="stable")["line"]))
    frame = frame.sort_values(["suppression", "order", "step"], key=_as_given(chosen))
    frame = frame.drop(columns="order").reset_index(drop=True)
    ends = float(frame["low"].min()), float(frame["high"].max())
    panels = [_panel(material, frame[frame["suppression"] == n], lines, told[n], ends) for n in chosen]  # fmt: skip
    across = min(3, len(panels))
    words = _caption(material, frame, chosen, len(groups))
    return Drawn(frame, words, panels=panels, across=across)


def _as_given(names: Sequence[str]) -> Any:
    """A sort key: suppressions in the order of their panels, all else as it is."""
    places = {name: position for position, name in enumerate(names)}
    return lambda column: column.map(places) if column.name == "suppression" else column


def _groups(rows: Sequence[Mapping[str, Any]], known: set[str]) -> dict[str, dict[str, str]]:
    """Suppression → configuration → line; what was robustified first, nothing where none was."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        start = suppressed(row)
        if start is not None and row["configuration"] in known:
            found.setdefault(start, []).append(row)
    after = {start for start, mine in found.items() if any(r["configuration"] != start for r in mine)}  # fmt: skip
    order = sorted(found, key=lambda start: start not in after)
    anchors = {row["configuration"]: row["method"].capitalize() for row in rows if row["method"] in ANCHORS}  # fmt: skip
    return {start: {**_lines(start, found[start]), **anchors} for start in order} if after else {}


def _lines(start: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What every configuration of a panel is called: by its α or its student, by its parameters where that is not enough."""
    short = {str(row["configuration"]): _short(start, row) for row in rows}
    long = told_apart([name.removeprefix(f"{start} → ") for name in short])
    names = list(short.values())
    return {
        name: line if names.count(line) == 1 else long[name.removeprefix(f"{start} → ")]
        for name, line in short.items()
    }


def _short(start: str, row: Mapping[str, Any]) -> str:
    if row["configuration"] == start:
        return ALONE
    last, alpha = row["stages"][-1], alpha_of(row)
    if alpha is not None:
        return f"UNDO α {alpha:g}"
    if last["name"] == "distill":
        return f"Distilled, {last['parameters'].get('student', 'random')} student"
    return family(row["configuration"])


def _panel_frame(worst: pd.DataFrame, start: str, lines: Mapping[str, str]) -> pd.DataFrame:
    mine = worst[worst["configuration"].isin(list(lines))]
    mine = mine.assign(suppression=start, line=mine["configuration"].map(lines))
    found = over_seeds(mine, ["suppression", "configuration", "line", "step"])
    return found.assign(order=found["line"].map(_order))


def _order(line: str) -> tuple[int, str]:
    first = {ALONE: 0, "Base": 3, "Oracle": 4}.get(line, 2 if line.startswith("Distilled") else 1)
    return first, line


def _panel(
    material: Material,
    frame: pd.DataFrame,
    lines: Sequence[str],
    title: str,
    ends: tuple[float, float],
) -> Any:
    x = alt.X("step:Q", title="Attack steps", axis=axis(5), scale=alt.Scale(nice=False))
    return lines_panel(
        frame,
        lines,
        x=x,
        y_title=material.forget_title("after the attack"),
        title=title,
        theme=material.theme,
        limits=ends,
    )


def _caption(material: Material, frame: pd.DataFrame, chosen: Sequence[str], count: int) -> str:
    attack = material.attack or {}
    first = frame[frame["suppression"] == chosen[0]]
    last = first[first["step"] == first["step"].max()]
    told = ", ".join(f"{line} {mean:.2f}" for line, mean in zip(last["line"], last["mean"], strict=True))  # fmt: skip
    words = [
        f"Worst case over the {attack['grid_size']} cells of {attack['label']} up to each step, mean over {material.seeds_told()}{'; bands run from the lowest to the highest seed' if material.seeds > 1 else ''}.",
        f"{chosen[0]} after {int(first['step'].max())} steps: {told}.",
    ]
    if count > len(chosen):
        words.append(f"{count - len(chosen)} more suppressions are not drawn; choose configurations to see them.")  # fmt: skip
    return " ".join(words)
