"""Curves of several seeds as one: the mean with a band, at the steps that every seed has."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from backend.statistics import student_factor

BANDED = ["configuration", "step", "mean", "low", "high", "seeds"]
TRAINED = ("pretrain", "suppress", "robustify")  # stages with a training of their own
FEWEST = 3  # seeds for an interval: of two, Student's is twelve times as wide as they are apart


def bands(curves: pd.DataFrame, value: str) -> pd.DataFrame:
    """Mean, low and high over seeds at every step that all seeds of a configuration have: columns BANDED.

    `curves` has the columns configuration, seed, step and `value`. The band is Student's 95 % interval from three seeds
    on, the smallest and the largest of two, and unknown at one.
    """
    known = curves.dropna(subset=[value])
    seeds = known.groupby("configuration", sort=False)["seed"].nunique()
    grouped = known.groupby(["configuration", "step"], sort=False)[value]
    found = grouped.agg(["mean", "std", "min", "max", "count"]).reset_index()
    found["seeds"] = found["configuration"].map(seeds)
    found = found[found["count"] == found["seeds"]]
    several = found["seeds"] >= FEWEST
    half = student_factor(found["seeds"].to_numpy(dtype=int)) * found["std"]
    for end, sign, extreme in (("low", -1, "min"), ("high", 1, "max")):
        of_two = found[extreme].where(found["seeds"] == 2)
        found[end] = (found["mean"] + sign * half).where(several, of_two)
    place = {name: position for position, name in enumerate(seeds.index)}
    order = np.lexsort((found["step"], found["configuration"].map(place)))
    return found.iloc[order][BANDED].reset_index(drop=True)


def band_words(banded: pd.DataFrame) -> str:
    """What the bands of such a frame are."""
    words = {1: "1 seed, no band", 2: "band: smallest and largest of 2 seeds"}
    counts = sorted(set(banded["seeds"]))
    told = [words.get(n, f"band: Student's 95 % interval over {n} seeds") for n in counts]
    return "; ".join(told) or "nothing to draw"


def trained_runs(runs: pd.DataFrame, models: Mapping[str, Sequence[int | None]]) -> pd.DataFrame:
    """The training runs that every model comes from, the last one of a stage: configuration, seed, stage, name, run.

    `models` are the runs of each configuration's models, one a seed; `runs` the study's, with id, stage, name, seed, parent.
    """
    columns = ("stage", "name", "seed", "parent")
    known = {
        int(run): told for run, *told in zip(runs["id"], *(runs[c] for c in columns), strict=True)
    }
    lines = [
        (configuration, int(seed), stage, name, run)
        for configuration, found in models.items()
        for model in found
        for run, (stage, name, seed) in _line_of(known, model)
        if stage in TRAINED
    ]
    found = pd.DataFrame(lines, columns=["configuration", "seed", "stage", "name", "run"])
    return found.drop_duplicates(["configuration", "seed", "stage"])


def _line_of(
    known: Mapping[int, list[Any]], run: int | None
) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """A model's run and the parents above it."""
    while run is not None and run in known:
        stage, name, seed, parent = known[run]
        yield run, (stage, name, seed)
        run = None if pd.isna(parent) else int(parent)
