"""Parts of users' own, outside of this repository: found where the operator says so, read like ours, never imported to be listed.

There are two ways in, and no other: the path of a file or a folder in LETHE_PLUGINS (which `--plugin` fills, for child
processes too), and the entry point group `lethe.plugins` of an installed package. Nothing that a database, a study or an
imported file says makes a file a plugin.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from backend.declarations import Part
from backend.plugin_code import code, looked_for
from backend.plugin_places import ENVIRONMENT, Place, given_paths, places
from backend.plugin_rules import Refused, declared_parts
from backend.stage import UserError

HERE = Path(__file__).parent
HOW = "A plugin is named by --plugin PATH or LETHE_PLUGINS, or comes with an installed package (docs/python.md)."
MOST_BYTES = 1_000_000  # of a plugin's file

Key = tuple[str, str]  # kind and name
Stamps = tuple[tuple[Path, int, int], ...]  # files with times and sizes


@dataclass(frozen=True)
class Found:
    """The parts of all plugins that are taken, where each lies, and a sentence for every file that is refused."""

    parts: dict[Key, Part]
    places: dict[Key, Place]
    refused: tuple[str, ...]


def found() -> Found:
    """All plugins as their files are now; unchanged ones are read once."""
    where, missing = places(os.environ.get(ENVIRONMENT, ""))
    return _together(tuple(map(_current, where)), missing) if where or missing else NOTHING


def parts(kind: str) -> list[Part]:
    """The plugins' parts of a kind."""
    return [part for (of, _), part in found().parts.items() if of == kind]


def part(kind: str, name: object) -> Part | None:
    """The plugin's part of that name; None where there is none."""
    return found().parts.get((kind, str(name)))


def refused() -> tuple[str, ...]:
    """A sentence for every plugin that is not taken: which file, why, and what is valid."""
    return found().refused


def state() -> str:
    """Changes whenever a plugin does: for what is kept of results, whose runs an edit makes stale."""
    return ",".join(part.code for part in found().parts.values())


def advice() -> str:
    """What to do where a part is not here: the refused plugins, else how one is installed."""
    return " ".join(refused()) or HOW


def code_of(kind: str, name: str) -> str | None:
    """The hash of a part's source where it is a plugin's; None for our own parts, and for one that is not here."""
    known = part(kind, name)
    return known.code if known else None


def use(paths: Sequence[str | Path], strict: bool = True) -> None:
    """Take plugins from these files and folders, in this process and in those that it starts.

    Raises:
        UserError: a path is not there or, where it is `strict`, a plugin is refused, now or of those before
    """
    known = given_paths(os.environ.get(ENVIRONMENT, ""))
    for path in paths:
        place = Path(os.path.expanduser(path)).absolute()
        if os.pathsep in str(place):
            raise UserError(f"The path {place} of a plugin holds {os.pathsep!r}, which separates paths; rename it.")  # fmt: skip
        known += [place] if place not in known else []
    before = os.environ.get(ENVIRONMENT)
    if known:
        os.environ[ENVIRONMENT] = os.pathsep.join(map(str, known))
    if strict and (complaints := refused()):
        os.environ.pop(ENVIRONMENT, None) if before is None else os.environ.update(
            {ENVIRONMENT: before}
        )
        raise UserError(complaints[0])


NOTHING = Found({}, {}, ())


@dataclass(frozen=True, eq=False)
class _Reading:
    """What a plugin's files said when they were like that."""

    place: Place
    stamps: Stamps
    parts: tuple[Part, ...] = ()
    refused: str = ""


_readings: dict[Place, _Reading] = {}


def _current(place: Place) -> _Reading:
    """What a plugin declares now; it is read again where one of its files changed."""
    known = _readings.get(place)
    if known is None or known.stamps != _stamps(path for path, *_ in known.stamps):
        known = _readings[place] = _read(place)
    return known


def _stamps(paths: Iterable[Path]) -> Stamps:
    told = []
    for path in paths:
        try:
            stat = path.stat()
            told.append((path, stat.st_mtime_ns, stat.st_size))
        except OSError:
            told.append((path, 0, 0))
    return tuple(told)


def _read(place: Place) -> _Reading:
    stamps = _stamps([place.file])  # before reading: what is written meanwhile is read next time
    why = "it must be a Python file in UTF-8 that declares parts"
    try:
        if place.file.stat().st_size > MOST_BYTES:
            return _Reading(place, stamps, refused=f"it has more than {MOST_BYTES} bytes; {why}")
        stamps = _stamps(looked_for(place.file, place.root, place.package))
        hashed = code(place.file, place.root, place.package)
        text = place.file.read_text(encoding="utf-8")
        return _Reading(place, stamps, tuple(declared_parts(text, str(place.file), hashed)))
    except Refused as clause:
        return _Reading(place, stamps, refused=str(clause))
    except SyntaxError as problem:
        where = f"{Path(problem.filename).name}, line {problem.lineno}" if problem.filename else f"line {problem.lineno}"  # fmt: skip
        return _Reading(place, stamps, refused=f"it does not parse ({problem.msg}; {where}); {why}")
    except (ValueError, OSError, RecursionError) as problem:
        return _Reading(place, stamps, refused=f"it cannot be read ({problem}); {why}")


@lru_cache(maxsize=8)
def _together(readings: tuple[_Reading, ...], missing: tuple[str, ...]) -> Found:
    known: dict[Key, Part] = {}
    where: dict[Key, Place] = {}
    complaints = list(missing)
    for reading in readings:
        why = reading.refused or _taken(reading.parts, known)
        if why:
            complaints.append(f"The plugin {reading.place.file} is refused: {why}.")
            continue
        known |= {(part.kind, part.name): part for part in reading.parts}
        where |= {(part.kind, part.name): reading.place for part in reading.parts}
    return Found(known, where, tuple(complaints))


def _taken(parts: Iterable[Part], known: Mapping[Key, Part]) -> str:
    """Why a plugin's names cannot be had; empty where all are free."""
    for part in parts:
        named = f"the name of its {part.kind.removesuffix('s')} {part.name} is taken"
        if (HERE / part.kind / f"{part.name}.py").exists():
            return f"{named} by one of Lethe's own; choose one that is not in `python -m backend {part.kind}`"  # fmt: skip
        if (part.kind, part.name) in known:
            return f"{named} by {known[part.kind, part.name].file}; choose another one"
    return ""
