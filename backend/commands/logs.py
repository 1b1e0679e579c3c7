"""Reading what a run said while it worked."""

import argparse
import time
from typing import Any

from backend.commands import Verbs, show, verb
from backend.stage import UserError

FOLLOW_SECONDS = 1.0
ENDED = ("complete", "failed", "cancelled")


def add(verbs: Verbs) -> None:
    """Add `log`."""
    log = verb(verbs, "log", _log, "what a run said: where it worked, phases, warnings, its end")
    log.add_argument("run", type=int)
    log.add_argument("--level", default="info", help="the lowest one: info, warning or error")
    log.add_argument("--last", type=int, default=200, metavar="N", help="how many lines at most")
    log.add_argument("--follow", action="store_true", help="go on until the run has ended")


def _log(arguments: argparse.Namespace) -> None:
    from backend import service

    if arguments.follow and arguments.json:
        raise UserError("--follow prints lines as they come; leave out --json.")
    told = service.log(arguments.run, arguments.level, arguments.last)
    if arguments.json:
        return show(told)
    if told["why"]:
        print(told["why"])
    _print(told["lines"])
    return _follow(arguments, told) if arguments.follow else None


def _follow(arguments: argparse.Namespace, told: dict[str, Any]) -> None:
    """Print what comes until the run has ended, or somebody has seen enough."""
    from backend import service

    seen = {_key(line) for line in told["lines"]}
    try:
        ended = False
        while not ended:
            ended = told["state"] in ENDED  # once more then: the last line comes after the state
            time.sleep(FOLLOW_SECONDS)
            told = service.log(arguments.run, arguments.level, 2000)
            fresh = [line for line in told["lines"] if _key(line) not in seen]
            # Lines before those that were asked for come with the longer answer; they are not news.
            _print([line for line in fresh if line["time"] >= max(seen, default=("",))[0]])
            seen |= {_key(line) for line in fresh}
    except KeyboardInterrupt:
        print()


def _key(line: dict[str, Any]) -> tuple[str, str, str]:
    return line["time"], line["event"], line["message"]


def _print(lines: list[dict[str, Any]]) -> None:
    from backend.log_lines import words

    for line in lines:
        print(words(line, line["time"][:19].replace("T", " ")), flush=True)
