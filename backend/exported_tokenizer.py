"""The tokenizer of an exported model: the very files of its source, or what the setting cut its text with."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from backend.data import Task
from backend.text.tokenizers import identity_of

FILE = "tokenizer.json"
FILES = (
    FILE,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
)
# The words that stand for special tokens in the tokenizers that there are.
SPECIAL = {
    "bos_token": ("<s>", "<bos>", "<|begin_of_text|>", "<|startoftext|>"),
    "eos_token": ("<end>", "</s>", "<eos>", "<|endoftext|>", "<|end_of_text|>", "<|im_end|>"),
    "pad_token": ("<pad>", "<|pad|>", "[PAD]"),
    "unk_token": ("<unk>", "[UNK]"),
}
# Where tokenizers differ: spaces, lines, digits, apostrophes, other scripts, and words of a small vocabulary.
PROBES = (
    "Who wrote it?  They didn't; see 12 345 notes.\n\n\tÉté, 한국어 - ok",
    "w1 w2 w3",
    "3 + 4 = 7",
)


def write(folder: Path, task: Task, origin: Mapping[str, Any]) -> dict[str, int]:
    """Put the tokenizer's files into a folder; the numbers of its special tokens, by the configuration's names.

    They are the source's own, unchanged, where the task's tokens are the source's; else the task's tokenizer is written,
    or one of its plain words.
    """
    found = {name: path for name in FILES if (path := _of_source(origin, name)) is not None}
    if found and (not task.tokenizer or _same(found.get(FILE), task.tokenizer)):
        for name, path in found.items():
            shutil.copyfile(path, folder / name)
        return {}
    made = _of_text(task.tokenizer) if task.tokenizer else _of_words(task.words)
    made.save_pretrained(folder)
    numbers = {f"{name}_id": getattr(made, f"{name}_id", None) for name in SPECIAL}
    return {name: number for name, number in numbers.items() if number is not None}


def _of_source(origin: Mapping[str, Any], name: str) -> Path | None:
    """A file of the released model that training started from, where it has it still."""
    if not origin:
        return None
    if not origin.get("revision"):
        path = Path(origin["pretrained"]) / name
        return path if path.is_file() else None
    try:
        return Path(hf_hub_download(origin["pretrained"], name, revision=origin["revision"]))
    except (OSError, HfHubHTTPError, ValueError):
        return None


def _same(file: Path | None, text: str) -> bool:
    if file is None:
        return False
    return identity_of(Tokenizer.from_file(str(file))) == identity_of(Tokenizer.from_str(text))


def _of_text(text: str) -> Any:
    made = Tokenizer.from_str(text)
    named = {
        name: next((word for word in words if made.token_to_id(word) is not None), None)
        for name, words in SPECIAL.items()
    }
    chosen = {name: word for name, word in named.items() if word}
    return PreTrainedTokenizerFast(tokenizer_object=made, **chosen)


def _of_words(words: tuple[str, ...]) -> Any:
    """A tokenizer of whole words between spaces, for settings that are written in words."""
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=made)


def misread(folder: Path) -> str:
    """A sentence where transformers' AutoTokenizer cuts text otherwise than the folder's tokenizer.json; else empty.

    For some families it makes the family's own tokenizer from the words alone, whatever the file says.
    """
    if not (folder / FILE).is_file():
        return ""
    plain = Tokenizer.from_file(str(folder / FILE))
    wanted = {text: ids for text in PROBES if (ids := _cut(plain, text)) is not None}
    try:
        opened = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)  # nosec B615 - our folder
        if all(opened(t, add_special_tokens=False).input_ids == wanted[t] for t in wanted):
            return ""
    except Exception:  # noqa: BLE001, S110 # nosec B110 (whatever it is, others will meet it too)
        pass
    return (
        "**Note.** `AutoTokenizer` of transformers reads this model's tokenizer otherwise than it was trained with; use"
        f' `tokenizers.Tokenizer.from_file("{FILE}")` or `PreTrainedTokenizerFast(tokenizer_file="{FILE}")`.'
    )


def _cut(plain: Tokenizer, text: str) -> list[int] | None:
    """A text's tokens; None where a list of words has none for what it does not know."""
    try:
        return list(plain.encode(text, add_special_tokens=False).ids)
    except Exception:  # noqa: BLE001  (the library raises bare exceptions)
        return None
