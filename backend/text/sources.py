"""Documents from files, folders and datasets, one after the other, and a hash of where they come from."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from backend.stage import UserError
from backend.text import absent, hub
from backend.text.absent import Absent, replaceable

Thing = TypeVar("Thing")

KINDS = (".txt", ".md", ".jsonl", ".json", ".parquet")
HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?(:[\w.-]+)?(@[\w./-]+)?")


@dataclass(frozen=True)
class Source:
    """Where documents come from: files of this machine, or a dataset of the hub as OWNER/NAME:CONFIG@REVISION."""

    name: str
    files: tuple[Path, ...] = ()
    field: str = "text"
    split: str = "train"

    @property
    def identity(self) -> str:
        """Hash of the contents, or the name of what the hub keeps unchanged, and the field that is read."""
        if not self.files:
            return f"hub:{self.name}:{self.split}:{self.field}"
        return f"{'+'.join(_hash_of(path) for path in self.files)}:{self.field}"

    def documents(self) -> Iterator[str]:
        """The texts in their order, empty ones left out.

        Raises:
            UserError: a file has no such field, or the hub cannot be reached
        """
        found = _from_hub(self) if not self.files else _from_files(self.files, self.field)
        return (text for text in _or_outline(found, absent.documents) if text.strip())

    def records(self) -> Iterator[dict[str, Any]]:
        """The rows of JSON and Parquet files, or of the dataset, with all their fields."""
        found = _rows_of_hub(self) if not self.files else _rows_of_files(self.files)
        return _or_outline(found, absent.records)


def source(name: str, field: str = "text", split: str = "train") -> Source:
    """The source of that name: a file, a folder with such files, a dataset's folder, or a name on the hub.

    Raises:
        UserError: there is nothing of that name, or nothing that can be read in it
    """
    path = Path(os.path.expanduser(name))
    if path.is_file():
        if path.suffix not in KINDS:
            raise UserError(f"{path.name} is of no known kind; readable are {', '.join(KINDS)}.")
        return Source(name, (path.resolve(),), field, split)
    if path.is_dir():
        return Source(name, _readable(path), field, split)
    if _is_path(name) or not HUB_NAME.fullmatch(name):
        raise UserError(f"There is no file or folder {name!r}, and it is not the name of a dataset (OWNER/NAME).")  # fmt: skip
    return Source(name, (), field, split)


def _or_outline(found: Iterator[Thing], stand_in: Callable[[], Iterator[Thing]]) -> Iterator[Thing]:
    try:
        yield from found
    except Absent as problem:
        replaceable(problem)
        yield from stand_in()


def _is_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.endswith(KINDS) or name.count("/") > 1


def _readable(folder: Path) -> tuple[Path, ...]:
    """The files in a folder and below it, or the arrow files of a dataset that was saved to disk."""
    kinds = (".arrow",) if (folder / "state.json").is_file() else KINDS
    plain = (path for path in folder.rglob("*") if path.suffix in kinds and path.is_file())
    found = sorted(path.resolve() for path in plain if path.name not in ("state.json", "dataset_info.json"))  # fmt: skip
    if not found:
        raise UserError(f"The folder {folder.name} holds no file that can be read ({', '.join(KINDS)}).")  # fmt: skip
    return tuple(found)


def _hash_of(path: Path) -> str:
    known = path.stat()
    return _hashed(path, known.st_size, known.st_mtime_ns)


@lru_cache(maxsize=256)
def _hashed(path: Path, size: int, changed: int) -> str:
    """SHA-256 of a file, 16 hexadecimal digits; size and time of change only key the cache."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _from_files(files: Iterable[Path], field: str) -> Iterator[str]:
    for path in files:
        if path.suffix in (".txt", ".md"):
            yield from _paragraphs(path)
        else:
            yield from (_text_of(row, field, path.name) for row in _rows_of_files([path]))


def _paragraphs(path: Path) -> Iterator[str]:
    """What stands between blank lines; in a file without any, every line is a document."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        raise UserError(f"{path.name} is not UTF-8 text (byte {problem.start}).") from problem
    parts = re.split(r"\n\s*\n", text) if re.search(r"\n\s*\n\s*\S", text) else text.splitlines()
    return (part.strip() for part in parts)


def _rows_of_files(files: Iterable[Path]) -> Iterator[dict[str, Any]]:
    for path in files:
        if path.suffix in (".parquet", ".arrow"):
            yield from _rows_of_table(path)
        elif path.suffix in (".json", ".jsonl"):
            yield from _rows_of_json(path)
        else:
            raise UserError(f"{path.name} holds plain text; rows are read from JSON or Parquet.")


def _rows_of_table(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as arrow
    from pyarrow import parquet

    if path.suffix == ".parquet":
        batches = parquet.ParquetFile(path).iter_batches()
    else:
        batches = iter(arrow.ipc.open_stream(arrow.memory_map(str(path))))
    for batch in batches:
        yield from batch.to_pylist()


def _rows_of_json(path: Path) -> Iterator[dict[str, Any]]:
    """A list of objects, or an object a line, whatever the file is called."""
    text = path.read_text(encoding="utf-8")
    try:
        if text.lstrip().startswith("["):
            rows = json.loads(text)
        else:
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    except json.JSONDecodeError as problem:
        raise UserError(f"{path.name} is not valid JSON: {problem}.") from problem
    if not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path.name} must hold objects, as a list or one a line.")
    yield from rows


def _text_of(row: dict[str, Any], field: str, where: str) -> str:
    if not isinstance(row.get(field), str):
        raise UserError(f"{where} has no text in a field {field!r}; its fields: {', '.join(row)}.")
    return str(row[field])


def _from_hub(wanted: Source) -> Iterator[str]:
    return (_text_of(row, wanted.field, wanted.name) for row in _rows_of_hub(wanted))


def _rows_of_hub(wanted: Source) -> Iterator[dict[str, Any]]:
    if absent.is_outlining():
        raise Absent(f"The dataset {wanted.name} is read from the hub when the study is submitted.")
    hub.prepare()
    from datasets import load_dataset

    name, _, revision = wanted.name.partition("@")
    name, _, config = name.partition(":")
    try:
        yield from load_dataset(
            name, config or None, split=wanted.split, revision=revision or None, streaming=True
        )
    except (OSError, ValueError, RuntimeError) as problem:
        raise Absent(
            f"The dataset {wanted.name} could not be read from the hub ({type(problem).__name__});"
            " download it and give its folder instead."
        ) from problem
