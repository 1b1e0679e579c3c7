"""Folders with definitions of lm-eval's tasks: how much may lie there, and what may stand in them.

A definition can name Python, which lm-eval runs where it loads the task. Whoever writes a study must not thereby run code, so
only what says what to ask is taken, unless the operator allows the folder in LETHE_LM_EVAL_PATHS.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from backend.stage import UserError

ENVIRONMENT = "LETHE_LM_EVAL_PATHS"  # folders, separated as in PATH
MOST_FILES = 10_000  # files and folders below a folder of definitions
MOST_BYTES = 500_000_000  # of all of them, data too
MOST_BYTES_OF_ONE = 1_000_000  # of one definition
DEEPEST = 50
FORMATS = ("json", "csv", "parquet", "text", "arrow")
# What a definition may say where the folder is not allowed: all that no Python comes of. Templates are rendered in a sandbox.
KEYS = (
    "task", "task_alias", "tag", "group", "group_alias", "include", "dataset_path", "dataset_name", "dataset_kwargs",
    "training_split", "validation_split", "test_split", "fewshot_split", "doc_to_text", "doc_to_target", "doc_to_choice",
    "description", "target_delimiter", "fewshot_delimiter", "fewshot_config", "num_fewshot", "metric_list", "output_type",
    "generation_kwargs", "repeats", "filter_list", "should_decontaminate", "doc_to_decontamination_query", "gen_prefix",
    "metadata", "aggregate_metric_list",
)  # fmt: skip


class Unsafe(Exception):
    """What a definition holds that is not taken from any folder."""


def allowed_folders() -> list[Path]:
    """The folders of LETHE_LM_EVAL_PATHS, absolute, whether they exist or not."""
    words = os.environ.get(ENVIRONMENT, "").split(os.pathsep)
    return [Path(os.path.expanduser(word)).resolve() for word in words if word.strip()]


def is_allowed(folder: Path) -> bool:
    """Whether the operator lets definitions in this folder run Python."""
    place = folder.resolve()
    return any(place == one or one in place.parents for one in allowed_folders())


def contents(folder: Path) -> str:
    """SHA-256 over names and contents of all files below a folder, 16 hexadecimal digits.

    Raises:
        UserError: there is more than a folder of definitions holds, or it cannot be read
    """
    digest, left = hashlib.sha256(), MOST_BYTES
    try:
        for file in _files(folder):
            content = hashlib.sha256()
            with file.open("rb") as opened:
                while block := opened.read(1 << 20):
                    content.update(block)
                    if (left := left - len(block)) < 0:
                        raise UserError(f"lm_eval: include_path = {str(folder)!r} holds more than {MOST_BYTES // 1_000_000} MB; {ONLY}")  # fmt: skip
            line = f"{file.relative_to(folder)}:{content.hexdigest()}\n"
            digest.update(line.encode(errors="surrogateescape"))
    except OSError as problem:
        raise UserError(f"lm_eval: include_path = {str(folder)!r} cannot be read: {problem}.") from problem  # fmt: skip
    return digest.hexdigest()[:16]


ONLY = "name a folder with definitions of tasks and their data alone."


def _files(folder: Path) -> list[Path]:
    """All files below a folder, in order; UserError as soon as there are too many."""
    found, seen, left = [], 0, [folder]
    while left:
        with os.scandir(left.pop()) as entries:
            for entry in entries:
                if (seen := seen + 1) > MOST_FILES:
                    raise UserError(f"lm_eval: include_path = {str(folder)!r} holds more than {MOST_FILES} files; {ONLY}")  # fmt: skip
                if entry.name == "__pycache__":
                    continue
                if entry.is_dir(follow_symlinks=False):
                    left.append(Path(entry.path))
                elif entry.is_file():
                    found.append(Path(entry.path))
    return sorted(found)


@lru_cache(maxsize=8)
def check(folder: Path, definitions: str) -> None:
    """UserError where a folder that is not allowed has definitions that could run Python; looked at once as it is."""
    taken(folder)


def taken(folder: Path) -> dict[Path, bytes]:
    """The definitions of a folder that is not allowed, by their paths in it: those of tasks, and what they include.

    What comes back was looked at byte for byte, whatever becomes of the files.

    Raises:
        UserError: one of them could run Python, or is none that can be read
    """
    found: dict[Path, bytes] = {}
    left = [file.relative_to(folder) for file in _files(folder) if file.suffix == ".yaml"]
    while left:
        path = left.pop()
        if path in found:
            continue
        try:
            found[path] = text = _text(folder / path)
            told = _parsed(text)
            left += list(_included(path, told))
            for one in _definitions(told):
                _look_at(one)
        except Unsafe as what:
            raise UserError(f"lm_eval: {path} in include_path = {str(folder)!r} {what}; name another one, or let the operator allow the folder in {ENVIRONMENT}.") from None  # fmt: skip
    return found


def metrics_in(definitions: Mapping[Path, bytes]) -> set[str]:
    """The names of all metrics that definitions ask for."""
    tables = (one for text in definitions.values() for one in _definitions(_parsed(text)))
    return {entry["metric"] for one in tables for entry in one.get("metric_list") or ()}


def _text(file: Path) -> bytes:
    if not file.is_file():
        raise Unsafe("is no file")  # nor a pipe, which would be waited for
    try:
        with file.open("rb") as opened:
            text = opened.read(MOST_BYTES_OF_ONE + 1)
    except OSError as problem:
        raise Unsafe(f"cannot be read ({problem.strerror})") from problem
    if len(text) > MOST_BYTES_OF_ONE:
        raise Unsafe(f"has more than {MOST_BYTES_OF_ONE} bytes")
    return text


def _parsed(text: bytes) -> dict[str, Any]:
    """A definition as lm-eval reads it; what is no table, it passes over."""
    try:
        _look_at_events(text)
        told = yaml.load(text, Loader=LOADER)  # nosec B506 - a safe one
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        where = getattr(problem, "problem", None) or problem
        raise Unsafe(f"is no YAML that can be read ({where})") from problem
    return told if isinstance(told, dict) else {}


# The loader that lm-eval's own is made from, so that both read the same.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _look_at_events(text: bytes) -> None:
    """Tags and nesting, before anything is built from them."""
    depth = 0
    for event in yaml.parse(text, Loader=LOADER):
        tag = getattr(event, "tag", None) or "!"
        if tag != "!" and not tag.startswith("tag:yaml.org,2002:"):
            raise Unsafe(f"holds the tag {tag}, which runs Python")
        if tag.startswith("tag:yaml.org,2002:python"):
            raise Unsafe("holds a tag !!python, which runs Python")
        if isinstance(event, yaml.AliasEvent):
            raise Unsafe("holds an alias (*), which can grow without end")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise Unsafe(f"is nested deeper than {DEEPEST}")


def _definitions(told: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The table of a file, and those of a group's members in it, at any depth."""
    yield told
    members = told.get("task")
    for member in members if isinstance(members, list) else ():
        if isinstance(member, dict):
            yield from _definitions(member)


def _look_at(told: dict[str, Any]) -> None:
    for key in told:
        if key not in KEYS:
            raise Unsafe(f"has the key {key!r}, none of those that run no Python ({', '.join(KEYS)})")  # fmt: skip
    _look_at_data(told.get("dataset_path"), told.get("dataset_kwargs"))
    metrics = told.get("metric_list") or []
    if not isinstance(metrics, list) or not all(isinstance(one, dict) for one in metrics):
        raise Unsafe("has a metric_list that is no list of tables")
    for one in metrics:
        name = one.get("metric")
        if not isinstance(name, str) or not re.fullmatch(r"[\w+-]+", name) or one.get("hf_evaluate"):  # fmt: skip
            raise Unsafe(f"has the metric {name!r}, which is none of lm-eval's own")


def _look_at_data(path: Any, more: Any) -> None:
    of_hub = isinstance(path, str) and re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", path)
    if path is not None and path not in FORMATS and (not of_hub or str(path).endswith(".py")):
        raise Unsafe(f"has dataset_path = {path!r}, which is neither {', '.join(FORMATS)} nor a dataset of the hub as OWNER/NAME")  # fmt: skip
    if isinstance(more, dict) and more.get("trust_remote_code"):
        raise Unsafe("has trust_remote_code, which runs Python")


def _included(path: Path, told: dict[str, Any]) -> Iterator[Path]:
    """The files that a definition includes, by their paths in the folder."""
    given = told.get("include") or []
    for name in given if isinstance(given, list) else [given]:
        place = Path(os.path.normpath(path.parent / str(name)))
        if place.is_absolute() or place.parts[:1] == ("..",):
            raise Unsafe(f"includes {name}, which lies outside of that folder")
        yield place
