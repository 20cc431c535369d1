"""Random spherical-harmonic cells, the training set of the multiview model (paper, section 2).

A cell is a star-shaped body r(theta, phi). Its radius has a random power-law spectrum from degree 2 up (degree 1 only
shifts the centre and would make radii negative), is stretched along random axes and scaled to a random size.
"""

import numpy as np
import pyshtools
import torch

from cellcascade.config.settings import Shapes
from cellcascade.core.logs import progress
from cellcascade.core.seeds import numpy_generator
from cellcascade.data.shards import write_shard
from cellcascade.geometry.cameras import CAMERA_SETS, Cameras
from cellcascade.geometry.raycast import surfaces
from cellcascade.geometry.view_encoding import Surface, depth_images, distance_images

SMALLEST_RADIUS, LARGEST_RADIUS = 0.3, 1.7  # relative to the mean: keeps every cell star-shaped and compact


def random_coefficients(settings: Shapes, generator: np.random.Generator) -> np.ndarray:
    """Draw one cell.

    Args:
        settings: Degree, power law, roughness, elongation and size of the cells.
        generator: Source of randomness.

    Returns:
        Real 4-pi-normalised coefficients of the radius, `(2, degree + 1, degree + 1)`; units of the crop's half width.
    """
    degrees = np.arange(settings.degree + 1, dtype=float)
    power = np.where(degrees >= 2, np.maximum(degrees, 1) ** -settings.power, 0.0)
    rough = pyshtools.SHCoeffs.from_random(power, seed=int(generator.integers(2**31)))
    grid = rough.expand(grid="DH", extend=True)
    bumps = grid.data / grid.data.std() * generator.uniform(*settings.roughness)
    radius = np.clip(1 + bumps, SMALLEST_RADIUS, LARGEST_RADIUS) * _stretch(grid, settings, generator)
    size = generator.uniform(*settings.fill)
    radius *= min(size / radius.mean(), 0.93 / radius.max())
    coefficients = pyshtools.SHGrid.from_array(radius).expand(lmax_calc=settings.degree)
    return coefficients.coeffs


def _stretch(grid: pyshtools.SHGrid, settings: Shapes, generator: np.random.Generator) -> np.ndarray:
    """Radius of a unit sphere stretched along random orthogonal axes, on the grid's directions."""
    axes, _ = np.linalg.qr(generator.standard_normal((3, 3)))
    scale = np.exp(generator.uniform(*np.log(settings.elongation), size=3))
    latitude, longitude = np.meshgrid(np.deg2rad(grid.lats()), np.deg2rad(grid.lons()), indexing="ij")
    ring = np.cos(latitude)
    directions = np.stack([ring * np.cos(longitude), ring * np.sin(longitude), np.sin(latitude)], -1)
    return 1 / np.linalg.norm(directions @ axes / scale, axis=-1)


def radius_grids(coefficients: np.ndarray) -> torch.Tensor:
    """Expand coefficients `(n, 2, l, l)` to radius grids `(n, lat, lon)` of at least 2 degrees spacing."""
    lmax = 44
    grids = [pyshtools.SHCoeffs.from_array(c).expand(grid="DH", extend=True, lmax=lmax).data for c in coefficients]
    return torch.from_numpy(np.stack(grids)).float()


def make_shapes(
    *, settings: dict, views: int, cameras: str, surface: Surface, shapes: tuple[int, int], store: str, seed: int
) -> None:
    """Make a shard of cells with their surface images from all directions.

    Args:
        settings: The `shapes` block.
        views: Number of views besides the input view.
        cameras: Name of the set of cameras.
        surface: What the images show.
        shapes: First shape and the one after the last.
        store: The `spharm/2` shard to write: `views (n, V + 1, c, y, x)` as in `geometry.view_encoding`, the input
            view first, `coeffs (n, 2, l, l)`, `extrinsics (V + 1, 4, 4)` and `intrinsics (V + 1, 3, 4)`.
        seed: Seed of the run.
    """
    block, ids = Shapes(**settings), range(*shapes)
    seen_by = CAMERA_SETS[cameras](views).with_input_view()
    coefficients = np.stack([random_coefficients(block, numpy_generator(seed, "spharm", i)) for i in ids])
    parts = np.array_split(coefficients, -(-len(ids) // 25))
    images = [
        view_images(radius_grids(part), seen_by, surface, block.resolution)
        for part in progress(parts, total=len(parts), what="shape batches")
    ]
    write_shard(
        store,
        schema="spharm/2",
        arrays={
            "views": np.concatenate(images),
            "coeffs": coefficients.astype(np.float32),
            "extrinsics": seen_by.extrinsics.numpy(),
            "intrinsics": seen_by.intrinsics.numpy(),
        },
        attributes={"shapes": list(shapes), "seed": seed},
        items_per_chunk=100,
    )


def view_images(radius: torch.Tensor, cameras: Cameras, surface: Surface, resolution: int) -> np.ndarray:
    """Images `(n, V, c, y, x)` of cells, as in `cellcascade.geometry.view_encoding`, rendered at twice the resolution.

    Args:
        radius: Radius grids `(n, lat, lon)`.
        cameras: V cameras.
        surface: What the images show.
        resolution: Edge of the images, pixels.
    """
    inside, depths = (array.numpy() for array in surfaces(radius, cameras, 2 * resolution))
    distance = distance_images(inside, resolution)[:, :, None]
    if surface == "silhouette":
        return distance
    return np.concatenate([distance, depth_images(inside, depths, resolution)], 2)
