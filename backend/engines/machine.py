"""What a machine is at: processor, memory, each GPU's memory, load, temperature and power, and the room on a disk."""

import contextlib
import shutil
from pathlib import Path
from typing import Any

import psutil

WAITING = ("idle", "iowait")
COUNTED_TWICE = ("guest", "guest_nice")  # they are part of user and nice
MILLIWATTS = 1000.0


def machine(load: "Load | None" = None, folder: Path | None = None) -> dict[str, Any]:
    """What the machine is at, in bytes and percent.

    `memory_used`, `memory_total` and `gpus`, each with `name`, `used`, `total`, `busy`, `temperature` (°C) and `power` (watts),
    None for what a card does not tell; with `load` also `cpu`, with a `folder` also `disk_free`. No GPU is listed where
    there is none, or where NVIDIA's library (requirements-gpu.txt) is not installed.
    """
    memory = psutil.virtual_memory()
    told: dict[str, Any] = {
        "memory_used": int(memory.total - memory.available),
        "memory_total": int(memory.total),
        "gpus": _gpus(),
    }
    told |= {"cpu": load()} if load else {}
    with contextlib.suppress(OSError):  # a shared folder that is away for a moment
        told |= {"disk_free": free_disk(folder)[1]} if folder else {}
    return told


class Load:
    """How busy all processors were since it was last asked, in percent; None the first time."""

    def __init__(self) -> None:
        self._before: tuple[float, float] | None = None

    def __call__(self) -> float | None:
        """The percentage since the last call."""
        now, before = _times(), self._before
        self._before = now
        if before is None or now[0] <= before[0]:
            return None
        waited = (now[1] - before[1]) / (now[0] - before[0])
        return round(100.0 * min(1.0, max(0.0, 1.0 - waited)), 1)


def _times() -> tuple[float, float]:
    """Seconds of all processors together since the machine started: all of them, and those in which one had nothing to do."""
    told = psutil.cpu_times()._asdict()
    every = sum(value for name, value in told.items() if name not in COUNTED_TWICE)
    return every, sum(told.get(name, 0.0) for name in WAITING)


def free_disk(folder: Path) -> tuple[Path, int]:
    """Free bytes where the folder lies or would lie, and the nearest place above it that is there."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return place, shutil.disk_usage(place).free


def _gpus() -> list[dict[str, Any]]:
    try:
        import pynvml  # an extra

        pynvml.nvmlInit()
    except Exception:  # no library, no driver or no card: NVML has an error of its own for each
        return []
    return gpus_told_by(pynvml)


def gpus_told_by(nvml: Any) -> list[dict[str, Any]]:
    """The cards that NVIDIA's library knows; what one of them does not tell is None, one without memory is left out."""
    found = []
    with contextlib.suppress(nvml.NVMLError):
        for position in range(nvml.nvmlDeviceGetCount()):
            card = _card(nvml, nvml.nvmlDeviceGetHandleByIndex(position))
            found += [card] if card["total"] else []
    return found


def _card(nvml: Any, handle: Any) -> dict[str, Any]:
    def asked(name: str, *more: Any) -> Any:
        try:
            return getattr(nvml, name)(handle, *more)
        except (
            nvml.NVMLError
        ):  # a card that is divided, or one for screens, does not tell everything
            return None

    memory, busy = asked("nvmlDeviceGetMemoryInfo"), asked("nvmlDeviceGetUtilizationRates")
    power = asked("nvmlDeviceGetPowerUsage")
    name = asked("nvmlDeviceGetName") or "GPU"
    return {
        "name": name.decode() if isinstance(name, bytes) else str(name),
        "used": None if memory is None else int(memory.used),
        "total": None if memory is None else int(memory.total),
        "busy": None if busy is None else int(busy.gpu),
        "temperature": asked("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
        "power": None if power is None else round(power / MILLIWATTS, 1),
    }
