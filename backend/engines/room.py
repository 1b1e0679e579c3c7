"""How much memory is left for a further run, on this machine or on the GPUs that its slot works on."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from backend.engines.devices import Devices, gpu_memory
from backend.engines.local import available_memory


@dataclass(frozen=True)
class Room:
    """Bytes for runs: of each GPU, of the machine where there is none; as free as they were when this was made."""

    devices: Devices
    machine: int = field(default_factory=available_memory)
    of_gpu: Mapping[str, int] = field(default_factory=gpu_memory)

    def left(self, slot: int, held: Mapping[int, int]) -> int | None:
        """Bytes for a further run on a slot, where `held` is what the runs of other slots need; None for any number.

        With nothing else at work near it a run may begin whatever it is expected to need: the machine has no more to offer.
        """
        mine = self.devices.of_slot(slot)
        near = [need for other, need in held.items() if self.devices.of_slot(other) == mine]
        size = self._size(mine)
        return None if size is None or not near else size - sum(near)

    def _size(self, gpus: tuple[str, ...]) -> int | None:
        """Of one of the GPUs, which share a run's work: its need is that of the device which needs most. None if unknown."""
        if not gpus:
            return self.machine
        return min((self.of_gpu[name] for name in gpus if name in self.of_gpu), default=None)
