"""One request, from its plain values to the document of its answers."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from sqlalchemy import Engine

from backend.data import Task
from backend.playground import requests
from backend.playground.answering import (
    answers_of,
    is_wrapped,
    probabilities_of,
    text_of,
    token_texts,
)
from backend.playground.encoding import end_token
from backend.playground.items import Item, items_of
from backend.playground.kept_models import KeptModels, row_of
from backend.recipe import task_of
from backend.stage import UserError

EXPECTED, FIRST = "the expected answer", "the first model's answer"


class Report(Protocol):
    """Where a request says how far it is; it raises where nobody wants the answers any more."""

    def __call__(self, done: int, total: int, message: str) -> None:
        """Say it."""


def answered(
    engine: Engine, kept: KeptModels, asked: Mapping[str, Any], report: Report
) -> dict[str, Any]:
    """The answers of all models: {"items", "models", "reference", "end", "device", "seconds"}.

    An item is {"prompt", "expected", "category", "subject", "place", "reference": texts of its tokens, "answers"}; the
    answers come in the order of the models, each as `backend.playground.answering` gives it with `log_p` and `likeliest`.
    Log-probabilities are of the expected answer, or of what the first model says where none is known.

    Raises:
        UserError, RunFailed: it cannot be answered; one sentence says why
    """
    started = time.monotonic()
    requests.asked(asked["models"], asked["items"], asked["decoding"])
    rows = [row_of(engine, model) for model in asked["models"]]
    settings = {row["setting"]["content_hash"] for row in rows}
    if len(settings) > 1:
        raise UserError("The models are of several settings; ask models of one study at once.")
    report(0, 1, "reading the setting's data")
    task = task_of(rows[0]["setting"])
    items = items_of(task, rows[0]["setting"], asked["items"])
    told = _Told(task, items, asked, report)
    for row, model in zip(rows, asked["models"], strict=True):
        told.add(kept, row, str(model["label"]))
    return {**told.document(), "seconds": time.monotonic() - started}


class _Told:
    """Collects what model after model says to the same items."""

    def __init__(self, task: Task, items: Sequence[Item], asked: Mapping[str, Any], report: Report):
        self.task, self.items, self.asked, self.report = task, items, asked, report
        self.references = [item.expected for item in items]
        self.total, self.done = 2 * len(items) * len(asked["models"]), 0
        self.answers: list[list[dict[str, Any]]] = []
        self.models: list[dict[str, Any]] = []

    def add(self, kept: KeptModels, row: Mapping[str, Any], label: str) -> None:
        """Ask one more model."""
        loading = "" if row["fingerprint"] in kept else "loading "
        self.report(self.done, self.total, f"{loading}{label}")
        model = kept.get(row, self.task)
        check = self._check(label)
        found = answers_of(model, self.task, self.items, self.asked["decoding"], check)
        if not self.answers:
            self._refer_to(found)
        told = probabilities_of(model, self.items, self.references, check)
        for answer, more in zip(found, told, strict=True):
            answer["log_p"] = more["log_p"]
            answer["likeliest"] = token_texts(self.task, more["likeliest"])
            answer["tokens"] = len(answer["tokens"])
        self.answers.append(found)
        where = next(model.parameters()).device
        self.models.append({"wrapped": is_wrapped(model), "device": where.type})

    def _check(self, label: str) -> Callable[[int], None]:
        def check(items: int) -> None:
            self.report(self.done, self.total, label)
            self.done = min(self.total, self.done + items)

        return check

    def _refer_to(self, found: Sequence[Mapping[str, Any]]) -> None:
        """Where no answer is expected, the first model's counts as one."""
        for place, answer in enumerate(found):
            if not len(self.references[place]):
                self.references[place] = np.array(answer["tokens"], dtype=np.int64)

    def document(self) -> dict[str, Any]:
        """What is stored."""
        end = end_token(self.task)
        return {
            "items": [self._item(place) for place in range(len(self.items))],
            "models": self.models,
            "reference": EXPECTED if len(self.items[0].expected) else FIRST,
            "end": "" if end is None else text_of(self.task, [end]),
        }

    def _item(self, place: int) -> dict[str, Any]:
        item = self.items[place]
        reference = [int(token) for token in self.references[place]]
        return {
            "prompt": text_of(self.task, item.question),
            "expected": text_of(self.task, item.expected) if len(item.expected) else None,
            "category": item.category,
            "subject": item.subject,
            "place": item.place,
            "reference": token_texts(self.task, reference),
            "answers": [answers[place] for answers in self.answers],
        }
