"""A Ray cluster: runs are done by actors that Ray places by the processors, GPUs and memory that a run needs."""

import logging
import math
import os
import secrets
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from backend.engines.attempt import Serving
from backend.engines.interface import Work
from backend.engines.local import SLOT
from backend.stage import UserError
from db.session import home

PART_OF_GPU = 0.05  # a shared GPU is given in twentieths
PART_OF_MEMORY = 1 << 28  # so that runs of about the same need can have one another's place


@dataclass(frozen=True)
class Share:
    """What a host holds of its node: GPUs, and bytes of memory."""

    gpus: float
    memory: int

    def enough(self, asked: "Share") -> bool:
        """Whether a run that asks for so much can be done here, and does not leave most of it unused."""
        return self.gpus == asked.gpus and asked.memory <= self.memory <= max(
            2 * asked.memory, PART_OF_MEMORY
        )


@dataclass(frozen=True)
class Options:
    """What a run needs, and where the cluster is.

    Args:
        address: of the cluster; `auto` finds the one that this machine belongs to, `local` starts one that asks for a token
        cpus: processors of every run
        gpus: GPUs of every run; a fraction shares one
        memory_gb: memory that Ray sets aside for every run; 0 sets aside what each without a GPU is expected to need
        share_gb: memory of a GPU that runs share, each by what it is expected to need; 0 gives every run its `gpus` whole
        most: runs at a time; 0 is as many as the cluster has room for
        idle_seconds: how long a process without a run keeps its place in the cluster
    """

    address: str = "auto"
    cpus: float = 1.0
    gpus: float = 0.0
    memory_gb: float = 0.0
    share_gb: float = 0.0
    most: int = 0
    idle_seconds: float = 20.0


def share_of(options: Options, need: int, largest: float) -> Share:
    """What of a node a run gets that is expected to need so many bytes, where the largest node has `largest`.

    Memory that no node has is not asked for: the run would wait for ever, and what is expected may be too much.
    """
    if options.share_gb:
        parts = math.ceil(need / options.share_gb / 1e9 / PART_OF_GPU)
        gpus = min(1.0, parts * PART_OF_GPU) if need else 1.0
        return Share(round(gpus, 2), int(min(options.memory_gb * 1e9, largest)))
    # What a run on a GPU needs is the GPU's memory, which comes with the GPU.
    own = 0 if options.gpus else math.ceil(need / PART_OF_MEMORY) * PART_OF_MEMORY
    asked = options.memory_gb * 1e9 or own
    return Share(options.gpus, int(min(asked, largest)))


class Cluster:
    """A connection to the cluster, for a worker's slots."""

    name = "ray"

    def __init__(self, options: Options):
        self.options = options
        if options.address == "local":
            _only_for_us()
        try:
            import ray
            from ray import cloudpickle
        except ImportError as problem:
            raise UserError("Ray is not installed: pip install -r requirements-ray.txt.") from problem  # fmt: skip
        from backend.engines import attempt

        cloudpickle.register_pickle_by_value(attempt)
        self._ray: Any = ray
        address = None if options.address == "local" else options.address
        try:
            kept_quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
            kept_quiet |= {"include_dashboard": False} if address is None else {}
            ray.init(address=address, **kept_quiet)
        except (ConnectionError, RuntimeError, ValueError) as problem:
            raise UserError(f"No Ray cluster at {options.address}: {str(problem).splitlines()[0]}") from problem  # fmt: skip
        self._actor = ray.remote(_Host)
        self._pool = _Pool(options.idle_seconds, ray.kill)

    def slots(self) -> int:
        """Runs that fit into the cluster at a time.

        Raises:
            UserError: no node has what a run needs, so that it would wait for ever
        """
        needs = {**self._devices, "memory": self.options.memory_gb * 1e9}
        room = sum(_fitting(node, needs) for node in self._nodes())
        if not room:
            asked = ", ".join(f"{amount:g} {name}" for name, amount in needs.items() if amount)
            raise UserError(f"No node of the Ray cluster has {asked} for a run.")
        return min(room, self.options.most or room)

    def start(self, work: Work) -> "_Job":
        """Do the attempt on some node: by a host that waits and has enough, else by a new one where there is room."""
        share = share_of(self.options, work.memory, self._largest())
        host = self._pool.take(share) or self._new_host(work, share)
        return _Job(self._ray, host, share, work.line, self._pool)

    @property
    def _devices(self) -> dict[str, float]:
        gpus = PART_OF_GPU if self.options.share_gb else self.options.gpus
        return {"CPU": self.options.cpus, "GPU": gpus}

    def _nodes(self) -> list[dict[str, float]]:
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def _largest(self) -> float:
        """Memory of the largest node that has the processors and GPUs of a run; nodes come and go."""
        fitting = [node for node in self._nodes() if _fitting(node, self._devices)]
        return max((node.get("memory", 0) for node in fitting), default=0)

    def _new_host(self, work: Work, share: Share) -> Any:
        memory = {"memory": share.memory} if share.memory else {}
        # Stopping has to get through while a run is at work.
        kind = self._actor.options(num_cpus=self.options.cpus, num_gpus=share.gpus, max_concurrency=2, max_restarts=0, **memory)  # fmt: skip
        return kind.remote([sys.executable, *SLOT], work.environment, work.log)

    def close(self) -> None:
        """Leave the cluster."""
        self._pool.close()
        self._ray.shutdown()


def _only_for_us() -> None:
    """Whoever reaches a Ray cluster can run code in it, and Ray listens beyond this machine: it shall ask for a token."""
    if "RAY_AUTH_MODE" in os.environ:
        return
    place = home().absolute() / "ray-token"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(place)}


def _fitting(node: dict[str, float], needs: dict[str, float]) -> int:
    return min(math.floor(node.get(name, 0) / amount + 1e-9) for name, amount in needs.items() if amount)  # fmt: skip


class _Host:
    """What lives on the node: a process that does runs."""

    def __init__(self, command: list[str], environment: Mapping[str, str], log: str):
        self.serving = Serving(command, environment, log)

    def do(self, line: str) -> int | None:
        return self.serving.do(line)

    def stop(self) -> None:
        self.serving.stop()


class _Pool:
    """Hosts that have done a run and wait for another; one that waits for long gives its place back."""

    def __init__(self, seconds: float, end: Callable[[Any], None]):
        self._seconds, self._end = seconds, end
        self._idle: dict[Any, tuple[Share, threading.Timer]] = {}
        self._change = threading.Lock()

    def take(self, share: Share) -> Any | None:
        """A host that waits and has enough, which is the caller's from now on.

        Where there is none, one of the others makes room.
        """
        host = self._taken(lambda its: its.enough(share))
        if host is None and (other := self._taken(lambda its: True)) is not None:
            self._end(other)
        return host

    def _taken(self, fits: Callable[[Share], bool]) -> Any | None:
        with self._change:
            host = next((one for one, (share, _) in self._idle.items() if fits(share)), None)
            timer = self._idle.pop(host)[1] if host is not None else None
        if timer is not None:
            timer.cancel()
        return host

    def give(self, host: Any, share: Share) -> None:
        """Let a host wait, which holds so much of its node."""
        timer = threading.Timer(self._seconds, self._tired, [host])
        timer.daemon = True
        with self._change:
            self._idle[host] = share, timer
        timer.start()

    def _tired(self, host: Any) -> None:
        with self._change:
            waiting = self._idle.pop(host, None)
        if waiting is not None:
            self._end(host)

    def close(self) -> None:
        """Send all home."""
        while (host := self._taken(lambda its: True)) is not None:
            self._end(host)


class _Job:
    def __init__(self, ray: Any, host: Any, share: Share, line: str, pool: _Pool):
        self._ray, self._host, self._share, self._pool = ray, host, share, pool
        self._end = host.do.remote(line)
        self._ended: int | None = None

    def poll(self) -> int | None:
        """The exit status once it is over; that of a kill where the node or the host is gone."""
        if self._ended is None:
            done, _ = self._ray.wait([self._end], timeout=0)
            if done:
                self._ended = self._status()
        return self._ended

    def _status(self) -> int:
        try:
            status = self._ray.get(self._end)
        except self._ray.exceptions.RayError:
            status = -9
        if status is None:
            self._pool.give(self._host, self._share)
            return 0
        self._ray.kill(self._host)  # its processors are free from now on
        return int(status)

    def told(self) -> str:
        """Nothing beyond the status."""
        return ""

    def stop(self, hard: bool) -> None:
        """Ask the run to return to the queue, or end it at once."""
        if hard:
            self._ray.kill(self._host)
        else:
            self._host.stop.remote()
