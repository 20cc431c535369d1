"""Random spherical-harmonic volumes instead of reconstructed ones: the paper's ablation "w/o SyncDreamer"."""

import torch
from torch import Tensor

from cellcascade.reconstruction.base import Problem
from cellcascade.render import occupancy
from cellcascade.seeds import numpy_generator
from cellcascade.settings import Reconstruction
from cellcascade.spharm import radius_grids, random_coefficients


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
