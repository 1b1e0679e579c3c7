"""Which forget items are known to be such: partial and wrong labels, and requests that come one after another."""

from dataclasses import replace
from typing import Literal

import numpy as np

from backend.data import IGNORE, Examples, Task, stream
from backend.stage import RunFailed

Source = Literal["true", "noisy"]


def observed(
    task: Task, fraction: float, source: Source = "true", noise: float = 0.1, seed: int = 0
) -> Task:
    """The task as somebody sees it who knows that share of the forget items.

    Unlabelled forget items stay in the retain stream. A share of less than one item is that share of the tokens of a
    single one, as of a block of text. With `noisy` labels a share `noise` of the labelled items are in
    truth retain items, and as many forget items more go unlabelled. Smaller fractions are nested in larger ones;
    evaluation splits keep their true labels. `seed` is that of the setting's splits, never a run's.
    """
    forget, retain = task.train["forget"], task.train["retain"]
    if fraction * len(forget) < 0.5 and source == "true":
        return _part_of_one(task, fraction, seed)
    labelled = max(1, round(fraction * len(forget)))
    wrong = min(round(noise * labelled), len(retain) - 1) if source == "noisy" else 0
    order = stream(seed, "labels", "forget").permutation(len(forget))
    mistaken = stream(seed, "labels", "retain").permutation(len(retain))[:wrong]
    known, unknown = order[: labelled - wrong], order[labelled - wrong :]
    kept = np.setdiff1d(np.arange(len(retain)), mistaken)
    train = {
        "forget": joined(forget.take(known), retain.take(mistaken)),
        "retain": joined(retain.take(kept), forget.take(unknown)),
    }
    notes = {**task.notes, "label_fraction": fraction}
    return replace(task, train=train, notes=notes)


def _part_of_one(task: Task, fraction: float, seed: int) -> Task:
    """The task of somebody who knows no whole forget item, but the first tokens of one; its others are not scored."""
    forget, retain = task.train["forget"], task.train["retain"]
    order = stream(seed, "labels", "forget").permutation(len(forget))
    one = forget.take(order[:1])
    scored = np.flatnonzero(one.targets[0] != IGNORE)
    known = scored[: max(1, round(fraction * len(forget) * len(scored)))]
    hidden = one.targets.copy()
    hidden[0, known] = IGNORE
    shown = np.full_like(one.targets, IGNORE)
    shown[0, known] = one.targets[0, known]
    rest = joined(retain, forget.take(order[1:]))
    if len(known) < len(scored):
        rest = joined(rest, replace(one, targets=hidden))
    train = {"forget": replace(one, targets=shown), "retain": rest}
    return replace(task, train=train, notes={**task.notes, "label_fraction": fraction})


def requested(task: Task, part: int, count: int, seed: int = 0) -> Task:
    """The task at the request `part` (1 … count) to unlearn one of so many parts of the forget items.

    Facts of one family are asked for together. Later requests are unknown as yet, so their items are still in the
    retain stream; those of earlier requests may not be used any more and are in neither.
    """
    forget = task.train["forget"]
    families = np.array(forget.families or range(len(forget)))
    known = np.unique(families)
    if count > len(known):
        raise RunFailed(f"{len(known)} families of forget items do not make {count} requests.")
    order = stream(seed, "requests").permutation(len(known))
    rank = np.empty(len(known), dtype=int)
    rank[order] = np.arange(len(known)) * count // len(known) + 1
    request = rank[np.searchsorted(known, families)]
    now, later = (np.flatnonzero(found) for found in (request == part, request > part))
    train = {"forget": forget.take(now), "retain": joined(task.train["retain"], forget.take(later))}
    return replace(task, train=train)


def joined(one: Examples, other: Examples) -> Examples:
    """One after the other, shorter rows filled up on the right with token 0, which is not scored."""
    if not len(other):
        return one
    length = max(one.input_ids.shape[1], other.input_ids.shape[1])

    def wide(array: np.ndarray, fill: int) -> np.ndarray:
        missing = length - array.shape[1]
        return np.pad(array, ((0, 0), (0, missing)), constant_values=fill)

    parts = (one, other)
    return Examples(
        np.concatenate([wide(part.input_ids, 0) for part in parts]),
        np.concatenate([wide(part.targets, IGNORE) for part in parts]),
        one.categories + other.categories,
        one.families + other.families,
        one.subjects + other.subjects,
    )
