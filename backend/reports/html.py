"""Blocks of a report as HTML: every text escaped, words and signs beside colours; the page and the file share it."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import urlencode

from backend.gates import STATES
from backend.reports import prose, words

FORMULA = '<p class="quiet">recovery = (after − oracle after) / (base − oracle after)</p>'
MOST_ROWS = 500  # of a table that are written; the exports' CSV has all
STYLE = """
.rep { line-height: 1.5; overflow-wrap: anywhere; }
.rep h3, .rep h4, .rep h5, .rep h6 { margin: 1.1em 0 .4em; line-height: 1.25; padding: 0; }
.rep h3 { font-size: 1.3em; } .rep h4 { font-size: 1.15em; } .rep h5, .rep h6 { font-size: 1em; }
.rep p, .rep ul, .rep ol, .rep li { margin: .5em 0; font-size: 1em; } .rep ul, .rep ol { padding-left: 1.5em; } .rep li { margin: .2em 0; }
.rep blockquote { margin: .8em 0; padding: .1em 1em; border-left: .25em solid color-mix(in srgb, currentColor 35%, transparent); }
.rep pre { white-space: pre-wrap; padding: .7em .9em; margin: .4em 0; border-radius: .4em; background: color-mix(in srgb, currentColor 8%, transparent); }
.rep code, .rep pre { font-family: ui-monospace, "Source Code Pro", monospace; font-size: .92em; color: inherit; }
.rep a { color: inherit; text-decoration: underline; text-underline-offset: .15em; }
.rep .scroll { overflow: auto; max-height: 36em; } .rep table { border-collapse: collapse; width: 100%; font-size: .93em; }
.rep th, .rep td { text-align: left; vertical-align: top; padding: .42em .7em; border: 0; border-bottom: 1px solid color-mix(in srgb, currentColor 18%, transparent); overflow-wrap: normal; }
.rep .scroll > table { min-width: 34em; } .rep th { font-weight: 600; border-bottom-width: 2px; } .rep .num { text-align: right; font-variant-numeric: tabular-nums; } .rep td.num { white-space: nowrap; } .rep td.num .quiet { white-space: normal; }
.rep tbody.group { border-top: 2px solid color-mix(in srgb, currentColor 45%, transparent); } .rep td.name { font-weight: 600; min-width: 9em; overflow-wrap: anywhere; }
.rep .chip { display: inline-block; padding: .1em .6em; border-radius: 1em; font-weight: 600; white-space: nowrap; }
.rep .fails, .rep .reject { background: #9f1d1d; color: #ffffff; } .rep .unknown, .rep .needs-work { background: #f2c14e; color: #1b1b1b; }
.rep .holds, .rep .approve { background: #0b5d3b; color: #ffffff; } .rep .quiet { opacity: .78; font-size: .9em; }
.rep mark { background: #f2c14e; color: #1b1b1b; text-decoration: underline 2px; font-weight: 600; }
.rep details { margin: .1em 0; } .rep summary { cursor: pointer; } .rep details table { font-size: .88em; margin: .4em 0; width: auto; }
.rep .answers { display: grid; gap: .9em; grid-template-columns: repeat(auto-fit, minmax(15em, 1fr)); margin-top: .6em; }
.rep .answer { border: 1px solid color-mix(in srgb, currentColor 25%, transparent); border-radius: .5em; padding: .6em .8em; }
@media (prefers-contrast: more) { .rep .quiet { opacity: 1; } }
"""


def block(kind: str, content: Mapping[str, Any], live: bool) -> str:
    """A block's inside as HTML; a chart's is its caption, for its picture is drawn elsewhere. `live` links to pages."""
    inside = {"text": _text, "chart": _caption, "table": _table, "case": _case}
    found = _gates(content, live) if kind == "gates" else inside[kind](content)
    return f'<div class="rep">{found}</div>'


def _text(content: Mapping[str, Any]) -> str:
    return prose.html(str(content.get("text", "")))


def _caption(content: Mapping[str, Any]) -> str:
    told = [str(content["caption"])] if content.get("caption") else []
    return "".join(f'<p class="quiet">{escape(one)}</p>' for one in told)


def _table(content: Mapping[str, Any]) -> str:
    columns, rows = content.get("columns", []), content.get("rows", [])
    return _scrolled(grid(columns, rows[:MOST_ROWS])) + _left_out(len(rows)) + _caption(content)


def _scrolled(table: str) -> str:
    return f'<div class="scroll" tabindex="0" role="region" aria-label="Table">{table}</div>'


def _left_out(count: int) -> str:
    told = f"The first {MOST_ROWS} of {count} rows; the exported data hold all."
    return f'<p class="quiet">{told}</p>' if count > MOST_ROWS else ""


def grid(columns: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    """A table of values; numbers stand to the right."""
    numeric = [_numeric([row[i] for row in rows if i < len(row)]) for i in range(len(columns))]
    kinds = [' class="num"' if one else "" for one in numeric]
    head = "".join(
        f'<th scope="col"{k}>{escape(str(c))}</th>' for c, k in zip(columns, kinds, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(f"<td{k}>{escape(words.written(v))}</td>" for v, k in zip(row, kinds, strict=False)) + "</tr>"
        for row in rows
    )  # fmt: skip
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _numeric(values: Sequence[Any]) -> bool:
    known = [value for value in values if value is not None and value != ""]
    return bool(known) and all(_is_number(value) for value in known)


def _is_number(value: Any) -> bool:
    if isinstance(value, str):  # a number with its interval, as a table writes it
        return value[:1] in "-0123456789" and set(value) <= set("-+.e0123456789 ±()…")
    return isinstance(value, int | float) and not isinstance(value, bool)


def _case(content: Mapping[str, Any]) -> str:
    told = content.get("settings") or {}
    settings = ", ".join(f"{k} = {v}" for k, v in told.items()) if isinstance(told, Mapping) else str(told)  # fmt: skip
    answers = "".join(_answer(one) for one in content.get("answers", []))
    return (
        f"<p><strong>Prompt</strong></p><pre>{escape(str(content.get('prompt', '')))}</pre>"
        + (f'<p class="quiet">{escape(settings)}</p>' if settings else "")
        + f'<div class="answers">{answers}</div>{_caption(content)}'
    )


def _answer(answer: Mapping[str, Any]) -> str:
    text, leaks = str(answer.get("text", "")), answer.get("leaks")
    cut = words.pieces(text, leaks)
    marked = "".join(f"<mark>{escape(p)}</mark>" if leaks_here else escape(p) for p, leaks_here in cut)  # fmt: skip
    count = sum(leaks_here for _, leaks_here in cut)
    said = (
        f"✗ {count} leak{'s' if count != 1 else ''} marked"
        if count or leaks is True
        else "no leak marked"
    )
    run = f" · run {escape(str(answer['run']))}" if answer.get("run") is not None else ""
    head = f"<strong>{escape(str(answer.get('model', '')))}</strong>{run}"
    return f'<div class="answer">{head}<pre>{marked}</pre><span class="quiet">{said}</span></div>'


def _gates(content: Mapping[str, Any], live: bool) -> str:
    rows = content.get("rows", [])
    groups = words.by_configuration(rows)
    titles = ("Configuration", "Gate", "Verdict", "Measured")
    kinds = ("", "", "", ' class="num"')
    head = "".join(
        f'<th scope="col"{k}>{title}</th>' for title, k in zip(titles, kinds, strict=True)
    )
    body = "".join(_group(name, state, mine, content, live) for name, state, mine in groups)
    table = _scrolled(f"<table><thead><tr>{head}</tr></thead>{body}</table>") if rows else ""
    said = f"<p><strong>{escape(words.tally(rows))}</strong> {escape(words.asked(content))}</p>"
    return f"{said}{_at_a_glance(groups)}{table}{_caption(content)}"


def _at_a_glance(groups: Sequence[tuple[str, str, Any]]) -> str:
    """Who fails, is unknown, holds: the whole table in three lines."""
    lines = []
    for state in STATES:
        names = [escape(name) for name, found, _ in groups if found == state]
        if names:
            lines.append(f"<p>{chip(state)} {' · '.join(names)}</p>")
    return "".join(lines)


def _group(
    name: str, state: str, rows: Sequence[Mapping[str, Any]], content: Mapping[str, Any], live: bool
) -> str:
    """A configuration's gates, and below them, folded, what they rest on."""
    study = content.get("study")
    address = f"./?{urlencode([('study', study), ('pick', name)])}"
    frontier = f'<br><a href="{escape(address)}" target="_self">on the frontier</a>' if live and study else ""  # fmt: skip
    first = f'<td class="name" rowspan="{len(rows)}">{escape(name)}<br>{chip(state)}{frontier}</td>'
    lines = "".join(f"<tr>{first if i == 0 else ''}{_line(row)}</tr>" for i, row in enumerate(rows))
    proofs = "".join(_evidence(row, live) for row in rows)
    more = f"<details><summary>Evidence of {escape(name)}</summary>{proofs}</details>"
    return f'<tbody class="group">{lines}<tr><td colspan="4">{more}</td></tr></tbody>'


def chip(state: str, words_shown: str = "") -> str:
    """A state in words with its sign, coloured."""
    return f'<span class="chip {state.replace(" ", "-")}">{escape(words_shown or words.state(state))}</span>'


def _line(row: Mapping[str, Any]) -> str:
    reason = f'<div class="quiet">{escape(row["reason"])}</div>' if row["reason"] else ""
    count = len([one for one in row["values"] if one is not None])
    told = [f"{count} seed{'s' if count != 1 else ''}" if count else "", *row["weak"]]
    noted = ", ".join(dict.fromkeys(one for one in told if one))
    return (
        f"<td>{escape(row['gate'])}</td><td>{chip(row['state'])}{reason}</td>"
        f'<td class="num">{escape(words.measured(row))}<div class="quiet">{escape(noted)}</div></td>'
    )


def _evidence(row: Mapping[str, Any], live: bool) -> str:
    """What a number rests on: values of the seeds, the models' runs, the raw numbers under the attack."""
    found = row["evidence"]
    values = ", ".join(words.written(value) for value in row["values"]) or words.DASH
    models = ", ".join(run(one, live) for one in found.get("models", []) if one is not None)
    told = [f"<strong>{escape(row['gate'])}</strong>", f"seeds: {escape(values)}"]
    told += [f"models: {models}"] if models else []
    if found.get("attack"):
        cells = f", {found['cells']} cells" if found.get("cells") else ""
        told.append(f"attack: {escape(found['attack'])}{escape(cells)}, up to step {row['budget']}")
    return f"<p>{'; '.join(told)}</p>{_raw(found.get('raw', []), live)}"


def _raw(raw: Sequence[Mapping[str, Any]], live: bool) -> str:
    if not raw:
        return ""
    names = ("seed", "base", "before", "after", "oracle_after", "recovery", "items")
    head = "".join(f'<th class="num">{name.replace("_", " ")}</th>' for name in names)
    body = "".join(
        "<tr>" + "".join(f'<td class="num">{escape(words.written(one[name]))}</td>' for name in names)
        + f"<td>{_cell(one['cell'], live)}</td></tr>"
        for one in raw
    )  # fmt: skip
    return f"<table><thead><tr>{head}<th>attack cell</th></tr></thead><tbody>{body}</tbody></table>{FORMULA}"


def _cell(cell: Mapping[str, Any] | None, live: bool) -> str:
    return words.DASH if cell is None else f"{run(cell['run'], live)}, step {cell['step']}"


def run(number: Any, live: bool) -> str:
    """A run's number, linked to its page where there are pages."""
    told = f"run {int(number)}"
    return f'<a href="Runs?run={int(number)}" target="_self">{told}</a>' if live else told
