"""Files that somebody gives to be imported: found, measured and read before anything else is done with them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from backend.stage import UserError
from db.writes.guarded import demand

MOST_BYTES = 200_000_000
MOST_FILES = 5_000
MOST_ENTRIES = 200_000  # of a folder, results or not
READ = (".json", ".csv", ".tsv")
PACKED = {b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"\x1f\x8b": "gzip", b"7z\xbc\xaf": "7z"}


@dataclass(frozen=True)
class GivenFile:
    """One file: its place below what was given, and its bytes."""

    path: PurePosixPath
    content: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name

    @cached_property
    def text(self) -> str:
        """The file as text; UserError where it is packed or not UTF-8."""
        for signature, kind in PACKED.items():
            if self.content.startswith(signature):
                raise UserError(f"{self.path} is a {kind} archive; unpack it and give the files.")
        try:
            return self.content.decode("utf-8-sig")
        except UnicodeDecodeError as problem:
            raise UserError(
                f"{self.path} is not UTF-8 text (byte {problem.start}); save it as UTF-8."
            ) from problem

    @cached_property
    def document(self) -> Any:
        """The JSON in it; UserError where it is damaged, cut off, or nested without end."""
        if not self.text.strip():
            raise UserError(f"{self.path} is empty.")
        try:
            return json.loads(self.text)
        except json.JSONDecodeError as problem:
            raise UserError(
                f"{self.path} is not JSON, or is cut off: line {problem.lineno}, {problem.msg}."
            ) from problem
        except RecursionError as problem:
            raise UserError(f"{self.path} is nested too deeply to be a result file.") from problem
        except ValueError as problem:  # a whole number of thousands of digits
            raise UserError(f"{self.path} holds a number that is too long to read.") from problem

    def mapping(self) -> dict[str, Any]:
        """The JSON object in it; UserError where it holds something else."""
        if not isinstance(self.document, dict):
            raise UserError(f"{self.path} holds no JSON object at its top.")
        return self.document

    def object(self) -> dict[str, Any] | None:
        """The JSON object in it, None where there is none: for looking whether a file is of some kind."""
        if self.path.suffix.lower() != ".json":
            return None
        try:
            found = self.document
        except UserError:
            return None
        return found if isinstance(found, dict) else None


@dataclass(frozen=True)
class Given:
    """What one PATH or one upload holds: a name for it, and its files in order."""

    name: str
    files: tuple[GivenFile, ...]

    def called(self, *names: str) -> list[GivenFile]:
        """The files of these names, wherever they lie."""
        return [file for file in self.files if file.name in names]


def from_path(path: Path) -> Given:
    """A file or a folder of this machine.

    Raises:
        Refused: a viewer asks for it
        UserError: it is not there, cannot be read, is too large, or holds nothing that could be a result
    """
    demand("runner", "read files of this machine")
    try:
        inside = path.is_dir()
        if not inside and not path.is_file():
            raise UserError(f"There is no file or folder {path}.")
        places = sorted(_below(path)) if inside else [path]
        _limit(len(places), sum(place.stat().st_size for place in places), str(path))
        root = path if inside else path.parent
        files = [(place.relative_to(root).as_posix(), place.read_bytes()) for place in places]
    except OSError as problem:
        raise UserError(f"{path} cannot be read: {problem.strerror}.") from problem
    whole = path.resolve()
    return from_bytes((whole.name if inside else whole.stem) or "import", files)


def from_bytes(name: str, files: Sequence[tuple[str, bytes]]) -> Given:
    """Uploaded files, each with its name or its path below what was chosen.

    Raises:
        UserError: they are too large, or none could be a result
    """
    _limit(len(files), sum(len(content) for _, content in files), name)
    kept = [
        GivenFile(PurePosixPath(path.replace("\\", "/")), content)
        for path, content in files
        if len(files) == 1 or path.lower().endswith(READ)
    ]
    if not kept:
        raise UserError(f"{name} holds no {', '.join(READ)} file.")
    only = kept[0]
    if len(kept) == 1 and only.path.suffix.lower() not in READ:
        only.text  # noqa: B018 - an archive is refused by its own sentence
        raise UserError(f"{only.path} is none of {', '.join(READ)}.")
    return Given(name, tuple(kept))


def _below(folder: Path) -> Iterator[Path]:
    """The result files below a folder; links out of it are not followed."""
    for seen, place in enumerate(folder.rglob("*")):
        if seen > MOST_ENTRIES:
            raise UserError(f"{folder} holds too much to look through; give the results' folder.")
        if place.suffix.lower() in READ and place.is_file() and not place.is_symlink():
            yield place


def _limit(count: int, size: int, name: str) -> None:
    if count > MOST_FILES:
        raise UserError(f"{name} holds {count} files; at most {MOST_FILES} are read.")
    if size > MOST_BYTES:
        raise UserError(
            f"{name} holds {size / 1e6:.0f} MB; at most {MOST_BYTES / 1e6:.0f} MB are read."
        )
