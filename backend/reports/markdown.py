"""A report as Markdown: data escaped, so that a reader of it shows them as they are."""

from collections.abc import Mapping, Sequence
from typing import Any

from backend.reports import words
from backend.reports.prose import escaped


def report(whole: Mapping[str, Any], figures: Mapping[int, str]) -> str:
    """The whole document; `figures` names the file, without ending, of every chart by its block's position."""
    parts = [f"# {escaped(whole['title'])}", escaped(whole["state"])]
    for position, block in enumerate(whole["blocks"]):
        parts += [f"## {escaped(block['title'])}", _block(block, figures.get(position, ""))]
    parts += ["## Decision", _decisions(whole["decisions"]), "## What it rests on"]
    return "\n\n".join([*parts, *(escaped(one) for one in whole["rests_on"])]) + "\n"


def _block(block: Mapping[str, Any], figure: str) -> str:
    content, kind = block["content"], block["kind"]
    if kind == "text":
        return _inert(str(content.get("text", "")))
    told = escaped(str(content.get("caption") or ""))
    if kind == "chart":
        return f"![{escaped(block['title'])}]({figure}.svg)\n\n{told}"
    if kind == "table":
        rows = [[words.written(value) for value in row] for row in content.get("rows", [])]
        return f"{table(content.get('columns', []), rows)}\n\n{told}"
    return _case(content) if kind == "case" else _gates(content)


def _inert(text: str) -> str:
    """The reviewers' own Markdown without raw HTML and pictures, which some readers would run or load."""
    return text.replace("<", "&lt;").replace("![", r"\![")


def table(columns: Sequence[Any], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(_cell(one) for one in columns) + " |", "|" + " --- |" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(_cell(one) for one in row) + " |" for row in rows)])  # fmt: skip


def _cell(value: Any) -> str:
    return escaped(" ".join(str(value).split()))


def fenced(text: str) -> str:
    """A text in a fence that is longer than any in it."""
    longest = max((len(run) for run in _runs_of_ticks(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _runs_of_ticks(text: str) -> list[str]:
    return "".join(c if c == "`" else " " for c in text).split()


def _case(content: Mapping[str, Any]) -> str:
    parts = ["**Prompt**", fenced(str(content.get("prompt", "")))]
    for answer in content.get("answers", []):
        text = str(answer.get("text", ""))
        leaks = [piece for piece, leaked in words.pieces(text, answer.get("leaks")) if leaked]
        told = f" Leaks: {', '.join(escaped(one) for one in leaks)}." if leaks else ""
        parts += [f"**{escaped(str(answer.get('model', '')))}**{told}", fenced(text)]
    return "\n\n".join(parts)


def _gates(content: Mapping[str, Any]) -> str:
    told = escaped(f"{words.tally(content.get('rows', []))} {words.asked(content)}")
    return f"{told}\n\n{table(*words.gates_table(content))}"


def _decisions(decided: Sequence[Mapping[str, Any]]) -> str:
    if not decided:
        return "Not decided."
    return "\n\n".join(
        f"**{words.DECIDED[one['kind']]}**, {escaped(one['author'])}, {words.moment(one['created_at'])}\n\n{fenced(one['text'])}"
        for one in decided
    )
