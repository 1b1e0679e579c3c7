"""A picture's caption in words that are true of it."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from backend.anchors import competing
from backend.charts.axes import Axis, axis_of
from backend.charts.staircase import front


def caption(frame: pd.DataFrame) -> str:
    """A few sentences that are true of the frame: who is undominated, who hides, what is missing."""
    rows = frame[competing(frame)] if len(frame) else frame
    if rows.empty:
        return "No configuration has a number yet."
    known = rows[rows["on_front"].notna()]
    sentences = []
    if len(known):
        kept = int(known["on_front"].astype(bool).sum())
        noun, verb = "configuration" if len(known) == 1 else "configurations", "are"
        sentences.append(
            f"{kept} of {len(known)} complete {noun} {'is' if kept == 1 else verb} non-dominated"
            " in robust forget quality, utility and compute."
        )
        sentences.append(_hider(known))
    open_rows = len(rows) - len(known)
    if open_rows and not len(known):
        return "Nobody has all three objectives: robust forget quality, utility and compute."
    if open_rows:
        sentences.append(
            f"{open_rows} {'is' if open_rows == 1 else 'are'} not compared: a number is missing."
        )
    if int(rows["seeds"].iloc[0]) == 1:
        sentences.append("1 seed: no intervals.")
    return " ".join(sentence for sentence in sentences if sentence)


def _hider(known: pd.DataFrame) -> str:
    """Who claims most beyond what stays, if anybody does by a fifth of the scale."""
    drop = (known["claimed_forget_quality"] - known["robust_forget_quality"]).astype(float)
    if not drop.notna().any() or drop.max() < 0.2:
        return ""
    row = known.iloc[int(np.nanargmax(drop))]
    return (
        f"{row['configuration']} claims {row['claimed_forget_quality']:.2f} and keeps"
        f" {row['robust_forget_quality']:.2f} after the attack."
    )


def told_in_two(frame: pd.DataFrame, x: str, y: str, axes: Mapping[str, Axis]) -> str:
    """One sentence on the two axes that are drawn, where they are not the usual ones."""
    if {x, y} == {"utility", "robust_forget_quality"} or frame.empty or x == y:
        return ""
    without = [axis_of(name, axes).label for name in (x, y) if not axis_of(name, axes).better]
    if without:
        return f"No end of {' or '.join(without)} is better, so there is no front."
    rows = frame[competing(frame)].dropna(subset=[x, y])
    kept = front(frame, x, y, axes)
    named = f"{axis_of(x, axes).label} and {axis_of(y, axes).label}"
    noun = "is" if len(kept) == 1 else "are"
    return f"{len(kept)} of {len(rows)} {noun} non-dominated in {named} alone."
