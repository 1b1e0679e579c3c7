"""The parameters by which every setting of text chooses its model and tokenizer, and what follows from them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer

from backend.pretrained import released
from backend.published import KNOWN
from backend.registry import Count
from backend.sizes import NAMES, size
from backend.stage import UserError
from backend.text import absent, tokenizers
from backend.text.absent import Absent, replaceable

PUBLISHED = 256_000  # words of the tokenizer that the papers use, Gemma-2's

# Left out of fingerprints where they have these values, so that old runs keep their names.
NEUTRAL = {"revision": "", "tokenizer": "", "attention": "auto", "gradient_checkpointing": False}


@dataclass(frozen=True)
class LanguageModel:
    """A model's specification with its tokenizer."""

    spec: dict[str, Any]
    tokenizer: Tokenizer

    @property
    def is_released(self) -> bool:
        """Whether weights come with it."""
        return "pretrained" in self.spec

    def of_task(self) -> dict[str, Any]:
        """What a task says of its model and its words."""
        return {
            "model": self.spec,
            "words": tokenizers.words_of(self.tokenizer),
            "tokenizer": self.tokenizer.to_str(),
            "decode": decoder(self.tokenizer),
        }


def language_model(
    texts: Callable[[], Iterable[str]],
    identity: str = "",
    *,
    model: str = "tiny",
    revision: str = "",
    tokenizer: str = "",
    vocabulary: Count = 2048,
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = "auto",
    gradient_checkpointing: bool = False,
) -> LanguageModel:
    """The model of a setting and the tokenizer that goes with it, which is trained on `texts` where none is given.

    Where `identity` stands for the texts, a trained tokenizer is kept in the data directory.

    Args:
        model: size of a new model (tiny 0.5 M, small 2 M, medium 10 M parameters, gemma2_0.1b, gemma2_0.3b, gemma2_0.6b), or
            the folder or the name of a released one, a causal language model of transformers with safetensors
        revision: branch, tag or commit of a released model on the hub
        tokenizer: a tokenizer.json, a folder with one, or a name on the hub; a released model's own, else one trained here
        vocabulary: tokens of a tokenizer that is trained here
        attention: how attention is computed; auto is the fastest form that the architecture allows
        gradient_checkpointing: compute activations again in the backward pass, for less memory and a third more time
    """
    name = tokenizer or ("" if model in NAMES else model)
    words = 0  # the tokenizer's own number, unless it only stands in for one that is absent
    try:
        cut = _given(name, revision) if name else tokenizers.kept(texts, identity, vocabulary)
    except Absent as problem:
        replaceable(problem)
        cut, words = tokenizers.trained(absent.documents(), tokenizers.SMALLEST), PUBLISHED
    spec = (
        size(model, words or cut.get_vocab_size()) if model in NAMES else _released(model, revision)
    )
    chosen = {"attention": attention, "gradient_checkpointing": gradient_checkpointing}
    return LanguageModel({**spec, **{k: v for k, v in chosen.items() if v != NEUTRAL[k]}}, cut)


def _given(name: str, revision: str) -> Tokenizer:
    return tokenizers.given(name, "" if Path(name).exists() else revision)


def _released(model: str, revision: str) -> dict[str, Any]:
    try:
        return released(model, revision)
    except UserError as problem:
        if model not in KNOWN:
            raise
        replaceable(Absent(str(problem)))
        return {**KNOWN[model], "pretrained": model, "revision": revision}


def decoder(tokenizer: Tokenizer) -> Callable[[Any], str]:
    """Text of a row of tokens, with the special ones as they are written."""

    def decode(ids: Any) -> str:
        return str(tokenizer.decode([int(i) for i in ids], skip_special_tokens=False))

    return decode
