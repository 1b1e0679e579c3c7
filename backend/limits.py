"""What a reader can afford and what must stay: a compute budget and a utility floor."""

from dataclasses import dataclass

import pandas as pd

from backend.anchors import competing


@dataclass(frozen=True)
class Limits:
    """The most compute (FLOPs, oracle = 1), the least utility and the least robust forget quality; None is no limit."""

    compute: float | None = None
    utility: float | None = None
    robust_forget_quality: float | None = None

    def __bool__(self) -> bool:
        return any(value is not None for value in self.__dict__.values())


def feasible(frame: pd.DataFrame, limits: Limits) -> pd.Series:
    """For each row whether its means keep the limits; an unknown number keeps none."""
    kept = pd.Series(True, index=frame.index)
    if limits.compute is not None:
        kept &= pd.to_numeric(frame["compute"]).le(limits.compute).fillna(False)
    for name in ("utility", "robust_forget_quality"):
        least = getattr(limits, name)
        if least is not None:
            kept &= pd.to_numeric(frame[name]).ge(least).fillna(False)
    return kept.astype(bool)


def told(frame: pd.DataFrame, limits: Limits) -> str:
    """Two sentences: how many configurations keep the limits, which of them lasts best and which is the cheapest."""
    if not limits:
        return ""
    rows = frame[competing(frame)]
    kept = rows[feasible(rows, limits)]
    head = f"{len(kept)} of {len(rows)} configurations keep {' and '.join(_asked(limits))}."
    robust, compute = (pd.to_numeric(kept[n]) for n in ("robust_forget_quality", "compute"))
    if not (robust.notna() & compute.notna()).any():
        return head
    best, cheapest = kept.loc[robust == robust.max()].iloc[0], kept.loc[compute == compute.min()].iloc[0]  # fmt: skip
    if best["configuration"] == cheapest["configuration"]:
        return f"{head} {_named(best)} lasts best and is the cheapest of them."
    return f"{head} Of them {_named(best)} lasts best, {_named(cheapest)} is the cheapest."


def _asked(limits: Limits) -> list[str]:
    found = []
    if limits.robust_forget_quality is not None:
        found.append(f"robust forget quality at least {limits.robust_forget_quality:g}")
    if limits.utility is not None:
        found.append(f"utility at least {limits.utility:g}")
    if limits.compute is not None:
        found.append(f"compute at most {limits.compute:g}")
    return found


def _named(row: pd.Series) -> str:
    robust, utility, compute = (row[n] for n in ("robust_forget_quality", "utility", "compute"))
    return f"{row['configuration']} (robust {robust:.2f}, utility {utility:.2f}, compute {compute:.3g})"  # fmt: skip
