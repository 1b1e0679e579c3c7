"""Importing others' results."""

import argparse
import tomllib
from pathlib import Path
from typing import Any

from backend.commands import Verbs, show, verb
from backend.stage import UserError


def add(verbs: Verbs) -> None:
    """Add the verb that imports."""
    added = verb(verbs, "import", _import, "make a study of others' result files")
    added.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a file or a folder")
    added.add_argument("--as", dest="kind", metavar="KIND", help="what the files are; else they tell")  # fmt: skip
    added.add_argument("--reference", type=Path, metavar="PATH", help="the retain model's results")
    added.add_argument("--common", action="store_true", help="take only the items that all have")
    added.add_argument("--name", default="", help="of the study; else the kind's and the folder's")
    added.add_argument("--mapping", type=Path, metavar="FILE", help="TOML: which column of a CSV is what")  # fmt: skip
    added.add_argument("--dry-run", action="store_true", help="only say what would be imported")


def _import(arguments: argparse.Namespace) -> None:
    from backend import service
    from backend.given_files import from_path
    from backend.importers import Options, kind

    if arguments.kind:
        kind(arguments.kind)  # before anything is read
    reference = from_path(arguments.reference) if arguments.reference else None
    options = Options(reference, arguments.common, _mapping(arguments.mapping))
    given = [from_path(path) for path in arguments.paths]
    told = service.imported(given, arguments.kind, options, arguments.name, arguments.dry_run)
    if arguments.json:
        return show(told)
    print(_sentence(told, arguments.dry_run))
    for note in told["notes"]:
        print(note)
    return None


def _mapping(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise UserError(f"{path} is no mapping in TOML: {problem}.") from problem


def _sentence(told: dict[str, Any], dry: bool) -> str:
    what = f"{len(told['runs'])} models with {len(told['metrics'])} metrics"
    if dry:
        return f"{told['study']} ({told['kind']}): {what} would be imported."
    if not told["changed"]:
        return f"{told['study']} ({told['kind']}) is there already with the same {what}; nothing was changed."
    return f"{told['study']} ({told['kind']}), revision {told['revision']}: {what} imported, {told['new']} of them new."
