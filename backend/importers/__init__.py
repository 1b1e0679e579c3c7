"""Other projects' results, a kind a file: every module here has an `IMPORTER`, and is found, not listed."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from backend.given_files import Given
from backend.reported import Report
from backend.stage import UserError


@dataclass(frozen=True)
class Options:
    """How to read: the reference model's results, whether items that not all have are left out, and a CSV's mapping."""

    reference: Given | None = None
    common: bool = False
    mapping: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Importer:
    """One kind of result file.

    `recognises` looks at files and says whether they are of this kind, without complaint; `read` gives the report or
    raises UserError with one sentence. `takes` names the options besides the paths that it uses.
    """

    label: str
    summary: str
    recognises: Callable[[Given], bool]
    read: Callable[[Sequence[Given], Options], Report]
    takes: tuple[str, ...] = ()
    order: int = 0  # kinds that would recognise almost anything are asked last


@lru_cache(maxsize=1)
def kinds() -> dict[str, Importer]:
    """Every kind by name, those that recognise least first."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    found = {name: importlib.import_module(f"{__name__}.{name}").IMPORTER for name in sorted(names)}
    return dict(sorted(found.items(), key=lambda pair: pair[1].order))


def kind(name: str) -> Importer:
    """The importer of a kind; UserError lists those that there are."""
    known = kinds()
    if name not in known:
        raise UserError(f"There is no kind {name!r} to import; there are: {', '.join(known)}.")
    return known[name]


def guessed(given: Given) -> str | None:
    """The kind that recognises the files; None where none does."""
    return next((name for name, one in kinds().items() if one.recognises(given)), None)
