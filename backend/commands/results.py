"""Looking at results: runs, one run, the frontier, the export bundle."""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from backend.commands import Verbs, existing_database, show, verb
from backend.stage import UserError

COLUMNS = ("id", "stage", "name", "parameters", "seed", "parent", "inputs", "fingerprint", "state")
MOST_COLUMNS = 8  # of reported metrics that are printed
COLUMNS_AFTER = ("blocked_by", "attempt", "seconds", "flops", "error")


def add(verbs: Verbs) -> None:
    """Add the verbs that read results."""
    runs = verb(verbs, "runs", _runs, "list a study's runs")
    runs.add_argument("study")
    one = verb(verbs, "show", _show, "show everything about a run")
    one.add_argument("run", type=int)
    frontier = verb(verbs, "frontier", _frontier, "the frontier of a study")
    export = verb(verbs, "export", _export, "write a study's data, plots, tables and manifest")
    export.add_argument("--to", required=True, metavar="DIR", type=Path)
    export.add_argument(
        "--preset",
        default="two columns",
        help="size of plots: one column, two columns, slides, poster",
    )
    export.add_argument(
        "--reference",
        metavar="NAME",
        help="configuration that the table tests against; default the first",
    )
    for added in (frontier, export):
        added.add_argument("study")
        added.add_argument("--budget", type=int, metavar="STEP", help="attack steps that count")
        added.add_argument(
            "--attacker-flops", type=float, metavar="FLOPS", help="what one attack may cost at most"
        )
        added.add_argument("--revision", type=int, help="of the study; default the newest")


def _runs(arguments: argparse.Namespace) -> None:
    from backend.results import known_study
    from db import reads

    engine = existing_database()
    record = known_study(engine, arguments.study)
    assert engine is not None
    frame = reads.study_runs(engine, record.id)
    given: dict[int, dict[str, list[int]]] = {}
    for row in reads.inputs(engine, record.id).to_dict("records"):
        given.setdefault(row["run"], {}).setdefault(row["role"], []).append(row["input"])
    names = [*COLUMNS, *COLUMNS_AFTER]
    records = frame.to_dict("records")
    whole = [{**record, "inputs": given.get(int(record["id"]), {})} for record in records]
    rows = [_plain({name: record[name] for name in names}) for record in whole]
    if arguments.json:
        return show(rows)
    for one in rows:
        told = one["error"] or (f"blocked by run {one['blocked_by']}" if one["blocked_by"] else "")
        name = f"{one['stage']} {one['name']}"
        print(f"{one['id']:6} {name:24} seed {one['seed']:<4} {one['state']:10} {told}".rstrip())
    return None


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    """A row with None for what is missing and whole numbers where a column of them has gaps."""
    found: dict[str, Any] = {}
    for key, value in row.items():
        missing = value is None or (isinstance(value, float) and value != value)
        whole = key in ("parent", "blocked_by", "id", "seed", "attempt")
        found[str(key)] = None if missing else int(value) if whole else value
    return found


def _show(arguments: argparse.Namespace) -> None:
    from db import reads

    engine = existing_database()
    run = None if engine is None else reads.run(engine, arguments.run)
    if run is None or engine is None:
        raise UserError(f"There is no run {arguments.run}; `runs STUDY` lists them.")
    measured = reads.measurements(engine, run_ids=[arguments.run], category=None)
    run["measurements"] = [_plain(row) for row in measured.to_dict("records")]
    if arguments.json:
        return show(run)
    for key, value in run.items():
        if key != "measurements" and value is not None:
            print(f"{key:18} {value}")
    print(measured[measured["category"] == ""].to_string(index=False))
    return None


def _document(arguments: argparse.Namespace) -> dict[str, Any]:
    from backend.results import frontier_document

    engine = existing_database()
    if engine is None:
        from backend.results import known_study

        known_study(None, arguments.study)
    assert engine is not None
    return frontier_document(
        engine,
        arguments.study,
        arguments.budget,
        arguments.revision,
        arguments.attacker_flops,
    )


def _frontier(arguments: argparse.Namespace) -> None:
    document = _document(arguments)
    if arguments.json:
        return show(document)
    print_frontier(document)
    return None


def print_frontier(document: dict[str, Any]) -> None:
    """The frontier as an aligned table with its reading."""
    from backend.charts.captions import caption
    from backend.frontier import frame

    rows = frame(document)
    if rows.empty:
        print(f"{document['study']} has no results yet.")
        return
    if set(rows["origin"]) == {"imported"}:
        _print_reported(document, rows)
        return
    wanted = {
        "configuration": "configuration",
        "claimed_forget_quality": "claimed",
        "robust_forget_quality": "robust",
        "utility": "utility",
        "compute": "compute",
        "forget_answer_accuracy": "forget accuracy",
        "cells": "attack cells",
        "front": "front",
    }
    if len(document["attacks"]) > 1:
        wanted |= {"worst_attack": "worst attack"}
    rows["cells"] = rows["cells_done"].astype(str) + "/" + rows["cells_total"].astype(str)
    rows["front"] = rows["on_front"].map(lambda kept: "*" if kept is True else "")
    shown = rows[[name for name in wanted if name in rows]].rename(columns=wanted)
    shown["configuration"] = shown["configuration"].str.ljust(
        shown["configuration"].str.len().max()
    )
    print(shown.to_string(index=False, float_format=lambda v: f"{v:.3f}", na_rep="–"))
    seeds = int(rows["seeds"].iloc[0])
    print(
        f"{seeds} seed{'s' if seeds > 1 else ''}; attack grid of {document['attack_grid_size']},"
        f" {document['budget']} steps; anchor: {document['anchor']}. {caption(rows)}"
    )


def _print_reported(document: dict[str, Any], rows: pd.DataFrame) -> None:
    """What others report, which has no objectives: the first of its metrics."""
    from backend.tables import column_of

    names = [name for name in document["rows"][0]["metrics"] if column_of(name) in rows]
    shown = rows[["configuration", *map(column_of, names[:MOST_COLUMNS])]]
    print(shown.to_string(index=False, float_format=lambda v: f"{v:.4g}", na_rep="–"))
    more = f"; {len(names) - MOST_COLUMNS} more metrics with --json" if len(names) > MOST_COLUMNS else ""  # fmt: skip
    print(f"Imported, not run here: no objectives, only what was reported{more}.")


def _export(arguments: argparse.Namespace) -> None:
    from backend import exports
    from backend.results import curves

    document = _document(arguments)
    engine = existing_database()
    found = curves(engine, arguments.study, arguments.revision) if engine else pd.DataFrame()
    files = exports.bundle(document, found, arguments.to, arguments.preset, arguments.reference)
    if arguments.json:
        return show({"directory": str(arguments.to), "files": [str(path) for path in files]})
    print(f"{len(files)} files in {arguments.to}")
    return None
