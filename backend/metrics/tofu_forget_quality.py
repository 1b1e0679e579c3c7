"""TOFU's forget quality: whether truth ratios are distributed as the oracle's."""

from backend.answer_options import log_truth_ratios
from backend.examination import Examination, Readings
from backend.registry import metric
from backend.tofu import forget_quality


@metric(
    label="TOFU forget quality",
    source="Maini et al. 2024 (arXiv 2401.06121): p of a two-sample Kolmogorov–Smirnov test of truth ratios",
    direction="none",
    better="up",
    floor=None,
    unit="p",
    range=[0.0, 1.0],
    level="pair",
    takes="examination",
)
def tofu_forget_quality(examined: Examination) -> Readings:
    """The p-value that the model's and the oracle's truth ratios on forget items come from one distribution.

    It depends on the number of items n, so D, its interval (bootstrap over items, 95 %), n, log₁₀ p and the smallest p
    that n items allow stand beside it. A p at that floor says only that the two are fully apart, not how far. 1 is the
    oracle itself. The truth ratio sees behind a refusal, and so does this; not behind a turned output head.
    """
    ratios = (log_truth_ratios(examined, "forget_score", role) for role in ("oracle", "model"))
    oracle, model = ratios
    found = forget_quality(model, oracle)
    return {
        "model": found.p,
        ("model", "D"): found.distance,
        ("model", "D low"): found.low,
        ("model", "D high"): found.high,
        ("model", "n"): float(found.count),
        ("model", "log10 p"): found.log10_p,
        ("model", "floor"): found.floor,
        ("model", "log10 floor"): found.log10_floor,
    }
