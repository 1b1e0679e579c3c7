"""Attacked models: an attack's run keeps no model, so the cell that counts is repeated and its endpoint kept."""

from collections.abc import Mapping
from typing import Any

from backend.plan import fingerprint
from backend.stage import KEEP_ENDPOINT

COPIED = ("stage", "name", "version", "setting", "precision", "seed")


def strongest_cell(
    row: Mapping[str, Any], attacks: list[Mapping[str, Any]], seed: int
) -> dict[str, Any] | None:
    """The cell of the attack on weights with the highest mean recovery of a configuration, as it is for one seed.

    None where none is complete. Only such attacks leave another model behind: others ask the same one in other ways.
    """
    changing = {attack["name"] for attack in attacks if attack["counts"] == "weights"}
    mine = [
        (row["attacks"][raw["attack"]]["mean"], raw)
        for raw in row["raw"]
        if raw["attack"] in changing and raw["seed"] == seed and raw["cell"]
    ]
    if not mine:
        return None
    recovery, raw = max(mine, key=lambda one: -1.0 if one[0] is None else one[0])
    return {"attack": raw["attack"], "recovery": recovery, **raw["cell"]}


def name_of(cell: Mapping[str, Any]) -> str:
    """The fingerprint of the run that repeats an attack's cell (its run's row) and keeps what it makes."""
    return fingerprint({"endpoint": cell["fingerprint"]})


def endpoint_run(cell: Mapping[str, Any]) -> dict[str, Any]:
    """That run in the form in which runs are added to the queue; `cell` is the attack's run as `db.reads.run` gives it."""
    return {
        **{key: cell[key] for key in COPIED},
        "fingerprint": name_of(cell),
        "parameters": {**cell["parameters"], KEEP_ENDPOINT: True},
        "memory_need": cell["peak_memory"] or cell["memory_need"],
        "parent": cell["parent"]["fingerprint"],
        "inputs": {role: [name for _, name in given] for role, given in cell["inputs"].items()},
    }
