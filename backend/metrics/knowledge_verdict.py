"""A verdict for every forget item: absent, present but suppressed, or undecided."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from backend.evidence import Evidence
from backend.objectives import oracle_of
from backend.registry import metric
from backend.stage import NotApplicable
from backend.study_metrics import VERDICTS, Row, StudyView

SHOWN, SUPPRESSED, ABSENT, UNDECIDED = VERDICTS
PROBES = {"linear_probe": "probe_accuracy", "logit_lens": "lens_accuracy"}
RELEARNING = ("relearn", "relearn_lora", "perturb_relearn")


@metric(
    label="knowledge verdict",
    source="own; sampling, probing and relearning as in arXiv 2410.08827 and arXiv 2506.06278",
    direction="up",
    floor=0.0,
    unit="share",
    range=[0.0, 1.0],
    level="study",
    takes="study",
)
def knowledge_verdict(view: StudyView, row: Row) -> dict[str, Any]:
    """The share of the forget items of the score part that are present but suppressed; `shares` of all verdicts.

    Witnesses speak for an item: it is among the sampled answers (`pass_at_k`), a probe reads it off, relearning on other
    facts brings it back; every probe and every relearning attack of the study is one. A witness who says the same of
    the oracle proves nothing and is not heard. An item that the model answers openly is *shown*; with two witnesses or
    more *present but suppressed*, with one, which chance may be, *undecided*, with none *absent*. It takes two witnesses.
    Means over seeds; `witnesses` names them.
    """
    found = [_verdicts(view, row, index) for index in range(len(view.evidence.seeds))]
    shares = {v: float(np.mean([np.mean(items == v) for items, _ in found])) for v in VERDICTS}
    return {"value": shares[SUPPRESSED], "shares": shares, "witnesses": found[0][1]}


def _verdicts(view: StudyView, row: Row, index: int) -> tuple[np.ndarray, list[str]]:
    evidence = view.evidence
    configuration = next(c for c in evidence.document["configurations"] if c["key"] == row["key"])
    model = evidence.model(configuration, evidence.seeds[index])
    oracle = oracle_of(evidence, configuration, index)
    mine, theirs = (view.once("witnesses", one, _witnesses) for one in (model, oracle))
    names = [name for name in mine if name in theirs]
    openly = evidence.before(model)
    if len(names) < 2 or openly is None:
        raise NotApplicable(
            "it takes two of sampling (the metric pass_at_k), probes and relearning, on the model and on the oracle"
        )
    votes = np.sum([mine[name] & ~theirs[name] for name in names], axis=0)
    verdicts = np.select([votes >= 2, votes == 1], [SUPPRESSED, UNDECIDED], ABSENT)
    return np.where(openly > 0.5, SHOWN, verdicts), names


def _witnesses(view: StudyView, model: int | None) -> dict[str, np.ndarray]:
    """For every witness what it says of each item, true where it speaks for the knowledge."""
    if model is None:
        return {}
    evidence = view.evidence
    found = {"sampling": _sampled(view, evidence.evaluations.get(model, []))}
    for name, own in PROBES.items():
        found[name] = _items_of(evidence, model, view.items.get(own, {}), name)
    for name in RELEARNING:
        found[name] = _items_of(evidence, model, evidence.items, name)
    return {name: items > 0.5 for name, items in found.items() if items is not None}


def _sampled(view: StudyView, evaluations: list[int]) -> np.ndarray | None:
    items = view.items.get("pass_at_k", {})
    known = (items.get((run, 0)) for run in evaluations)
    values = next((one for one in known if one is not None), None)
    return None if values is None else np.asarray(values > 0, dtype=float)


def _items_of(
    evidence: Evidence, model: int, items: Mapping[tuple[int, int], np.ndarray], attack: str
) -> np.ndarray | None:
    if attack not in evidence.positions:
        return None
    best = evidence.strongest(model, evidence.positions[attack], None)
    return None if best is None else items.get((best.run, best.step))
