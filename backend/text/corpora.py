"""Corpora: several sources in a row, of plain texts and of questions with answers, cut into blocks and parts."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any
from zlib import crc32

from backend.data import Examples
from backend.language_model import LanguageModel
from backend.stage import UserError
from backend.text.absent import is_outlining
from backend.text.packing import packed
from backend.text.pretraining import first_rows
from backend.text.questions import plain
from backend.text.sources import Source, source

SAMPLE = "sample"
PARTS = ("train", "validation", "score")
Rows = Callable[[], Iterable[dict[str, Any]]]


@dataclass(frozen=True)
class Held:
    """Which part a document goes to, by its number alone until a held-out part has so many tokens."""

    seed: int
    share: float
    tokens: int

    def part(self, role: str, number: int, sizes: Mapping[str, int]) -> str:
        """`validation` and `score` for a share each, else `train`."""
        draw = crc32(f"{self.seed}/{role}/{number}".encode()) / 2**32
        wanted = "validation" if draw < self.share else "score" if draw < 2 * self.share else ""
        return wanted if wanted and sizes[wanted] < self.tokens else "train"


@dataclass(frozen=True)
class Corpus:
    """Rows that can be read again and again, and what stands for their contents."""

    name: str
    identity: str
    rows: Rows
    field: str = "text"

    def documents(self) -> Iterator[str]:
        """The text of every row, or its question with its answer; empty ones are left out."""
        return (text for row in self.rows() if (text := self._text(row)).strip())

    def only(self, keep: Callable[[dict[str, Any]], bool], rule: str) -> "Corpus":
        """The rows that are kept by the function, for which the rule stands."""
        return replace(
            self, identity=f"{self.identity}:{rule}", rows=lambda: filter(keep, self.rows())
        )

    def without(self, other: "Corpus") -> "Corpus":
        """The rows whose text is not among those of another corpus."""

        def rows() -> Iterator[dict[str, Any]]:
            known = set(other.documents())
            return (row for row in self.rows() if self._text(row) not in known)

        return replace(self, identity=f"{self.identity} without {other.identity}", rows=rows)

    def _text(self, row: dict[str, Any]) -> str:
        text, asked, answer = (row.get(name) for name in (self.field, "question", "answer"))
        if isinstance(text, str):
            return text
        if isinstance(asked, str) and isinstance(answer, str):
            return f"{plain(asked)} {answer}"
        raise UserError(
            f"{self.name} must have rows with a text in the field {self.field!r}, or with question and answer; one has"
            f" {', '.join(row)}."
        )

    def blocks(
        self, model: LanguageModel, length: int, role: str, held: Held | None = None
    ) -> dict[str, Examples]:
        """The documents as blocks of tokens, those of every part apart: all of them `train` where nothing is held out.

        Raises:
            UserError: a part has no text
        """
        identity = f"{self.identity}:{role}:{held or ''}"
        parts = PARTS if held else PARTS[:1]
        assign = partial(held.part, role) if held else _all_train
        found = packed(self.documents, identity, model.tokenizer, length, parts, assign)
        for part, blocks in found.items():
            if not len(blocks) and part != "train" and is_outlining():
                found[part] = first_rows(found["train"], 0.1)
            elif not len(blocks):
                raise UserError(
                    f"{self.name} has too little text: nothing is left for the part {part!r} of {role}; give more text"
                    " or hold out a larger share."
                )
        return found


def generated(name: str, rows: Rows) -> Corpus:
    """The corpus of a sample; its name stands for its contents."""
    return Corpus(SAMPLE, f"{SAMPLE}:{name}", rows)


def of_sources(names: str, field: str = "text", split: str = "train", limit: int = 0) -> Corpus:
    """The rows of several sources, separated by commas, each read up to a limit (0 is none)."""
    found = [source(name.strip(), field, split) for name in names.split(",") if name.strip()]

    def rows() -> Iterator[dict[str, Any]]:
        for one in found:
            yield from islice(_rows(one, field), limit or None)

    identity = "+".join(one.identity for one in found)
    return Corpus(names, f"{identity}:{limit}", rows, field)


def _rows(one: Source, field: str) -> Iterator[dict[str, Any]]:
    """The rows of a source; a text of a text file is a row too."""
    if not one.files:
        return one.records()
    return (row for file in one.files for row in _of_file(str(file), field))


def _of_file(file: str, field: str) -> Iterator[dict[str, Any]]:
    one = source(file, field)
    if file.endswith((".txt", ".md")):
        return ({field: text} for text in one.documents())
    return one.records()


def chosen(setting: str, role: str, name: str, sample: Corpus, field: str, limit: int) -> Corpus:
    """The corpus that a setting's parameter names, which may be its sample.

    Raises:
        UserError: no name is given, or there is nothing of that name
    """
    if not name:
        raise UserError(
            f"{setting}: {role} is empty; give a text, JSON, JSONL or Parquet file, a folder of those, a dataset of the hub, or"
            f" {SAMPLE!r} for an invented one."
        )
    return sample if name == SAMPLE else of_sources(name, field, limit=limit)


def check_shares(setting: str, validation_share: float, attack_share: float) -> None:
    """UserError where a share of the questions, or of what an attacker trains on, leaves a part empty."""
    if not 0 < validation_share < 1:
        raise UserError(f"{setting}: validation_share = {validation_share:g} must be above 0 and below 1; the other questions are scored.")  # fmt: skip
    if attack_share == 0:
        raise UserError(f"{setting}: attack_share = 0 leaves an attacker nothing to train on.")


def _all_train(number: int, sizes: Mapping[str, int]) -> str:
    return "train"
