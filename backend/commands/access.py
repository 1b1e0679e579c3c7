"""Tokens of the REST interface, and the audit log."""

import argparse

from backend.commands import Verbs, database, show, verb


def add(verbs: Verbs) -> None:
    """Add the verbs."""
    token = verb(verbs, "token", _token, "tokens of the REST interface: create, list, revoke")
    token.add_argument("action", choices=("create", "list", "revoke"))
    token.add_argument("name", nargs="?", default="", help="of the token; revoke takes its prefix too")  # fmt: skip
    token.add_argument("--role", default="viewer", help="viewer, runner, reviewer or admin")
    token.add_argument("--days", type=int, default=90, help="how long it is good")
    audit = verb(verbs, "audit", _audit, "who did what, the latest first")
    audit.add_argument("--last", type=int, default=50, metavar="N", help="entries")
    audit.add_argument("--actor", default="", help="only of this one")


def _token(arguments: argparse.Namespace) -> None:
    {"create": _create, "list": _list, "revoke": _revoke}[arguments.action](arguments)


def _create(arguments: argparse.Namespace) -> None:
    from backend.access import make_token

    made = make_token(database(), arguments.name, arguments.role, arguments.days)
    if arguments.json:
        return show(vars(made))
    print(made.secret)
    print(
        f"This is the only time that it is shown. It is good for the role {made.role} until {made.expires_at:%Y-%m-%d}."
    )
    return None


def _list(arguments: argparse.Namespace) -> None:
    from backend import service

    found = service.tokens()
    if arguments.json:
        return show(found)
    for one in found:
        end = "revoked" if one["revoked_at"] else f"until {one['expires_at']:%Y-%m-%d}"
        print(f"lethe_{one['prefix']}_…  {one['name']:24} {one['role']:9} {end}")
    if not found:
        print("There are no tokens; `token create NAME` makes one.")
    return None


def _revoke(arguments: argparse.Namespace) -> None:
    from backend import service

    told = service.revoke(arguments.name)
    show(told) if arguments.json else print(f"{told['revoked']} tokens revoked.")


def _audit(arguments: argparse.Namespace) -> None:
    from backend import service

    rows = service.audit(max(1, arguments.last), arguments.actor)
    if arguments.json:
        return show(rows)
    for row in rows:
        who = f"{row['actor']} ({row['role']}, {row['through']})"
        print(f"{row['at']:%Y-%m-%d %H:%M:%S}  {who}  {row['action']} {row['arguments']}  {row['outcome']} {row['told']}".rstrip())  # fmt: skip
    return None
