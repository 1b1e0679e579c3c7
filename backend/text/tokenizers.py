"""Tokenizers of the library of that name: trained on the texts at hand, or read from where a checkpoint lies."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers import __version__ as VERSION

from backend.stage import UserError
from backend.text import hub
from backend.text.absent import Absent, is_outlining
from db.session import home

PAD, END = "<pad>", "<end>"  # fills rows up; closes a document or an answer
TRAINED_ON = 200_000  # documents; more change little in a vocabulary
SMALLEST = 258  # all bytes and the two tokens above
ENDS = (END, "<|endoftext|>", "</s>", "<eos>", "<|end_of_text|>", "<|im_end|>")


def trained(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """A byte-level BPE of at most so many tokens, so that no text is unknown; the same texts give the same one.

    Raises:
        UserError: the vocabulary has no room for all bytes
    """
    if vocabulary < SMALLEST:
        raise UserError(f"vocabulary = {vocabulary} must be at least {SMALLEST}: 256 bytes, {PAD} and {END}.")  # fmt: skip
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def kept(texts: Callable[[], Iterable[str]], identity: str, vocabulary: int) -> Tokenizer:
    """The trained tokenizer of the texts that `identity` stands for, read where the data directory has it already."""
    told = f"{identity}/{vocabulary}/{TRAINED_ON}/{VERSION}"
    key = hashlib.sha256(told.encode()).hexdigest()[:20]
    path = home() / "cache" / "tokenizers" / f"{key}.json"
    if identity and path.is_file():
        return Tokenizer.from_file(str(path))
    found = trained(islice(texts(), TRAINED_ON), vocabulary)
    if identity and home().is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(found.to_str(), encoding="utf-8")
        temporary.replace(path)
    return found


def given(name: str, revision: str = "") -> Tokenizer:
    """The tokenizer in a file `tokenizer.json`, in a checkpoint's folder, or of that name on the hub.

    Raises:
        UserError: there is none, or it cannot be read
    """
    path = Path(os.path.expanduser(name))
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        file = _from_hub(name, revision)
    try:
        return Tokenizer.from_file(str(file))
    except Exception as problem:  # the library raises bare exceptions
        raise UserError(f"{file.name} of {name} is no tokenizer of the library `tokenizers`.") from problem  # fmt: skip


def _from_hub(name: str, revision: str) -> Path:
    hub.prepare()
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(
            hf_hub_download(
                name,
                "tokenizer.json",
                revision=revision or None,
                local_files_only=is_outlining(),
            )
        )
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as problem:
        raise Absent(
            f"There is no tokenizer {name!r}: give a tokenizer.json, a folder that has one, or a name that the hub knows"
            f" and that can be reached ({type(problem).__name__})."
        ) from problem


@lru_cache(maxsize=8)
def parsed(text: str) -> Tokenizer:
    """The tokenizer that a task carries as JSON."""
    return Tokenizer.from_str(text)


def words_of(tokenizer: Tokenizer) -> tuple[str, ...]:
    """Every token as the tokenizer writes it, by number; numbers without a token are empty."""
    known = tokenizer.get_vocab(with_added_tokens=True)
    words = [""] * (max(known.values()) + 1)
    for word, number in known.items():
        words[number] = word
    return tuple(words)


def end_of(tokenizer: Tokenizer) -> int:
    """The token that ends a text: ours, or the one that the published tokenizers have under one of their names.

    Raises:
        UserError: it has none
    """
    for word in ENDS:
        number = tokenizer.token_to_id(word)
        if number is not None:
            return int(number)
    raise UserError(f"The tokenizer has no token that ends a text; known are {', '.join(ENDS)}.")


def beginning_of(tokenizer: Tokenizer) -> list[int]:
    """The tokens that it puts in front of every text, Gemma's <bos> say; empty for most."""
    found = tokenizer.encode("a", add_special_tokens=True)
    first = found.special_tokens_mask.index(0) if 0 in found.special_tokens_mask else 0
    return [int(number) for number in found.ids[:first]]


def identity_of(tokenizer: Tokenizer) -> dict[str, Any]:
    """What a tokenizer does, as plain values: two with the same ones cut all texts alike."""
    told = json.loads(tokenizer.to_str())
    return {key: value for key, value in told.items() if key not in ("version", "truncation", "padding")}  # fmt: skip
