"""What a comparison starts from when nothing, or one configuration, was chosen."""

from collections.abc import Mapping, Sequence
from typing import Any

from backend.anchors import ANCHORS

Row = Mapping[str, Any]


def completed(rows: Sequence[Row], chosen: Sequence[str]) -> tuple[list[str], str | None]:
    """At least two names to compare where the study has them, the reference first, and why, in words.

    The words are None where the reader chose two or more.
    """
    if len(chosen) > 1 or len(rows) < 2:
        return list(chosen), None
    if chosen:
        row = next(row for row in rows if row["configuration"] == chosen[0])
        partner, why = _partner(rows, row)
        return [partner, chosen[0]], f"One configuration is chosen, so it is compared with {why}."
    row, which = _best(rows)
    partner, why = _partner(rows, row)
    said = f"Nothing is chosen, so this compares {which} with {why}."
    return [partner, row["configuration"]], said


def _best(rows: Sequence[Row]) -> tuple[Row, str]:
    """The configuration on the front that lasts best; where there is no front yet, the first that is no anchor."""
    front = [row for row in rows if row["on_front"]]
    if front:
        best = max(front, key=lambda row: row["robust_forget_quality"]["mean"])
        return best, "the configuration of the front with the highest robust forget quality"
    plain = [row for row in rows if row["method"] not in ANCHORS]
    if plain:
        return plain[0], "the first configuration (none is on a front yet)"
    return rows[-1], "what there is"


def _partner(rows: Sequence[Row], row: Row) -> tuple[str, str]:
    """Whom to compare a configuration with: the same without its last stages, else the best other one, else the base."""
    before = [one for one in rows if _is_prefix(one, row)]
    if before:
        longest = max(before, key=lambda one: len(one["stages"]))
        alone = len(longest["stages"]) == 1 and longest["stages"][0]["stage"] == "suppress"
        why = "its suppression alone" if alone else "the same without its last stage"
        return longest["configuration"], why
    others = [one for one in rows if one is not row]
    if any(one["on_front"] for one in others):
        best, _ = _best(others)
        return best["configuration"], "the configuration of the front that lasts best besides it"
    other = next((one for one in others if one["method"] == "base"), others[0])
    return other["configuration"], f"the {other['method'].replace('_', ' ')}"


def _is_prefix(one: Row, row: Row) -> bool:
    """Whether a configuration is another one before its last stages."""
    count = len(one["stages"])
    return 0 < count < len(row["stages"]) and one["stages"] == row["stages"][:count]
