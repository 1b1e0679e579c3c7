"""Verbs of the command line; every module here adds its own through `add`."""

import argparse
import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine

Verbs = Any  # what argparse calls _SubParsersAction


def verb(
    verbs: Verbs, name: str, do: Callable[[argparse.Namespace], int | None], summary: str
) -> argparse.ArgumentParser:
    """Add a verb that is done by `do`, with `--json` for scripts and `--plugin` for parts of your own."""
    added: argparse.ArgumentParser = verbs.add_parser(name, help=summary, description=summary)
    added.set_defaults(do=do)
    added.add_argument("--json", action="store_true", help="print one JSON document, nothing else")
    added.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="PATH",
        help="a file, or a folder of files, with methods, attacks, metrics, options or settings of your own",
    )
    return added


def show(document: Any) -> None:
    """Print one JSON document; dates as text."""
    print(json.dumps(document, indent=1, ensure_ascii=False, default=str, allow_nan=False))


def existing_database() -> Engine | None:
    """The database if there is one: verbs that only read create nothing."""
    from db.session import open_database

    return open_database(create=False)


def database() -> Engine:
    """The database, made where there is none."""
    from db.session import require_database

    return require_database()
