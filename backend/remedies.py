"""What to do where memory does not suffice, with the numbers of the run at hand; free of torch."""

import re
from collections.abc import Mapping
from typing import Any

BATCHES = (
    "batch_size",
    "retain_batch",
    "forget_batch",
)  # parameters that say how many rows a step takes
UNITS = {"B": 2**-30, "KiB": 2**-20, "MiB": 2**-10, "GiB": 1.0, "TiB": 2.0**10}


def out_of_memory(problem: BaseException, row: Mapping[str, Any]) -> str:
    """One sentence: what was asked for, and the remedies in the order in which they cost least.

    `row` is the run's, with its `parameters` and its `setting`; what it does not say is left out.
    """
    own = row.get("parameters") or {}
    setting = (row.get("setting") or {}).get("parameters") or {}
    remedies = _smaller_batches(own, setting)
    if own.get("teacher_outputs") == "cache":
        remedies.append('teacher_outputs = "recompute"')
    if setting.get("gradient_checkpointing") is False:
        remedies.append("gradient_checkpointing = true in the setting")
    remedies += ["fewer slots", "a smaller model"]
    asked = _asked_for(str(problem))
    what = f" ({asked:.1f} GiB more were asked for)" if asked else ""
    return f"Out of memory{what}: use {', '.join(remedies[:-1])} or {remedies[-1]}."


def _smaller_batches(own: Mapping[str, Any], setting: Mapping[str, Any]) -> list[str]:
    """Half the batch, of the run's own parameters or else the setting's; with `accumulate` a step stays what it was."""
    given = {name: own[name] for name in BATCHES if _above_one(own.get(name))}
    where = ""
    if not given and _above_one(setting.get("batch_size")):
        given, where = {"batch_size": setting["batch_size"]}, " in the setting"
    if not given:
        return ["a smaller batch"]
    halves = " and ".join(f"{name} = {value // 2}" for name, value in given.items())
    now = " and ".join(str(value) for value in given.values())
    again = own.get("accumulate")
    same = f" with accumulate = {2 * again} for the same step" if isinstance(again, int) else ""
    return [f"{halves}{where} (now {now}){same}"]


def _above_one(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 1


def _asked_for(message: str) -> float | None:
    """GiB of the allocation that failed, where torch's message names them."""
    found = re.search(r"[Tt]ried to allocate ([\d.]+) (bytes|[KMGT]iB)", message)
    if found is None:
        return None
    return float(found[1]) * UNITS[found[2].replace("bytes", "B")]
