"""Gates: what a review demands of a configuration, and whether the frontier document shows that it holds.

Pure: documents in, rows out. What is not known is `unknown` and never holds.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from backend.anchors import ANCHORS
from backend.stage import UserError

FAILS, UNKNOWN, HOLDS = "fails", "unknown", "holds"
STATES = (FAILS, UNKNOWN, HOLDS)  # red first
SLACK = 1e-9  # 1 − 0.98 is a little more than 0.02 in floating point
KINDS = {
    "utility_drop": "Utility drop at most",
    "recovery": "Recovery at most",
    "robust_forget_quality": "Robust forget quality at least",
    "claimed_forget_quality": "Claimed forget quality at least",
    "compute": "Compute at most",
    "metric": "A raw metric",
}
SIDES = {
    "utility_drop": "most",
    "recovery": "most",
    "robust_forget_quality": "least",
    "claimed_forget_quality": "least",
    "compute": "most",
}
UNDER_ATTACK = ("recovery", "robust_forget_quality")

Summary = Mapping[str, Any]


@dataclass(frozen=True)
class Gate:
    """One demand. `attack` None is the worst counted attack, `budget` None its largest step; `metric` is for raw metrics."""

    kind: str
    limit: float
    side: str = "most"
    attack: str | None = None
    budget: int | None = None
    metric: str | None = None

    def words(self) -> str:
        """The demand in a sentence."""
        if self.kind == "metric":
            return f"{self.metric} at {self.side} {self.limit:g}"
        told = f"{KINDS[self.kind]} {self.limit:g}"
        if self.kind not in UNDER_ATTACK:
            return told
        under = f"under {self.attack}" if self.attack else "under the worst attack"
        return f"{told} {under}" + ("" if self.budget is None else f" at {self.budget} steps")


def gate(given: Mapping[str, Any], document: Mapping[str, Any] | None = None) -> Gate:
    """A gate from its stored form, checked against what the study has where its document is given.

    Raises:
        UserError: an unknown kind, a limit that is no number, or an attack, budget or metric that the study lacks
    """
    kind = given.get("kind")
    if kind not in KINDS:
        raise UserError(f"{kind!r} is no kind of gate; there are: {', '.join(KINDS)}.")
    limit = given.get("limit")
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not math.isfinite(limit):
        raise UserError(f"The limit {limit!r} of a gate is not a number.")
    side = SIDES.get(kind) or given.get("side", "most")
    if side not in ("most", "least"):
        raise UserError(f"A gate holds at 'most' or at 'least', not at {side!r}.")
    attacked = kind in UNDER_ATTACK
    attack = given.get("attack") if kind == "recovery" else None
    budget = given.get("budget") if attacked else None
    metric = given.get("metric") if kind == "metric" else None
    found = Gate(kind, float(limit), side, attack, budget, metric)
    if document is not None:
        _check(found, document)
    return found


def _check(gate: Gate, document: Mapping[str, Any]) -> None:
    attacks = [attack["name"] for attack in document["attacks"]]
    if gate.attack is not None and gate.attack not in attacks:
        known = ", ".join(attacks) or "none"
        raise UserError(f"The study has no attack {gate.attack!r}; it has: {known}.")
    largest = max((int(attack["steps"]) for attack in document["attacks"]), default=0)
    if gate.budget is not None and not 0 <= gate.budget <= largest:
        raise UserError(f"budget = {gate.budget} must be between 0 and {largest} attack steps.")
    metrics = metric_names(document)
    if gate.kind == "metric" and document["rows"] and gate.metric not in metrics:
        known = ", ".join(metrics) or "none"
        raise UserError(f"The study has no metric {gate.metric!r}; it has: {known}.")


def metric_names(document: Mapping[str, Any]) -> list[str]:
    """The raw metrics of any of a document's rows."""
    return sorted({name for row in document["rows"] for name in row["metrics"]})


def stored(gate: Gate) -> dict[str, Any]:
    """The form in which a report keeps a gate."""
    return asdict(gate)


def budgets(gates: Sequence[Gate]) -> list[int | None]:
    """The budgets whose documents `evaluate` needs; None, the largest, is always among them."""
    wanted = {g.budget for g in gates if g.budget is not None}
    return [None, *sorted(wanted)]


def evaluate(
    gates: Sequence[Gate],
    documents: Mapping[int | None, Mapping[str, Any]],
    names: Collection[str] | None = None,
    with_interval: bool = False,
) -> list[dict[str, Any]]:
    """One row for each configuration and gate, failing configurations first; base and oracle only where named.

    `documents` holds the study's frontier document at every budget that a gate names, and at None. With `with_interval`
    the worse end of the interval over seeds must hold as well. A row has: configuration, gate (its words), state, mean,
    low, high, values, limit, side, reason, weak (what to know before leaning on it), budget (the evaluated one), evidence.
    """
    rows = documents[None]["rows"]
    chosen = [r["configuration"] for r in rows if _wanted(r, names)]
    chosen += [name for name in names or () if name not in chosen]  # asked for, and gone since
    found = [
        _judged(gate, documents[gate.budget], name, with_interval)
        for name in chosen
        for gate in gates
    ]
    verdicts = {name: verdict([r for r in found if r["configuration"] == name]) for name in chosen}
    places = {name: place for place, name in enumerate(chosen)}
    return sorted(
        found,
        key=lambda r: (
            STATES.index(verdicts[r["configuration"]]),
            places[r["configuration"]],
            STATES.index(r["state"]),
        ),
    )


def _wanted(row: Mapping[str, Any], names: Collection[str] | None) -> bool:
    return row["method"] not in ANCHORS if names is None else row["configuration"] in names


def verdict(rows: Sequence[Mapping[str, Any]]) -> str:
    """A configuration's state over its gates: the worst of them; `unknown` where there is no gate."""
    states = {row["state"] for row in rows}
    return next((state for state in STATES if state in states), UNKNOWN)


def _judged(
    gate: Gate, document: Mapping[str, Any], name: str, with_interval: bool
) -> dict[str, Any]:
    row = next((r for r in document["rows"] if r["configuration"] == name), None)
    told: dict[str, Any] = {"configuration": name, "gate": gate.words(), "budget": None}
    told |= {"limit": gate.limit, "side": gate.side, "weak": [], "evidence": {}}
    if row is None:
        return (
            told
            | _state(None, gate, with_interval)
            | {"reason": "the study has no such configuration"}
        )
    measured, missing = _measured(gate, document, row)
    told |= _state(None if missing else measured, gate, with_interval)
    if missing:
        told |= {"reason": missing}
    told |= {"weak": _weak(document, gate, row), "evidence": _evidence(gate, row)}
    return told | ({"budget": document["budget"]} if gate.kind in UNDER_ATTACK else {})


def _weak(document: Mapping[str, Any], gate: Gate, row: Mapping[str, Any]) -> list[str]:
    """What to know before leaning on the number."""
    teaches = document["placebo"].get(gate.attack or "", {}).get("teaches")
    told = [f"{gate.attack} teaches rather than elicits"] if teaches else []
    return [*row["weak_evidence"], *told]


def _measured(
    gate: Gate, document: Mapping[str, Any], row: Mapping[str, Any]
) -> tuple[Summary | None, str]:
    """What the gate looks at, and why it is not known, empty where it is."""
    if gate.kind == "utility_drop":
        return _one_minus(row["utility"]), ""
    if gate.kind == "metric":
        return row["metrics"].get(gate.metric), ""
    if gate.kind == "recovery" and gate.attack is not None:
        found = row["attacks"].get(gate.attack)
        if found is None:  # attacks without steps need a budget of 1 at least
            return None, f"{gate.attack} does not count at {document['budget']} steps"
        return found, _missing(document, row, gate.attack) or found["reason"] or ""
    if gate.kind in UNDER_ATTACK:
        reasons = "; ".join(row["reasons"]) if row["robust_forget_quality"]["mean"] is None else ""
        robust = row["robust_forget_quality"]
        return (robust if gate.kind != "recovery" else _one_minus(robust)), reasons
    return row[gate.kind], ""


def _missing(document: Mapping[str, Any], row: Mapping[str, Any], attack: str) -> str:
    """Which cells of an attack are not complete: the model's own, its oracle's, its base's."""
    owners = {"this configuration": row}
    owners |= {f"the {r['method']}": r for r in document["rows"] if r["method"] in ANCHORS}
    found = []
    for owner, one in owners.items():
        cells = one["attacks"].get(attack)
        lacking = cells["cells_total"] - cells["cells_done"] if cells else 0
        if lacking:
            found.append(f"{lacking} attack cell{'s' if lacking > 1 else ''} of {owner} missing")
    return "; ".join(found)


def _one_minus(found: Summary) -> Summary:
    """1 − a summary; what was its high end is the low one."""
    turned = {"mean": found["mean"], "low": found["high"], "high": found["low"]}
    flipped: dict[str, Any] = {k: None if v is None else 1 - v for k, v in turned.items()}
    return flipped | {"values": [None if v is None else 1 - v for v in found["values"]]}


def _state(found: Summary | None, gate: Gate, with_interval: bool) -> dict[str, Any]:
    """The state with its numbers and reason."""
    nothing: dict[str, Any] = {"mean": None, "low": None, "high": None, "values": []}
    told = nothing if found is None else {key: found[key] for key in nothing}
    if told["mean"] is None:
        return {**told, "state": UNKNOWN, "reason": "not measured, or n/a for a seed"}
    if not _within(told["mean"], gate):
        return {**told, "state": FAILS, "reason": ""}
    worse = told["high"] if gate.side == "most" else told["low"]
    if not with_interval:
        return {**told, "state": HOLDS, "reason": ""}
    if worse is None:
        return {**told, "state": UNKNOWN, "reason": "1 seed: no interval to hold"}
    if not _within(worse, gate):
        reason = "the mean holds, the interval's worse end does not"
        return {**told, "state": FAILS, "reason": reason}
    return {**told, "state": HOLDS, "reason": ""}


def _within(value: float, gate: Gate) -> bool:
    return value <= gate.limit + SLACK if gate.side == "most" else value >= gate.limit - SLACK


RAW = ("seed", "attack", "base", "oracle_before", "before", "after", "oracle_after", "recovery", "items", "cell")  # fmt: skip


def _evidence(gate: Gate, row: Mapping[str, Any]) -> dict[str, Any]:
    """What stands behind the number: the models' runs, and for attacks the raw numbers of every seed with their cell."""
    found: dict[str, Any] = {"models": list(row["models"]), "raw": []}
    if gate.kind in UNDER_ATTACK:
        attack = gate.attack or row["worst_attack"]
        raw = [one for one in row["raw"] if one["attack"] == attack]
        found |= {"attack": attack, "raw": [{key: one[key] for key in RAW} for one in raw]}
        cells = row["attacks"].get(attack) if attack else None
        found["cells"] = (
            None if cells is None else f"{cells['cells_done']} of {cells['cells_total']}"
        )
    return found
