"""Random spherical-harmonic cells, the training set of the multiview model (paper, section 2).

A cell is a star-shaped body r(theta, phi). Its radius has a random power-law spectrum from degree 2 up (degree 1 only
shifts the centre and would make radii negative), is stretched along random axes and scaled to a random size.
"""

from pathlib import Path

import numpy as np
import pyshtools
import torch

from cellcascade.config.settings import Shapes
from cellcascade.core.logs import progress
from cellcascade.core.seeds import numpy_generator
from cellcascade.data.stores import SHAPES, ShapesRecord
from cellcascade.geometry.cameras import CAMERA_SETS, Cameras
from cellcascade.geometry.raycast import surfaces
from cellcascade.geometry.view_encoding import Surface, depth_images, distance_images

SMALLEST_RADIUS, LARGEST_RADIUS = 0.3, 1.7  # relative to the mean: keeps every cell star-shaped and compact
RENDERED_AT_ONCE = 25  # cells
SHARED = "shared"  # in place of a data set's name: shapes belong to none, and lie in results/shared


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
    shortest, longest = np.log(settings.elongation)
    scale = np.exp(generator.uniform(shortest, longest, size=3))
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
    *, settings: Shapes, views: int, cameras: str, surface: Surface, shapes: tuple[int, int], store: Path, seed: int
) -> None:
    """Stage `shapes`: make a shard of random cells with their surface images from all directions.

    Args:
        settings: The `shapes` block.
        views: Number V of views besides the input view.
        cameras: Name of the set of cameras.
        surface: What the images show.
        shapes: First shape and the one after the last.
        store: The shard to write, `SHAPES`: images of V + 1 views, the input view first.
        seed: Seed of the run.
    """
    seen_by = CAMERA_SETS[cameras](views).with_input_view()
    drawn = [random_coefficients(settings, numpy_generator(seed, "spharm", i)) for i in range(*shapes)]
    coefficients = np.stack(drawn)
    arrays = {
        "views": shape_images(coefficients, seen_by, surface, settings.resolution),
        "coeffs": coefficients.astype(np.float32),
        "extrinsics": seen_by.extrinsics.numpy(),
        "intrinsics": seen_by.intrinsics.numpy(),
    }
    SHAPES.write(store, arrays, ShapesRecord(dataset=SHARED, seed=seed, digests={}, shapes=shapes))


def shape_images(coefficients: np.ndarray, cameras: Cameras, surface: Surface, resolution: int) -> np.ndarray:
    """Images `(n, V, c, y, x)` of cells from their coefficients `(n, 2, l, l)`, a few at a time; see `view_images`."""
    parts = np.array_split(coefficients, -(-len(coefficients) // RENDERED_AT_ONCE))
    images = [
        view_images(radius_grids(part), cameras, surface, resolution)
        for part in progress(parts, total=len(parts), what="shape batches")
    ]
    return np.concatenate(images)


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
