"""A run's model for others: a folder that transformers opens, with a card."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from sqlalchemy import Engine

from backend.commands import Verbs, existing_database, show, verb
from backend.stage import UserError

if TYPE_CHECKING:
    from backend.data import Task
    from backend.model_card import Card, Score

KEEP_NO_MODEL = ("evaluate", "attack")


def add(verbs: Verbs) -> None:
    """Add the verb."""
    added = verb(verbs, "export-model", _export, "write a run's model as a folder for transformers")
    added.add_argument("run", type=int)
    added.add_argument("--to", required=True, metavar="DIR", type=Path)


def _export(arguments: argparse.Namespace) -> None:
    from backend.cargo import bring_model
    from backend.model_card import written
    from backend.model_export import export, origin_of
    from db.session import home

    engine = existing_database()
    run = _exportable(engine, arguments.run)
    assert engine is not None
    task = _task(run)
    bring_model(engine, home(), run["id"])
    card = written(card_of(engine, run, origin_of(home(), run["fingerprint"])))
    files = export(home(), run["fingerprint"], task, card, arguments.to)
    if arguments.json:
        return show({"directory": str(arguments.to), "files": [str(path) for path in files]})
    print(f"Run {run['id']} as {len(files)} files in {arguments.to}")
    return None


def _exportable(engine: Engine | None, run_id: int) -> dict[str, Any]:
    """The row of a complete run that keeps a model; UserError says why another is none."""
    from db import reads

    run = None if engine is None else reads.run(engine, run_id)
    if run is None:
        raise UserError(f"There is no run {run_id}; `runs STUDY` lists them.")
    if run["stage"] in KEEP_NO_MODEL:
        parent = (
            f"; the model that it looked at is run {run['parent']['id']}" if run["parent"] else ""
        )
        raise UserError(f"Run {run_id} is of the stage {run['stage']} and keeps no model{parent}.")
    made = reads.made_again(engine, run_id) if engine is not None else None
    if made:
        raise UserError(f"Run {run_id} made the model of run {made[0]} again; export that one.")
    if run["origin"] != "run":
        raise UserError(f"Run {run_id} was imported: its numbers are here, its weights are not.")
    if run["state"] != "complete":
        raise UserError(f"Run {run_id} is {run['state']}; a model is there once it is complete.")
    return run


def _task(run: dict[str, Any]) -> "Task":
    """The run's task as it was; UserError where its data are others today, since its tokens could be others too."""
    from backend.settings import build_task

    setting = run["setting"]
    task = build_task(setting["name"], setting["parameters"])
    if task.content_hash != setting["content_hash"]:
        raise UserError(
            f"The data of the setting {setting['name']} changed since run {run['id']} was made"
            f" ({setting['content_hash']} then, {task.content_hash} now), so its tokenizer cannot be told."
        )
    return task


def card_of(engine: Engine, run: dict[str, Any], origin: dict[str, Any]) -> "Card":
    """What the database knows of a model, for its card."""
    from backend.model_card import Card

    lineage = _lineage(engine, run)
    names = " → ".join(stage["label"] for stage in lineage)
    return Card(
        name=f"{names} ({run['setting']['name']})",
        stages=lineage,
        setting=run["setting"],
        studies=sorted(run["studies"]),
        origin=origin,
        scores=_scores(engine, run),
        fingerprint=run["fingerprint"],
        precision=run["precision"],
        environment=run["environment"] or {},
    )


def _lineage(engine: Engine, run: dict[str, Any]) -> list[dict[str, Any]]:
    """The stages that the model went through, the first one first."""
    from backend import catalogue
    from db import reads

    found: list[dict[str, Any]] = []
    row: dict[str, Any] | None = run
    while row is not None:
        known = {part.name: part for part in catalogue.parts("methods")}.get(row["name"])
        chosen = (row["chosen"] or {}).get("parameters", {})  # by a search
        told = {key: row[key] for key in ("stage", "name", "seed", "version")} | {"run": row["id"]}
        told["label"] = known.label if known else row["name"]
        told["source"] = known.source if known else ""
        told["parameters"] = {**row["parameters"], **chosen}
        found.insert(0, told)
        row = reads.run(engine, row["parent"]["id"]) if row["parent"] else None
    return found


def _scores(engine: Engine, run: dict[str, Any]) -> list["Score"]:
    """Every metric before any attack, then the score part under every attack, at its strongest and its last step."""
    from backend.model_card import Score
    from db import reads

    children = [reads.run(engine, child) for child in run["children"]]
    done = [child for child in children if child and child["state"] == "complete"]
    found = []
    for child in (child for child in done if child["stage"] in KEEP_NO_MODEL):
        rows = reads.measurements(engine, run_ids=[child["id"]])
        if child["stage"] == "attack":
            found += _under_attack(child, rows[rows["split"].str.endswith("_score")])
            continue
        for row in rows.to_dict("records"):
            found.append(Score(row["metric"], row["split"], _value(row), count=_count(row)))
    return sorted(found, key=lambda score: bool(score.attack))


def _under_attack(child: dict[str, Any], rows: pd.DataFrame) -> list["Score"]:
    from backend.model_card import Score

    told = _attack(child)
    found = []
    for (metric, split), part in rows.groupby(["metric", "split"], sort=True):
        steps = part.sort_values("step").to_dict("records")
        finite = [row for row in steps if _value(row) is not None] or steps
        strongest = (min if _less_is_more(str(metric)) else max)(finite, key=lambda r: r["value"])
        for row in steps[-1:] if strongest is steps[-1] else (strongest, steps[-1]):
            score = Score(str(metric), str(split), _value(row), told, row["step"], _count(row))
            found.append(score)
    return found


def _attack(child: dict[str, Any]) -> str:
    """An attack with those of its parameters that are not at their neutral value."""
    from backend import catalogue

    known = {part.name: part for part in catalogue.parts("attacks")}.get(child["name"])
    neutral = {**(known.neutral if known else {}), "target": "forget"}
    absent = object()
    given = {k: v for k, v in child["parameters"].items() if neutral.get(k, absent) != v}
    return f"{child['name']} ({', '.join(f'{k} = {v}' for k, v in given.items())})"


def _less_is_more(metric: str) -> bool:
    """Whether a smaller value of a metric means more capability; scores that attacks bring along mean more by more."""
    from backend import catalogue

    known = {part.name: part for part in catalogue.parts("metrics")}
    return metric in known and known[metric].declared["direction"] == "down"


def _value(row: dict[Any, Any]) -> float | None:
    return None if row["value"] is None or row["value"] != row["value"] else float(row["value"])


def _count(row: dict[Any, Any]) -> int | None:
    return None if pd.isna(row["items"]) else int(row["items"])
