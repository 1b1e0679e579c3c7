"""What each attack does to a configuration: recovery, how fast it comes, how little data and work it takes, whom it hits.

These stand beside robust forget quality and are never part of it. Pure pandas and numpy.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from backend.anchors import ANCHORS
from backend.evidence import Evidence
from backend.objectives import Configuration, oracle_of
from backend.recovery import Curves, envelope, recovery
from backend.statistics import summary, whole_mean

HALF = 0.5  # of what the base knew
FEWEST = 8  # items of a subject whose mean is worth a word


def by_attack(
    evidence: Evidence,
    configuration: Configuration,
    raw: Sequence[Mapping[str, Any]],
    budget: int | None,
) -> dict[str, dict[str, Any]]:
    """Every attack of the study by name: the recovery over seeds as a summary, and what it took.

    `raw` holds one record for each attack and seed, as `backend.objectives.under_attacks` gives them. Keys beside those
    of a summary: `reason` (why it is not known), `counts`, `cells_done`, `cells_total`, `area` (the mean recovery along the
    attack), `half_steps`, `half_flops`, `half_examples` (the least that brings half back; None where nothing does),
    `flops` (what the attacker spent on the cell that counts), `worst_subject`.
    """
    found = {}
    for position, attack in enumerate(evidence.attacks):
        mine = [one for one in raw if one["attack"] == attack["name"]]
        along = [_along(evidence, configuration, position, i, budget) for i in range(len(mine))]
        missing = sum(
            evidence.missing(evidence.model(configuration, seed), attack) for seed in evidence.seeds
        )
        total = len(attack["grid"]) * len(evidence.seeds)
        reasons = [one["reason"] for one in mine if one["reason"]]
        found[attack["name"]] = {
            **summary([one["recovery"] for one in mine] or [None]),
            "counts": attack["counts"],
            "reason": reasons[0] if reasons else None,
            "cells_done": total - missing,
            "cells_total": total,
            "after": whole_mean([one["after"] for one in mine]),
            "area": whole_mean([one["area"] for one in along]),
            "half_steps": whole_mean([one["half_steps"] for one in along]),
            "half_flops": whole_mean([one["half_flops"] for one in along]),
            "half_examples": _half_examples(evidence, configuration, position, budget),
            "flops": whole_mean([_spent(evidence, one["cell"]) for one in mine]),
            "run": mine[0]["cell"]["run"] if mine and mine[0]["cell"] else None,
            "worst_subject": _worst_subject(evidence, configuration, mine),
        }
    return found


def _along(
    evidence: Evidence, configuration: Configuration, position: int, index: int, budget: int | None
) -> dict[str, Any]:
    """Area under the recovery's curve and where it crosses one half, for one seed; None where a curve is missing."""
    nothing: dict[str, Any] = dict.fromkeys(("area", "half_steps", "half_flops"))
    attack, seed = evidence.attacks[position], evidence.seeds[index]
    if not attack["has_steps"]:
        return nothing
    model, oracle = evidence.model(configuration, seed), oracle_of(evidence, configuration, index)
    shared = evidence.finished(model, attack) & evidence.finished(oracle, attack)
    curves = [_until(evidence, m, position, shared, budget) for m in (model, oracle)]
    base = evidence.value(evidence.base(seed), evidence.forget, "forget_score")
    if base is None or attack.get("metric") or any(not len(c.step) for c in curves):
        return nothing
    scale = evidence.forget_scale
    mine, theirs = (envelope(c, scale) for c in curves)
    steps, here, there = np.intersect1d(mine.step, theirs.step, return_indices=True)
    zero = np.array([scale.capability(v) for v in theirs.score[there]])
    top = scale.capability(base)
    if len(steps) < 2 or (top - zero).min() <= 0:
        return nothing
    recovered = (np.array([scale.capability(v) for v in mine.score[here]]) - zero) / (top - zero)
    area = np.trapezoid(recovered, steps) / (steps[-1] - steps[0])
    crossed = np.flatnonzero(recovered >= HALF)
    if not len(crossed):
        return {**nothing, "area": float(area)}
    run, step = int(mine.run[here][crossed[0]]), int(steps[crossed[0]])
    return {"area": float(area), "half_steps": step, "half_flops": evidence.spent_by(run, step)}


def _until(
    evidence: Evidence, model: int | None, position: int, cells: frozenset[int], budget: int | None
) -> Curves:
    return evidence.curves(model, position).of_cells(cells).until(budget)


def _half_examples(
    evidence: Evidence, configuration: Configuration, position: int, budget: int | None
) -> int | None:
    """The smallest number of examples with which the mean recovery over seeds reaches one half; 0 stands for all.

    None where the attack's grid does not vary them, or no number suffices.
    """
    attack = evidence.attacks[position]
    counts = {cell.get("examples") for cell in attack["grid"]} - {None}
    if len(counts) < 2 or attack.get("metric"):
        return None
    for count in sorted(counts, key=lambda n: n or np.inf):
        cells = frozenset(i for i, c in enumerate(attack["grid"]) if c["examples"] == count)
        values = [
            _recovery(evidence, configuration, position, i, budget, cells)
            for i in range(len(evidence.seeds))
        ]
        known = [value for value in values if value is not None]
        if len(known) == len(values) and np.mean(known) >= HALF:
            return int(count)
    return None


def _recovery(
    evidence: Evidence,
    configuration: Configuration,
    position: int,
    index: int,
    budget: int | None,
    cells: frozenset[int],
) -> float | None:
    seed, scale = evidence.seeds[index], evidence.forget_scale
    model, oracle = evidence.model(configuration, seed), oracle_of(evidence, configuration, index)
    best = [evidence.strongest(m, position, budget, cells) for m in (model, oracle)]
    base = evidence.value(evidence.base(seed), evidence.forget, "forget_score")
    if base is None or best[0] is None or best[1] is None:
        return None
    told = scale.capability(base) > scale.capability(best[1].score)
    return recovery(best[0].score, best[1].score, base, scale) if told else None


def _spent(evidence: Evidence, cell: Mapping[str, Any] | None) -> float | None:
    return None if cell is None else evidence.spent_by(cell["run"], cell["step"])


def _worst_subject(
    evidence: Evidence, configuration: Configuration, raw: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """The forget subject (of eight items or more) of which most comes back: its name, the mean over seeds, its items.

    The raw forget metric after the attack; the largest of many small means lies above a typical one by chance alone.
    """
    names = np.array(evidence.document.get("subjects", {}).get("forget_score", []))
    arrays = [evidence.items.get((c["run"], c["step"])) for one in raw if (c := one["cell"])]
    known = [a for a in arrays if a is not None and len(a) == len(names)]
    if not len(names) or not known or len(known) < len(raw) or raw[0]["metric"] != evidence.forget:
        return None
    mean, sign = np.mean(known, axis=0), evidence.forget_scale.sign
    sizes = dict(zip(*np.unique(names, return_counts=True), strict=True))
    subjects = {str(n): float(mean[names == n].mean()) for n, k in sizes.items() if k >= FEWEST}
    if not subjects:
        return None
    worst = max(subjects, key=lambda name: sign * subjects[name])
    return {"name": worst, "value": subjects[worst], "items": int((names == worst).sum())}


def agreement(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Kendall's τ of the methods' ranking by recovery: between every two attacks, and between seeds under each attack.

    `attacks` is a list of {"one", "other", "tau", "methods"}, `seeds` one of {"attack", "tau", "pairs"} with the mean over
    all pairs of seeds. Base and oracle are no methods; fewer than three methods give no ranking.
    """
    ranked = [row for row in rows if row["method"] not in ANCHORS]
    names = list(dict.fromkeys(name for row in ranked for name in row["attacks"]))
    means = {n: [row["attacks"].get(n, {}).get("mean") for row in ranked] for n in names}
    pairs = [(one, other) for i, one in enumerate(names) for other in names[i + 1 :]]
    between = [
        {"one": one, "other": other, **_tau(means[one], means[other])} for one, other in pairs
    ]
    return {
        "attacks": [found for found in between if found["tau"] is not None],
        "seeds": [found for name in names if (found := _over_seeds(ranked, name))["pairs"]],
    }


def _over_seeds(ranked: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    seeds = list(zip(*(row["attacks"][name]["values"] for row in ranked), strict=False))
    taus = _taus(np.array(seeds, float).reshape(len(seeds), len(ranked)))
    return {"attack": name, "tau": float(taus.mean()) if len(taus) else None, "pairs": len(taus)}


def _taus(seeds: np.ndarray) -> np.ndarray:
    """Kendall's τ_b of every two seeds that rank three methods or more in common; `seeds` is (seeds, methods).

    All at once: a study of eighty seeds has thousands of pairs. Two seeds are in accord on two methods where the signs of
    the methods' differences agree; what is missing on either side counts on neither.
    """
    one, other = np.triu_indices(seeds.shape[1], 1)
    signs = np.sign(seeds[:, one] - seeds[:, other])
    known = np.isfinite(signs).astype(float)
    signs = np.nan_to_num(signs)
    told = (signs != 0).astype(float)
    methods = np.isfinite(seeds).astype(float)
    pairs = np.triu_indices(len(seeds), 1)
    weight = np.sqrt((told @ known.T) * (known @ told.T))[pairs]
    fit = ((methods @ methods.T)[pairs] >= 3) & (weight > 0)
    return (signs @ signs.T)[pairs][fit] / weight[fit]


def _tau(one: Sequence[float | None], other: Sequence[float | None]) -> dict[str, Any]:
    known = [(a, b) for a, b in zip(one, other, strict=True) if a is not None and b is not None]
    if len(known) < 3:
        return {"tau": None, "methods": len(known)}
    tau = float(stats.kendalltau(*zip(*known, strict=True)).statistic)
    return {"tau": tau if np.isfinite(tau) else None, "methods": len(known)}
