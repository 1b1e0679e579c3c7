"""Importing a plugin's file, once a part of it is to work: under a name that holds the hash of its source.

So an edited file is another module, in a process that goes on too; no stale bytecode of it is read and none is written beside
it. A package's module keeps its own name, and is refused where it was edited since this process imported it.

A run is named by the source of its plugins, so while it works no other source is taken: see `held_to`.
"""

import hashlib
import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.abc import MetaPathFinder
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from backend import plugins
from backend.declarations import Part
from backend.plugin_code import needed
from backend.plugin_places import Place
from backend.stage import UserError

PREFIX = "lethe_plugin_"
# Files of packages: the hash of the source with which they were imported.
_imported: dict[Path, str] = {}
# The source of every part of a plugin that the run at work uses, by KIND NAME.
_held: ContextVar[dict[str, str] | None] = ContextVar("held", default=None)


def module_of(kind: str, name: str) -> ModuleType:
    """The module of a plugin's part.

    Raises:
        UserError: no plugin that is installed here has it, it was edited since it was imported or since the run at work
            began, or it cannot be imported
    """
    known = plugins.found()
    part = known.parts.get((kind, name))
    if part is None:
        raise UserError(f"The {kind.removesuffix('s')} {name} is not here. {plugins.advice()}")
    place, held = known.places[kind, name], _held.get()
    code = part.code if held is None else held.setdefault(f"{kind} {name}", part.code)
    _unchanged(f"{kind} {name}", code)
    try:
        module = _of_package(place) if place.module else _of_file(place, code)
    except UserError:
        raise
    except (Exception, SystemExit) as problem:  # whatever the user's file does when it is imported
        raise UserError(f"The plugin {place.file} cannot be imported: {type(problem).__name__}: {problem}.") from problem  # fmt: skip
    _unchanged(f"{kind} {name}", code)  # it was read a second time to be imported
    return module


@contextmanager
def held_to(planned: Mapping[str, str]) -> Iterator[None]:
    """Within this context, in this thread, plugins are those with which a run was planned, or it ends with a sentence.

    That is looked at when it begins, whenever a part is loaded, and in the end, since a plugin may import more while it works.
    `planned` is as in `check_code`; what a run loads beside it is held to the source of its first use.

    Raises:
        UserError: as `check_code`, or a plugin's file changed meanwhile
    """
    check_code(planned)
    held = dict(planned)
    token = _held.set(held)
    try:
        yield
        for key, code in held.items():
            _unchanged(key, code)
    finally:
        _held.reset(token)


def _unchanged(key: str, code: str) -> None:
    named, part = _named(key)
    if part is None:
        raise UserError(f"The plugin of the {named} went away while it was at work. {plugins.advice()}")  # fmt: skip
    if part.code != code:
        raise UserError(f"The plugin {part.file} changed while its {named} was at work ({code} before, {part.code} now); submit the study again.")  # fmt: skip


def _named(key: str) -> tuple[str, Part | None]:
    """What users call the part of a key `KIND NAME`, and the part as a plugin has it now."""
    kind, _, name = key.partition(" ")
    return f"{kind.removesuffix('s')} {name}", plugins.part(kind, name)


def check_code(planned: Mapping[str, str]) -> None:
    """UserError where a plugin's part is not here, or not with the source with which its run was planned.

    `planned` maps `KIND NAME` to the hash of the source.
    """
    for key, code in planned.items():
        named, part = _named(key)
        if part is None:
            raise UserError(f"This run needs the {named} of a plugin that is not here. {plugins.advice()}")  # fmt: skip
        if part.code != code:
            raise UserError(f"The plugin {part.file} is not what it was when this run of its {named} was planned ({code} then, {part.code} now); submit the study again.")  # fmt: skip


def _of_file(place: Place, code: str) -> ModuleType:
    package = f"{PREFIX}{code}"
    if package not in sys.modules:
        holder = ModuleType(package, "A plugin's folder, as it is while its source has this hash.")
        sys.modules[package] = holder
    sys.modules[package].__path__ = [str(place.root)]  # the same source may lie elsewhere by now
    return importlib.import_module(f"{package}.{place.file.stem}")


def _of_package(place: Place) -> ModuleType:
    """The module under its own name; what it imports may have been imported before, for another plugin of the package."""
    for path in needed(place.file, place.root, place.package):
        code = hashlib.sha256(path.read_bytes()).hexdigest()
        if _imported.setdefault(path, code) != code:
            raise UserError(f"The plugin {place.file} was edited since this process imported it; start it again (a run: retry it).")  # fmt: skip
    return importlib.import_module(place.module)


class _Afresh(SourceFileLoader):
    """Compiles what the file holds, whatever lies in __pycache__."""

    def get_code(self, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _Finder(MetaPathFinder):
    """Finds modules in a plugin's folder, and no others."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: Any = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(PREFIX) or not path:
            return None
        return FileFinder(next(iter(path)), (_Afresh, [".py"])).find_spec(fullname)


sys.meta_path.insert(0, _Finder())
