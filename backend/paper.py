"""The UNDO paper's own two numbers, beside ours and never under their names."""

from collections.abc import Mapping
from typing import Any

from backend.evidence import COUNTED, Evidence
from backend.statistics import summary


def paper_pair(
    evidence: Evidence, configuration: Mapping[str, Any], budget: int | None
) -> dict[str, Any]:
    """{"relative_robustness", "relative_compute_steps"} as Lee et al. 2025 (arXiv 2506.06278) define them.

    (P − P_unlearn) / (P_filter − P_unlearn) with P the forget performance after the strongest attack, P_unlearn that of
    the suppressed parent and P_filter that of the oracle; steps of distillation / steps of the oracle. Summaries over seeds.
    """
    counted = [i for i, a in enumerate(evidence.attacks) if a["counts"] in COUNTED]
    robustness: list[float | None] = []
    steps: list[float | None] = []
    for seed in evidence.seeds:
        model = evidence.model(configuration, seed)
        oracle = evidence.model(evidence.anchor("oracle"), seed)
        first = counted[0] if counted else None
        robustness.append(_robustness(evidence, model, oracle, first, budget))
        steps.append(_steps(evidence, model, oracle))
    return {"relative_robustness": summary(robustness), "relative_compute_steps": summary(steps)}


def _steps(evidence: Evidence, model: int | None, oracle: int | None) -> float | None:
    if model is None or oracle is None or evidence.rows[model].stage not in ("robustify", "oracle"):
        return None
    mine, theirs = (evidence.rows[run].steps for run in (model, oracle))
    return mine / theirs if mine and theirs else None


def _robustness(
    evidence: Evidence,
    model: int | None,
    oracle: int | None,
    attack: int | None,
    budget: int | None,
) -> float | None:
    if model is None or attack is None or evidence.rows[model].stage == "base":
        return None
    if evidence.rows[model].stage == "oracle":
        return 1.0
    wrapped = evidence.rows[model].stage in ("robustify", "wrap")
    unlearned = evidence.rows[model].parent if wrapped else model
    models = (model, unlearned, oracle)
    if any(evidence.missing(m, evidence.attacks[attack]) for m in models):
        return None
    scale = evidence.scale_of(evidence.metric_of(evidence.attacks[attack]), "forget_score")
    chosen = [evidence.strongest(m, attack, budget) for m in models]
    if any(best is None for best in chosen):
        return None
    mine, start, end = (scale.capability(best.score) for best in chosen if best)
    return (mine - start) / (end - start) if end != start else None
