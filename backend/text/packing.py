"""Documents as blocks of tokens: joined, cut without loss, and kept in memory-mapped files named by their content."""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tokenizers import Tokenizer

from backend.data import IGNORE, Examples
from backend.text.tokenizers import end_of, identity_of
from db.session import home

AT_ONCE = 1000  # documents that are tokenised at a time
TOKEN = np.dtype("<i4")
Assign = Callable[
    [int, Mapping[str, int]], str
]  # a document's number, tokens by part so far → its part


def packed(
    documents: Callable[[], Iterable[str]],
    identity: str,
    tokenizer: Tokenizer,
    length: int,
    parts: Sequence[str],
    assign: Assign,
) -> dict[str, Examples]:
    """Blocks of so many tokens of every part's documents, which follow one another with the end token between.

    Every token but a part's first is the target of exactly one position, so no tail is lost: only the last block of a part
    is filled up. Where the data directory exists, the blocks are kept there in files named after `identity` (which stands
    for documents and assignment), tokenizer and length, and are mapped into memory from then on.
    """
    told = {"text": identity, "tokenizer": identity_of(tokenizer), "length": length}
    key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:20]
    folder = home() / "cache" / "text" / key

    def write(files: Mapping[str, BinaryIO]) -> None:
        written = {
            part: _Writer(files[f"{part}.inputs"], files[f"{part}.targets"]) for part in parts
        }
        sizes = dict.fromkeys(parts, 0)
        for number, tokens in enumerate(_tokens(documents(), tokenizer)):
            part = assign(number, sizes)
            written[part].add(tokens)
            sizes[part] += len(tokens)
        for one in written.values():
            one.close(length)

    names = [f"{part}.{kind}" for part in parts for kind in ("inputs", "targets")]
    if not home().is_dir():  # who only looks leaves nothing behind
        held = {name: io.BytesIO() for name in names}
        write(held)
        arrays = {name: np.frombuffer(file.getbuffer(), TOKEN) for name, file in held.items()}
    else:
        if not folder.is_dir():
            _store(folder, names, write)
        arrays = {name: _mapped(folder / name) for name in names}
    return {
        part: Examples(
            arrays[f"{part}.inputs"].reshape(-1, length),
            arrays[f"{part}.targets"].reshape(-1, length),
            identity=f"{key}/{part}",
        )
        for part in parts
    }


class _Writer:
    """Inputs and targets of a part as its documents come: the same tokens, the targets one position earlier."""

    def __init__(self, inputs: BinaryIO, targets: BinaryIO):
        self.inputs, self.targets, self.tokens = inputs, targets, 0

    def add(self, tokens: np.ndarray) -> None:
        self.inputs.write(tokens.tobytes())
        self.targets.write(tokens[0 if self.tokens else 1 :].tobytes())
        self.tokens += len(tokens)

    def close(self, length: int) -> None:
        """Fill the last block up; the very last token is nobody's context."""
        places = max(self.tokens - 1, 0)
        missing = -places % length
        self.inputs.truncate(places * TOKEN.itemsize)
        self.inputs.seek(0, io.SEEK_END)
        self.inputs.write(np.zeros(missing, TOKEN).tobytes())
        self.targets.write(np.full(missing, IGNORE, TOKEN).tobytes())


def _tokens(documents: Iterable[str], tokenizer: Tokenizer) -> Iterator[np.ndarray]:
    """The tokens of every document, closed by the end token."""
    end, remaining = end_of(tokenizer), iter(documents)
    while some := list(islice(remaining, AT_ONCE)):
        for found in tokenizer.encode_batch_fast(some, add_special_tokens=False):
            yield np.array([*found.ids, end], TOKEN)


def _store(
    folder: Path, names: Sequence[str], write: Callable[[Mapping[str, BinaryIO]], None]
) -> None:
    """Write all files under a name of their own, then rename: the folder is there whole or not at all."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    temporary.mkdir(parents=True, exist_ok=True)
    try:
        with ExitStack() as opened:
            write({name: opened.enter_context(open(temporary / name, "w+b")) for name in names})
        temporary.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was first, with the same contents
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _mapped(path: Path) -> np.ndarray:
    if not path.stat().st_size:  # an empty file cannot be mapped
        return np.zeros(0, TOKEN)
    return np.memmap(path, dtype=TOKEN, mode="r")
