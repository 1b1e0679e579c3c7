"""From the database to the items that flip between two configurations, before and after the strongest attack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Engine

from backend.item_flips import Flips, flips, is_right_or_wrong
from db import reads

RETAIN, BEFORE, AFTER = "retain items", "forget items", "forget items after the strongest attack"
SPLITS = {RETAIN: "retain_score", BEFORE: "forget_score", AFTER: "forget_score"}
# What it is called when only the first model, or only the other one, answers right.
LOST = {RETAIN: "right → wrong", BEFORE: "leak → safe", AFTER: "leak → safe"}
GAINED = {RETAIN: "wrong → right", BEFORE: "safe → leak", AFTER: "safe → leak"}
FLIPPED = ["place", "seed", "item", "flip", "question", "expected", "answer_one", "answer_other", "answers_from"]  # fmt: skip
Row = Mapping[str, Any]
Key = tuple[int, int]  # run and step


@dataclass(frozen=True)
class Compared:
    """The items of one place and seed of two models: whose values they are, and 0 or 1 for every item."""

    place: str
    seed: int
    keys: tuple[Key, Key]
    one: np.ndarray
    other: np.ndarray

    @property
    def flips(self) -> Flips:
        """The counts."""
        return flips(self.one, self.other)

    @property
    def changed(self) -> np.ndarray:
        """Positions of the items that flip."""
        return np.flatnonzero((self.one > 0.5) != (self.other > 0.5))


def right_or_wrong_metrics(
    engine: Engine, document: Mapping[str, Any], runs: pd.DataFrame, pair: Sequence[Row]
) -> list[str]:
    """Metrics by which every stored item of both configurations is right or wrong, the study's own first."""
    setting = document["setting"]
    first = [setting["forget_metric"], setting["retain_metric"]]
    names = dict.fromkeys([name for name in first if name] + list(document["metrics"]))
    wanted = [run for found in _evaluations(runs, pair).values() for run in found]
    found = []
    for name in names:
        stored = [
            reads.item_values(engine, wanted, name, split) for split in sorted({*SPLITS.values()})
        ]
        values = [items[key] for items in stored for key in items]
        if values and all(map(is_right_or_wrong, values)):
            found.append(name)
    return found


def compared(
    engine: Engine, seeds: Sequence[int], runs: pd.DataFrame, pair: Sequence[Row], metric: str
) -> list[Compared]:
    """Every place and seed for which both configurations have values of the same items."""
    evaluations = _evaluations(runs, pair)
    told = [_sources(evaluations, row, seeds) for row in pair]
    keys = {key for one in told for found in one.values() for key in found}
    stored = {
        split: reads.item_values(engine, sorted({run for run, _ in keys}), metric, split)
        for split in sorted({*SPLITS.values()})
    }
    found = []
    for place, split in SPLITS.items():
        for seed in seeds:
            mine, theirs = (_stored(one.get((place, seed), []), stored[split]) for one in told)
            if mine and theirs and len(stored[split][mine]) == len(stored[split][theirs]):
                values = stored[split][mine], stored[split][theirs]
                if all(map(is_right_or_wrong, values)):
                    found.append(Compared(place, seed, (mine, theirs), *values))
    return found


def _stored(keys: Sequence[Key], items: Mapping[Key, np.ndarray]) -> Key | None:
    return next((key for key in keys if key in items), None)


def _sources(
    evaluations: Mapping[int, Sequence[int]], row: Row, seeds: Sequence[int]
) -> dict[tuple[str, int], list[Key]]:
    """Where values of a configuration's items may stand: (run, step) by place and seed."""
    found: dict[tuple[str, int], list[Key]] = {}
    for seed, model in zip(seeds, row["models"], strict=True):
        before = [(run, 0) for run in evaluations.get(model, ())]
        found |= {(RETAIN, seed): before, (BEFORE, seed): before}
    for cell in row["chosen_cells"]:
        found[AFTER, cell["seed"]] = [(int(cell["run"]), int(cell["step"]))]
    return found


def _evaluations(runs: pd.DataFrame, pair: Sequence[Row]) -> dict[int, list[int]]:
    """The complete evaluations of both configurations' models, by model."""
    found: dict[int, list[int]] = {m: [] for row in pair for m in row["models"] if m is not None}
    mine = runs[runs["parent"].isin(list(found))]
    mine = mine[(mine["stage"] == "evaluate") & (mine["state"] == "complete")]
    for run, model in zip(mine["id"], mine["parent"], strict=True):
        found[int(model)].append(int(run))
    return found


def totals(found: Sequence[Compared]) -> pd.DataFrame:
    """The counts of every place and seed, then of all seeds: place, seed ("all" pooled), items, both, …, p.

    A pooled line has no p: the same items come back in every seed and are not independent.
    """
    lines = []
    for place in SPLITS:
        mine = [one for one in found if one.place == place]
        lines += [_line(place, str(one.seed), one.flips, one.flips.p) for one in mine]
        if len(mine) > 1:
            pooled = sum((one.flips for one in mine[1:]), mine[0].flips)
            lines.append(_line(place, "all", pooled, None))
    columns = ["place", "seed", "items", "both", "lost", "gained", "neither", "p"]
    return pd.DataFrame(lines, columns=columns).astype({"p": float})


def _line(place: str, seed: str, counts: Flips, p: float | None) -> dict[str, Any]:
    numbers = {name: getattr(counts, name) for name in ("items", "both", "lost", "gained", "neither")}  # fmt: skip
    return {"place": place, "seed": seed, **numbers, "p": p}


def flipped_items(engine: Engine, found: Sequence[Compared]) -> tuple[pd.DataFrame, int]:
    """(the flipped items whose question is stored, how many items flip): columns FLIPPED.

    An answer is that of the step that counted. Where only another step's of the same run is stored, it is shown if it is
    as right or wrong, and `answers_from` says so; else it is None.
    """
    told = Told(engine, sorted({run for one in found for run, _ in one.keys}))
    lines, count = [], 0
    for one in found:
        split = SPLITS[one.place]
        count += len(one.changed)
        for item in one.changed.tolist():
            if (split, item) in told.texts:
                right = one.one[item] > 0.5, one.other[item] > 0.5
                flip = (LOST if right[0] else GAINED)[one.place]
                said = [
                    told.answer(k, split, item, r) for k, r in zip(one.keys, right, strict=True)
                ]
                about = (one.place, one.seed, item, flip, *told.texts[split, item])
                lines.append((*about, *(text for text, _ in said), _where(one.keys, said)))
    return pd.DataFrame(lines, columns=FLIPPED), count


def _where(keys: tuple[Key, Key], said: Sequence[tuple[str | None, int | None]]) -> str:
    """Which steps the answers are from, where those are not the ones that counted."""
    if all(step in (None, key[1]) for key, (_, step) in zip(keys, said, strict=True)):
        return ""
    told = [
        f"step {step}, {key[1]} counts" if step is not None and step != key[1] else "as counted"
        for key, (_, step) in zip(keys, said, strict=True)
    ]
    return told[0] if told[0] == told[1] else "; ".join(told)


class Told:
    """Questions with the answers of some runs, as far as they are stored."""

    def __init__(self, engine: Engine, runs: Sequence[int]):
        self.texts: dict[tuple[str, int], tuple[str, str]] = {}  # split, item → question, expected
        self.said: dict[tuple[int, str, int], dict[int, tuple[str, bool]]] = {}
        stored = reads.samples(engine, runs)
        columns = ("run", "split", "item", "step", "question", "expected", "answer", "correct")
        for run, split, item, step, *told in zip(*(stored[c] for c in columns), strict=True):
            self.texts[str(split), int(item)] = (told[0], told[1])
            answers = self.said.setdefault((int(run), str(split), int(item)), {})
            answers[int(step)] = (told[2], bool(told[3]))

    def answer(self, key: Key, split: str, item: int, right: bool) -> tuple[str | None, int | None]:
        """(answer, its step): of the step itself, else of the nearest one at which it is as right or wrong."""
        stored = self.said.get((key[0], split, item), {})
        if key[1] in stored:
            return stored[key[1]][0], key[1]
        alike = [step for step, (_, correct) in stored.items() if correct == right]
        if not alike:
            return None, None
        step = min(alike, key=lambda one: abs(one - key[1]))
        return stored[step][0], step
