"""What a study asks, in one sentence: of its file, or of the shipped study that it is."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from backend import catalogue, study


def shipped_question(name: str) -> str:
    """What a shipped study asks; empty where none has that name."""
    return str(_shipped(name).get("question", ""))


def question_of(name: str, document: Mapping[str, Any]) -> str:
    """What a stored study asks; empty where nobody said it.

    One that was stored before its file had a question asks what the shipped study of its name does, if its recipes
    are the same.
    """
    source = document.get("source") or {}
    if "question" in source:
        return str(source["question"])
    shipped = _shipped(name)
    same = bool(source) and source.get("recipes") == shipped.get("recipes")
    return shipped_question(name) if same else ""


@lru_cache(maxsize=64)
def _shipped(name: str) -> Mapping[str, Any]:
    return study.load(name) if name in catalogue.studies() else {}
