"""What every reconstruction method is given and gives: silhouettes of many cells in, signed distance volumes out."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cellcascade.render import pixel_centres, ray_points
from cellcascade.settings import Reconstruction, Shapes


@dataclass(frozen=True)
class Problem:
    """The cells of a shard, to be reconstructed side by side.

    Attributes:
        images: Signed distance to the silhouette in all views `(n, V + 1, y, x)`, positive inside, in half widths of
            the crop; the input view, which is exact, comes first.
        cameras: Extrinsics `(V + 1, 4, 4)`.
        cell_ids: Indices of the cells `(n,)`.
        shapes: Settings of random shapes, for methods that draw them.
        seed: Seed of this stage and data set; a cell's own numbers hang on its index below it.
    """

    images: Tensor
    cameras: Tensor
    cell_ids: np.ndarray
    shapes: Shapes
    seed: int


class Method(Protocol):
    """A reconstruction method."""

    def __call__(self, problem: Problem, settings: Reconstruction) -> Tensor:
        """Signed distance volumes `(n, z, y, x)`, positive inside, in half widths of the crop."""
        ...


def voxel_points(resolution: int, device: torch.device) -> Tensor:
    """World points of all voxel centres `(z, y, x, 3)`."""
    centres = pixel_centres(resolution).to(device)
    z, y, x = torch.meshgrid(centres, centres, centres, indexing="ij")
    return torch.stack([x, y, z], -1)


def view_distance(images: Tensor, cameras: Tensor, points: Tensor) -> Tensor:
    """Signed distance images read where points project to.

    Args:
        images: `(n, V, y, x)`.
        cameras: Extrinsics `(V, 4, 4)`.
        points: World points `(p, 3)`.

    Returns:
        `(n, V, p)`.
    """
    uv = torch.einsum("vrc,pc->vpr", cameras[:, :2, :3], points)
    read = [
        functional.grid_sample(
            images[:, v, None],
            uv[v][None, None].expand(len(images), -1, -1, -1),
            align_corners=False,
            padding_mode="border",
        )
        for v in range(len(cameras))
    ]
    return torch.cat(read, 1).squeeze(2)


@torch.no_grad()
def reprojection_iou(volumes: Tensor, problem: Problem) -> Tensor:
    """Agreement of the volumes' silhouettes with the images, `(n, V + 1)`.

    Args:
        volumes: `(n, z, y, x)`, positive inside.
        problem: The images and cameras.
    """
    edge = problem.images.shape[-1]
    agreement = []
    for v, camera in enumerate(problem.cameras):
        points = ray_points(camera[None], edge, volumes.shape[-1], reach=1.2)[0]
        grid = points[None].expand(len(volumes), -1, -1, -1, -1)
        seen = (
            functional.grid_sample(volumes[:, None], grid, align_corners=False, padding_mode="border")[:, 0].amax(-1)
            > 0
        )
        wanted = problem.images[:, v] > 0
        union = (seen | wanted).sum((1, 2))
        agreement.append((seen & wanted).sum((1, 2)) / union.clamp(min=1))
    return torch.stack(agreement, 1)
