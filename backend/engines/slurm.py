"""Slurm, through submitit: every run is a job. Before its machine is taken away it keeps its state and returns to our queue."""

import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from backend.engines.attempt import Attempt
from backend.engines.interface import Work
from backend.stage import UserError
from backend.time_limit import TimeLimit
from db.session import home

LOOK_SECONDS = 2.0
ANSWER_SECONDS = 60.0  # that Slurm gets for an answer
OVER = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE", "PREEMPTED"}  # fmt: skip


UNKNOWN = "that it does not know it any more"


@dataclass(frozen=True)
class Options:
    """What a run's job asks Slurm for.

    Args:
        partition: where to run; empty is the cluster's default
        minutes: time limit of a run
        cpus: processors of every run
        gpus: GPUs of every run
        memory_gb: memory of every run
        most: jobs at a time
        warning_seconds: how long before the end of its time a run is told to keep its state
        cluster: `slurm`, or `local` for submitit's processes on this machine
    """

    partition: str = ""
    minutes: int = 240
    cpus: int = 1
    gpus: int = 0
    memory_gb: float = 4.0
    most: int = 8
    warning_seconds: int = 90
    cluster: str = "slurm"


class Cluster:
    """A way into Slurm for a worker's slots."""

    name = "slurm"

    def __init__(self, options: Options):
        self.options = options
        if options.cluster not in ("slurm", "local"):
            raise UserError(f"cluster = {options.cluster!r} must be slurm or local.")
        if options.cluster == "slurm" and shutil.which("sbatch") is None:
            raise UserError("There is no sbatch here: start the worker where jobs of Slurm can be submitted.")  # fmt: skip
        try:
            import cloudpickle  # type: ignore[import-untyped]
            import submitit
        except ImportError as problem:
            raise UserError("submitit is not installed: pip install -r requirements-slurm.txt.") from problem  # fmt: skip
        from backend.engines import attempt

        cloudpickle.register_pickle_by_value(attempt)
        folder = home().absolute() / "logs" / "jobs" / "%j"
        # A run that returns to our queue is another job, so submitit's own count of restarts never matters.
        options_of_slurm = {"max_num_timeout": 100} if options.cluster == "slurm" else {}
        self._executor = submitit.AutoExecutor(folder=folder, cluster=options.cluster, **{f"slurm_{key}": value for key, value in options_of_slurm.items()})  # fmt: skip
        self._executor.update_parameters(**self._parameters())

    def _parameters(self) -> dict[str, Any]:
        held = self.options
        common = {"name": "lethe", "timeout_min": held.minutes, "gpus_per_node": held.gpus, "cpus_per_task": held.cpus, "mem_gb": held.memory_gb}  # fmt: skip
        if held.cluster == "local":
            return common
        partition = {"slurm_partition": held.partition} if held.partition else {}
        return {**common, **partition, "slurm_signal_delay_s": held.warning_seconds}

    def slots(self) -> int:
        """Jobs at a time."""
        return self.options.most

    def start(self, work: Work) -> "_Job":
        """Submit the attempt as a job."""
        limit = TimeLimit(self.options.minutes, self.options.warning_seconds)
        attempt = Attempt(work.command, {**work.environment, **limit.told()}, work.log)
        return _Job(self._executor.submit(attempt), self.options.cluster == "slurm")

    def close(self) -> None:
        """Nothing is held."""


class _Job:
    """Over when its result is there, or when Slurm does not know it any more: there may be no accounting to ask."""

    def __init__(self, job: Any, of_slurm: bool):
        self._job, self._of_slurm = job, of_slurm
        self._looked = time.monotonic()
        self._how = ""

    def poll(self) -> int | None:
        """The run's exit status once it is over, -15 where it left none; what the run came to is in the database."""
        if Path(self._job.paths.result_pickle).exists():
            return self._result()
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return None
        self._looked = time.monotonic()
        state = self._state() if self._of_slurm else "gone" if self._job.done() else None
        if state is None:
            return None
        if Path(self._job.paths.result_pickle).exists():  # written while it was asked
            return self._result()
        self._how = f"its job left no result; Slurm says {state}" if self._of_slurm else ""
        return -15

    def told(self) -> str:
        """What Slurm said of a job that left no status, or what submitit did of one that it could not do."""
        return self._how

    def _result(self) -> int:
        from submitit.core.utils import pickle_load

        outcome, result = pickle_load(self._job.paths.result_pickle)
        if outcome == "success":
            return int(result)
        self._how = f"its job failed with {str(result).strip().splitlines()[-1]}"
        return 1

    def _state(self) -> str | None:
        """Slurm's word for the job's end; None while it goes on, and while Slurm does not answer."""
        asked = ["squeue", "-h", "-t", "all", "-j", str(self._job.job_id), "-o", "%T"]
        try:
            told = subprocess.run(
                asked, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False
            )
        except (subprocess.TimeoutExpired, OSError):
            return None  # a controller that does not answer has forgotten nothing
        words = told.stdout.split()
        if told.returncode or not words:
            return None if told.returncode and "Invalid job id" not in told.stderr else UNKNOWN
        return words[-1] if words[-1] in OVER else None

    def stop(self, hard: bool) -> None:
        """Ask the run to return to the queue as Slurm itself would before it takes the machine, or end the job."""
        if hard:
            self._job.cancel()
        elif self._of_slurm:
            self._job._interrupt()
        else:  # submitit's own process dies of what it should pass on
            for process in psutil.Process(self._job._process.pid).children(recursive=True):
                if "backend" in process.cmdline():
                    process.terminate()
