"""What a model of arithmetic in text reads: English, problems among it, and problems alone, packed into blocks."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from zlib import crc32

from tokenizers import Tokenizer

from backend.data import Examples
from backend.stage import UserError
from backend.text.languages import sentences
from backend.text.packing import packed
from backend.text.sources import Source, source
from backend.word_problems.mixing import mixed, tokens_a_character
from backend.word_problems.problems import Fact, Numbers, drawn, wording

SAMPLE = "sample"
SENTENCES = 12000  # of the invented language that stands in for English
HELD = 0.05  # share of the documents that is never trained on

Wanted = Callable[[Fact], bool]


@dataclass(frozen=True)
class English:
    """The text that problems are mixed into; which documents are held out follows from their numbers alone."""

    name: str
    field: str
    seed: int

    @cached_property
    def _source(self) -> Source | None:
        return None if self.name == SAMPLE else source(self.name, self.field)

    @property
    def identity(self) -> str:
        """What stands for all documents."""
        return f"{SAMPLE} {SENTENCES}" if self._source is None else self._source.identity

    def kept(self) -> Iterator[str]:
        """The documents that are trained on."""
        return (text for number, text in self._numbered() if not self._is_held(number))

    def held(self) -> Iterator[str]:
        """The documents that are not."""
        return (text for number, text in self._numbered() if self._is_held(number))

    def _numbered(self) -> Iterable[tuple[int, str]]:
        return enumerate(_sample() if self._source is None else self._source.documents())

    def _is_held(self, number: int) -> bool:
        return crc32(f"{self.seed}/text/{number}".encode()) < HELD * 2**32


@cache
def _sample() -> tuple[str, ...]:
    return tuple(sentences("keep", SENTENCES))


@dataclass(frozen=True)
class Stream:
    """So many training problems of some operations."""

    operators: tuple[str, ...]
    count: int
    seed: int
    numbers: Numbers

    @property
    def identity(self) -> str:
        """What stands for all of them."""
        told = (wording(), "".join(self.operators), self.count, self.seed, *self.numbers)
        return ":".join(map(str, told))

    def documents(self, wanted: Wanted | None = None) -> Iterator[str]:
        """The problems as text, those only whose fact is wanted."""
        found = drawn(self.operators, self.count, self.seed, self.numbers)
        return (problem.text for problem in found if wanted is None or wanted(problem.fact))

    def shorter(self, count: int) -> "Stream":
        """Its first so many problems."""
        return replace(self, count=min(count, self.count))


@dataclass(frozen=True)
class Blocks:
    """Packs documents into blocks of so many tokens."""

    tokenizer: Tokenizer
    length: int

    def mixture(self, english: English, problems: Stream, share: float) -> Examples:
        """The problems among text that has `share` of the tokens."""
        return self._packed(
            lambda: mixed(english.kept, problems.documents, share, self.tokenizer),
            f"{english.identity}:{english.seed}:{share} and {problems.identity}",
        )

    def problems(self, problems: Stream, wanted: Wanted | None = None, name: str = "") -> Examples:
        """The problems alone; `name` stands for those that are wanted."""
        return self._packed(lambda: problems.documents(wanted), f"{problems.identity}:{name}")

    def held(self, english: English, tokens: int) -> Examples:
        """About so many tokens of the text that is never trained on.

        Raises:
            UserError: there is none
        """
        found = self._packed(
            lambda: self._first(english, tokens),
            f"{english.identity}:{english.seed}:held {tokens}",
        )
        if not len(found):
            raise UserError(
                f"arithmetic_text: {english.name} has too few documents to hold some out ({HELD:.0%} of them);"
                " give more text, or text_share = 0."
            )
        return found

    def _first(self, english: English, tokens: int) -> Iterator[str]:
        rate, read = tokens_a_character(self.tokenizer, english.held()), 0.0
        for document in english.held():
            if read >= tokens:
                return
            read += rate * len(document)
            yield document

    def _packed(self, documents: Callable[[], Iterable[str]], identity: str) -> Examples:
        return packed(documents, identity, self.tokenizer, self.length, ("all",), lambda *_: "all")["all"]  # fmt: skip
