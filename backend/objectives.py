"""The objectives of one configuration, a value a seed, each with the raw numbers that it is made of."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from backend.evidence import COUNTED, Evidence
from backend.recovery import Scale, Strongest, recovery, undefined_because, utility
from backend.statistics import paired_error, summary

Configuration = Mapping[str, Any]


def utilities(evidence: Evidence, configuration: Configuration) -> list[float | None]:
    """Utility of every seed: what the model kept of the base's retain capability."""
    found: list[float | None] = []
    for seed in evidence.seeds:
        models = evidence.model(configuration, seed), evidence.base(seed)
        mine, base = (evidence.value(m, evidence.retain, "retain_score") for m in models)
        if mine is None or base is None:
            found.append(None)
        else:
            found.append(utility(mine, base, evidence.retain_scale))
    return found


def lowest_utilities(evidence: Evidence, configuration: Configuration) -> list[float | None]:
    """The worst utility of every seed while its model was made, on validation data; None where nobody looked."""
    found: list[float | None] = []
    if not evidence.retain:  # others' results tell nothing of the way there
        return [None] * len(evidence.seeds)
    scale = evidence.scale_of(evidence.retain, "retain_validation")
    for seed in evidence.seeds:
        seen = evidence.along(evidence.model(configuration, seed))
        base = evidence.value(evidence.base(seed), evidence.retain, "retain_validation")
        known = [] if base is None else [utility(value, base, scale) for value in seen]
        found.append(min((value for value in known if value is not None), default=None))
    return found


def computes(evidence: Evidence, configuration: Configuration) -> list[float | None]:
    """FLOPs of the model and its ancestors, the base apart, as a share of the oracle's of that seed."""
    found: list[float | None] = []
    for seed in evidence.seeds:
        spent = evidence.spent(evidence.model(configuration, seed), "flops")
        oracle = evidence.spent(evidence.model(evidence.anchor("oracle"), seed), "flops")
        found.append(spent / oracle if spent is not None and oracle else None)
    return found


def oracle_of(evidence: Evidence, configuration: Configuration, position: int) -> int | None:
    """The oracle that a seed's model is scored against.

    The oracle itself is scored against its twin, else against the next seed's oracle; None at one seed.
    """
    seeds, oracle = evidence.seeds, evidence.anchor("oracle")
    if configuration["method"] != "oracle":
        return evidence.model(oracle, seeds[position])
    twins = configuration.get("twins")
    if twins:
        return evidence.by_fingerprint.get(twins.get(str(seeds[position]), ""))
    return evidence.model(oracle, seeds[(position + 1) % len(seeds)]) if len(seeds) > 1 else None


def claimed(
    evidence: Evidence, configuration: Configuration
) -> tuple[list[float | None], list[str]]:
    """1 − recovery before any attack, a value a seed, and why one is not defined."""
    values: list[float | None] = []
    reasons: list[str] = []
    for seed in evidence.seeds:
        model, base = evidence.model(configuration, seed), evidence.base(seed)
        oracle = evidence.model(evidence.anchor("oracle"), seed)
        mine, one = (evidence.value(m, evidence.forget, "forget_score") for m in (model, base))
        zero = _zero(evidence, evidence.value(oracle, evidence.forget, "forget_score"))
        if mine is None or zero is None or one is None:
            values.append(None)
            continue
        error = _error(evidence, evidence.before(base), evidence.before(oracle))
        reason = undefined_because(zero, one, evidence.forget_scale, error)
        reasons += [f"claimed forget quality, seed {seed}: {reason}"] if reason else []
        values.append(None if reason else 1 - recovery(mine, zero, one, evidence.forget_scale))
    return values, reasons


def _zero(evidence: Evidence, oracle: float | None, scale: Scale | None = None) -> float | None:
    """The raw value where recovery is 0: the oracle's, or the floor's in a setting without one."""
    if evidence.setting.get("anchor", "oracle") == "oracle":
        return oracle
    scale = scale or evidence.forget_scale
    return scale.sign * scale.floor


def _error(evidence: Evidence, base: np.ndarray | None, zero: np.ndarray | None) -> float | None:
    """Standard error of base minus zero over the items; a floor does not vary."""
    if base is not None and evidence.setting.get("anchor", "oracle") == "floor":
        zero = np.zeros_like(base)
    return None if base is None or zero is None else paired_error(base, zero)


def under_attacks(
    evidence: Evidence, configuration: Configuration, budget: int | None
) -> list[dict[str, Any]]:
    """What every attack within the budget does to every seed of a configuration, counted or not: raw numbers."""
    return [
        _seed(evidence, configuration, position, index, budget)
        for position, attack in enumerate(evidence.attacks)
        if attack["has_steps"] or budget is None or budget >= 1
        for index in range(len(evidence.seeds))
    ]


def robustness(
    evidence: Evidence,
    configuration: Configuration,
    every: Sequence[Mapping[str, Any]],
    teaching: Collection[str],
) -> dict[str, Any]:
    """Robust forget quality: `values`, `so_far`, `attack`, `reasons`, and per attack and seed the `raw` numbers.

    `every` is what `under_attacks` gives. The strongest counted attack is the one with the highest mean recovery over
    seeds. `values` are None until every cell of the models, their oracles and their bases is complete; `so_far` is a
    mean over what there is.
    """
    counted = {a["name"] for a in evidence.attacks if a["counts"] in COUNTED} - set(teaching)
    raw = [one for one in every if one["attack"] in counted]
    pending = _pending(evidence, configuration)
    reasons = sorted({one["reason"] for one in raw if one["reason"]}) + pending
    name, values = _worst(evidence, raw)
    far = [value for value in values if value is not None]
    undefined = any(one["reason"] for one in raw if one["attack"] == name)
    unknown: list[float | None] = [None] * len(evidence.seeds)
    return {
        "values": unknown if pending else values,
        "attack": None if pending or None in values else name,
        "so_far": float(np.mean(far)) if far and not undefined else None,
        "reasons": [f"robust forget quality: {reason}" for reason in reasons],
        "raw": raw,
    }


def _worst(
    evidence: Evidence, raw: Sequence[Mapping[str, Any]]
) -> tuple[str | None, list[float | None]]:
    """The attack with the highest mean recovery, and 1 − recovery of each seed; undefined ones are left out."""
    best: tuple[str | None, list[float | None]] = None, [None] * len(evidence.seeds)
    highest = -np.inf
    for name in dict.fromkeys(one["attack"] for one in raw):
        mine = [one for one in raw if one["attack"] == name]
        values = [None if one["recovery"] is None else 1 - one["recovery"] for one in mine]
        known = [value for value in values if value is not None]
        if not known or any(one["reason"] for one in mine):
            best = best if best[0] else (name, values)
        elif 1 - np.mean(known) > highest:
            highest = float(1 - np.mean(known))
            best = name, values
    return best


def _pending(evidence: Evidence, configuration: Configuration) -> list[str]:
    """What still has to be complete, in words; nothing where every cell is there."""
    lacking = dict.fromkeys(("model", "oracle", "base"), 0)
    placebo = 0
    for position, seed in enumerate(evidence.seeds):
        models = {"model": evidence.model(configuration, seed), "base": evidence.base(seed)}
        if evidence.setting.get("anchor", "oracle") == "oracle":
            models["oracle"] = oracle_of(evidence, configuration, position)
        for role, model in models.items():
            alone = role == "oracle" and configuration["method"] == "oracle" and model is None
            if not alone:
                lacking[role] += sum(evidence.missing(model, a) for a in evidence.attacks)
        if evidence.document.get("placebo"):
            base = models["base"]
            placebo += sum(evidence.missing(base, a, "placebo") for a in evidence.attacks)
    owners = {"model": "this model", "oracle": "its oracle", "base": "its base"}
    found = [f"{n} attack cells of {owners[role]} are missing" for role, n in lacking.items() if n]
    return found + ([f"{placebo} placebo cells of its base are missing"] if placebo else [])


def _seed(
    evidence: Evidence,
    configuration: Configuration,
    position: int,
    index: int,
    budget: int | None,
) -> dict[str, Any]:
    """Everything that one seed's recovery under one attack is made of."""
    attack, seed = evidence.attacks[position], evidence.seeds[index]
    metric = evidence.metric_of(attack)
    scale = evidence.scale_of(metric, "forget_score")
    base, model = evidence.base(seed), evidence.model(configuration, seed)
    oracle = oracle_of(evidence, configuration, index)
    shared = evidence.finished(model, attack)
    if evidence.setting.get("anchor", "oracle") == "oracle":
        shared &= evidence.finished(oracle, attack)
    mine = evidence.strongest(model, position, budget, shared)
    theirs = evidence.strongest(oracle, position, budget, shared)
    known = evidence.strongest(base, position, budget)
    zero = _zero(evidence, theirs.score if theirs else None, scale)
    one = evidence.value(base, evidence.forget, "forget_score")
    if attack.get(
        "metric"
    ):  # an attack with a score of its own is measured against the base under it
        one = known.score if known else None
    found: dict[str, Any] = {
        "seed": seed,
        "attack": attack["name"],
        "metric": metric,
        "floor": scale.sign * scale.floor,
        "base": one,
        "base_after": known.score if known else None,
        "oracle_before": evidence.value(oracle, evidence.forget, "forget_score"),
        "oracle_after": zero,
        "before": evidence.value(model, evidence.forget, "forget_score"),
        "after": mine.score if mine else None,
        "upper_bound": mine.upper_bound if mine else None,
        "retain": evidence.value(model, evidence.retain, "retain_score"),
        "retain_base": evidence.value(base, evidence.retain, "retain_score"),
        "items": evidence.counted.get((model or -1, evidence.forget, "forget_score")),
        "cell": _cell(evidence, mine),
        "oracle_cell": _cell(evidence, theirs),
        "cells": len(shared),
        "recovery": None,
        "reason": None,
        "formula": None,
    }
    anchored = evidence.setting.get("anchor", "oracle") == "oracle"
    models = (model, base, oracle) if anchored else (model, base)
    for silent in filter(None, (evidence.inapplicable(one, attack) for one in models)):
        return found | {"reason": f"{attack['name']}, seed {seed}: n/a, because {silent}"}
    return _resolve(evidence, configuration, attack, found, theirs, scale)


def _resolve(
    evidence: Evidence,
    configuration: Configuration,
    attack: Mapping[str, Any],
    found: dict[str, Any],
    theirs: Strongest | None,
    scale: Scale,
) -> dict[str, Any]:
    """The same with its recovery, or with the reason why it is not defined."""
    seed, model = found["seed"], evidence.model(configuration, found["seed"])
    if configuration["method"] == "oracle" and found["oracle_after"] is None:
        if len(evidence.seeds) == 1 and not configuration.get("twins"):
            found["reason"] = "the oracle's band takes a second seed or a second oracle"
        return found
    owner = evidence.attacked(model, attack)
    if owner is not None and owner != model and evidence.rows[owner].stage == "base":
        # Who holds the weights takes the wrapper off and has the base.
        return found | {"recovery": 1.0, "formula": "0, because the weights are the base's own"}
    mine, zero, one = found["after"], found["oracle_after"], found["base"]
    if mine is None or zero is None or one is None:
        return found
    after = evidence.items.get((theirs.run, theirs.step)) if theirs else None
    base = evidence.before(evidence.base(seed)) if not attack.get("metric") else None
    reason = undefined_because(zero, one, scale, _error(evidence, base, after))
    if reason:
        return found | {"reason": f"{attack['name']}, seed {seed}: {reason}"}
    mine, zero, one = (scale.capability(value) for value in (mine, zero, one))
    value = (mine - zero) / (one - zero)
    formula = f"1 − ({mine:.3f} − {zero:.3f}) / ({one:.3f} − {zero:.3f}) = {1 - value:.3f}"
    return found | {"recovery": value, "formula": formula}


def _cell(evidence: Evidence, chosen: Strongest | None) -> dict[str, Any] | None:
    if chosen is None:
        return None
    return {
        "run": chosen.run,
        "step": chosen.step,
        "validation": chosen.validation,
        "parameters": evidence.rows[chosen.run].parameters,
    }


def metrics(
    evidence: Evidence, models: Sequence[int | None], level: str = "model"
) -> dict[str, Any]:
    """Every metric of a level before any attack, raw: PART_METRIC, or the metric's own name for a whole model."""
    names: dict[str, tuple[str, str]] = {}
    for metric, declared in evidence.metrics.items():
        of_items = declared.get("takes", "scores") == "scores"
        if of_items and declared.get("level", "model") == level and declared.get("floors"):
            names |= {f"{p}_{metric}": (metric, f"{p}_score") for p in ("forget", "retain")}
    measured = {kind for m in models if m is not None for kind in evidence.kinds.get(m, ())}
    for metric, split in sorted(measured):
        of_level = evidence.metrics.get(metric, {}).get("level", "model")
        if of_level == level and not split.endswith("_validation"):
            names.setdefault(_name(metric, split), (metric, split))
    found = {}
    for name, (metric, split) in names.items():
        found[name] = summary([evidence.value(model, metric, split) for model in models])
    return found


def _name(metric: str, split: str) -> str:
    part = split.removesuffix("_score")
    return metric if part in ("", "all", "model") else f"{part}_{metric}"
