"""TOFU's model utility: a harmonic mean over the sets that a setting keeps."""

import numpy as np

from backend.answer_options import log_truth_ratios, option_losses
from backend.examination import Examination, Readings
from backend.registry import metric
from backend.rouge import recall_of
from backend.tofu import harmonic_mean, preference, probability

KEPT = {"retain": "retain_score"}
AROUND = {"real authors": "real_authors_score", "world facts": "world_facts_score"}


@metric(
    label="TOFU model utility",
    source="Maini et al. 2024 (arXiv 2401.06121): harmonic mean of probability, ROUGE-L recall and truth ratio of each set",
    direction="up",
    better="up",
    floor=0.0,
    unit="score",
    range=[0.0, 1.0],
    takes="examination",
)
def tofu_model_utility(examined: Examination) -> Readings:
    """The harmonic mean of probability, ROUGE-L recall and max(0, 1 − R) over retain data, real authors and world facts.

    TOFU's own number has all nine. A setting without the last two sets has three terms, one without wrong answers one
    less a set: every term and their number stand beside the mean, and only means of the same terms compare. On real
    authors and world facts the probability is the true answer's share of its and the wrong answers'. A model from random weights
    knows of the two only what it was trained on. It says nothing of forget items.
    """
    terms = _terms(examined, KEPT["retain"], "retain", among_wrong=False)
    for name, split in AROUND.items():
        if split in examined.task.splits:
            terms |= _terms(examined, split, name, among_wrong=True)
    readings: dict[str | tuple[str, str], float | np.ndarray] = {
        "model": harmonic_mean(list(terms.values())),
        ("model", "terms"): float(len(terms)),
    }
    return readings | {("model", name): value for name, value in terms.items()}


def _terms(examined: Examination, split: str, name: str, among_wrong: bool) -> dict[str, float]:
    found = {f"{name} rouge": float(recall_of(examined, split).mean())}
    compared = examined.task.wrong_answers is not None
    if compared and among_wrong:
        losses = option_losses(examined, examined.examples(split), 5)
        right = probability(losses[:, 0], list(losses[:, 1:]))
    else:
        scores = examined.scores(split, "model")
        right = probability(scores.loss / scores.tokens)
    found[f"{name} probability"] = float(right.mean())
    if compared:
        found[f"{name} truth ratio"] = float(preference(log_truth_ratios(examined, split)).mean())
    return found
