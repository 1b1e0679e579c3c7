"""Tables as LaTeX and Markdown: what every sign becomes, and how marks are shown."""

import unicodedata
from collections.abc import Callable

import pandas as pd

from backend.paper_tables import DECIMALS, Cell, Column, Table

LARGE = 1e5  # from here on with a power of ten
ARROWS = {"up": "↑", "down": "↓", None: ""}
GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "varepsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau",
    "φ": "varphi", "χ": "chi", "ψ": "psi", "ω": "omega", "Δ": "Delta", "Σ": "Sigma", "Ω": "Omega",
    "→": "to", "←": "leftarrow", "↑": "uparrow", "↓": "downarrow", "×": "times", "÷": "div", "±": "pm", "≤": "leq",
    "≥": "geq", "≠": "neq", "∞": "infty", "·": "cdot", "∘": "circ", "√": "surd", "‖": "Vert",
    "≈": "approx", "●": "bullet", "✓": "surd", "✗": "times",
}  # fmt: skip
LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$", "<": "$<$", ">": "$>$",
    "|": "$|$", "[": "{[}", "]": "{]}", "*": "{*}", "–": "--", "—": "---", "…": r"\dots{}", "†": r"$^\dagger$", "“": "``", "”": "''",
    "’": "'", "‘": "`", "\u202f": "~", "\xa0": "~", "\n": " ", '"': "''",
    **{sign: f"\\{sign}" for sign in "_%&#${}"},
    **{sign: f"$\\{name}$" for sign, name in GREEK.items()},
}  # fmt: skip
MARKDOWN = {sign: f"\\{sign}" for sign in "\\`*_{}[]<>|#~"} | {"\n": " "}


def escaped(text: str) -> str:
    """A text that LaTeX prints as it is; a sign that a plain document cannot print is given by its number."""
    return "".join(_sign(one) for one in text)


def _sign(sign: str) -> str:
    if sign in LATEX:
        return LATEX[sign]
    if sign.isascii():
        return sign if sign.isprintable() else " "
    plain = unicodedata.normalize("NFKD", sign)[0]
    latin = plain.isascii() and sign.isalpha()  # é and its like, which every UTF-8 document prints
    return sign if latin else rf"\texttt{{U+{ord(sign):04X}}}"


def plain(text: str) -> str:
    """A text that Markdown shows as it is."""
    return "".join(MARKDOWN.get(sign, sign) for sign in text)


def latex(table: Table) -> str:
    """A table float with booktabs' rules; its notes below the rules and, as a comment, the package that it needs."""
    head = ["Configuration"] + [f"{c.title} {ARROWS[c.direction]}".strip() for c in table.columns]
    lines = [r"% Needs \usepackage{booktabs} in the preamble.", r"\begin{table}[t]", r"\centering"]
    if table.caption:
        lines.append(rf"\caption{{{escaped(table.caption)}}}")
    label = "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in table.label)
    lines += [rf"\label{{tab:{label}}}", rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}", r"\toprule"]  # fmt: skip
    lines += [" & ".join(map(escaped, head)) + r" \\", r"\midrule"]
    lines += [" & ".join(row) + r" \\" for row in _rows(table, _latex_cell, escaped)]
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [r"\par\smallskip", r"\begin{minipage}{0.95\linewidth}\footnotesize"]
    lines += [*map(escaped, table.notes), r"\end{minipage}", r"\end{table}", ""]
    return "\n".join(lines)


def markdown(table: Table) -> str:
    """A table of pipes; its notes below it."""
    head = ["Configuration"] + [f"{c.title} {ARROWS[c.direction]}".strip() for c in table.columns]
    lines = ["| " + " | ".join(map(plain, head)) + " |"]
    lines.append("| --- |" + " ---: |" * len(table.columns))
    lines += ["| " + " | ".join(row) + " |" for row in _rows(table, _markdown_cell, plain)]
    return "\n".join([*lines, "", *(f"{plain(note)}\n" for note in table.notes)])


def _rows(
    table: Table, cell: Callable[[Cell, Column], str], text: Callable[[str], str]
) -> list[list[str]]:
    return [
        [text(name), *(cell(column.cells[i], column) for column in table.columns)]
        for i, name in enumerate(table.names)
    ]


def numbers(cell: Cell, column: Column) -> tuple[str, str]:
    """The mean and half the interval as they are written; empty where unknown. A zero has no sign."""
    if cell.mean is None:
        return "", ""
    if abs(cell.mean) >= LARGE:
        return f"{cell.mean:.2e}", "" if cell.half is None else f"{cell.half:.1e}"
    half = "" if cell.half is None else f"{cell.half:.{column.decimals}f}"
    return f"{cell.mean:z.{column.decimals}f}", half


def _latex_cell(cell: Cell, column: Column) -> str:
    mean, half = numbers(cell, column)
    if not mean:
        return "---"
    shown = mean.replace("-", "$-$")
    shown = (
        rf"\textbf{{{shown}}}" if cell.best else rf"\underline{{{shown}}}" if cell.second else shown
    )
    return shown + (r"$^\dagger$" if cell.better else "") + (rf" $\pm$ {half}" if half else "")


def _markdown_cell(cell: Cell, column: Column) -> str:
    mean, half = numbers(cell, column)
    if not mean:
        return "—"
    shown = mean.replace("-", "−")
    shown = f"**{shown}**" if cell.best else f"<u>{shown}</u>" if cell.second else shown
    return shown + ("†" if cell.better else "") + (f" ± {half}" if half else "")


def of_frame(frame: pd.DataFrame, label: str) -> Table:
    """Any frame as a table without a contest: texts as names, numbers with three decimals, whole ones with none."""
    numeric = [
        name for name in frame
        if pd.api.types.is_numeric_dtype(frame[name]) and not pd.api.types.is_bool_dtype(frame[name])
    ]  # fmt: skip
    texts = [name for name in frame if name not in numeric]
    names = [", ".join(str(v) for v in row if v is not None) for row in frame[texts].to_numpy()]
    columns = [_column(str(name), frame[name]) for name in numeric]
    return Table(names, [False] * len(names), columns, [], label)


def _column(name: str, values: pd.Series) -> Column:
    cells = [Cell(None if pd.isna(value) else float(value)) for value in values]
    whole = all(cell.mean is None or cell.mean.is_integer() for cell in cells)
    return Column(name.replace("_", " ").capitalize(), None, cells, 0 if whole else DECIMALS)
