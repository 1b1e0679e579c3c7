"""A report as LaTeX that compiles with pdfLaTeX, XeLaTeX and LuaLaTeX: every text escaped, booktabs tables, figures by name."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from backend.reports import prose, words
from backend.table_text import LATEX

# Quotation marks as they were written: the document says its encoding, and typewriter type has no pairs of ticks.
TABLE = str.maketrans(LATEX | {'"': r"\textquotedbl{}", **{sign: sign for sign in "“”‘’"}})
BREAK = re.compile(r"\r\n|\r|\n")
HEAD = r"""\documentclass[a4paper,11pt]{article}
\usepackage{iftex}
\ifPDFTeX
  \usepackage[T1]{fontenc}
  \usepackage[utf8]{inputenc}
\else
  \usepackage{fontspec}
\fi
\usepackage[margin=25mm]{geometry}
\usepackage{booktabs,longtable,array,graphicx,xcolor,ragged2e}
\usepackage[hidelinks]{hyperref}
\setlength{\parindent}{0pt}
\setlength{\parskip}{0.5em}
"""


def escaped(text: Any) -> str:
    """A text that LaTeX prints as it is; control characters are left out, line ends are spaces."""
    told = str(text).translate(TABLE)
    return " ".join("".join(c for c in told if c >= " " or c in "\n\t").split())


def lines(text: str) -> str:
    """A text of several lines in typewriter type, every line as it is; no environment that a line could end."""
    return marked([(text, False)])


def marked(cut: Sequence[tuple[str, bool]]) -> str:
    """The same of pieces (text, whether it is marked), which may go over lines; the marked ones are bold and underlined."""
    told = [""]
    for piece, mark in cut:
        first, *others = [_marked(part) if mark else _spaced(part) for part in BREAK.split(piece)]
        told[-1] += first
        told += others
    if len(told) > 1 and not told[-1]:
        told.pop()  # the end of the last line is no line
    inner = r"\newline ".join(line.strip() or r"\mbox{}" for line in told)
    return r"{\ttfamily\RaggedRight " + inner + r"\par}"


def _marked(text: str) -> str:
    return rf"\underline{{\textbf{{{_spaced(text)}}}}}" if text.strip() else _spaced(text)


def report(whole: Mapping[str, Any], figures: Mapping[int, str]) -> str:
    """The whole document; `figures` names the file, without ending, of every chart by its block's position."""
    parts = [HEAD, rf"\title{{{escaped(whole['title'])}}}", r"\author{}", rf"\date{{{escaped(whole['state'])}}}"]  # fmt: skip
    parts += [r"\begin{document}", r"\maketitle"]
    for position, block in enumerate(whole["blocks"]):
        parts += ["", rf"\section{{{escaped(block['title'])}}}", _block(block, figures.get(position, ""))]  # fmt: skip
    parts += ["", r"\section{Decision}", _decisions(whole["decisions"])]
    parts += ["", r"\section{What it rests on}", *(escaped(one) + "\n" for one in whole["rests_on"])]  # fmt: skip
    return "\n".join([*parts, r"\end{document}", ""])


def _block(block: Mapping[str, Any], figure: str) -> str:
    content = block["content"]
    made = {"text": _text, "table": _table, "case": _case, "gates": _gates}
    if block["kind"] == "chart":
        return _figure(figure, content)
    return made[block["kind"]](content)


def _text(content: Mapping[str, Any]) -> str:
    return "\n".join(_nodes(prose.tree(str(content.get("text", "")))))


def _figure(name: str, content: Mapping[str, Any]) -> str:
    told = escaped(content.get("caption", ""))
    return "\n".join([r"\begin{figure}[htbp]", r"\centering", rf"\includegraphics[width=\linewidth]{{{name}.pdf}}", rf"\caption{{{told}}}", r"\end{figure}"])  # fmt: skip


def _table(content: Mapping[str, Any]) -> str:
    rows = [[words.written(value) for value in row] for row in content.get("rows", [])]
    return table(content.get("columns", []), rows) + "\n" + escaped(content.get("caption", ""))


def table(columns: Sequence[Any], rows: Sequence[Sequence[str]]) -> str:
    """A booktabs table that may go over pages, its columns of equal share of the line."""
    share = f"{0.94 / max(len(columns), 1):.3f}"
    kinds = "".join(rf">{{\RaggedRight\arraybackslash}}p{{{share}\linewidth}}" for _ in columns)
    head = " & ".join(escaped(one) for one in columns) + r" \\"
    body = [" & ".join(escaped(one) for one in row) + r" \\" for row in rows]
    top = [r"\toprule", head, r"\midrule", r"\endhead"]
    inner = "\n".join([rf"\begin{{longtable}}{{@{{}}{kinds}@{{}}}}", *top, *body, r"\bottomrule", r"\end{longtable}"])  # fmt: skip
    return "{\\footnotesize\\setlength{\\tabcolsep}{2pt}\n" + inner + "\n}"


def _case(content: Mapping[str, Any]) -> str:
    parts = [r"\textbf{Prompt}", "", lines(str(content.get("prompt", "")))]
    for answer in content.get("answers", []):
        cut = words.pieces(str(answer.get("text", "")), answer.get("leaks"))
        parts += ["", rf"\textbf{{{escaped(answer.get('model', ''))}}}", "", marked(cut)]
    return "\n".join(parts)


def _gates(content: Mapping[str, Any]) -> str:
    told = escaped(f"{words.tally(content.get('rows', []))} {words.asked(content)}")
    return told + "\n" + table(*words.gates_table(content))


def _decisions(decided: Sequence[Mapping[str, Any]]) -> str:
    if not decided:
        return "Not decided."
    told = [
        rf"\textbf{{{escaped(words.DECIDED[one['kind']])}}}, {escaped(one['author'])}, {escaped(words.moment(one['created_at']))}."
        "\n\n" + lines(one["text"])
        for one in decided
    ]
    return "\n\n".join(told)


def _nodes(nodes: Sequence[prose.Node]) -> list[str]:
    return [_node(node) for node in nodes]


def _node(node: prose.Node) -> str:
    kind, inside = node["kind"], "".join(_nodes(node["children"]))
    if kind in WRAPPED:
        before, after = WRAPPED[kind]
        return before + inside + after
    if kind == "text":
        return _spaced(node["text"])
    if kind in ("code_inline", "code_block", "fence"):
        inline = kind == "code_inline"
        return rf"\texttt{{{escaped(node['text'])}}}" if inline else lines(node["text"]) + "\n"
    if kind == "heading":
        name = "subsection" if node["level"] == 1 else "subsubsection"
        return rf"\{name}*{{{inside}}}" + "\n"
    if kind == "link":
        return f"{inside} ({escaped(node['address'])})"
    if kind == "table":
        return _prose_table(node)
    return inside


def _spaced(text: str) -> str:
    """Escaped words with the spaces at their ends, which join them to what is beside them."""
    before, after = text[:1].isspace(), text[-1:].isspace()
    return f"{' ' if before else ''}{escaped(text)}{' ' if after and text.strip() else ''}"


def _prose_table(node: prose.Node) -> str:
    rows = [row for part in node["children"] for row in part["children"]]
    cells = [["".join(_plain(cell)) for cell in row["children"]] for row in rows]
    return table(cells[0], cells[1:]) + "\n" if cells else ""


def _plain(node: prose.Node) -> list[str]:
    return [node["text"]] if "text" in node else [t for child in node["children"] for t in _plain(child)]  # fmt: skip


WRAPPED = {
    "paragraph": ("", "\n\n"),
    "strong": (r"\textbf{", "}"),
    "em": (r"\emph{", "}"),
    "bullet_list": ("\\begin{itemize}\n", "\\end{itemize}\n"),
    "ordered_list": ("\\begin{enumerate}\n", "\\end{enumerate}\n"),
    "list_item": (r"\item ", "\n"),
    "blockquote": ("\\begin{quote}\n", "\\end{quote}\n"),
    "softbreak": ("\n", ""),
    "hardbreak": ("\\newline\n", ""),
    "hr": ("\\par\\noindent\\rule{\\linewidth}{0.4pt}\\par\n", ""),
}
