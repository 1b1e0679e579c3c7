"""Gradient Routing's stages: the forget and the retain metric from the base to the attacked model."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from backend.charts.figure_panels import PAGE_HEIGHT, legend, legend_height
from backend.charts.layers import layered
from backend.charts.naming import told_apart
from backend.charts.theme import ANCHOR, PALETTE, SVG, axis
from backend.figure_views import Drawn, Material, suppressed

TITLE = "Stage by stage: base, suppressed, robustified, attacked"
SOURCE = "Cloud et al. 2024, Gradient Routing (arXiv 2410.04332): forget and retain loss along the stages of a recipe"
PLACE = 60
MOST = 6
STAGES = ("Base", "Suppressed", "Robustified", "Attacked")
NAMES = {"base": "Base", "suppress": "Suppressed", "robustify": "Robustified", "wrap": "Wrapped"}


def draw(material: Material) -> Drawn | str:
    """A panel a recipe: the forget metric solid, the retain metric dashed, the oracle in grey."""
    base = next((row for row in material.rows if row["method"] == "base"), None)
    recipes = [row for row in material.rows if _stage(row) in ("Suppressed", "Robustified")]
    told = [_recipe(material, base, row) for row in recipes] if base else []
    kept = sorted((rows for rows in told if len(rows)), key=lambda rows: -rows["stage"].nunique())
    if not kept:
        return "It takes a base and a recipe that are evaluated, and all cells of an attack along its steps."
    frame = pd.concat(kept[:MOST], ignore_index=True)
    names = list(dict.fromkeys(frame["configuration"]))
    titles = told_apart(names)
    panels = [_panel(material, frame, name, titles[name]) for name in names]
    across = min(3, len(panels))
    words = _caption(material, frame, len(kept))
    return Drawn(frame, words, panels=panels, across=across)


def _stage(row: Mapping[str, Any]) -> str:
    return NAMES.get(row["stages"][-1]["stage"], "") if row["stages"] else ""


def _recipe(material: Material, base: Mapping[str, Any], row: Mapping[str, Any]) -> pd.DataFrame:
    """configuration, stage, part (forget, retain, oracle), value; empty without the attacked value."""
    start = next((r for r in material.whole["rows"] if r["configuration"] == suppressed(row)), None)
    passed = [("Base", base), ("Suppressed", start), (_stage(row), row)]
    found = []
    for part in ("forget", "retain"):
        name = str(material.whole["reference"][f"metric_{part}"])
        for stage, one in dict(passed).items():
            value = None if one is None else one["metrics"].get(name, {}).get("mean")
            found.append({"stage": stage, "part": part, "value": value})
    after = _attacked(material, row["configuration"])
    if after is None or any(one["value"] is None for one in (found[0], found[2])):
        return pd.DataFrame()
    found.append({"stage": "Attacked", "part": "forget", "value": after})
    found.append({"stage": "Attacked", "part": "retain", "value": retain_after(material, row)})
    found += _oracle(material, _stage(row))
    frame = pd.DataFrame(found).dropna(subset=["value"])
    return frame.assign(configuration=row["configuration"])


def _attacked(material: Material, name: str) -> float | None:
    """The forget metric at the attack's largest step, the worst case over the grid, mean over seeds."""
    mine = material.worst[material.worst["configuration"] == name]
    value = mine.loc[mine["step"] == mine["step"].max(), "score"].mean() if len(mine) else None
    return None if value is None or pd.isna(value) else float(value)


def retain_after(material: Material, row: Mapping[str, Any]) -> float | None:
    """The retain metric of the attacked models that count, mean over seeds; None where it was not measured for all."""
    metric = str(material.whole["reference"]["metric_retain"]).removeprefix("retain_")
    chosen = {(cell["run"], cell["step"]) for cell in row["chosen_cells"]}
    if len(chosen) < material.seeds:
        return None
    measured = material.measured([metric], ["retain_score"], ("attack",))
    mine = measured[measured["category"] == ""]
    values = [value for run, step, value in zip(mine["run"], mine["step"], mine["value"], strict=True) if (run, step) in chosen]  # fmt: skip
    return sum(values) / len(values) if len(values) == len(chosen) else None


def _oracle(material: Material, last: str) -> list[dict[str, Any]]:
    oracle = next((row for row in material.rows if row["method"] == "oracle"), None)
    if oracle is None:
        return []
    metric = str(material.whole["reference"]["metric_forget"])
    before = oracle["metrics"].get(metric, {}).get("mean")
    after = _attacked(material, oracle["configuration"])
    told = {last: before, "Attacked": after}
    return [{"stage": stage, "part": "oracle", "value": value} for stage, value in told.items()]


def _panel(material: Material, frame: pd.DataFrame, name: str, title: str) -> Any:
    reference = material.whole["reference"]
    forget, retain = (str(reference[f"metric_{part}"]) for part in ("forget", "retain"))
    same = forget.removeprefix("forget_") == retain.removeprefix("retain_")
    label = str(reference["forget_label"])
    words = {"forget": f"Forget {label}", "retain": f"Retain {material.axis('retain').label.removesuffix(' on retain data')}", "oracle": f"Oracle's forget {label}"}  # fmt: skip
    mine = frame[frame["configuration"] == name]
    mine = mine.assign(line=mine["part"].map(words))
    low, high = float(frame["value"].min()), float(frame["value"].max())
    ends = [low, high] if same else None
    scale = alt.Scale(domain=ends, nice=True) if ends else alt.Scale(zero=True, nice=True)
    order = [stage for stage in (*STAGES[:3], "Wrapped", "Attacked") if stage in set(mine["stage"])]
    chart = _lines(mine, list(words.values()), order, scale, label if same else "value of each metric", material.theme)  # fmt: skip
    chart.title, chart.usermeta = title, SVG
    chart.height = PAGE_HEIGHT + legend_height(list(words), 1)
    return chart


def _lines(
    rows: pd.DataFrame,
    names: Sequence[str],
    order: Sequence[str],
    scale: alt.Scale,
    y_title: str,
    theme: str,
) -> Any:
    x = alt.X("stage:N", sort=list(order), title=None, scale=alt.Scale(padding=0.25), axis=alt.Axis(labelAngle=-30, labelOverlap=False))  # fmt: skip
    y = alt.Y("value:Q", title=y_title[:1].upper() + y_title[1:], scale=scale, axis=axis(6))
    colour = alt.Scale(domain=list(names), range=[PALETTE[5], PALETTE[0], ANCHOR[theme]])
    dash = alt.Scale(domain=list(names), range=[[1, 0], [6, 3], [2, 2]])
    below = legend(1)
    base = alt.Chart(rows).encode(
        x=x,
        y=y,
        color=alt.Color("line:N", scale=colour, sort=list(names), title=None, legend=below),
        tooltip=[
            alt.Tooltip("line:N"),
            alt.Tooltip("stage:N"),
            alt.Tooltip("value:Q", format=".3f"),
        ],
    )
    dashed = alt.StrokeDash("line:N", scale=dash, sort=list(names), title=None, legend=below)
    order_by = alt.Order("position:Q")
    places = alt.Chart(rows.assign(position=[list(order).index(s) for s in rows["stage"]]))
    line = places.mark_line(strokeWidth=2).encode(x=x, y=y, color=base.encoding.color, strokeDash=dashed, order=order_by)  # fmt: skip
    return layered(line, base.mark_point(filled=True, size=60, opacity=1))


def _caption(material: Material, frame: pd.DataFrame, count: int) -> str:
    attack = material.attack or {}
    first = frame[(frame["part"] == "forget") & (frame["configuration"] == frame["configuration"].iloc[0])]  # fmt: skip
    told = ", ".join(f"{stage.lower()} {value:.2f}" for stage, value in zip(first["stage"], first["value"], strict=True))  # fmt: skip
    label = material.whole["reference"]["forget_label"]
    words = [f"{first['configuration'].iloc[0]}: forget {label} {told}."]
    words.append(f"Attacked is the worst case over the {attack['grid_size']} cells of {attack['label']} at its largest step; means over {material.seeds_told()}.")  # fmt: skip
    if not ((frame["part"] == "retain") & (frame["stage"] == "Attacked")).any():
        words.append("The retain metric after the attack was not measured, so its line ends before.")  # fmt: skip
    if count > MOST:
        words.append(f"{count - MOST} more recipes are not drawn; choose configurations to see them.")  # fmt: skip
    return " ".join(words)
