"""What a run's process brings from the place that LETHE_ARTIFACTS names, and takes there; without one it does nothing."""

import logging
import re
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from sqlalchemy import Engine

from backend.artifacts import Artifacts, Damaged, artifacts
from backend.patience import patiently
from backend.stage import Cancelled, RunFailed, StageRequest, WrittenFile
from db import reads

PLACE = re.compile(r"checkpoints/[0-9a-zA-Z]+/[\w.]+")  # where a file of a run may lie
LOOK_SECONDS = 60.0  # between two looks for a new state to resume from
SHARE = 9  # after a state was taken there, nine times as long passes before the next one is
LOG = logging.getLogger("lethe")


class _Sink(Protocol):
    lost: bool

    def progress(self, step: int, steps: int, message: str = "") -> None: ...


def bring_model(engine: Engine, home: Path, run_id: int, store: Artifacts | None = None) -> None:
    """See to it that a complete run's model is in the data directory, with the content that the database names.

    Raises:
        RunFailed: it was removed, or is neither here nor there, or the place does not answer
    """
    file = patiently(lambda: reads.model_file(engine, run_id))
    if file is not None and file["removed"]:
        raise RunFailed(f"The model of run {run_id} was removed to make room; `retry {run_id}` makes it again.")  # fmt: skip
    store = store or artifacts()
    if store is None or file is None or not PLACE.fullmatch(file["path"]):
        return
    try:
        store.get(file["sha256"], home / file["path"])
    except FileNotFoundError as problem:
        raise RunFailed(f"The model of run {run_id} is neither here nor at {store.shown}; `artifacts --push` on the machine that trained it takes it there.") from problem  # fmt: skip
    except Damaged as problem:
        raise RunFailed(f"The model of run {run_id} at {store.shown} is damaged: its content is not what was written; `artifacts --push --check` on a machine that has it puts it there anew.") from problem  # fmt: skip


class Cargo:
    """Inputs and outputs of one run at work, and its state to resume from. Use it as a context inside the sink's."""

    def __init__(self, engine: Engine, row: Mapping[str, Any], request: StageRequest, sink: _Sink):
        self.engine, self.home, self.row, self.sink = engine, request.home, row, sink
        self.fingerprint, self.owner, self.store = request.fingerprint, request.owner, artifacts()
        self._state = self.home / "checkpoints" / self.fingerprint / "resume.safetensors"
        self._over = threading.Event()
        self._known: int | None = None  # when the state that lies there was written here
        self._thread = threading.Thread(target=self._watch, name="states", daemon=True)

    def __enter__(self) -> "Cargo":
        self._bring_inputs()
        if self.store is not None:
            self._bring_state(self.store)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        """A run that was told to stop may go on elsewhere, so its last state goes there."""
        if self.store is None:
            return
        self._over.set()
        self._thread.join()
        if isinstance(problem, Cancelled) and not self.sink.lost:
            self._take_state(self.store)

    def take(self, files: Sequence[WrittenFile]) -> None:
        """Store what the run has made, before anybody hears that it is complete.

        Raises:
            RunFailed: the place does not answer for long
        """
        for file in files if self.store is not None else ():
            assert self.store is not None
            self.sink.progress(0, 0, f"storing the {file.kind} at {self.store.shown}")
            if not self.store.put(self.home / file.path, file.sha256, anew=True):
                raise RunFailed(f"The {file.kind} of this run was changed before it was stored; retry it.")  # fmt: skip

    def forget_state(self) -> None:
        """The run is complete: nothing goes on from its state."""
        if self.store is not None:
            try:
                self.store.drop_state(self.fingerprint)
            except RunFailed as problem:
                LOG.warning("A state stays that nobody needs: %s", problem)

    def _bring_inputs(self) -> None:
        """Every model that the run starts from; without a place one that is here is taken as it is."""
        parent = [(self.row["parent"]["id"], self.row["parent"]["fingerprint"])] if self.row["parent"] else []  # fmt: skip
        inputs = [one for given in self.row["inputs"].values() for one in given]
        for run, fingerprint in dict.fromkeys((*parent, *inputs)):
            if self.store is not None:
                self.sink.progress(0, 0, f"fetching the model of run {run}")
            elif (self.home / "checkpoints" / fingerprint / "model.safetensors").exists():
                continue
            bring_model(self.engine, self.home, run, self.store)

    def _bring_state(self, store: Artifacts) -> None:
        """The state from there where it is further than the one here."""
        from backend.checkpoints import progress_in, resume_progress

        theirs = store.read_state(self.fingerprint, lambda file: progress_in(file, self.owner))
        if theirs is not None and theirs > resume_progress(self.home, self.fingerprint, self.owner):
            store.get_state(self.fingerprint, self._state)
            self._known = self._written()

    def _watch(self) -> None:
        """Take every new state there, for at most a tenth of the time."""
        assert self.store is not None, "the thread is started for a place only"
        store, pause = Artifacts(self.store.address, connect=False), LOOK_SECONDS
        while not self._over.wait(pause):
            before = time.monotonic()
            self._take_state(store)
            pause = max(LOOK_SECONDS, SHARE * (time.monotonic() - before))

    def _take_state(self, store: Artifacts) -> None:
        written = self._written()
        if written is None or written == self._known:
            return
        try:
            store.put_state(self.fingerprint, self._state)
        except (RunFailed, OSError) as problem:
            if isinstance(problem, FileNotFoundError) and self._written() is None:
                return  # the run came to its end, and dropped it
            LOG.warning("The state to resume from is on this machine only: %s", problem)
        else:
            self._known = written

    def _written(self) -> int | None:
        try:
            return self._state.stat().st_mtime_ns
        except FileNotFoundError:
            return None
