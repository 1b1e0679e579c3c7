"""The two models that every method is scaled between: references, not competitors."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

ANCHORS = ("base", "oracle")


def competing(frame: "pd.DataFrame") -> "pd.Series[bool]":
    """For each row of a frame with the column `method` whether it is of a method, neither of the base nor of the oracle."""
    return ~frame["method"].isin(ANCHORS)
