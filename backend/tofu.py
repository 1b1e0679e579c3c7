"""TOFU's formulas (Maini et al. 2024, arXiv 2401.06121) on numbers alone: a checkpoint's, or those of evaluation logs.

No torch: importers and pages use it too. The truth ratio of an item, R = p̃(wrong) / p(paraphrase) with geometric means,
is held as its logarithm, which neither overflows nor changes a rank.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import gammaln
from scipy.stats import ks_2samp

ROUNDS = 1000  # resamples of a bootstrap


@dataclass(frozen=True)
class Log:
    """What one evaluation log says of its items, in the order of their numbers; losses in nats a token."""

    questions: tuple[str, ...]
    loss: np.ndarray  # of the true answer
    paraphrased: np.ndarray  # of its paraphrase
    wrong: list[np.ndarray]  # of every wrong answer
    rouge: np.ndarray  # ROUGE-L recall of the generated answer

    def log_truth_ratios(self) -> np.ndarray:
        """log R of every item."""
        return log_truth_ratios(self.paraphrased, self.wrong)


def read_log(document: Mapping[str, Any]) -> Log:
    """The log of one of TOFU's own files, parsed from JSON: each key maps an item's number to its value."""
    items = sorted(document["avg_gt_loss"], key=int)

    def column(name: str) -> np.ndarray:
        return np.array([document[name][item] for item in items], dtype=float)

    paraphrased = "avg_paraphrased_loss" if "avg_paraphrased_loss" in document else "avg_gt_loss"
    return Log(
        tuple(str(document["generated_text"][item][0]) for item in items),
        column("avg_gt_loss"),
        column(paraphrased),
        [np.array(document["average_perturb_loss"][item], dtype=float) for item in items],
        column("rougeL_recall"),
    )


def log_truth_ratios(paraphrased: np.ndarray, wrong: Sequence[np.ndarray]) -> np.ndarray:
    """log R of every item, from its losses a token: that of the right answer less the mean one of the wrong answers."""
    return paraphrased - np.array([np.mean(losses) for losses in wrong])


def indifference(log_ratios: np.ndarray) -> np.ndarray:
    """min(R, 1/R), TOFU's score on forget data: 1 where right and wrong answers are equally likely."""
    return np.exp(-np.abs(log_ratios))


def preference(log_ratios: np.ndarray) -> np.ndarray:
    """max(0, 1 − R), TOFU's score on data to keep: 1 where only the right answer is likely."""
    return np.maximum(0.0, -np.expm1(np.minimum(log_ratios, 0.0)))


@dataclass(frozen=True)
class ForgetQuality:
    """A two-sample Kolmogorov–Smirnov test between two models' truth ratios on the same n items.

    `p` is TOFU's number; `floor` is the smallest p that n items allow, that of samples that do not overlap. `low` and
    `high` bound D by a bootstrap over items, 95 %.
    """

    p: float
    log10_p: float
    distance: float
    count: int
    floor: float
    log10_floor: float
    low: float
    high: float


def forget_quality(model: np.ndarray, oracle: np.ndarray, *, seed: int = 0) -> ForgetQuality:
    """TOFU's forget quality of a model with those truth ratios (or their logarithms) against the oracle's, item by item."""
    assert len(model) == len(oracle), "the two models must have answered the same items"
    n = len(model)
    distance, p = ks_distance(model, oracle), float(ks_2samp(model, oracle).pvalue)
    lowest = log10_smallest(n, 1.0)
    generator = np.random.default_rng(seed)
    drawn = (generator.integers(0, n, n) for _ in range(ROUNDS))
    low, high = np.quantile([ks_distance(model[i], oracle[i]) for i in drawn], (0.025, 0.975))
    return ForgetQuality(
        p=p,
        # Beyond about 500 items p can be smaller than any number here, and its logarithm goes on.
        log10_p=float(np.log10(p)) if p > 0 else log10_smallest(n, distance),
        distance=distance,
        count=n,
        floor=float(10.0**lowest),
        log10_floor=lowest,
        low=float(low),
        high=float(high),
    )


def ks_distance(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference between the two samples' distribution functions."""
    one, other = np.sort(one), np.sort(other)
    everywhere = np.concatenate([one, other])
    below = [np.searchsorted(s, everywhere, side="right") / len(s) for s in (one, other)]
    return float(np.abs(below[0] - below[1]).max())


def log10_smallest(n: int, distance: float) -> float:
    """log₁₀ of the p-value of a small p, by its first term, 2 C(2n, n − nD) / C(2n, n) (Gnedenko and Korolyuk 1951).

    At D = 1 that is exact: two of the C(2n, n) orders of samples that do not overlap are as extreme.
    """
    apart = round(n * distance)
    log_p = np.log(2.0) + 2 * gammaln(n + 1) - gammaln(n - apart + 1) - gammaln(n + apart + 1)
    return float(log_p / np.log(10.0))


def harmonic_mean(values: Sequence[float]) -> float:
    """n / Σ 1/x of values from 0; 0 as soon as one of them is."""
    return len(values) / sum(1.0 / x for x in values) if all(values) else 0.0


def probability(loss: np.ndarray, wrong: Sequence[np.ndarray] | None = None) -> np.ndarray:
    """exp(−loss a token) of the true answer, or its share of that and the wrong answers' where those are given."""
    right = np.exp(-loss)
    if wrong is None:
        return right
    # p / (p + Σ w) as 1 / (1 + Σ w/p), from differences of losses: both may be too small for a number
    odds = [np.exp(np.minimum(x - w, 700.0)).sum() for x, w in zip(loss, wrong, strict=True)]
    return 1.0 / (1.0 + np.array(odds))


def utility_terms(retain: Log, real_authors: Log, world_facts: Log) -> dict[str, float]:
    """The nine means of model utility, by name: probability, ROUGE-L recall and truth ratio of three sets."""
    logs = {"retain": retain, "real authors": real_authors, "world facts": world_facts}
    terms = {}
    for name, log in logs.items():
        wrong = None if log is retain else log.wrong
        terms[f"{name} probability"] = float(probability(log.loss, wrong).mean())
        terms[f"{name} rouge"] = float(log.rouge.mean())
        terms[f"{name} truth ratio"] = float(preference(log.log_truth_ratios()).mean())
    return terms


def model_utility(retain: Log, real_authors: Log, world_facts: Log) -> float:
    """TOFU's model utility: the harmonic mean of the nine."""
    return harmonic_mean(list(utility_terms(retain, real_authors, world_facts).values()))
