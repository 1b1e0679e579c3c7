"""How a report writes values, states and moments, alike in every format."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from backend.gates import FAILS, HOLDS, UNKNOWN, gate, verdict

DASH = "—"
SIGNS = {FAILS: "✗", UNKNOWN: "?", HOLDS: "✓"}
DECIDED = {"approve": "Approved", "needs work": "Needs work", "reject": "Rejected"}
DECIDED_SIGNS = {"approve": "✓", "needs work": "…", "reject": "✗"}


def written(value: Any) -> str:
    """A cell of a table: three decimals, a dash for what is not known."""
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    if not math.isfinite(value):
        return DASH
    return f"{value:.3f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.2e}"


def measured(row: Mapping[str, Any]) -> str:
    """A gate row's number with its interval."""
    if row["mean"] is None:
        return DASH
    if row["low"] is None or row["high"] is None:
        return written(float(row["mean"]))
    low, high = written(float(row["low"])), written(float(row["high"]))
    return f"{written(float(row['mean']))} ({low} … {high})"


def state(name: str) -> str:
    """A gate's state with its sign."""
    return f"{SIGNS[name]} {name}"


def decided(kind: str) -> str:
    """A decision with its sign."""
    return f"{DECIDED_SIGNS[kind]} {DECIDED[kind]}"


def moment(value: datetime | str | None) -> str:
    """A point in time, UTC, to the minute."""
    if value is None:
        return DASH
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def by_configuration(
    rows: Sequence[Mapping[str, Any]],
) -> list[tuple[str, str, list[Mapping[str, Any]]]]:
    """(configuration, its state over all gates, its rows), in the rows' order."""
    names = list(dict.fromkeys(row["configuration"] for row in rows))
    grouped = [(name, [row for row in rows if row["configuration"] == name]) for name in names]
    return [(name, verdict(mine), mine) for name, mine in grouped]


def tally(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many configurations hold all gates, fail one, or are not known, in a sentence."""
    groups = by_configuration(rows)
    if not groups:
        return "No gate was asked of any configuration."
    counts = {one: sum(found == one for _, found, _ in groups) for one in SIGNS}
    noun = "configuration" if len(groups) == 1 else "configurations"
    told = [f"{counts[HOLDS] or 'None'} of {len(groups)} {noun} hold{'s' if counts[HOLDS] < 2 else ''} every gate"]  # fmt: skip
    if counts[FAILS]:
        told.append(f"{counts[FAILS]} fail{'s' if counts[FAILS] == 1 else ''} at least one")
    if counts[UNKNOWN]:
        told.append(f"{counts[UNKNOWN]} {'is' if counts[UNKNOWN] == 1 else 'are'} not known yet")
    return ", ".join(told) + "."


def asked(content: Mapping[str, Any]) -> str:
    """What a gates block demands and on what it was measured."""
    demands = [gate(one).words() for one in content.get("gates", [])]
    strict = content.get("with_interval")
    how = "the mean and the worse end of its interval must hold" if strict else "the mean must hold"
    return f"{'; '.join(demands)}. Over seeds, {how}." if demands else "No gate yet."


def gates_table(content: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """A gates block as a table: its heads, and a row a configuration and gate."""
    rows = [
        [row["configuration"], row["gate"], state(row["state"]), measured(row), row["reason"]]
        for row in content.get("rows", [])
    ]
    return ["Configuration", "Gate", "Verdict", "Measured", "Reason"], rows


def source(content: Mapping[str, Any]) -> str:
    """Where a block's data are from, in a line; empty where it does not say."""
    if not content.get("study"):
        return ""
    revision = f", revision {content['revision']}" if content.get("revision") else ""
    return f"Study {content['study']}{revision}"


def pieces(text: str, leaks: Any) -> list[tuple[str, bool]]:
    """An answer cut into (text, whether it leaks); `leaks` are (start, end) pairs or the leaked words themselves."""
    spans = sorted(_spans(text, leaks))
    found: list[tuple[str, bool]] = []
    at = 0
    for start, end in spans:
        start, end = max(start, at), min(end, len(text))
        if end > start:
            found += [(text[at:start], False), (text[start:end], True)]
            at = end
    return [one for one in [*found, (text[at:], False)] if one[0]]


def _spans(text: str, leaks: Any) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for leak in leaks if isinstance(leaks, list | tuple) else []:
        if isinstance(leak, Mapping) and {"start", "end"} <= set(leak):
            found.append((int(leak["start"]), int(leak["end"])))
        elif isinstance(leak, list | tuple) and len(leak) == 2:
            found.append((int(leak[0]), int(leak[1])))
        elif isinstance(leak, str) and leak:
            found += _places(text, leak)
    return found


def _places(text: str, word: str) -> list[tuple[int, int]]:
    found, at = [], text.find(word)
    while at >= 0:
        found.append((at, at + len(word)))
        at = text.find(word, at + len(word))
    return found


def evidence(row: Mapping[str, Any]) -> str:
    """What a gate's number rests on, in a line: the seeds' values, the runs of the models and of the attack's cells."""
    found = row["evidence"]
    values = ", ".join(written(value) for value in row["values"]) or DASH
    models = ", ".join(str(one) for one in found.get("models", []) if one is not None)
    cells = ", ".join(str(one["cell"]["run"]) for one in found.get("raw", []) if one["cell"])
    told = [f"seeds: {values}", f"models: runs {models}" if models else ""]
    told += [f"{found.get('attack')}: runs {cells}" if cells else "", ", ".join(row["weak"])]
    return "; ".join(one for one in told if one)
