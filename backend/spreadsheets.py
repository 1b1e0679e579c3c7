"""Frames as comma separated files in which no spreadsheet finds a formula: names and tags are whatever people wrote."""

import re

import numpy as np
import pandas as pd

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the start of a formula
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def harmless(cell: str) -> str:
    """A text cell that no spreadsheet runs: a quote stands before what would begin a formula; numbers stay.

    A carriage return becomes a new line: writers leave it bare, and spreadsheets begin a row after it.
    """
    safe = f"'{cell}" if cell.startswith(FORMULA) and not NUMBER.fullmatch(cell) else cell
    return safe.replace("\r\n", "\n").replace("\r", "\n")


def csv(frame: pd.DataFrame) -> bytes:
    """The frame with its heads, comma separated; texts are harmless, numbers as they are, what is unknown is empty."""
    safe = frame.copy(deep=False)
    # Not by name: a name may stand twice.
    safe.columns = pd.Index([harmless(str(name)) for name in frame], dtype=object)
    for place, kind in enumerate(frame.dtypes):
        if kind.kind == "O":  # texts of every kind; numbers, moments and truths are of others
            safe.isetitem(place, _harmless_all(frame.iloc[:, place]))
    return safe.to_csv(index=False).encode()


def _harmless_all(values: pd.Series) -> np.ndarray:
    """The column as objects, so that whole numbers beside what is unknown stay whole."""
    told = np.empty(len(values), dtype=object)
    told[:] = [harmless(value) if isinstance(value, str) else value for value in values]
    return told
