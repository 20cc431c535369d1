"""What this machine has: cores, memory, disk, GPUs. Free of torch."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cellcascade.core.gpus import visible_gpus


@dataclass(frozen=True)
class Machine:
    """What this machine has.

    Attributes:
        cores: Number of cores that this process may use.
        memory: Bytes of memory.
        free: Free bytes on the disk of the results.
        gpus: Names of the GPUs that can be seen.
        gpu_memory: Bytes of memory of the smallest GPU; 0 without a GPU.
    """

    cores: int
    memory: int
    free: int
    gpus: tuple[str, ...] = ()
    gpu_memory: int = 0

    @property
    def has_gpu(self) -> bool:
        """Whether there is a GPU that can be seen."""
        return bool(self.gpus)

    @property
    def text(self) -> str:
        """In words."""
        memory, free = gigabytes(self.memory), gigabytes(self.free)
        return f"{self.cores} cores, {memory} of memory, {self.device}, {free} of disk free"

    @property
    def device(self) -> str:
        """Its GPUs, in words."""
        if not self.has_gpu:
            return "no GPU"
        size = f" of {gigabytes(self.gpu_memory)}" if self.gpu_memory else ""
        return f"{len(self.gpus)} GPU{'s' * (len(self.gpus) > 1)}{size}"


def this_machine(folder: Path) -> Machine:
    """What this machine has; `folder` is where results will be, and need not be there yet."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    gpus = tuple(visible_gpus())
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    return Machine(len(os.sched_getaffinity(0)), memory, free, gpus, _gpu_memory() if gpus else 0)


def gigabytes(count: float) -> str:
    """Bytes in words."""
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _gpu_memory() -> int:
    """Bytes of memory of the smallest GPU; 0 if the driver does not say."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split()
        return min(int(value) for value in listed) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0
