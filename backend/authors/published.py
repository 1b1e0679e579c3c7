"""TOFU's questions as they are published, from files, folders or the hub: forget, retain, holdout and utility sets."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backend.authors.facts import Fact, Library
from backend.data import stream
from backend.stage import UserError
from backend.text.sources import Source, source

SETS = ("real_authors", "world_facts")
RETAIN = {"forget01": "retain99", "forget05": "retain95", "forget10": "retain90"}
PER_AUTHOR = 20  # questions about every author, one after another
WRONG, DRAWN = (
    5,
    100,
)  # wrong answers to make where the data have none, and the items among which they are found
WORD = r"[^\W\d_a-z][\w.-]*(?:['’](?!s\b)\w+)?"  # with a capital, O'Hara and Al-Amin included
NAME = re.compile(f"{WORD}(?: {WORD})+")


@dataclass(frozen=True)
class Files:
    """Where the sets are: a name each, empty where there is none. `part` is TOFU's forget set within `dataset`."""

    forget: str = ""
    retain: str = ""
    holdout: str = ""
    real_authors: str = ""
    world_facts: str = ""
    dataset: str = ""
    part: str = ""

    def __bool__(self) -> bool:
        return bool(self.forget or self.part)

    def checked(self) -> "Files":
        """The same with every set of the dataset's part named; UserError where names contradict one another."""
        named = {k: v for k, v in vars(self).items() if k not in ("dataset", "part") and v}
        if not self.part:
            if self.dataset:
                raise UserError("authors: dataset names the folder or dataset that subset is taken from; give subset too, or forget.")  # fmt: skip
            if named and not self.forget:
                raise UserError(f"authors: {', '.join(named)} without forget; give the questions to forget too.")  # fmt: skip
            return self
        if self.forget or self.retain:
            raise UserError(f"authors: subset = {self.part!r} names forget and retain data itself; leave forget and retain empty.")  # fmt: skip
        whole = self.dataset or "locuslab/TOFU"
        configs = {
            "forget": f"{self.part}_perturbed",
            "retain": RETAIN[self.part],
            "holdout": self.part.replace("forget", "holdout"),
            **{name: f"{name}_perturbed" for name in SETS},
        }
        return replace(self, **{k: named.get(k) or _within(whole, v) for k, v in configs.items()})

    @property
    def compared(self) -> str:
        """Where the retain questions are that come with wrong answers; empty without a part."""
        return _within(self.dataset or "locuslab/TOFU", "retain_perturbed") if self.part else ""

    def identity(self) -> str:
        """What stands for the contents of all sets."""
        names = [*(vars(self)[name] for name in ROLES), self.compared]
        return "+".join(_source(name).identity for name in names if name)


ROLES = ("forget", "retain", "holdout", *SETS)


def _within(whole: str, config: str) -> str:
    """One of TOFU's sets in a downloaded folder, or its name on the hub."""
    folder = Path(whole).expanduser()
    if not folder.is_dir():
        name, at, revision = whole.partition("@")
        return f"{name}:{config}{at}{revision}"
    for found in (folder / f"{config}.json", folder / f"{config}.jsonl", folder / f"{config}.parquet", folder / config):  # fmt: skip
        if found.exists():
            return str(found)
    raise UserError(f"authors: the folder {folder.name} has no {config}.json, {config}.parquet or folder {config}.")  # fmt: skip


def _source(name: str) -> Source:
    return source(name, field="question")


def library_of(files: Files, seed: int) -> Library:
    """All facts of the sets, the forget set's not yet divided; those about one author follow one another, 20 each.

    Raises:
        UserError: a set cannot be read, or has no questions and answers
    """
    read = {role: _facts(vars(files)[role], role, seed) for role in ROLES if vars(files)[role]}
    retain = read.get("retain", [])
    if files.compared:
        known = {f.wordings[0]: f for f in _facts(files.compared, "retain", seed)}
        retain = [known.get(fact.wordings[0], fact) for fact in retain]
        retain = [replace(k, author=f.author) for k, f in zip(retain, read["retain"], strict=True)]
    return Library(
        read["forget"],
        retain,
        placebo=read.get("holdout", []),
        around={name: read[name] for name in SETS if name in read},
    )


def _facts(name: str, role: str, seed: int) -> list[Fact]:
    rows = list(_source(name).records())
    if not rows:
        raise UserError(f"authors: {name} holds no questions.")
    for row in rows:
        if not _text(row, "question") or not _text(row, "answer"):
            raise UserError(f"authors: {Path(name).name} has an item without question or answer; its fields: {', '.join(row)}.")  # fmt: skip
    if role in SETS:
        owners = [f"{role} {place}" for place in range(len(rows))]
    else:
        owners = _owners(rows, role)
    wrong = _wrong_answers(rows, owners, seed)
    kind = role.replace("_", " ") if role in SETS else "authors"
    return [
        _fact(row, owner, told, kind) for row, owner, told in zip(rows, owners, wrong, strict=True)
    ]


def _fact(row: dict[str, Any], author: str, wrong: tuple[str, ...], kind: str) -> Fact:
    other = _text(row, "paraphrased_question")
    asked = dict.fromkeys(filter(None, (_text(row, "question"), other)))
    return Fact(author, kind, tuple(asked), _text(row, "answer"), wrong, paraphrase=_text(row, "paraphrased_answer"))  # fmt: skip


def _text(row: dict[str, Any], field: str) -> str:
    """A field's text, without blanks around it; that of the first where it holds several."""
    found = row.get(field)
    if isinstance(found, list):
        found = found[0] if found else ""
    return found.strip() if isinstance(found, str) else ""


def _owners(rows: Sequence[dict[str, Any]], role: str) -> list[str]:
    """The author of every question: blocks of 20 by their number in TOFU (`idx`) or their place, named after whom they name."""
    numbers = [row["idx"] if isinstance(row.get("idx"), int) else i for i, row in enumerate(rows)]
    blocks: dict[int, list[str]] = {}
    for number, row in zip(numbers, rows, strict=True):
        blocks.setdefault(number // PER_AUTHOR, []).append(_text(row, "question"))
    names: dict[int, str] = {}
    for block, questions in blocks.items():
        name = named_in(questions) or f"{role} author {block + 1}"
        names[block] = name if name not in names.values() else f"{name} ({role} {block + 1})"
    return [names[number // PER_AUTHOR] for number in numbers]


def named_in(questions: Iterable[str]) -> str:
    """The name of several words that most of the questions have; empty where none has one."""
    found: Counter[str] = Counter()
    for question in questions:
        names = {name.rstrip(".'’") for name in NAME.findall(question)}
        # A question's first word has its capital from there.
        names |= {name.partition(" ")[2] for name in names if question.startswith(name)}
        found.update(name for name in names if " " in name)
    if not found:
        return ""
    most = max(found.values())
    return max((name for name, count in found.items() if count == most), key=len)


def _wrong_answers(
    rows: Sequence[dict[str, Any]], owners: Sequence[str], seed: int
) -> list[tuple[str, ...]]:
    """Of every question: the wrong answers that the data give, else the right one with another item's entity in it,
    else the answers to questions about others."""
    found: list[tuple[str, ...]] = []
    for place, row in enumerate(rows):
        given = row.get("perturbed_answer", row.get("perturbed_answers"))
        texts = [given] if isinstance(given, str) else given if isinstance(given, list) else []
        made = [str(text).strip() for text in texts if str(text).strip()]
        found.append(tuple(dict.fromkeys(made or _made_up(rows, owners, place, seed))))
    return found


def _made_up(
    rows: Sequence[dict[str, Any]], owners: Sequence[str], place: int, seed: int
) -> list[str]:
    """Answers that are like the right one: entities of as many words are put in first."""
    answer, entity = _text(rows[place], "answer"), _text(rows[place], "entity")
    swapped = bool(entity) and entity in answer
    field = "entity" if swapped else "answer"
    order = stream(seed, "wrong", place).permutation(len(rows))[:DRAWN]
    others = [_text(rows[i], field) for i in order if owners[i] != owners[place]]
    if swapped:
        others.sort(key=lambda other: _unlike(other, entity))
        others = [answer.replace(entity, other, 1) for other in others if other]
    return [text for text in dict.fromkeys(others) if text and text != answer][:WRONG]


def _unlike(one: str, other: str) -> tuple[bool, int]:
    """How little two phrases are alike: in the case of their first letter, then in their numbers of words."""
    return one[:1].isupper() != other[:1].isupper(), abs(one.count(" ") - other.count(" "))
