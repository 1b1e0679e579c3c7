"""The UNDO paper's own two numbers, beside ours and never under their names."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from backend.evidence import COUNTED, Evidence
from backend.statistics import summary


def paper_pair(
    evidence: Evidence, configuration: Mapping[str, Any], budget: int | None
) -> dict[str, Any]:
    """The UNDO paper's own pair, each under its own name: relative robustness and relative compute in steps.

    (P − P_unlearn) / (P_filter − P_unlearn) with P the forget performance after the strongest attack, P_unlearn that of
    the parent and P_filter that of the oracle; distillation steps / steps of the oracle.
    """
    robustness: list[float | None] = []
    steps: list[float | None] = []
    attack = next((a for a in evidence.document["attacks"] if a["counts"] in COUNTED), None)
    for seed in evidence.document["seeds"]:
        model = evidence.model(configuration, seed)
        oracle = evidence.model(evidence.anchor("oracle"), seed)
        robustness.append(_relative_robustness(evidence, model, oracle, attack, budget))
        ran = [evidence.rows[m]["steps"] if m is not None else None for m in (model, oracle)]
        known = all(value is not None and not pd.isna(value) for value in ran)
        distilled = (
            known and model is not None and evidence.rows[model]["stage"] in ("robustify", "oracle")
        )
        steps.append(float(ran[0] / ran[1]) if distilled and ran[0] and ran[1] else None)
    return {"relative_robustness": summary(robustness), "relative_compute_steps": summary(steps)}


def _relative_robustness(
    evidence: Evidence,
    model: int | None,
    oracle: int | None,
    attack: Mapping[str, Any] | None,
    budget: int | None,
) -> float | None:
    if model is None or attack is None or evidence.rows[model]["stage"] in ("base", "attack"):
        return None
    stage, parent = evidence.rows[model]["stage"], evidence.rows[model]["parent"]
    unlearned = int(parent) if stage in ("robustify", "wrap") else model
    if stage == "oracle":
        return 1.0
    chosen = [evidence.strongest(m, attack["name"], budget) for m in (model, unlearned, oracle)]
    whole = all(evidence.whole(m, attack) for m in (model, unlearned, oracle))
    if not whole or any(best is None for best in chosen):
        return None
    mine, start, end = (evidence.forget_scale.capability(best.score) for best in chosen if best)
    return (mine - start) / (end - start) if end != start else None
