"""What parts there are, read from their files by `ast`: no import, no cache, nothing written.

So pages and light commands know every parameter, default and source in milliseconds and without torch. A contract test
compares this with the imported functions. Plugins (`backend.plugins`) stand among our own parts.
"""

from pathlib import Path
from typing import Any

from backend import plugins
from backend.declarations import Parameter, Part, read
from backend.registry import KINDS
from backend.stage import UserError

__all__ = ["Parameter", "Part", "part", "parts", "studies"]

HERE = Path(__file__).parent


def parts(kind: str) -> list[Part]:
    """All parts of a kind, by name; every call looks at the files anew, unchanged ones once."""
    assert kind in KINDS, f"{kind!r} is not one of {KINDS}"
    files = sorted((HERE / kind).glob("[a-z]*.py"))
    ours = [read(path, kind, path.stat().st_mtime_ns) for path in files]
    theirs = plugins.parts(kind)
    return sorted([*ours, *theirs], key=lambda one: one.name) if theirs else ours


def part(kind: str, name: Any) -> Part:
    """The part of that name; UserError lists the valid names."""
    path = HERE / kind / f"{name}.py"
    # One file is looked at where it is there: studies of a thousand runs ask for the same few parts again and again.
    if isinstance(name, str) and name.isidentifier() and name[0] != "_" and path.exists():
        return read(path, kind, path.stat().st_mtime_ns)
    if (theirs := plugins.part(kind, name)) is not None:
        return theirs
    valid = ", ".join(part.name for part in parts(kind)) or "none yet"
    raise UserError(
        f"There is no {kind.removesuffix('s')} {name!r}; there are: {valid}. {plugins.advice()}"
    )


def studies() -> dict[str, Path]:
    """The shipped study files by name."""
    return {path.stem: path for path in sorted((HERE / "studies").glob("*.toml"))}
