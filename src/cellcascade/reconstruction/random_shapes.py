"""Random spherical-harmonic volumes instead of reconstructed ones: the paper's ablation "w/o SyncDreamer"."""

import torch
from torch import Tensor

from cellcascade.config.settings import Reconstruction
from cellcascade.core.seeds import numpy_generator
from cellcascade.geometry.raycast import occupancy
from cellcascade.geometry.shapes import radius_grids, random_coefficients
from cellcascade.reconstruction.base import Problem


def random_volumes(problem: Problem, settings: Reconstruction) -> Tensor:
    """Draw a random shape for each cell and scale it so that its section has the mask's area.

    Args:
        problem: The cells; only the area of the input view is used.
        settings: The resolution is used.

    Returns:
        Volumes `(n, z, y, x)`.
    """
    volumes = []
    for image, cell in zip(problem.images[:, 0], problem.cell_ids):
        coefficients = random_coefficients(problem.shapes, numpy_generator(problem.seed, int(cell)))
        radius = radius_grids(coefficients[None])
        section = (occupancy(radius, settings.resolution)[0].amax(0) > 0).float().mean()
        scale = torch.sqrt((image > 0).float().mean() / section)
        volumes.append(occupancy(radius * min(float(scale), 0.98 / float(radius.max())), settings.resolution)[0])
    return torch.stack(volumes).to(problem.images.device)
