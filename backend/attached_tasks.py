"""Tasks of the library lm-eval that a study attaches to all its models: what may be asked, free of that library."""

import importlib.util
import os
from pathlib import Path
from typing import Any

from backend.stage import UserError
from backend.task_definitions import check, contents, is_allowed

KEYS = ("tasks", "limit", "num_fewshot", "include_path")
NAME = "lm_eval"  # of the runs that measure them


def attached(value: Any) -> dict[str, Any]:
    """The checked request of a study's key `lm_eval`, `{}` where it asks for nothing.

    Holds `tasks`, `limit` (questions of each task, 0 is all), `num_fewshot` (−1 is what each task says), `include_path`
    (absolute, or empty) and `definitions`, a hash of what stands in that folder.

    Raises:
        UserError: it does not fit, the folder holds too much or what could run Python, or the library is not installed
    """
    if value in (None, {}, []):
        return {}
    asked = {"tasks": value} if isinstance(value, str | list) else value
    if not isinstance(asked, dict):
        raise UserError(
            f"lm_eval = {value!r} must be a list of tasks or a table with {', '.join(KEYS)}."
        )
    for key in asked:
        if key not in KEYS:
            raise UserError(f"lm_eval has no key {key!r}; its keys: {', '.join(KEYS)}.")
    folder = _folder(asked.get("include_path", ""))
    found = {
        "tasks": _tasks(asked.get("tasks")),
        "limit": _whole("limit", asked.get("limit", 0), 0),
        "num_fewshot": _whole("num_fewshot", asked.get("num_fewshot", -1), -1),
        "include_path": str(folder) if folder else "",
        "definitions": _definitions(folder) if folder else "",
    }
    if importlib.util.find_spec("lm_eval") is None:
        raise UserError("lm_eval: the library lm-eval is not installed; pip install -r requirements-lm-eval.txt.")  # fmt: skip
    return found


def _tasks(value: Any) -> list[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(n, str) and n for n in names):
        raise UserError(f"lm_eval: tasks = {value!r} must be a list of names of lm-eval's tasks or groups, such as \"mmlu\".")  # fmt: skip
    for name in names:
        if set(name) & set("/\\") or name.endswith((".yaml", ".yml")):
            raise UserError(f"lm_eval: {name!r} in tasks is a path, not the name of a task; include_path names the folder of your own definitions.")  # fmt: skip
    return list(dict.fromkeys(names))


def _whole(key: str, value: Any, least: int) -> int:
    if type(value) is not int or value < least:
        raise UserError(f"lm_eval: {key} = {value!r} must be a whole number of at least {least}.")
    return value


def _folder(value: Any) -> Path | None:
    if value == "":
        return None
    # os.path leaves a user that there is not as it is
    place = Path(os.path.expanduser(value)) if isinstance(value, str) else None
    if place is None or not place.is_dir():
        raise UserError(f"lm_eval: include_path = {value!r} must be a folder with definitions of tasks (YAML).")  # fmt: skip
    return place.resolve()


def _definitions(folder: Path) -> str:
    found = contents(folder)
    if not is_allowed(folder):
        check(folder, found)
    return found
