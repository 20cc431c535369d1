"""The visual hull: the largest body that no silhouette contradicts. A fast baseline, and where NeuS starts."""

from torch import Tensor

from cellcascade.config.settings import Reconstruction
from cellcascade.geometry.raycast import voxel_points
from cellcascade.reconstruction.base import Problem, view_distance


def visual_hull(problem: Problem, settings: Reconstruction) -> Tensor:
    """Intersect the cones of all silhouettes; signed distances are those of the nearest silhouette.

    Args:
        problem: The cells.
        settings: The resolution is used.

    Returns:
        Volumes `(n, z, y, x)`.
    """
    d = settings.resolution
    points = voxel_points(d, problem.images.device).reshape(-1, 3)
    return view_distance(problem.images, problem.cameras, points).amin(1).reshape(-1, d, d, d)
