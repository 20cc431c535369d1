"""What this machine has, beside what a run asks for: device, memory, disk, and the commands of a cluster."""

import math
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cellcascade.checks.finding import Finding
from cellcascade.checks.plan import Stage
from cellcascade.config.datasets import Config, Dataset
from cellcascade.core.gpus import visible_gpus
from cellcascade.core.scheduler import missing_commands

BYTES_PER_VOXEL = {1: 1.0, 2: 2.2}  # of an image with labels and its levels, compressed, by bytes of its counts
CELL_BYTES = 1.5  # per pixel of each slice of a synthetic cell, and per voxel of its volume; measured at CE's shape
MODELS = 4e8  # bytes of trained models and their checkpoints


@dataclass(frozen=True)
class Machine:
    """What this machine has.

    Attributes:
        cores: Number of cores that this process may use.
        memory: Bytes of memory.
        free: Free bytes on the disk of the results.
        gpus: Names of the GPUs that can be seen.
    """

    cores: int
    memory: int
    free: int
    gpus: tuple[str, ...]

    @property
    def text(self) -> str:
        """In words."""
        device = f"{len(self.gpus)} GPU{'s' * (len(self.gpus) > 1)}" if self.gpus else "no GPU"
        return f"{self.cores} cores, {gigabytes(self.memory)} of memory, {device}, {gigabytes(self.free)} of disk free"


def this_machine(folder: Path) -> Machine:
    """What this machine has; `folder` is where results will be."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = shutil.disk_usage(folder).free
    return Machine(len(os.sched_getaffinity(0)), memory, free, tuple(visible_gpus()))


def machine_findings(
    machine: Machine, config: Config, *, needed: float, stages: Sequence[Stage], profile: Path | None
) -> Iterator[Finding]:
    """What the machine lacks.

    Args:
        machine: The machine.
        config: The configuration.
        needed: Bytes that the results take.
        stages: The stages of the run, with what they ask for.
        profile: Profile of a cluster that the jobs are sent to; `None` if they run here.
    """
    here = os.uname().nodename
    if profile is not None:
        absent = missing_commands(profile)
        if absent:
            yield Finding("no_scheduler", f"not found on PATH: {', '.join(absent)}", f"{here}, {profile}")
    elif config.device == "cuda" and not machine.gpus:
        yield Finding("gpu_missing", "nvidia-smi lists none", here)
    elif config.device == "auto" and not machine.gpus:
        yield Finding("no_gpu", "nvidia-smi lists none", here)
    large = [stage for stage in stages if stage.mem_mb * 1e6 > machine.memory]
    if large and profile is None:
        asked = ", ".join(f"{stage.rule} {gigabytes(stage.mem_mb * 1e6)}" for stage in large)
        yield Finding("memory", f"{asked}; there are {gigabytes(machine.memory)}", here)
    if needed > machine.free:
        found = f"about {gigabytes(needed)} needed, {gigabytes(machine.free)} free"
        yield Finding("disk", found, str(Path.cwd()))


def disk_needed(data: Dataset, frame_shape: Sequence[int], itemsize: int) -> float:
    """Bytes that a data set's results take, roughly.

    Args:
        data: Its settings.
        frame_shape: Shape of its frames, ([z,] y, x).
        itemsize: Bytes of a count.
    """
    shape, size = data.population.frame_shape or frame_shape, data.crops.size
    slices = 1 if data.ndim == 2 else math.ceil(size * data.voxel_size_um[-1] / data.voxel_size_um[0])
    cell = CELL_BYTES * (slices * size**2 + (data.reconstruction.resolution**3 if data.ndim == 3 else 0))
    return data.images * math.prod(shape) * BYTES_PER_VOXEL[itemsize] + data.cells * cell + MODELS


def gigabytes(count: float) -> str:
    """Bytes in words."""
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
