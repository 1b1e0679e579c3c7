"""BibTeX entries of the papers that parts follow: from a part's source to the entry, and from labels to parts."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from backend import catalogue
from backend.catalogue import Part
from backend.registry import KINDS

FILE = Path(__file__).parent / "references.bib"
ARXIV = re.compile(r"\b\d{4}\.\d{4,5}\b")
# Papers that sources name without an arXiv number: words of the source → the entry's key.
NAMED = {
    "Liu et al. 2022 (Continual": "liu2022continual",
    "Lin 2004": "lin2004rouge",
    "nostalgebraist 2020": "nostalgebraist2020interpreting",
    "Zhang et al. 2018": "zhang2018generating",
}
# Parts that follow no paper: a program's definition, or a textbook's.
NOT_CITABLE = {"choice_accuracy_norm", "perplexity"}


@lru_cache(maxsize=1)
def entries() -> dict[str, str]:
    """Every entry's BibTeX by its key, in the file's order."""
    found = re.findall(r"^@\w+\{([^,]+),.*?^\}$", FILE.read_text(), re.MULTILINE | re.DOTALL)
    texts = re.findall(r"^@.*?^\}$", FILE.read_text(), re.MULTILINE | re.DOTALL)
    return dict(zip(found, texts, strict=True))


@lru_cache(maxsize=1)
def _by_number() -> dict[str, str]:
    """Keys by arXiv number."""
    numbers = {key: re.search(r"eprint = \{([^}]+)\}", text) for key, text in entries().items()}
    return {number[1]: key for key, number in numbers.items() if number}


def keys_of(source: str) -> list[str]:
    """The keys of the papers that a source names, those with an arXiv number first; unknown ones are left out."""
    numbered = [_by_number()[one] for one in ARXIV.findall(source) if one in _by_number()]
    named = [key for words, key in NAMED.items() if words in source]
    return list(dict.fromkeys([*numbered, *named]))


def _parts() -> dict[str, list[Part]]:
    """Parts by name and by label; a method and an attack may share one."""
    found: dict[str, list[Part]] = {}
    for kind in KINDS:
        for part in catalogue.parts(kind):
            for word in {part.name, part.label}:
                found.setdefault(word, []).append(part)
    return found


def mentioned(texts: Iterable[str]) -> list[str]:
    """The names and labels of parts in configurations as they are written: `MaxEnt + SAM (ρ 0.1) → UNDO (α 0.2)`."""
    known = _parts()
    pieces = [piece for text in texts for piece in re.split(r" → | \+ ", str(text))]
    words = dict.fromkeys(piece.partition(" (")[0].strip() for piece in pieces)
    return [word for word in words if word in known]


def bibtex(words: Iterable[str]) -> str:
    """The entries of the parts of these names or labels, each once, each under a comment with who needs it."""
    users: dict[str, list[str]] = {}
    known = _parts()
    for word in dict.fromkeys(words):
        for part in known.get(word, []):
            for key in keys_of(part.source):
                if part.label not in users.setdefault(key, []):
                    users[key].append(part.label)
    blocks = [f"% {', '.join(users[key])}\n{entries()[key]}\n" for key in entries() if key in users]
    return "\n".join(blocks)


def of_document(document: Mapping[str, Any]) -> list[str]:
    """The names of a frontier document's parts: its setting, the stages and options of its recipes, attacks, metrics."""
    found = [str(document["setting"]), *(str(attack["name"]) for attack in document["attacks"])]
    for row in document["rows"]:
        for stage in row["stages"]:
            found += [str(stage["name"]), *_options(stage["parameters"])]
        found += [str(name).removeprefix("forget_").removeprefix("retain_") for name in row["metrics"]]  # fmt: skip
    return list(dict.fromkeys(found))


def _options(parameters: Mapping[str, Any]) -> Sequence[str]:
    """The names of the options in a stage's parameters."""
    held = [parameters.get(slot) for slot in ("mask", "optimizer_wrapper", "adapter")]
    return [str(one["name"]) for one in held if isinstance(one, Mapping) and "name" in one]
