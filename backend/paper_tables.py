"""A study's table for a paper: mean ± interval of every configuration, who is best, and what differs beyond chance."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats

from backend import catalogue
from backend.anchors import ANCHORS
from backend.stage import UserError

LEVEL = 0.05
OBJECTIVES = {
    "robust_forget_quality": ("Robust", "up"),
    "claimed_forget_quality": ("Claimed", "up"),
    "utility": ("Utility", "up"),
    "compute": ("Compute", "down"),
}
DECIMALS = 3  # without an interval, and at most
PARTS = ("forget", "retain", "placebo", "members", "unseen")


@dataclass
class Cell:
    """One number: as it is, half its interval, and what it is marked with."""

    mean: float | None = None
    half: float | None = None
    values: tuple[float | None, ...] = ()
    best: bool = False
    second: bool = False
    better: bool = False  # than the reference, beyond chance
    p: float | None = None  # corrected


@dataclass
class Column:
    """A number of every configuration: its title, which direction is better (None: no contest), and its decimals."""

    title: str
    direction: str | None
    cells: list[Cell]
    decimals: int = DECIMALS
    compared: int = 0  # tests in its correction


@dataclass
class Table:
    """What a table says: names, which of them compete, the columns, and the notes below."""

    names: list[str]
    competes: list[bool]
    columns: list[Column]
    notes: list[str] = field(default_factory=list)
    label: str = "frontier"
    caption: str = ""


def table(
    document: Mapping[str, Any], metrics: Sequence[str] = (), reference: str | None = None
) -> Table:
    """The table of a frontier document: the four objectives and the metrics that were chosen.

    `reference` is the configuration that others are tested against, without one the first that competes. Best and
    second are told by the numbers as they are printed; base and oracle do not compete.

    Raises:
        UserError: there is no such metric or no such configuration that competes
    """
    rows = document["rows"]
    _check(rows, metrics, reference)
    competes = [row["method"] not in ANCHORS for row in rows]
    first = next((row["configuration"] for row in rows if row["method"] not in ANCHORS), None)
    against = reference or first
    columns = [
        Column(title, direction, [_cell(row[name]) for row in rows])
        for name, (title, direction) in OBJECTIVES.items()
    ]
    columns += [
        Column(_plain(name), better(name), [_cell(row["metrics"].get(name)) for row in rows])
        for name in metrics
    ]
    position = next((i for i, r in enumerate(rows) if r["configuration"] == against), None)
    for column in columns:
        column.decimals = decimals(column.cells)
        contest(column, competes)
        if position is not None:
            test(column, competes, position)
    names = [str(row["configuration"]) for row in rows]
    notes = _notes(document, columns, against) if rows else ["No configuration has a number yet."]
    return Table(names, competes, columns, notes, str(document["study"]))


def _check(
    rows: Sequence[Mapping[str, Any]], metrics: Sequence[str], reference: str | None
) -> None:
    known = list(dict.fromkeys(name for row in rows for name in row["metrics"]))
    for name in metrics:
        if name not in known:
            raise UserError(f"metric = {name!r} is not one of {', '.join(known) or 'none yet'}.")
    names = [row["configuration"] for row in rows if row["method"] not in ANCHORS]
    if reference is not None and reference not in names:
        raise UserError(
            f"reference = {reference!r} is not one of {', '.join(names) or 'none yet'}."
        )


def better(metric: str) -> str | None:
    """Which direction of a measured metric is better: forgetting wants less capability, all else more; None unknown."""
    part, _, name = metric.partition("_")
    part, name = (part, name) if part in PARTS else ("", metric)
    found = [one for one in catalogue.parts("metrics") if one.name == name]
    direction = found[0].declared["direction"] if found else None
    if direction not in ("up", "down") or part not in ("forget", "retain"):
        return None
    return direction if part == "retain" else {"up": "down", "down": "up"}[direction]


def _cell(found: Mapping[str, Any] | None) -> Cell:
    if found is None or found["mean"] is None:
        return Cell(values=tuple(found["values"]) if found else ())
    high = found.get("high")
    half = None if high is None else float(high) - float(found["mean"])
    return Cell(float(found["mean"]), half, tuple(found["values"]))


def decimals(cells: Sequence[Cell]) -> int:
    """As many as show one digit of the column's smallest interval, from 1 to 3; 3 without intervals."""
    halves = [cell.half for cell in cells if cell.half]
    if not halves:
        return DECIMALS
    return min(DECIMALS, max(1, -math.floor(math.log10(min(halves)))))


def printed(cell: Cell, column: Column) -> float | None:
    """The mean as the table shows it."""
    return None if cell.mean is None else round(cell.mean, column.decimals) + 0.0


def contest(column: Column, competes: Sequence[bool]) -> None:
    """Mark best and second among those that compete, as they are printed; equal ones share their place."""
    if column.direction is None:
        return
    sign = 1.0 if column.direction == "up" else -1.0
    shown = [
        sign * value if plays and value is not None else None
        for cell, plays in zip(column.cells, competes, strict=True)
        for value in [printed(cell, column)]
    ]
    known = [value for value in shown if value is not None]
    for cell, value in zip(column.cells, shown, strict=True):
        if value is not None:
            ahead = sum(other > value for other in known)
            cell.best, cell.second = ahead == 0, ahead == 1


def test(column: Column, competes: Sequence[bool], reference: int) -> None:
    """Mark who is better than the reference: paired t-tests over matched seeds, Holm's correction over the column."""
    if column.direction is None:
        return
    tested = {}
    for position, cell in enumerate(column.cells):
        if competes[position] and position != reference:
            found = paired(cell.values, column.cells[reference].values)
            if found is not None:
                tested[position] = found
    column.compared = len(tested)
    if not tested:
        return
    from statsmodels.stats.multitest import multipletests  # noqa: PLC0415 - slow to import

    reject, corrected, *_ = multipletests([p for _, p in tested.values()], LEVEL, method="holm")
    for (position, (difference, _)), beyond, p in zip(tested.items(), reject, corrected, strict=True):  # fmt: skip
        ahead = difference > 0 if column.direction == "up" else difference < 0
        column.cells[position].p = float(p)
        column.cells[position].better = bool(beyond and ahead)


def paired(
    one: Sequence[float | None], other: Sequence[float | None]
) -> tuple[float, float] | None:
    """(mean difference, two-sided p) of a paired t-test over the seeds that both have.

    None below two such seeds, and where the difference does not vary at all: then the test says nothing.
    """
    pairs = [(a, b) for a, b in zip(one, other, strict=False) if a is not None and b is not None]
    if len(pairs) < 2:
        return None
    left, right = np.array(pairs, dtype=float).T
    if np.ptp(left - right) < 1e-12:
        return None
    return float((left - right).mean()), float(stats.ttest_rel(left, right).pvalue)


def _plain(metric: str) -> str:
    return metric.replace("_", " ").capitalize()


def _notes(
    document: Mapping[str, Any], columns: Sequence[Column], reference: str | None
) -> list[str]:
    """What every number and mark rests on."""
    seeds = int(document["rows"][0]["seeds"])
    spread = " ± half of Student's 95 % interval over them, not clipped" if seeds > 1 else ""
    notes = [
        f"Mean over {seeds} seed{'s' if seeds != 1 else ''}{spread}; worst case over"
        f" {document['attack_grid_size']} attack cells, {document['budget']} steps;"
        f" anchor: {document['anchor']}.",
        "Bold: best; underlined: second, by the means as printed; base and oracle do not compete.",
    ]
    most = max((column.compared for column in columns), default=0)
    if most:
        notes.append(
            f"† better than {reference} at p < {LEVEL}: paired two-sided t-test over {seeds} matched seeds, Holm's"
            f" correction over the comparisons of a column (up to {most}); a difference that does not vary is not tested."
        )
    elif reference is not None:
        notes.append("No significance marks: a paired test takes two seeds.")
    return notes
