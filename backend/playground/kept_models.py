"""The models that answer: read from checkpoints whose checksum is right, the last few kept in memory."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from sqlalchemy import Engine

from backend import precision
from backend.cargo import bring_model
from backend.checkpoints import load_model
from backend.data import Task
from backend.engines.local import available_memory
from backend.stage import RunFailed, UserError
from db import reads

MOST = 8
SHARE = 0.25  # of the memory that is free when the process starts


def room() -> int:
    """Bytes that kept models may take."""
    if torch.cuda.is_available():
        return int(SHARE * torch.cuda.mem_get_info()[0])
    return int(SHARE * available_memory())


class KeptModels:
    """Models by fingerprint; the one that was asked longest ago goes first when memory or places run short."""

    def __init__(self, engine: Engine, home: Path, most_bytes: int | None = None, most: int = MOST):
        self.engine, self.home, self.most = engine, home, most
        self.most_bytes = room() if most_bytes is None else most_bytes
        self._held: OrderedDict[str, Any] = OrderedDict()

    def __contains__(self, fingerprint: object) -> bool:
        return fingerprint in self._held

    def get(self, row: Mapping[str, Any], task: Task) -> Any:
        """The finished model of a run's row, in evaluation mode.

        Raises:
            RunFailed: its checkpoint is not there, or is not what was written
        """
        name = str(row["fingerprint"])
        if name not in self._held:
            bring_model(self.engine, self.home, int(row["id"]))
            check_file(self.engine, self.home, row)
            with precision.using(row["precision"]):
                model = load_model(self.home, name, task.model)
            model.eval()
            self._held[name] = model
        self._held.move_to_end(name)
        self._make_room()
        return self._held[name]

    def clear(self) -> None:
        """Keep none."""
        self._held.clear()

    def _make_room(self) -> None:
        """The newest one stays whatever its size: it is about to answer."""
        while len(self._held) > 1 and (
            len(self._held) > self.most or sum(map(size_of, self._held.values())) > self.most_bytes
        ):
            self._held.popitem(last=False)


def size_of(model: Any) -> int:
    """Bytes of a model's weights."""
    return sum(weight.numel() * weight.element_size() for weight in model.parameters())


def row_of(engine: Engine, model: Mapping[str, Any]) -> dict[str, Any]:
    """The run's row of a model that is asked.

    Raises:
        UserError: the run is gone, is another one by now, or is not complete
    """
    row = reads.run(engine, int(model["run"]))
    if row is None or row["fingerprint"] != model["fingerprint"]:
        raise UserError(f"There is no run {model['run']} any more; its study was deleted.")
    if row["state"] != "complete":
        raise UserError(f"Run {row['id']} is {row['state']}; only finished models can be asked.")
    return row


def check_file(engine: Engine, home: Path, row: Mapping[str, Any]) -> None:
    """RunFailed where a run's checkpoint is not the file that was written, whose checksum the database has."""
    files = reads.artifacts(engine, int(row["id"]))
    files = files[files["kind"] == "model"]
    named = f"the checkpoint of run {row['id']} ({row['name']})"
    if files.empty:
        raise RunFailed(
            f"There is no weight file of run {row['id']}: {named} was never stored here."
        )
    path = home / str(files["path"].iloc[0])
    try:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        raise RunFailed(f"The model cannot answer: {named} is missing; it was removed, or the database was copied without its files.") from problem  # fmt: skip
    if found != files["sha256"].iloc[0]:
        raise RunFailed(f"The model cannot answer: {named} is damaged, its checksum is not the one that was noted when it was written.")  # fmt: skip
