"""What is asked: models, prompts and decoding as plain values, checked, and the key under which answers are found again."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from backend.stage import UserError

MOST_MODELS = 8
MOST_ITEMS = 200
MOST_TOKENS = 512
MOST_CHARACTERS = 20_000

Asked = dict[str, Any]


def decoding(
    temperature: float = 0.0, top_p: float = 1.0, seed: int = 0, max_tokens: int = 64
) -> dict[str, Any]:
    """How answers are drawn, as plain values; at temperature 0 neither top-p nor the seed counts."""
    greedy = temperature == 0
    return {
        "temperature": float(temperature),
        "top_p": 1.0 if greedy else float(top_p),
        "seed": 0 if greedy else int(seed),
        "max_tokens": int(max_tokens),
    }


def free_prompt(prompt: str, expected: str = "", as_question: bool = False) -> dict[str, Any]:
    """A prompt that the reader wrote; `as_question` puts it as the setting puts its questions."""
    told = {"prompt": prompt, "expected": expected}
    clean = {name: text.replace("\x00", "\ufffd") for name, text in told.items()}
    return {"kind": "free", **clean, "as_question": as_question}


def one_item(split: str, item: int) -> dict[str, Any]:
    """One example of a split of the setting."""
    return {"kind": "items", "split": split, "items": [int(item)]}


def a_slice(split: str, count: int) -> dict[str, Any]:
    """So many examples of a split, spread over it evenly."""
    return {"kind": "slice", "split": split, "count": int(count)}


def asked(
    models: Sequence[Mapping[str, Any]], items: Mapping[str, Any], how: Mapping[str, Any]
) -> Asked:
    """A request, checked. Models are {"run", "fingerprint", "label", "role"}, the first the one to compare with.

    Raises:
        UserError: something is out of bounds; the sentence names what was given and what is valid
    """
    if not 1 <= len(models) <= MOST_MODELS:
        raise UserError(
            f"{len(models)} models are chosen; ask between 1 and {MOST_MODELS} at once."
        )
    _check_decoding(how)
    _check_items(items)
    return {
        "models": [dict(model) for model in models],
        "items": dict(items),
        "decoding": dict(how),
    }


def _check_decoding(how: Mapping[str, Any]) -> None:
    bounds = {"temperature": (0, 5), "top_p": (0, 1), "max_tokens": (1, MOST_TOKENS)}
    for name, (low, high) in bounds.items():
        value = how[name]
        if not (math.isfinite(value) and low <= value <= high):
            raise UserError(f"{name} = {value:g} must be between {low} and {high}.")


def _check_items(items: Mapping[str, Any]) -> None:
    if items["kind"] == "free":
        prompt = items["prompt"]
        if not prompt.strip():
            raise UserError("The prompt is empty; write one, or take an example.")
        longest = max(len(prompt), len(items["expected"]))
        if longest > MOST_CHARACTERS:
            raise UserError(f"The prompt has {longest} characters; {MOST_CHARACTERS} is the most.")
    if items["kind"] == "slice" and not 1 <= items["count"] <= MOST_ITEMS:
        raise UserError(f"{items['count']} items are asked for; ask between 1 and {MOST_ITEMS}.")


def key_of(request: Asked) -> str:
    """A hash of all that the answers depend on: 40 hexadecimal digits. Names of models are no part of it."""
    told = {**request, "models": [model["fingerprint"] for model in request["models"]]}
    text = json.dumps(told, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:40]
