"""The command line: `python -m backend VERB`."""

import argparse
import getpass
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from backend import commands
from backend.kinship import die_with_parent
from backend.stage import RunFailed, UserError

if TYPE_CHECKING:
    from db.actor import Actor

# A run may need none of the plugins that are refused; the doctor says what is wrong with them.
TOLERANT = ("run", "doctor")


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one sentence, not a usage block."""

    def error(self, message: str) -> NoReturn:
        """Raise what `main` prints."""
        raise UserError(f"{self.prog}: {message}.")


def parser() -> Parser:
    """All verbs; every module of `backend.commands` adds its own."""
    top = Parser(prog="python -m backend", description=__doc__)
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=Parser)
    for found in sorted(module.name for module in pkgutil.iter_modules(commands.__path__)):
        importlib.import_module(f"backend.commands.{found}").add(verbs)
    return top


def main(words: Sequence[str] | None = None) -> int:
    """The exit status: 0, 1 where a run failed, 2 with one sentence for a user's mistake."""
    die_with_parent()
    from db.actor import acting
    from db.session import DatabaseProblem

    try:
        arguments = parser().parse_args(words)
        _take_plugins(arguments)
        with acting(_actor(arguments.verb)):
            return int(arguments.do(arguments) or 0)
    except (UserError, DatabaseProblem) as mistake:
        return _say(str(mistake), 2)
    except RunFailed as failure:
        return _say(str(failure), 1)
    except KeyboardInterrupt:
        return _say("Stopped; what was running goes on from its last state next time.", 130)
    except BrokenPipeError:
        if not _reader_left():
            raise  # another pipe broke, which is no way to end quietly
        return 1


def _actor(verb: str) -> "Actor":
    """Who types has the files too, so may do everything; workers and their children are the system."""
    from db.actor import SYSTEM, Actor

    if verb in ("work", "run"):
        return SYSTEM
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's account without a name
        name = "local"
    return Actor(name, "admin", "command line")


def _reader_left() -> bool:
    """Whether nobody reads our output any more, as after `| head`; what is left of it goes nowhere then."""
    try:
        print(flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def _take_plugins(arguments: argparse.Namespace) -> None:
    """Take the plugins that are named here; a refused one ends every verb but those that may do without it."""
    from backend import plugins

    plugins.use(arguments.plugin, strict=arguments.verb not in TOLERANT)


def _say(sentence: str, status: int) -> int:
    print(" ".join(sentence.split()), file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
