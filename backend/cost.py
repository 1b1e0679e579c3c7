"""What a study took, by stage: FLOPs and seconds of its runs, in all and for each configuration."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pandas as pd

from backend.evidence import TRIALS

SEARCH = "search trials"
STAGES = (
    "base",
    "oracle",
    "pretrain",
    "suppress",
    "robustify",
    "wrap",
    SEARCH,
    "evaluation",
    "attacks",
)
CALLED = {"evaluate": "evaluation", "attack": "attacks"}
AMOUNTS = ("flops", "seconds")
WHOLE = "the whole study"
COLUMNS = [
    "configuration", "stage", "runs", "finished",
    "flops", "seconds", "share_of_flops", "share_of_seconds",
]  # fmt: skip


def whole(runs: pd.DataFrame, inputs: pd.DataFrame, document: Mapping[str, Any]) -> pd.DataFrame:
    """The study's cost by stage, every run once.

    `runs` as `db.reads.study_runs` gives them, `inputs` as `db.reads.inputs`, and the study's document. One row for each
    stage that occurs: runs, those of them that are finished, their flops and seconds, and the shares of these in the
    total (null where that is 0). What a search tried, with its evaluations, is a stage of its own.
    """
    return _table([(WHOLE, set(runs["id"]))], _called(runs, inputs, document))


def by_configuration(
    runs: pd.DataFrame, inputs: pd.DataFrame, document: Mapping[str, Any]
) -> pd.DataFrame:
    """The same for each configuration of the document: all that its models need, over all seeds.

    Its models, what they descend from through any input, their evaluations and attacks, and the trials of their
    searches; what several configurations share, such as the base, is in each, so the rows do not add up to the study.
    """
    called, above = _called(runs, inputs, document), _above(runs, inputs)
    parts = [
        (str(one["label"]), _needed(_models(runs, one), called, above))
        for one in document["configurations"]
    ]
    return _table(parts, called)


def _models(runs: pd.DataFrame, configuration: Mapping[str, Any]) -> set[int]:
    told = {*configuration["runs"].values(), *configuration.get("twins", {}).values()}
    return set(runs.loc[runs["fingerprint"].isin(told), "id"])


def _called(runs: pd.DataFrame, inputs: pd.DataFrame, document: Mapping[str, Any]) -> pd.DataFrame:
    """The runs by their number, with `stage` as it is called here."""
    tried = set(inputs.loc[inputs["role"].isin(TRIALS), "input"])
    # What was a trial of one recipe may be the model of another.
    tried -= {model for one in document["configurations"] for model in _models(runs, one)}
    of_trials = runs["id"].isin(tried) | runs["parent"].isin(tried)
    stage = runs["stage"].replace(CALLED).mask(of_trials, SEARCH)
    told = runs[["id", "parent"]].assign(stage=stage, tried=runs["parent"].isin(tried))
    told["finished"] = runs["state"] == "complete"
    for column in AMOUNTS:  # of finished runs only: another's is of an attempt that came to nothing
        told[column] = runs[column].astype(float).where(told["finished"], 0.0).fillna(0.0)
    return told.set_index("id")


def _above(runs: pd.DataFrame, inputs: pd.DataFrame) -> dict[int, set[int]]:
    """What every run is made from."""
    found: dict[int, set[int]] = {int(run): set() for run in runs["id"]}
    parents = runs.dropna(subset=["parent"])
    for run, parent in zip(parents["id"], parents["parent"], strict=True):
        found[int(run)].add(int(parent))
    for run, given in zip(inputs["run"], inputs["input"], strict=True):
        found[int(run)].add(int(given))
    return found


def _needed(models: set[int], called: pd.DataFrame, above: Mapping[int, set[int]]) -> set[int]:
    """Models, all they descend from, what looked at them, and what looked at the trials of their searches."""
    seen: set[int] = set()
    waiting = list(models)
    while waiting:
        run = waiting.pop()
        if run not in seen and run in above:
            seen.add(run)
            waiting += above[run]
    looks = called["stage"].isin(CALLED.values()) & called["parent"].isin(models)
    tried = called["tried"] & called["parent"].isin(seen)
    return seen | set(called.index[looks | tried])


def _table(parts: Collection[tuple[str, set[int]]], runs: pd.DataFrame) -> pd.DataFrame:
    rows = [row for name, members in parts for row in _rows(name, runs.loc[sorted(members)])]
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(name: str, runs: pd.DataFrame) -> Iterator[dict[str, Any]]:
    totals = {column: float(runs[column].sum()) for column in AMOUNTS}
    by_stage = dict(list(runs.groupby("stage")))
    for stage in (stage for stage in STAGES if stage in by_stage):
        here = by_stage[stage]
        sums = {column: float(here[column].sum()) for column in AMOUNTS}
        shares = {f"share_of_{c}": sums[c] / totals[c] if totals[c] else None for c in AMOUNTS}
        counts = {"runs": len(here), "finished": int(here["finished"].sum())}
        yield {"configuration": name, "stage": stage, **counts, **sums, **shares}
