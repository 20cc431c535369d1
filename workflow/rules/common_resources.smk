"""What jobs ask for: memory and time that grow with what they work on. No rules."""

import math
import sys

from cellcascade.config.values import FOLDS
from cellcascade.core.scheduler import absent, no_scheduler


def require_scheduler(executor):
    """End with a message where the commands of the executor's scheduler are missing."""
    if commands := absent(executor):
        sys.exit(str(no_scheduler(executor, commands)))


def scaled(base, each=0, items=lambda wildcards: 0):
    """Resource function: grows with the job's items, and with each attempt after a failure."""
    return lambda wildcards, attempt: math.ceil((base + each * items(wildcards)) * attempt)


def cells(wildcards):
    """Number of cells in the job's shard."""
    start, end = cell_range(wildcards)
    return end - start


def masks_drawn(wildcards):
    """Number of masks that are drawn for the job's shard: with a focus, many are not kept."""
    return cells(wildcards) * (1 + focus(wildcards))


def slices(wildcards):
    """Number of slices to texture in the job's shard: an upper bound, from the height of a round cell."""
    data = entry(wildcards)
    if data.ndim == 2:
        return cells(wildcards)
    spacing = data.slicing.spacing_um or data.voxel_size_um[0]
    return cells(wildcards) * math.ceil(data.crops.size * data.voxel_size_um[-1] / spacing)


def slices_by_work(wildcards):
    """Number of slices to texture in the job's shard; one by a Stable Diffusion model is the work of ten."""
    texture = CONFIG.datasets[CONFIG.models_of(wildcards.dataset)].texture
    large = texture.pretrained and prior_files(texture.base, "texture") is None
    return slices(wildcards) * (10 if large else 1)


def cells_by_voxels(wildcards):
    """Number of cells in the job's shard; one of 128 cubed voxels counts as eight of 64 cubed."""
    return cells(wildcards) * (entry(wildcards).reconstruction.resolution / 64) ** 3


def on_device(gpu, cpu):
    """Minutes per item on a GPU, or on one core where `device: cpu` is configured."""
    return cpu if CONFIG.device == "cpu" else gpu


def images(wildcards):
    """Number of images in the job's shard."""
    start, end = image_range(wildcards)
    return end - start


def shapes(wildcards):
    """Number of shapes in the job's shard."""
    start, end = shape_range(wildcards)
    return end - start


def steps(name):
    """Item function: number of training steps of the block `name`, at most; several times where parts are held out."""

    def count(wildcards):
        settings = getattr(entry(wildcards), name)
        prior = prior_files(settings.base, name) is not None
        return (FOLDS + 1) * settings.tuning.steps if prior else settings.train.steps

    return count
