"""The texts in a study that are its author's own: they may name files of this machine, which planning then reads."""

from collections.abc import Iterator, Mapping
from typing import Any

from backend import catalogue
from backend.registry import KINDS

UNREAD = ("name", "question")  # of a study: nothing is looked up by them


def own_words(source: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """The texts in a study's source, sorted, that another source does not have and no part declares."""
    own = {key: value for key, value in source.items() if key not in UNREAD}
    return sorted(set(_texts(own)) - set(_texts(known)) - set(_declared()) - {""})


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def _declared() -> Iterator[str]:
    yield "all"  # of the metrics
    for part in (part for kind in KINDS for part in catalogue.parts(kind)):
        yield part.name
        for parameter in part.parameters:
            yield from _texts([parameter.default, list(parameter.choices)])
