"""What there is: methods, options, attacks, metrics, settings, studies."""

import argparse
import textwrap

from backend.commands import Verbs, show, verb


def add(verbs: Verbs) -> None:
    """Add one verb for every kind of part, and `studies`."""
    from backend.registry import KINDS

    for kind in KINDS:
        verb(verbs, kind, _parts, f"list the {kind} with parameters, defaults and sources")
    verb(verbs, "studies", _studies, "list the shipped studies and those in the database")


def _parts(arguments: argparse.Namespace) -> None:
    from backend import catalogue, service

    if arguments.json:
        return show(service.parts(arguments.verb))
    parts = catalogue.parts(arguments.verb)
    if not parts:
        print(f"There are no {arguments.verb} yet.")
    for part in parts:
        print(f"{part.name}  ({part.label})\n  {part.summary}")
        if part.source:
            print(f"  Source: {part.source}")
        if part.file:
            print(f"  Plugin: {part.file}")
        for parameter in part.parameters:
            line = f"{parameter.name} = {parameter.default!r}: {parameter.help}"
            print(textwrap.fill(line, 100, initial_indent="    ", subsequent_indent="      "))
    return None


def _studies(arguments: argparse.Namespace) -> None:
    from backend import service

    rows = service.studies()
    if arguments.json:
        return show(rows)
    for row in rows:
        state = f"{row['complete']} of {row['runs']} runs" if row["revision"] else "not submitted"
        print(f"{row['name']:24} {state}")
        if row["question"]:
            print(textwrap.fill(row["question"], 100, initial_indent="    ", subsequent_indent="    "))  # fmt: skip
    return None
