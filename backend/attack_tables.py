"""Attack cells' measurements as arrays: a study of a million rows is cut into curves in a tenth of a second."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from backend.recovery import Curves

PARTS = ("validation", "score")


class AttackTable:
    """Validation and score of every evaluated step of attack runs, sorted by run and step.

    `wanted` names for each run the metric and the target of its curve. A step without both values is left out.
    """

    def __init__(self, measurements: pd.DataFrame, wanted: Mapping[int, tuple[str, str]]):
        pieces = [
            _aligned(measurements, [run for run, what in wanted.items() if what == kind], *kind)
            for kind in sorted(set(wanted.values()))
        ]
        columns = [np.concatenate(column) for column in zip(*pieces, strict=True)]
        empty = np.zeros(0)
        run, self.step, self.validation, self.score = columns or [empty] * 4
        self.runs, starts = np.unique(run, return_index=True)
        order = np.argsort(
            starts
        )  # kinds lie one after another, so starts need not rise with the run
        ends = np.empty_like(starts)
        ends[order] = np.append(starts[order][1:], len(run))
        spans = map(slice, starts.tolist(), ends.tolist())
        self.where = dict(zip(self.runs.tolist(), spans, strict=True))

    def steps(self) -> list[int]:
        """Every step at which some attack was evaluated, rising."""
        return [int(step) for step in np.unique(self.step)]

    def curves(self, cells: Sequence[tuple[int, int]]) -> Curves:
        """The curves of (position in the grid, run) pairs, one after another."""
        found = [(cell, run, self.where[run]) for cell, run in cells if run in self.where]
        lengths = [one.stop - one.start for _, _, one in found]
        parts = [
            np.concatenate([column[one] for _, _, one in found]) if found else np.zeros(0)
            for column in (self.step, self.validation, self.score)
        ]
        return Curves(
            np.repeat([cell for cell, _, _ in found], lengths).astype(int),
            np.repeat([run for _, run, _ in found], lengths).astype(int),
            parts[0].astype(int),
            parts[1],
            parts[2],
        )


def _aligned(
    table: pd.DataFrame, runs: Sequence[int], metric: str, target: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """run, step, validation, score of one metric and target, sorted by run and step."""
    mask = np.isin(table["run"].to_numpy(dtype=np.int64), np.asarray(runs, dtype=np.int64))
    mask &= (table["metric"] == metric).to_numpy(dtype=bool)
    mask &= (table["category"] == "").to_numpy(dtype=bool)
    value = table["value"].to_numpy(dtype=float, na_value=np.nan)
    mask &= np.isfinite(value)
    run, step = (table[name].to_numpy(dtype=np.int64)[mask] for name in ("run", "step"))
    value = value[mask]
    split = table["split"][mask]
    stride = int(step.max(initial=0)) + 1
    keyed = []
    for part in PARTS:
        of_part = (split == f"{target}_{part}").to_numpy(dtype=bool)
        keys = (run * stride + step)[of_part]
        order = np.argsort(keys, kind="stable")
        keyed.append((keys[order], value[of_part][order]))
    (left, validation), (right, score) = keyed
    both, mine, theirs = np.intersect1d(left, right, assume_unique=True, return_indices=True)
    return both // stride, both % stride, validation[mine], score[theirs]
