"""What goes with what: which options a method can be combined with, and what can be asked for in several requests."""

from backend.catalogue import Part
from backend.registry import SLOTS


def slots(method: Part) -> tuple[str, ...]:
    """The kinds of options that mean what they say with this method.

    Options shape a training of the model that comes in, so a method that starts anew, that trains nothing or that leaves
    the weights alone takes none. Robustification replaces or damages weights: a mask that holds some of them as they came
    in would undo that, and an adapter could not carry it.
    """
    stage = method.declared["stage"]
    if stage in ("pretrain", "wrap") or "steps" not in method.defaults():
        return ()
    return SLOTS if stage == "suppress" else ("optimizer_wrapper",)


def why_not(method: Part, slot: str) -> str:
    """The sentence that refuses a slot which is not among the method's `slots`."""
    valid = ", ".join(slots(method)) or "no option"
    return f"{slot}: {method.name} ({method.declared['stage']}) takes {valid}."


def repeats(method: Part) -> bool:
    """Whether a request can come on top of an earlier one."""
    return method.declared["stage"] == "suppress" or bool(method.declared["repeats"])
