"""Where a training loss will end: the forecast in a run's curves, what it rests on, and how far such ones were off."""

from typing import Any

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from backend import loss_forecast, schedule_proposal
from backend.charts.training import loss_chart
from backend.loss_law import Law
from backend.settings import outlined_task
from backend.stage import UserError
from db import reads
from pages.components import shown

Runs = list[dict[str, Any]]


def training(engine: Engine, run: dict[str, Any], curves: pd.DataFrame) -> None:
    """A run's training curves with the forecast of its loss, dashed, or a line that says why there is none."""
    loss = curves[curves["metric"] == "loss"]
    timed = _timing(run) if len(loss) else {}
    seen = loss_forecast.curve(loss, timed)
    basis = _basis(engine, run) if seen is not None else None
    found = _outlook(run, seen, basis) if seen is not None else None
    drawn = None
    if found is not None:
        drawn = pd.DataFrame({"step": found.steps, "value": found.losses})
    chart = loss_chart(curves, forecast=drawn)
    st.altair_chart(chart, key="curve-train", alt="Curves on train, with a forecast of the loss")
    if seen is None:
        st.caption(
            "No forecast of the loss: it has no points after its warm-up yet, is not a positive loss that falls, or"
            " the run does not name the steps and the learning rate of one training."
        )
    elif found is None:
        st.caption(_why_none(basis))
    else:
        _told(run, found, basis)
        if basis is not None:
            _checked(basis)
        _proposed(found, basis, timed)


def _outlook(
    run: dict[str, Any], seen: loss_forecast.Curve, basis: loss_forecast.Basis | None
) -> loss_forecast.Outlook | None:
    """From where the run is to its end; of a finished one, from its half, as it would have been forecast there."""
    if basis is not None and not basis.holds:
        return None
    ended = run["state"] == "complete"
    return loss_forecast.outlook(seen.half() if ended else seen, basis.law if basis else None)


def _why_none(basis: loss_forecast.Basis | None) -> str:
    if basis is None:
        return (
            "No forecast of the loss: no finished run is of this kind, and this one has too few points"
            " for a law of its own."
        )
    return (
        f"No forecast of the loss: the law does not hold for runs of this kind. It was tried on"
        f" {_named(basis.runs)}, and missed the end of half of them by more than"
        f" {loss_forecast.TOLERATED:.0%} of the whole fall."
    )


def _told(
    run: dict[str, Any], found: loss_forecast.Outlook, basis: loss_forecast.Basis | None
) -> None:
    """What the dashed line is, and how good such lines were."""
    when = (
        "from its half on, as it would have been there,"
        if run["state"] == "complete"
        else "from here on,"
    )
    said = [f"Dashed and red: the loss as it is forecast {when} ending at **{found.end:.4g}**."]
    if basis is None:
        said.append(
            "It follows this run's own course so far, since no other finished run is of this kind;"
            " how good such a forecast is was not checked."
        )
    else:
        said.append(
            f"It rests on {_named(basis.runs)} of the same kind, by the multi-power law of"
            " learning-rate schedules (arXiv 2503.12811), shifted to where this run is."
        )
        said += [_error(basis)] if basis.checks else []
    if run["state"] != "complete":
        said.append("A stop rule may end the training before.")
    st.caption(" ".join(said))


def _error(basis: loss_forecast.Basis) -> str:
    """How far off the forecasts of the finished runs were, in words."""
    checks = sorted(basis.checks, key=lambda check: check.of_fall)
    middle, worst = checks[len(checks) // 2], checks[-1]
    if len(checks) == 1:
        return f"The end of that run, forecast from its own first half, was off by {_off(worst)}."
    return (
        "The ends of these, each forecast from its first half by the others, were off by"
        f" {_off(middle)} in the middle, and at most by {_off(worst)}."
    )


def _off(check: loss_forecast.Check) -> str:
    size = abs(check.expected - check.came)
    return f"{size:.2g} ({_relative(abs(check.relative))} of the loss, {check.of_fall:.1%} of its fall)"


def _relative(share: float) -> str:
    """A share of the loss; of one near 0 a multiple."""
    return f"{share:.1%}" if abs(share) < 2 else f"{share:,.0f} times"


def _named(runs: tuple[int, ...]) -> str:
    told = ", ".join(str(run) for run in runs)
    return f"the finished run {told}" if len(runs) == 1 else f"the finished runs {told}"


def _checked(basis: loss_forecast.Basis) -> None:
    with st.expander("How far such forecasts were off"):
        rows = [
            {
                "run": check.run,
                "forecast": check.expected,
                "came": check.came,
                "error": _relative(check.relative),
                "of the fall": f"{check.of_fall:.1%}",
            }
            for check in basis.checks
        ]
        st.caption(
            "The mean of the last tenth of each finished run's points: as it was forecast from the first half,"
            " and as it came; the error as a share of the loss, and of its whole fall."
        )
        number: Any = st.column_config.NumberColumn(format="%.4g")
        st.dataframe(
            pd.DataFrame(rows), hide_index=True, width="stretch", placeholder=shown.DASH,
            column_config={"run": "Run", "forecast": number, "came": number, "error": "Error"},
        )  # fmt: skip


def _proposed(
    found: loss_forecast.Outlook, basis: loss_forecast.Basis | None, timed: dict[str, Any]
) -> None:
    """Which course of the rate would end lowest, where runs of several courses can tell."""
    with st.expander("Which schedule would end lower?"):
        shapes = 1 if basis is None else basis.shapes
        if shapes < 2:
            st.caption(
                "That takes finished runs of this kind under at least two courses of the learning rate: with one,"
                " what a falling rate brings cannot be told from what more training brings."
            )
            return
        steps, rate, warmup = timed["steps"], timed["learning_rate"], timed.get("warmup", 0)
        told = _proposals(tuple(vars(found.law).values()), steps, rate, warmup)
        own = float(found.law.predict(loss_forecast.rates(**timed), [steps], warmup)[0])
        st.caption(
            f"What the law expects after {steps} steps with the peak rate {rate:g}, by course of the rate; this run's"
            f" own is expected at {own:.4g}. Differences below the error above say nothing."
        )
        number: Any = st.column_config.NumberColumn(format="%.4g")
        st.dataframe(
            schedule_proposal.table(told, own), hide_index=True, width="stretch", placeholder=shown.DASH,
            column_config={"final_share": "final share", "loss": number, "against": st.column_config.NumberColumn("against its own", format="percent")},
        )  # fmt: skip


@st.cache_data(max_entries=60, show_spinner="Comparing schedules …")
def _proposals(
    law: tuple[float, ...], steps: int, rate: float, warmup: int
) -> list[schedule_proposal.Proposal]:
    return schedule_proposal.proposals(Law(*law), steps, rate, warmup)


def _timing(run: dict[str, Any]) -> dict[str, Any]:
    setting = run["setting"]
    return loss_forecast.timing(run["stage"], run["parameters"], _base_training(setting))


def _base_training(setting: dict[str, Any]) -> dict[str, Any]:
    """How the setting trains a base; {} where it cannot be made here any more."""
    try:
        return _of_setting(setting["name"], setting.get("parameters", {}))
    except (UserError, KeyError, TypeError):
        return {}


@st.cache_data(max_entries=20, show_spinner=False)
def _of_setting(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return outlined_task(name, parameters).base_training


def _basis(engine: Engine, run: dict[str, Any]) -> loss_forecast.Basis | None:
    return _fitted(str(engine.url), int(run["id"]), reads.finished_version(engine), engine, run)


@st.cache_data(max_entries=60, show_spinner="Fitting a law to finished runs …")
def _fitted(
    place: str, run_id: int, version: str, _engine: Engine, _run: dict[str, Any]
) -> loss_forecast.Basis | None:
    """The law of the finished runs that are like this one."""
    parent = _run["parent"]
    run = {**_run, "parent": parent["id"] if parent else None}
    finished = reads.finished_runs(_engine)
    like = loss_forecast.alike(run, finished)[: 3 * loss_forecast.MOST]
    measured = reads.measurements(_engine, run_ids=like, splits=["train"], metrics=["loss"])
    known = finished.set_index("id")
    curves: dict[int, loss_forecast.Curve] = {}
    for one in like:
        found = loss_forecast.curve(
            measured[measured["run"] == one],
            _timing({str(k): v for k, v in known.loc[one].items()}),
        )
        curves |= {one: found} if found is not None else {}
    return loss_forecast.basis(curves)
