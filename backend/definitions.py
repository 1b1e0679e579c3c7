"""What every number is: its formula, direction, floor and source, and what it does not tell."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from backend import catalogue

ARROWS = {"up": "↑ more is more capability", "down": "↓ more is less capability", "none": "neither end is better"}  # fmt: skip
COUNTS = {
    "weights": "changes the weights",
    "access": "needs access only",
    "policy": "would succeed against the oracle too, so it never counts",
    "probe": "reads what is inside and never counts",
}
CAUTIONS = (
    "A tiny model's ranking of methods is not a large one's.",
    "Facts that were added by fine-tuning are easier to remove for good than those of pretraining: robustness is overstated.",
    "The worst case is that of the attacks that were run. An attack that nobody ran says nothing.",
    "One seed has no interval. Differences within the oracle's own band, or within the intervals, are none.",
    "Equal compute is equal FLOPs, not equal time: hardware and kernels differ.",
)


@dataclass(frozen=True)
class Definition:
    """A number as a reader needs it; `formula` is LaTeX and may be empty, `limits` says what the number does not tell."""

    name: str
    label: str
    kind: str  # objective, metric, attack
    summary: str
    formula: str = ""
    direction: str = ""
    range: str = ""
    floor: str = ""
    source: str = ""
    limits: str = ""


OBJECTIVES = (
    Definition(
        "robust_forget_quality",
        "Robust forget quality",
        "objective",
        "How much of what was forgotten stays forgotten under the strongest attack of the study that changes weights or needs access"
        " only: that with the highest mean recovery over seeds, at the largest step up to the budget.",
        r"1 - \frac{A_m(t) - A_\mathrm{oracle}(t)}{C_\mathrm{base} - A_\mathrm{oracle}(t)}",
        "↑ larger lasts better",
        "base 0, oracle 1; unclipped",
        source="A: worst case over the attack grid, chosen on validation facts and read on others; C: capability. Seeds are paired",
        limits="Attacks that were not run, and larger grids than the one that is shown. n/a where the base knows hardly more than the"
        " attacked oracle: then nothing can be told apart.",
    ),
    Definition(
        "claimed_forget_quality",
        "Claimed forget quality",
        "objective",
        "The same before any attack: what an evaluation without an attacker would report.",
        r"1 - \frac{C_m - C_\mathrm{oracle}}{C_\mathrm{base} - C_\mathrm{oracle}}",
        "↑ larger hides more",
        "base 0, oracle 1; unclipped",
        limits="Whether anything is gone. Above 1 the model knows less than one that never saw the data, which gives it away.",
    ),
    Definition(
        "utility",
        "Utility",
        "objective",
        "What is left of the capability on data to be kept, on items that no training saw.",
        r"\frac{C_m - \varphi}{C_\mathrm{base} - \varphi}",
        "↑ larger keeps more",
        "base 1, a model that knows nothing 0; unclipped",
        "φ: a model that knows nothing (0; 1/k of k choices; for a loss that of unigram counts)",
        limits="Abilities that no retain item asks for.",
    ),
    Definition(
        "compute",
        "Compute",
        "objective",
        "FLOPs of every run that the model comes from, the base apart, teachers' passes included, over those of the oracle.",
        r"\frac{\sum_{r \in \mathrm{ancestors}} \mathrm{FLOPs}(r)}{\mathrm{FLOPs}(\mathrm{oracle})}",
        "↓ smaller is cheaper",
        "base 0, oracle 1",
        limits="The search for hyperparameters, which stands beside it, and seconds, memory and inference, which do too.",
    ),
)  # fmt: skip


def definitions() -> Iterator[Definition]:
    """The objectives, then every metric and every attack of the catalogue."""
    yield from OBJECTIVES
    for part in catalogue.parts("metrics"):
        yield _metric(part)
    for part in catalogue.parts("attacks"):
        yield _attack(part)


def _metric(part: catalogue.Part) -> Definition:
    told = part.declared
    levels = {"pair": "Compares two models.", "study": "Takes all models of a study."}
    unit = f" {told['unit']}" if told["unit"] else ""
    return Definition(
        part.name,
        part.label,
        "metric",
        part.summary,
        direction=ARROWS.get(str(told["direction"]), ""),
        range=f"{_ends(told['range'])}{unit}",
        floor=_floor(told["floor"]),
        source=part.source,
        limits=levels.get(str(told["level"]), ""),
    )


def _attack(part: catalogue.Part) -> Definition:
    counts = str(part.declared["counts"])
    steps = "along its steps" if part.declared["has_steps"] else "once, without steps"
    return Definition(
        part.name,
        part.label,
        "attack",
        part.summary,
        direction=f"{counts}: {COUNTS.get(counts, '')}",
        range=f"measured {steps}",
        source=part.source,
    )


def _ends(told: Any) -> str:
    low, high = (("−∞", "∞")[i] if end is None else f"{end:g}" for i, end in enumerate(told or (None, None)))  # fmt: skip
    return f"{low} … {high}"


def _floor(told: Any) -> str:
    named = {"unigram": "the loss of unigram counts over the base's training text", "choices": "one over the number of choices"}  # fmt: skip
    return "" if told is None else named.get(str(told), f"{told:g}" if isinstance(told, (int, float)) else str(told))  # fmt: skip
