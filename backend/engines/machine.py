"""What a machine is at: memory, each GPU's memory and load, and the room on a disk."""

import contextlib
import shutil
from pathlib import Path
from typing import Any

import psutil


def machine() -> dict[str, Any]:
    """{"memory_used", "memory_total", "gpus": [{"name", "used", "total", "busy"}]}, bytes, and busy in percent.

    No GPU is listed where there is none, or where NVIDIA's library (requirements-gpu.txt) is not installed.
    """
    memory = psutil.virtual_memory()
    return {
        "memory_used": int(memory.total - memory.available),
        "memory_total": int(memory.total),
        "gpus": _gpus(),
    }


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
    found = []
    with contextlib.suppress(pynvml.NVMLError):
        for position in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(position)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            name = pynvml.nvmlDeviceGetName(handle)
            busy = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu
            told = {"name": name, "used": int(memory.used), "total": int(memory.total)}
            found.append({**told, "busy": int(busy)})
    return found
