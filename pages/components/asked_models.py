"""Which models can be asked: base, the chosen configurations, what attacks made of them, oracle."""

from dataclasses import dataclass, field
from typing import Any

import streamlit as st
from sqlalchemy import Engine

from backend.anchors import ANCHORS
from backend.charts.tokens import ATTACKED
from backend.playground.endpoints import endpoint_run, name_of, strongest_cell
from db import reads as database
from db import writes
from db.session import DatabaseProblem, require_database
from pages.components import shown
from pages.components.leads import lead_on
from pages.components.run_view import link
from pages.components.selection import select_by_name
from pages.components.signing_in import beyond


@dataclass
class Models:
    """Those that can be asked, in their order; in `lacking` why others cannot; whether some are being made."""

    ready: list[dict[str, Any]] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    kept: int = 0
    making: bool = False


def choose_seed(seeds: list[int]) -> int:
    """The seed whose models are asked."""
    if len(seeds) == 1:
        return seeds[0]
    named = [str(seed) for seed in seeds]
    chosen = st.segmented_control(
        "Seed", named, default=named[0], required=True, key="model_seed", bind="query-params",
        help="Models of one seed are compared: they share their start and the order of their data.",
    )  # fmt: skip
    return int(str(chosen))


def choose_models(
    engine: Engine, study: str, document: dict[str, Any], seeds: list[int], seed: int
) -> Models:
    """The models that the shared selection names, for one seed; a field to change it."""
    rows, place = document["rows"], seeds.index(seed)
    chosen = select_by_name(study, [row["configuration"] for row in rows], "Configurations to ask")
    lead_on(study, chosen, "Playground")
    picked = [
        row for row in rows if row["configuration"] in chosen and row["method"] not in ANCHORS
    ]
    if not chosen:
        picked = _stand_in(rows)
    found = Models()
    first = [row for row in rows if row["method"] == "base"]
    last = [row for row in rows if row["method"] == "oracle"]
    for row in (*first, *picked, *last):
        _add(engine, found, row, row["models"][place])
        if row in picked:
            _add_attacked(engine, found, row, document["attacks"], seed)
    return found


def _stand_in(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is asked where nobody has chosen: the configuration that holds best."""
    known = [r for r in rows if r["method"] not in ANCHORS and r["robust_forget_quality"]["mean"] is not None]  # fmt: skip
    if not known:
        others = [r for r in rows if r["method"] not in ANCHORS]
        return others[:1]
    best = max(known, key=lambda row: row["robust_forget_quality"]["mean"])
    st.caption(
        f"None is chosen, so *{shown.plain(best['configuration'])}* stands here: its robust forget quality is the highest."
    )
    return [best]


def _add(engine: Engine, found: Models, row: dict[str, Any], run_id: int | None) -> None:
    run = database.run(engine, int(run_id)) if run_id is not None else None
    name = row["configuration"]
    if run is None:
        found.lacking.append(f"{name} has no run of this seed.")
    elif run["origin"] != "run":
        found.lacking.append(f"{name} was imported: its numbers are here, its weights are not.")
    elif run["state"] != "complete":
        found.lacking.append(f"{name} is not there to be asked: run {run['id']} is {run['state']}.")
    else:
        role = row["method"] if row["method"] in ANCHORS else "unlearned"
        found.ready.append(_model(run, name, role))


def _model(run: dict[str, Any], label: str, role: str) -> dict[str, Any]:
    return {"run": int(run["id"]), "fingerprint": run["fingerprint"], "label": label, "role": role}


def _add_attacked(
    engine: Engine, found: Models, row: dict[str, Any], attacks: list[Any], seed: int
) -> None:
    """The endpoint of the strongest attack on weights, where it was kept."""
    cell = _cell(engine, row, attacks, seed)
    if cell is None:
        return
    run_id = database.run_by_fingerprint(engine, name_of(cell["row"]))
    run = database.run(engine, run_id) if run_id is not None else None
    if run is None:
        return
    if run["state"] == "complete":
        found.kept += 1
        found.ready.append(_model(run, row["configuration"] + ATTACKED, "attacked"))
    found.making |= run["state"] in ("waiting", "running")


def _cell(
    engine: Engine, row: dict[str, Any], attacks: list[Any], seed: int
) -> dict[str, Any] | None:
    cell = strongest_cell(row, attacks, seed)
    run = database.run(engine, int(cell["run"])) if cell else None
    return None if cell is None or run is None else {**cell, "row": run}


def attacked_models(engine: Engine, document: dict[str, Any], seed: int, found: Models) -> None:
    """What there is of attacked models, and a button for what there is not."""
    asked = {model["label"] for model in found.ready if model["role"] == "unlearned"}
    rows = [row for row in document["rows"] if row["configuration"] in asked]
    if not rows:
        return
    with st.expander(
        f"Attacked models: {found.kept} of {len(rows)} kept", icon=":material/swords:"
    ):
        st.caption(
            "Attacks keep no model, only what they measured. The strongest attack on weights can be run once more, the same"
            " steps with the same seed, and its model kept after the last step; no number of the study changes."
        )
        for row in rows:
            _one_attacked(engine, row, _cell(engine, row, document["attacks"], seed))


def _one_attacked(engine: Engine, row: dict[str, Any], cell: dict[str, Any] | None) -> None:
    name = shown.plain(row["configuration"])
    if cell is None:
        st.markdown(f"**{name}**: no attack on weights is complete, so there is none to repeat.")
        return
    run_id = database.run_by_fingerprint(engine, name_of(cell["row"]))
    run = database.run(engine, run_id) if run_id is not None else None
    rate = cell["row"]["parameters"].get("learning_rate")
    which = f"{cell['attack']}{f', rate {rate:g}' if rate else ''}, recovery {shown.number(cell['recovery'])}"
    left, right = st.columns([4, 2], vertical_alignment="center")
    left.markdown(f"**{name}**: {shown.plain(which)}")
    with right:
        if run is None:
            _keep(cell["row"])
        elif run["state"] in ("failed", "cancelled"):
            _again(engine, run)
        else:
            told = link(run["id"], f"run {run['id']}")
            st.html(f"<div>{told}: {shown.SIGNS[run['state']]}</div>")


def _keep(cell: dict[str, Any]) -> None:
    if not st.button("Repeat it and keep the model", key=f"keep-{cell['id']}", **beyond("runner")):
        return
    try:
        writes.add_run(require_database(), endpoint_run(cell))
    except DatabaseProblem as problem:
        st.error(str(problem))
    else:
        st.rerun()


def _again(engine: Engine, run: dict[str, Any]) -> None:
    st.error(shown.plain(run["error"] or f"Run {run['id']} was cancelled."))
    if st.button("Try again", key=f"again-{run['id']}", **beyond("runner")):
        writes.retry(engine, [int(run["id"])])
        st.rerun()
