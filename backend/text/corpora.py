"""Corpora of published benchmarks: several sources in a row, of plain texts and of questions with answers."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

from backend.data import Examples
from backend.language_model import LanguageModel
from backend.stage import UserError
from backend.text.packing import Assign, packed
from backend.text.questions import plain
from backend.text.sources import Source, source

SAMPLE = "sample"
Rows = Callable[[], Iterable[dict[str, Any]]]


@dataclass(frozen=True)
class Corpus:
    """Rows that can be read again and again, and what stands for their contents."""

    name: str
    identity: str
    rows: Rows
    field: str = "text"

    def documents(self) -> Iterator[str]:
        """The text of every row, or its question with its answer."""
        for row in self.rows():
            yield self._text(row)

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
        self,
        model: LanguageModel,
        length: int,
        role: str,
        parts: tuple[str, ...] = ("train",),
        assign: Assign = lambda number, sizes: "train",
        rule: str = "",
    ) -> dict[str, Examples]:
        """The documents as blocks of tokens, those of every part apart; `rule` stands for `assign`.

        Raises:
            UserError: a part has no text
        """
        identity = f"{self.identity}:{role}:{rule}"
        found = packed(self.documents, identity, model.tokenizer, length, parts, assign)
        for part, blocks in found.items():
            if not len(blocks):
                raise UserError(f"{self.name} has too little text for the part {part!r} of {role}.")
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


def held_out(share: float, tokens: int) -> tuple[Assign, str]:
    """Every so-manieth document is held out for validation, the one after it to score, until a part has so many tokens."""
    every = max(2, round(1 / share))
    return partial(_held, every, tokens), f"{every}/{tokens}"


def _held(every: int, tokens: int, number: int, sizes: Any) -> str:
    wanted = {0: "validation", 1: "score"}.get(number % every, "train")
    return "train" if wanted != "train" and sizes[wanted] >= tokens else wanted
