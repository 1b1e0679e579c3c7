"""Which of this machine's GPUs a slot works on, and how many slots there is room for."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property

from backend.stage import UserError

SHARDINGS = ("none", "full")


@dataclass(frozen=True)
class Devices:
    """So many devices for every run; `sharding` says whether weights in training are spread over them."""

    count: int = 1
    sharding: str = "none"

    @cached_property
    def gpus(self) -> list[str]:
        """The GPUs that this process may use, by the names under which they are given on."""
        return gpus()

    def check(self) -> None:
        """UserError where the machine has fewer GPUs than a run shall have, or one device shall be spread over several."""
        if self.gpus and self.count > len(self.gpus):
            there = "1 GPU" if len(self.gpus) == 1 else f"{len(self.gpus)} GPUs"
            raise UserError(f"--devices {self.count}: this machine has {there}.")
        if self.sharding == "full" and self.count == 1:
            raise UserError(
                "--sharding full spreads a model over devices; give --devices 2 or more."
            )

    def slots(self, most: int) -> int:
        """Runs at a time, where `most` of one device each would be sensible; no GPU is left without one."""
        if self.count == 1:
            return max(most, len(self.gpus))
        return max(1, (len(self.gpus) or most) // self.count)

    def words(self) -> list[str]:
        """What a slot's command has to say about it."""
        if self.count == 1:
            return []
        return ["--devices", str(self.count), "--sharding", self.sharding]

    def environment(self, slot: int) -> dict[str, str]:
        """Variables that show a slot of this number its own GPUs; slots beyond their number share them in turn."""
        return {"CUDA_VISIBLE_DEVICES": ",".join(self.of_slot(slot))} if len(self.gpus) > 1 else {}

    def of_slot(self, slot: int) -> tuple[str, ...]:
        """The GPUs that a slot of this number works on; none where the machine has none."""
        teams = len(self.gpus) // self.count
        first = slot % teams * self.count if teams else 0
        return tuple(self.gpus[first : first + self.count])


def gpus() -> list[str]:
    """The GPUs of this machine, or those that it lets this process see."""
    found = [line for line in _asked("-L") if line.startswith("GPU ")]
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not found or seen is None:
        return [str(number) for number in range(len(found))]
    return [name.strip() for name in seen.split(",") if name.strip() not in ("", "-1")]


def gpu_memory() -> dict[str, int]:
    """Free bytes of every GPU, by its number and by its UUID."""
    lines = _asked("--query-gpu=index,uuid,memory.free", "--format=csv,noheader,nounits")
    rows = [[word.strip() for word in line.split(",")] for line in lines]
    known = [row for row in rows if len(row) == 3 and row[2].isdigit()]
    return {name: int(free) << 20 for number, uuid, free in known for name in (number, uuid)}


def _asked(*words: str) -> list[str]:
    """What NVIDIA's tool answers, by line; nothing where there is none or it fails."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    told = subprocess.run([tool, *words], capture_output=True, text=True, check=False)
    return [] if told.returncode else told.stdout.splitlines()
