"""Known bodies and what cameras see of them, for the tests of reconstruction."""

import math

import numpy as np
import torch

from cellcascade.config.settings import Shapes
from cellcascade.core.seeds import numpy_generator
from cellcascade.geometry.raycast import occupancy
from cellcascade.geometry.shapes import radius_grids, random_coefficients, view_images
from cellcascade.geometry.view_encoding import front_and_back
from cellcascade.reconstruction.base import Problem

EDGE = 32


def random_bodies(count, **shapes):
    """Radius grids of random bodies."""
    settings = Shapes(**{"degree": 8} | shapes)
    return radius_grids(np.stack([random_coefficients(settings, numpy_generator(1, i)) for i in range(count)]))


def directions():
    """Unit vectors (lat, lon, 3) on radius grids."""
    latitude, longitude = torch.linspace(90, -90, 45).deg2rad(), torch.linspace(0, 360, 90).deg2rad()
    lat, lon = torch.meshgrid(latitude, longitude, indexing="ij")
    return torch.stack([lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()], -1)


def ellipsoid(*half_axes):
    return 1 / (directions() / torch.tensor(half_axes)).norm(dim=-1)


def dented():
    """A sphere with a dent on each side of the three axes, which no silhouette shows."""
    angles = torch.cat([directions(), -directions()], -1).clamp(-1, 1).acos()
    return 0.7 - 0.5 * torch.exp(-((angles / 0.45) ** 2)).sum(-1)


def seen_by(cameras, radius, surface="depth"):
    """Bodies as a problem, and which voxels they hold."""
    images = torch.from_numpy(view_images(radius, cameras, "depth", EDGE))
    ends, known = front_and_back(images)
    known[:, 0] = False
    depths = ends.where(known[:, :, None], math.nan) if surface == "depth" else None
    problem = Problem(images[:, :, 0], depths, cameras, np.arange(len(radius)), Shapes(degree=8), seed=0)
    return problem, occupancy(radius, EDGE) > 0


def iou(a, b):
    return float((a & b).sum() / (a | b).sum())


def ious(volumes, bodies):
    return np.array([iou(volume > 0, body) for volume, body in zip(volumes, bodies)])
