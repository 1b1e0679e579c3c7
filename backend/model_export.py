"""A finished model as a folder that `from_pretrained` of transformers opens: weights, configuration, tokenizer, card."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers import GenerationConfig

from backend import checkpoints, exported_tokenizer
from backend.architecture import language_model
from backend.data import Task
from backend.stage import RunFailed, UserError

ALONGSIDE = ("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*")


def origin_of(home: Path, fingerprint: str) -> dict[str, Any]:
    """Where the weights that a stored model's training started from come from; empty where they were random.

    Raises:
        UserError: the model is a wrapper, or its file is gone
    """
    header = stored_header(home, fingerprint)
    if "wrapper" in header:
        name = header["wrapper"]["name"]
        raise UserError(
            f"The model is wrapped by {name}: what it answers is made outside of the weights, so a folder for"
            " from_pretrained would hold the model inside, which forgot nothing; export the run that it wraps instead."
        )
    return dict(header["config"].get("origin") or {})


def stored_header(home: Path, fingerprint: str) -> dict[str, Any]:
    """What a checkpoint says of itself, its tensors unread."""
    path = checkpoints.directory(home, fingerprint) / checkpoints.MODEL
    try:
        with safe_open(path, framework="pt") as file:
            return dict(json.loads(file.metadata()["lethe"]))
    except (OSError, SafetensorError, KeyError, ValueError) as problem:
        raise UserError(f"The model's file is gone or damaged: {path}; `retry --fresh` makes it again.") from problem  # fmt: skip


def export(home: Path, fingerprint: str, task: Task, card: str, to: Path) -> list[Path]:
    """Write the folder, whole or not at all; its files in alphabetical order.

    Raises:
        UserError: there is something in that place already
        RunFailed: it cannot be written
    """
    origin = origin_of(home, fingerprint)
    with _appearing(to) as folder:
        model = checkpoints.load_model(home, fingerprint, task.model).cpu().eval()
        special = exported_tokenizer.write(folder, task, origin)
        _save_model(model, special, origin, folder)
        for source in _beside(origin):
            shutil.copy(source, folder / source.name)
        warning = exported_tokenizer.misread(folder)
        text = f"{card}\n{warning}\n" if warning else card
        (folder / "README.md").write_text(text, encoding="utf-8")
    return sorted(path for path in to.iterdir() if path.is_file())


@contextmanager
def _appearing(to: Path) -> Iterator[Path]:
    """A temporary folder that takes its name when the context ends well, and else is gone."""
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UserError(
            f"{to} is there already and not empty; give a folder that is not there yet."
        )
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{to.name}.", dir=to.parent))
    except OSError as problem:
        raise UserError(f"{to} cannot be written: {problem.strerror}.") from problem
    try:
        yield folder
        allowed = ~_umask()
        folder.chmod(0o777 & allowed)
        for path in folder.iterdir():
            path.chmod(0o666 & allowed)  # some of the libraries that write them keep them private
        os.replace(folder, to)
    except OSError as problem:
        raise RunFailed(f"{to} could not be written: {problem}") from problem
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _umask() -> int:
    known = os.umask(0)
    os.umask(known)
    return known


def _save_model(
    model: Any, special: Mapping[str, int], origin: Mapping[str, Any], folder: Path
) -> None:
    inner = language_model(model)
    config = inner.config
    if hasattr(config, "origin"):
        del config.origin  # may be a path of this machine; the card says what others may know
    config.use_cache = True
    for name, number in special.items():
        if getattr(config, name, None) is None:
            setattr(config, name, number)
    inner.generation_config = _generation(origin) or GenerationConfig.from_model_config(config)
    inner.save_pretrained(folder)


def _generation(origin: Mapping[str, Any]) -> Any:
    """How the source's model generates, where it says so."""
    if not origin:
        return None
    try:
        return GenerationConfig.from_pretrained(
            origin["pretrained"], revision=str(origin.get("revision") or "main")
        )
    except OSError:
        return None


def _beside(origin: Mapping[str, Any]) -> list[Path]:
    """The files of a local source that must go with what is made of it: licences and notices."""
    folder = Path(str(origin.get("pretrained", "")))
    if not origin or origin.get("revision") or not folder.is_dir():
        return []
    return sorted(path for pattern in ALONGSIDE for path in folder.glob(pattern) if path.is_file())
