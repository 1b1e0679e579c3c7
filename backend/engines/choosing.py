"""The engine that a name stands for, with its options; engines are found, one file each."""

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Engine

from backend import engines
from backend.engines.devices import Devices
from backend.engines.interface import AnySlot, Cluster
from backend.engines.local import Slot, default_slots
from backend.engines.remote import RemoteSlot
from backend.engines.room import Room
from backend.stage import UserError
from db import reads, writes

LOCAL = "local"


class Here:
    """The slots of this machine: processes that serve one run after another."""

    name = LOCAL

    def __init__(self, devices: Devices):
        self.devices = devices
        self._room = Room(devices)

    def slots(self) -> int:
        """As many as the machine has room for."""
        return self.devices.slots(default_slots())

    def room(self, slot: int, held: Mapping[int, int]) -> int | None:
        """Bytes for a further run on a slot, beside what the runs of other slots need; None for any number."""
        return self._room.left(slot, held)

    def slot(self, number: int, home: Path, database: Engine, log: Path) -> AnySlot:
        """A process of its own."""
        return Slot(number, home, _url(database), log, self.devices)

    def close(self) -> None:
        """Nothing is held."""


class Elsewhere:
    """The slots of a cluster: every run is a job there."""

    def __init__(self, cluster: Cluster):
        self.name, self._cluster = cluster.name, cluster

    def slots(self) -> int:
        """As many as the cluster has room for."""
        return self._cluster.slots()

    def room(self, slot: int, held: Mapping[int, int]) -> int | None:
        """Any number: the cluster sees to it."""
        return None

    def slot(self, number: int, home: Path, database: Engine, log: Path) -> AnySlot:
        """A slot whose runs are jobs of the cluster."""
        return RemoteSlot(number, home, _url(database), log, self._cluster.start, _Book(database))

    def close(self) -> None:
        """Leave the cluster."""
        self._cluster.close()


class _Book:
    """The database as slots elsewhere ask it."""

    def __init__(self, database: Engine):
        self._database = database

    def keep(self, run_id: int, attempt: int, lease_seconds: float) -> bool:
        return writes.heartbeat(self._database, run_id, attempt, lease_seconds) != "lost"

    def state(self, run_id: int, attempt: int) -> str | None:
        row = reads.run(self._database, run_id)
        if row is not None and row["state"] == "running" and row["attempt"] == attempt:
            return None
        ended = "gone" if row is None else str(row["state"])
        return "returned" if ended in ("waiting", "running") else ended

    def give_back(self, run_id: int, attempt: int, reason: str) -> str:
        return writes.hand_back(self._database, run_id, attempt, reason) or "refused"


def _url(database: Engine) -> str:
    return database.url.render_as_string(hide_password=False)


def names() -> list[str]:
    """All engines: this machine, then every file that has a `Cluster`."""
    found = sorted(module.name for module in pkgutil.iter_modules(engines.__path__))
    folder = Path(engines.__path__[0])
    return [LOCAL, *(name for name in found if "\nclass Cluster:" in (folder / f"{name}.py").read_text(encoding="utf-8"))]  # fmt: skip


def chosen(name: str, given: Sequence[str], devices: Devices) -> Here | Elsewhere:
    """The engine of that name with options as KEY=VALUE.

    Raises:
        UserError: there is no such engine or option, a value is none, or the cluster cannot be reached
    """
    if name not in names():
        raise UserError(f"There is no engine {name}; there are {', '.join(names())}.")
    if name == LOCAL:
        if given:
            raise UserError("The local engine has no options; --slots and --devices say what it does.")  # fmt: skip
        return Here(devices)
    module = importlib.import_module(f"backend.engines.{name}")
    return Elsewhere(cast(Cluster, module.Cluster(_options(name, module.Options, given))))


def _options(name: str, kind: Any, given: Sequence[str]) -> Any:
    known: dict[str, Any] = {field.name: type(field.default) for field in fields(kind)}
    values = {}
    for word in given:
        key, equals, value = word.partition("=")
        if key not in known or not equals:
            raise UserError(f"{word!r} is no option of the engine {name}; give KEY=VALUE with one of {', '.join(known)}.")  # fmt: skip
        try:
            values[key] = known[key](value)
        except ValueError as problem:
            raise UserError(f"{key} = {value!r} must be {'a whole number' if known[key] is int else 'a number'}.") from problem  # fmt: skip
    return kind(**values)
