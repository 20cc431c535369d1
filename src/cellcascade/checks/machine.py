"""What a run asks for, beside what this machine has: device, memory, disk, and the commands of a cluster."""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from cellcascade.checks.finding import Finding
from cellcascade.checks.plan import Stage
from cellcascade.config.datasets import Config, Dataset
from cellcascade.core.machine import Machine, gigabytes
from cellcascade.core.scheduler import missing_commands
from cellcascade.diffusion.priors import prior_folder

BYTES_PER_VOXEL = {1: 1.0, 2: 2.2}  # of an image with labels and its levels, compressed, by bytes of its counts
CELL_BYTES = 1.5  # per pixel of each slice of a synthetic cell, and per voxel of its volume; measured at CE's shape
MODELS = 4e8  # bytes of trained models and their checkpoints
ON_CPU = 1000  # steps of a texture model's training from which on a CPU takes hours; presets/cpu.yaml has 500


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
    elif not machine.gpus and (long := long_trainings(config)):
        yield Finding("no_gpu", f"{machine.device}, and trainings for one: {', '.join(long)}", here)
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


def long_trainings(config: Config) -> list[str]:
    """The data sets whose texture models are trained for so many steps that a CPU takes hours, with these steps."""
    found = []
    for name in dict.fromkeys(map(config.models_of, config.selected)):
        texture = config.datasets[name].texture
        training = texture.tuning if prior_folder(texture.base, "texture") else texture.training
        found += [f"{name} {training.steps} steps of textures"] if training.steps > ON_CPU else []
    return found
