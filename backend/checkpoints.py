"""Checkpoints on disk: safetensors with a header of JSON, written to a temporary name and renamed.

A directory `checkpoints/FINGERPRINT` holds `model.safetensors` once the run is complete and `resume.safetensors` while
it is not. No pickle is ever read.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from backend.patience import is_full, patiently
from backend.shapes import of_shape, stored_shell
from backend.stage import Owner, RunFailed, WrittenFile
from backend.wrapping import rebuilt

MODEL, RESUME = "model.safetensors", "resume.safetensors"
NOT_BEGUN = (-1, 0)
ANYBODY = Owner()


def directory(home: Path, fingerprint: str) -> Path:
    """Where a run's files lie; fingerprints are our own hexadecimal names, never a user's text."""
    assert fingerprint.isalnum(), f"not a fingerprint: {fingerprint!r}"
    return home / "checkpoints" / fingerprint


def write(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Store tensors and header under the name, whole or not at all."""
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        patiently(lambda: _write(path, held, header))
    except (OSError, SafetensorError) as problem:
        raise _explained(problem, path) from problem


def _write(path: Path, held: dict[str, Tensor], header: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(held, temporary, metadata={"lethe": json.dumps(header)})
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _explained(problem: Exception, path: Path) -> Exception:
    if is_full(problem):
        return RunFailed(f"The disk is full: {path.name} could not be written; free some space.")
    return RunFailed(f"{path.name} could not be written: {problem}")


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors (on the CPU) and the header of a file that `write` made."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["lethe"])
        return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118


def tidy(home: Path, fingerprint: str) -> None:
    """Remove what a process left half-written that was killed; only who holds the run may do so."""
    for path in directory(home, fingerprint).glob(".*"):
        path.unlink(missing_ok=True)


def resume_step(home: Path, fingerprint: str, owner: Owner = ANYBODY) -> int:
    """The step after which an interrupted run goes on; 0 where nothing is kept. Reads the header only."""
    return resume_progress(home, fingerprint, owner)[1]


def resume_progress(home: Path, fingerprint: str, owner: Owner = ANYBODY) -> tuple[int, int]:
    """How far the state goes that an interrupted run goes on from: which of its trainings, and the step in it."""
    try:
        with open(directory(home, fingerprint) / RESUME, "rb") as file:
            return progress_in(file, owner)
    except OSError:
        return NOT_BEGUN


def progress_in(file: IO[bytes], owner: Owner = ANYBODY) -> tuple[int, int]:
    """The same of an open file; `NOT_BEGUN` where it is no state of the owner's."""
    try:
        size = int.from_bytes(file.read(8), "little")
        told = json.loads(json.loads(file.read(size))["__metadata__"]["lethe"])
        return (int(told.get("phase", 0)), int(told["step"])) if owner.takes(told) else NOT_BEGUN
    except (KeyError, ValueError):
        return NOT_BEGUN


def save_model(home: Path, fingerprint: str, model: Any) -> WrittenFile:
    """Write the finished model, drop its resume state, and say what was written."""
    path = directory(home, fingerprint) / MODEL
    header = {"config": model.config.to_dict(), "kind": "model"}
    header |= {"wrapper": model.recipe} if hasattr(model, "recipe") else {}
    write(path, {**named_weights(model), **kept_buffers(model)}, header)
    drop_resume(home, fingerprint)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return WrittenFile("model", str(path.relative_to(home)), path.stat().st_size, digest)


def load_model(home: Path, fingerprint: str, model: Any) -> Any:
    """The stored model: the given one filled, or one of the stored shape where that is another, behind its wrapper.

    In the model's place may stand a task's specification of it, from which no source is read: the stored configuration
    has all that counts.

    Raises:
        RunFailed: the file is gone or damaged
    """
    path = directory(home, fingerprint) / MODEL
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["lethe"])
            return _filled(_shell(header, model), header, file)
    except (OSError, SafetensorError, ValueError, KeyError) as problem:
        raise RunFailed(
            f"The checkpoint of an input is missing or damaged ({path.name} of {fingerprint});"
            " retry that run with --fresh."
        ) from problem


def _shell(header: Mapping[str, Any], model: Any) -> Any:
    config = header.get("config", {})
    return stored_shell(config, model) if isinstance(model, Mapping) else of_shape(config, model)


def _filled(model: Any, header: Mapping[str, Any], file: Any) -> Any:
    """The model with the file's weights, one tensor in memory at a time."""
    if "wrapper" in header:
        model = rebuilt(model, header["wrapper"]).to(next(model.parameters()).device)
    kept = kept_buffers(model)
    with torch.no_grad():
        for name, weight in (*model.named_parameters(), *kept.items()):
            weight.copy_(file.get_tensor(name))
    return model


def named_weights(model: Any) -> dict[str, Tensor]:
    """Every parameter once: a tied head is stored as the embedding that it is."""
    return dict(model.named_parameters())


def kept_buffers(model: Any) -> dict[str, Tensor]:
    """What a model keeps beside its parameters and could not compute again from its configuration."""
    known = {id(weight) for weight in model.parameters()}
    state = model.state_dict(keep_vars=True)
    return {name: value for name, value in state.items() if id(value) not in known}


def drop_resume(home: Path, fingerprint: str) -> None:
    """Forget the resume state of a run."""
    (directory(home, fingerprint) / RESUME).unlink(missing_ok=True)
