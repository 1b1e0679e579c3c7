"""Looking at results: runs, one run, the frontier, the export bundle."""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from backend.commands import Verbs, existing_database, show, verb

MOST_COLUMNS = 8  # of reported metrics that are printed
MEASURED = ("run", "metric", "split", "category", "step", "value", "standard_error", "items")


def add(verbs: Verbs) -> None:
    """Add the verbs that read results."""
    runs = verb(verbs, "runs", _runs, "list a study's runs")
    runs.add_argument("study")
    runs.add_argument(
        "--filter",
        default="",
        metavar="TEXT",
        help="as above the list of runs, such as state:failed",
    )
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
    from backend import service

    rows = service.runs(arguments.study, arguments.filter)
    if arguments.json:
        return show(rows)
    for one in rows:
        told = one["error"] or (f"blocked by run {one['blocked_by']}" if one["blocked_by"] else "")
        name = f"{one['stage']} {one['name']}"
        print(f"{one['id']:6} {name:24} seed {one['seed']:<4} {one['state']:10} {told}".rstrip())
    return None


def _show(arguments: argparse.Namespace) -> None:
    from backend import service

    run = service.run(arguments.run)
    if arguments.json:
        return show(run)
    for key, value in run.items():
        if key != "measurements" and value is not None:
            print(f"{key:18} {value}")
    measured = pd.DataFrame(run["measurements"], columns=list(MEASURED))
    print(measured[measured["category"] == ""].to_string(index=False))
    return None


def _document(arguments: argparse.Namespace) -> dict[str, Any]:
    from backend import service

    asked = (arguments.budget, arguments.attacker_flops, arguments.revision)
    return service.frontier(arguments.study, *asked)


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
    found = curves(existing_database(), arguments.study, arguments.revision)
    files = exports.bundle(document, found, arguments.to, arguments.preset, arguments.reference)
    if arguments.json:
        return show({"directory": str(arguments.to), "files": [str(path) for path in files]})
    print(f"{len(files)} files in {arguments.to}")
    return None
