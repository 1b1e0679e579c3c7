"""What every number is: its formula, direction, floor and source, and what it does not tell."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from backend import catalogue
from backend.charts.axes import PARTS
from backend.tables import column_of

ARROWS = {"up": "↑ more is more capability", "down": "↓ more is less capability", "none": "neither end is better"}  # fmt: skip
COUNTS = {
    "weights": "changes the weights",
    "access": "needs access only",
    "policy": "would succeed against the oracle too, so it never counts",
    "probe": "reads what is inside and never counts",
}
BETTER = {"higher": "↑ higher is better", "lower": "↓ lower is better", None: "no end is better"}
FACTS = ("summary", "direction", "range", "source", "limits")  # that importers can tell
MOST_FILES = 3  # that are named
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
    kind: str  # objective, metric, attack, or reported by others
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


def reported(documents: Mapping[str, Mapping[str, Any]]) -> Iterator[Definition]:
    """What imported studies' files report, one definition a column of the frontier's frame; documents by their names.

    Where several studies report a number of one name, each fact says all that they say.
    """
    found: dict[str, list[Definition]] = {}
    for study, document in documents.items():
        about = document.get("imported", {})
        for name, declared in document["metrics"].items():
            found.setdefault(column_of(name), []).append(_reported(study, name, declared, about))
    for column, every in found.items():
        first = {
            name: "; ".join(dict.fromkeys(getattr(one, name) for one in every)) for name in FACTS
        }
        yield Definition(column, every[0].label, "reported by others", **first)


def _reported(
    study: str, name: str, declared: Mapping[str, Any], about: Mapping[str, Any]
) -> Definition:
    unit = f" {declared['unit']}" if declared["unit"] else ""
    files = [path.rpartition("/")[2] for path in about.get("files", {})]
    more = f" and {len(files) - MOST_FILES} more" if len(files) > MOST_FILES else ""
    return Definition(
        column_of(name),
        str(declared["label"]),
        "reported by others",
        f"{study} reports it as {name}: {declared['label']}",
        direction=f"{BETTER[declared['better']]}; {ARROWS[declared['direction']]}",
        range=f"{_ends(declared['range'])}{unit}",
        source=f"{about.get('kind', 'import')}: {', '.join(files[:MOST_FILES])}{more}",
        limits="Not measured here: how it was computed is in its source.",
    )


def definition_of(name: str, known: Collection[str]) -> str:
    """The name under which an axis is defined: its own, or its metric's where it is one on a part of the data."""
    head, _, rest = name.partition("_")
    return rest if name not in known and head in PARTS and rest in known else name


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
        source=_source(part),
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
        source=_source(part),
    )


def _source(part: catalogue.Part) -> str:
    """What a part follows, and where it lies if it is not ours."""
    return "; ".join(filter(None, (part.source, f"plugin {part.file}" if part.file else "")))


def _ends(told: Any) -> str:
    low, high = (("−∞", "∞")[i] if end is None else f"{end:g}" for i, end in enumerate(told or (None, None)))  # fmt: skip
    return f"{low} … {high}"


def _floor(told: Any) -> str:
    named = {"unigram": "the loss of unigram counts over the base's training text", "choices": "one over the number of choices"}  # fmt: skip
    return "" if told is None else named.get(str(told), f"{told:g}" if isinstance(told, (int, float)) else str(told))  # fmt: skip
