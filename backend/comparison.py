"""Which of these configurations is better? Every metric of each against a reference, with a verdict in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from backend.charts.theme import DIRECTIONS, NAMES
from backend.paired_tests import LEVEL, Pair, hedges_g, holm, is_equal, matched, p_values
from backend.statistics import student_interval, summary

AFTER = "after_attack"
Row = Mapping[str, Any]

# What the verdict of a pair may be; the first two are findings of a test, the others say why there is none.
HIGHER, LOWER, NOT_DISTINGUISHABLE = "higher", "lower", "not distinguishable"
EQUAL, CONSTANT, ONE_SEED, UNKNOWN = "equal", "constant", "1 seed", "unknown"
OPPOSITE = {"up": "down", "down": "up"}
MEANS = ["metric", "label", "configuration", "mean", "low", "high", "known", "seeds"]
NUMBERS = ["difference", "low", "high", "effect", "p", "p_holm"]
TESTED = [
    "metric",
    "label",
    "configuration",
    "reference",
    *NUMBERS,
    "seeds",
    "verdict",
    "better",
    "meaning",
]


@dataclass(frozen=True)
class Measure:
    """A number of a configuration with a value for each seed.

    `wants` is the end that is better, `up`, `down` or None where neither is; `words` says what its good and bad ends mean.
    """

    name: str
    label: str
    wants: str | None = None
    words: tuple[str, str] = ("better", "worse")

    def is_better(self, verdict: str, difference: float | None) -> bool | None:
        """Whether the found difference goes the wanted way; None where none was found or no end is better."""
        if self.wants is None or not difference or verdict not in (HIGHER, LOWER, CONSTANT):
            return None
        return (difference > 0) == (self.wants == "up")


def measures(rows: Sequence[Row], declared: Mapping[str, Any]) -> list[Measure]:
    """The objectives, the forget metric after the strongest attack, then every raw metric of a model or a pair.

    `declared` are the metrics of the study's document. A forget metric wants less capability, a retain metric more;
    where the part or the direction says nothing, neither end is better.
    """
    names = (name for row in rows for kind in ("metrics", "pair_metrics") for name in row[kind])
    found = [Measure(name, label.capitalize(), DIRECTIONS[name]) for name, label in NAMES.items()]
    if any(value is not None for row in rows for value in _after(row)):
        metric = next((one["metric"] for row in rows for one in row["raw"]), "")
        found.append(_after_measure(metric, declared))
    return found + [_raw(name, declared) for name in dict.fromkeys(names)]


def _after_measure(metric: str, declared: Mapping[str, Any]) -> Measure:
    more = declared.get(metric, {}).get("direction")
    label = f"Forget {metric.replace('_', ' ')} after the strongest attack"
    return Measure(AFTER, label, OPPOSITE.get(more), ("less comes back", "more comes back"))


def _raw(name: str, declared: Mapping[str, Any]) -> Measure:
    metric = max((m for m in declared if f"_{name}".endswith(f"_{m}")), key=len, default=name)
    part, more = name.removesuffix(metric).rstrip("_"), declared.get(metric, {}).get("direction")
    label = name.replace("_", " ").capitalize()
    if part.startswith("forget"):
        return Measure(name, label, OPPOSITE.get(more), ("knows less", "knows more"))
    wants = more if part.startswith("retain") and more in OPPOSITE else None
    return Measure(name, label, wants, ("keeps more", "keeps less"))


def values(row: Row, name: str) -> list[float | None]:
    """A measure's value for every seed of a configuration, None where it is not known."""
    if name == AFTER:
        return _after(row)
    for found in (row.get(name), row["metrics"].get(name), row["pair_metrics"].get(name)):
        if found is not None:
            return list(found["values"])
    return [None] * row["seeds"]


def _after(row: Row) -> list[float | None]:
    """The raw forget metric under the attack that counts; unknown where that attack brings a metric of its own."""
    mine = [one for one in row["raw"] if one["attack"] == row["worst_attack"]]
    metrics = {one["metric"] for one in row["raw"]}
    known = len(mine) == row["seeds"] and len(metrics) == 1
    return [one["after"] for one in mine] if known else [None] * row["seeds"]


def means(rows: Sequence[Row], chosen: Sequence[Measure]) -> pd.DataFrame:
    """One line a measure and configuration: metric, label, configuration, mean, low, high, known (seeds), seeds."""
    lines = []
    for measure in chosen:
        for row in rows:
            mine = values(row, measure.name)
            found = summary(mine)
            lines.append(
                {"metric": measure.name, "label": measure.label, "configuration": row["configuration"]}
                | {end: found[end] for end in ("mean", "low", "high")}
                | {"known": sum(v is not None for v in mine), "seeds": len(mine)}
            )  # fmt: skip
    return pd.DataFrame(lines, columns=MEANS)


def compare(
    rows: Sequence[Row], chosen: Sequence[Measure], reference: str, test: str = "t"
) -> pd.DataFrame:
    """Every configuration against the reference, one line a measure: columns TESTED.

    `difference` is other − reference over the matched seeds, `low` and `high` its Student interval at 95 % (not
    adjusted), `effect` Hedges' g_av, `p_holm` adjusted over all tests of this frame. `verdict` is one of the constants
    of this module; `better` and `meaning` say what it means where the measure has a direction, else they are None.
    """
    base = next(row for row in rows if row["configuration"] == reference)
    others = [row for row in rows if row is not base]
    places = [(measure, row) for measure in chosen for row in others]
    pairs = [matched(values(base, m.name), values(row, m.name)) for m, row in places]
    found = p_values(pairs, test)
    adjusted = iter(holm([p for p in found if p is not None]))
    lines = []
    for (measure, row), pair, p in zip(places, pairs, found, strict=True):
        about = {"metric": measure.name, "label": measure.label, "reference": reference}
        line = _described(pair, p, None if p is None else next(adjusted))
        better = measure.is_better(line["verdict"], line["difference"])
        meaning = None if better is None else measure.words[0 if better else 1]
        line |= {"configuration": row["configuration"], "better": better, "meaning": meaning}
        lines.append(about | line)
    return pd.DataFrame(lines, columns=TESTED).astype(dict.fromkeys(NUMBERS, float))


def _described(pair: Pair, p: float | None, adjusted: float | None) -> dict[str, Any]:
    difference = pair[1] - pair[0]
    mean = float(difference.mean()) if len(difference) else None
    low, high = student_interval(list(difference)) if len(difference) > 1 else (None, None)
    verdict = _verdict(pair, mean, adjusted)
    if verdict == EQUAL:
        mean = low = high = 0.0  # not the rounding of two sums
    line = {"difference": mean, "low": low, "high": high, "effect": hedges_g(pair)}
    return line | {"seeds": len(difference), "p": p, "p_holm": adjusted, "verdict": verdict}


def _verdict(pair: Pair, mean: float | None, adjusted: float | None) -> str:
    if mean is None:
        return UNKNOWN
    if len(pair[0]) == 1:
        return ONE_SEED
    if adjusted is None:
        return EQUAL if is_equal(pair) else CONSTANT
    if adjusted > LEVEL:
        return NOT_DISTINGUISHABLE
    return HIGHER if mean > 0 else LOWER
