"""Under which version of its parts a run is planned: numbers of our own parts, hashes of the sources of plugins."""

from collections.abc import Iterable, Sequence
from typing import Any

from backend import catalogue, plugins
from backend.registry import SLOTS

# Raised after a fix to what the stage itself does; parts carry versions of their own.
STAGE_VERSIONS = {"base": 1, "oracle": 1, "evaluate": 1}


def current_version(stage: str, name: str, uses: Sequence[tuple[str, str]] = ()) -> int:
    """The version under which a run of this stage is planned today; runs of an older one are stale.

    `uses` are the metrics of an evaluation or the options of a method, as (kind, name): every fix to one counts.

    Raises:
        UserError: there is no such part (any more)
    """
    fixes = sum(catalogue.part(kind, used).version - 1 for kind, used in uses)
    if stage in STAGE_VERSIONS:
        return STAGE_VERSIONS[stage] + fixes
    return catalogue.part("attacks" if stage == "attack" else "methods", name).version + fixes


def used_parts(stage: str, parameters: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """The metrics or options among a run's parameters, as (kind, name)."""
    if stage == "evaluate":
        return tuple(("metrics", metric) for metric in parameters.get("metrics", ()))
    return tuple(("options", parameters[slot]["name"]) for slot in SLOTS if slot in parameters)


def parts_of(stage: str, name: str, parameters: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Every part whose code a run executes beside its setting's, as (kind, name)."""
    own = {"base": "", "oracle": "", "evaluate": "", "attack": "attacks"}.get(stage, "methods")
    return (*(((own, name),) if own else ()), *used_parts(stage, parameters))


def code_of(used: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The hashes of the plugins' sources among some parts, by `KIND NAME`; empty where all parts are our own.

    Ours are known by their versions, which a golden test watches over. Who edits a plugin and runs it again would have to
    think of its version, and would else be shown the numbers of before: so its source is part of a run's name.
    """
    found = {(kind, name): plugins.code_of(kind, name) for kind, name in used}
    return {f"{kind} {name}": code for (kind, name), code in found.items() if code}
