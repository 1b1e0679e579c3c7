"""Where plugins' files lie: the paths that the operator names, and the installed packages of the group `lethe.plugins`."""

import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata, util
from pathlib import Path

ENVIRONMENT = "LETHE_PLUGINS"  # paths, separated as in PATH
GROUP = "lethe.plugins"
ASIDE = ("_", "test_", ".")  # what such names begin is no plugin: what plugins share, and tests


@dataclass(frozen=True)
class Place:
    """One plugin's file; `root` is the folder that its own imports stay in.

    Of an installed package `module` is the file's dotted name, and `package` the first part of it where the package is a folder.
    """

    file: Path
    root: Path
    module: str = ""
    package: str = ""


def places(given: str) -> tuple[list[Place], tuple[str, ...]]:
    """All plugins' files, each once, and a sentence for every place where there is none; `given` is LETHE_PLUGINS."""
    found: dict[Path, Place] = {}
    missing: list[str] = []
    for name, module in _installed(tuple(sys.path)):
        there = _of_module(module)
        missing += [] if there else [f"The plugin {name} of an installed package is refused: there is no file of its module {module}; its entry point must name a module, or a package of modules, that declare parts."]  # fmt: skip
        found |= {place.file.resolve(): place for place in there}
    for path in given_paths(given):
        there = _of_path(path)
        missing += [] if there else [_not_there(path)]
        for place in there:
            found.setdefault(place.file.resolve(), place)
    return list(found.values()), tuple(missing)


def given_paths(given: str) -> list[Path]:
    """The paths of LETHE_PLUGINS, absolute."""
    words = dict.fromkeys(word for word in given.split(os.pathsep) if word.strip())
    return [Path(os.path.expanduser(word)).absolute() for word in words]


def _not_there(path: Path) -> str:
    valid = "name a Python file, or a folder of such, that declare parts"
    if path.is_dir():
        return f"The plugin folder {path} holds no file whose name ends in .py and begins neither with _ nor with test_; {valid}."
    return f"There is no plugin {path}; {valid}."


def _of_path(path: Path) -> list[Place]:
    if path.is_dir():
        return [Place(file, path) for file in _files(path)]
    return [Place(path, path.parent)] if path.is_file() and path.suffix == ".py" else []


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.py") if not path.name.startswith(ASIDE))


@lru_cache(maxsize=4)
def _installed(search: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """(name, module) of every entry point; looked for once in a process for each `sys.path`."""
    found = metadata.entry_points(group=GROUP)
    return tuple(sorted({(point.name, point.value.partition(":")[0].strip()) for point in found}))


def _of_module(module: str) -> list[Place]:
    """The files of a module or of a package's modules, found without importing any of them."""
    top, *below = module.split(".")
    try:
        spec = util.find_spec(top)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    if not spec.submodule_search_locations:
        file = Path(spec.origin or "")
        return [Place(file, file.parent, module)] if file.is_file() and not below else []
    root = Path(next(iter(spec.submodule_search_locations)))
    place = root.joinpath(*below)
    if place.is_dir():
        return [Place(file, root, f"{module}.{file.stem}", top) for file in _files(place)]
    file = place.with_suffix(".py")
    return [Place(file, root, module, top)] if file.is_file() else []
