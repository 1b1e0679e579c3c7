"""What a comparison found, in words: a verdict for each number, a sentence for each configuration."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from scipy import stats

from backend.comparison import (
    CONSTANT,
    EQUAL,
    HIGHER,
    LOWER,
    NOT_DISTINGUISHABLE,
    ONE_SEED,
    UNKNOWN,
)
from backend.paired_tests import LEVEL, TESTS, smallest_p

FOUND = {HIGHER: "higher", LOWER: "lower", NOT_DISTINGUISHABLE: "not distinguishable"}


def verdict(line: Mapping[Any, Any]) -> str:
    """A line of `backend.comparison.compare` in words, with what it means where the measure has a direction."""
    kind, side = line["verdict"], "higher" if line["difference"] > 0 else "lower"
    seeds = f"{line['seeds']} seeds"
    told = {
        CONSTANT: f"{side} by the same amount in all {seeds}: no spread to test against",
        EQUAL: f"equal in all {seeds}",
        ONE_SEED: "1 seed: no test",
        UNKNOWN: "no seed has both numbers",
    }
    said = FOUND.get(kind) or told[kind]
    if _only_alone(line):
        said += f" (p {p_value(line['p'])} alone, {p_value(line['p_holm'])} after Holm)"
    meaning = line["meaning"]
    if not isinstance(meaning, str):
        return said
    return f"{said} ({meaning})" if kind == CONSTANT else f"{said}: {meaning}"


def sentence(lines: pd.DataFrame, name: str, reference: str) -> str:
    """What was found for one configuration, given the names that a reader knows it and its reference by; plain text."""
    told: dict[str, list[str]] = {}
    for line in lines.to_dict("records"):
        start, text = _part({str(key): value for key, value in line.items()})
        told.setdefault(start, []).append(text)
    order = sorted(
        told, key=lambda start: (start in LATER, LATER.index(start) if start in LATER else 0)
    )
    said = [f"{start} {_listed(told[start])}".strip() for start in order]
    return f"{name} against {reference}: {'; '.join(said)}."


def _part(line: Mapping[str, Any]) -> tuple[str, str]:
    """(how a part of the sentence starts, which lines of one kind share; what it says of this one)."""
    kind, label = line["verdict"], line["label"][:1].lower() + line["label"][1:]
    if kind in (HIGHER, LOWER):
        word = line["meaning"] if isinstance(line["meaning"], str) else kind
        return f"{word} in", f"{label} ({signed(line['difference'])}, {interval(line)})"
    if kind == NOT_DISTINGUISHABLE:
        return ALONE if _only_alone(line) else UNCLEAR, f"{label} ({interval(line)})"
    if kind == ONE_SEED:
        return SINGLE, f"{label} {signed(line['difference'])}"
    if kind == UNKNOWN:
        return NOWHERE, label
    return "", f"{label} {verdict({**line, 'meaning': None})}"


def _only_alone(line: Mapping[str, Any]) -> bool:
    """Whether a difference would count if its test were the only one."""
    return bool(line["verdict"] == NOT_DISTINGUISHABLE and line["p"] <= LEVEL)


ALONE = "not distinguishable after Holm's correction, though alone it would be, in"
UNCLEAR, SINGLE = "not distinguishable in", "1 seed, so no test:"
NOWHERE = "no seed has both numbers for"
LATER = (ALONE, UNCLEAR, "", SINGLE, NOWHERE)  # after what was found


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def signed(value: float) -> str:
    """A difference with its sign; of small or large ones the power of ten."""
    return f"{value:+.3f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:+.1e}"


def interval(line: Mapping[str, Any]) -> str:
    """The difference's Student interval."""
    return f"95 %: {signed(line['low'])} … {signed(line['high'])}"


def p_value(p: float | None) -> str:
    """A p with three decimals, or that it is below what they can say."""
    if p is None or p != p:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def family(frame: pd.DataFrame, test: str) -> str:
    """Which tests were corrected together, and what that many seeds can show at all."""
    tested = frame.dropna(subset=["p"])
    if tested.empty:
        return "Nothing could be tested: a test takes two matched seeds whose difference varies."
    count, most = len(tested), int(tested["seeds"].max())
    one = count == 1
    said = (
        f"{TESTS[test].capitalize()} over matched seeds; Holm's correction over the family of {count}"
        f" test{'' if one else 's'} shown here; a difference counts below 0.05 after it."
    )
    least = smallest_p(most, test)
    if least > 0.05:
        return (
            f"{said} With {most} seeds this test cannot give less than p = {least:g}: it takes 6 seeds to find anything"
            " at 0.05."
        )
    spread = stats.t.ppf(1 - 0.05 / 2 / count, most - 1) / most**0.5
    if test == "t":
        said += (
            f" With {most} seeds the smallest p of the family counts where the mean difference is at least {spread:.1f}"
            " times the spread of the differences over seeds."
        )
    return said
