"""A figure's table as Markdown and LaTeX."""

from typing import Any

import pandas as pd

from backend.table_text import escaped, plain


def markdown(frame: pd.DataFrame, note: str) -> bytes:
    """A Markdown table with the caption below it; unknown values are dashes."""
    heads = [plain(str(name)) for name in frame.columns]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    lines += [f"| {' | '.join(plain(cell) for cell in row)} |" for row in _cells(frame, "—")]
    return "\n".join([*lines, "", plain(note), ""]).encode()


def latex(frame: pd.DataFrame, note: str) -> bytes:
    """A booktabs table with the caption in a comment above it."""
    form = "".join("r" if pd.api.types.is_numeric_dtype(kind) else "l" for kind in frame.dtypes)
    lines = [f"% {' '.join(note.split())}", rf"\begin{{tabular}}{{{form}}}", r"\toprule"]
    lines += [" & ".join(escaped(str(name)) for name in frame.columns) + r" \\", r"\midrule"]
    lines += [" & ".join(escaped(cell) for cell in row) + r" \\" for row in _cells(frame, "---")]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""]).encode()


def _cells(frame: pd.DataFrame, unknown: str) -> list[list[str]]:
    return [[_written(value, unknown) for value in row] for row in frame.itertuples(index=False)]


def _written(value: Any, unknown: str) -> str:
    if value is None or value != value:
        return unknown
    return f"{value:.3f}" if isinstance(value, float) else str(value)
