"""Random spherical-harmonic cells, the training set of the multiview model (paper, section 2).

A cell is a star-shaped body r(theta, phi). Its radius has a random power-law spectrum from degree 2 up (degree 1 only
shifts the centre and would make radii negative), is stretched along random axes and scaled to a random size.
"""

import numpy as np
import pyshtools
import torch

from cellcascade.logs import progress
from cellcascade.mask_distance import signed_distance
from cellcascade.render import hemisphere_cameras, silhouettes, with_input_view
from cellcascade.seeds import numpy_generator
from cellcascade.settings import Shapes
from cellcascade.shards import write_shard

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


def distance_images(masks: np.ndarray, resolution: int) -> np.ndarray:
    """Binary images `(..., y, x)` to signed distances averaged to `resolution`, in units of the crop's half width.

    This is the image space of the multiview model: smooth, so that few pixels carry a precise outline.
    """
    edge = masks.shape[-1]
    flat = np.stack([signed_distance(mask) for mask in masks.reshape(-1, edge, edge)]) / (edge / 2)
    step = edge // resolution
    coarse = flat.reshape(-1, resolution, step, resolution, step).mean((2, 4))
    return coarse.reshape(*masks.shape[:-2], resolution, resolution).astype(np.float32)


def make_shapes(*, settings: dict, views: int, shapes: tuple[int, int], store: str, seed: int) -> None:
    """Make a shard of cells with their surface images from all directions.

    Args:
        settings: The `shapes` block.
        views: Number of views besides the input view.
        shapes: First shape and the one after the last.
        store: The `spharm/1` shard to write: `views (n, V + 1, y, x)` signed distances with the input view first,
            `coeffs (n, 2, l, l)`, `cameras (V + 1, 4, 4)`.
        seed: Seed of the run.
    """
    block = Shapes(**settings)
    cameras = with_input_view(hemisphere_cameras(views))
    ids = range(*shapes)
    coefficients = np.stack([random_coefficients(block, numpy_generator(seed, "spharm", i)) for i in ids])
    images = []
    for part in progress(
        np.array_split(coefficients, -(-len(ids) // 25)), total=-(-len(ids) // 25), what="shape batches"
    ):
        masks = silhouettes(radius_grids(part), torch.from_numpy(cameras), 2 * block.resolution)
        images.append(distance_images(masks.numpy(), block.resolution))
    write_shard(
        store,
        schema="spharm/1",
        arrays={"views": np.concatenate(images), "coeffs": coefficients.astype(np.float32), "cameras": cameras},
        attributes={"shapes": list(shapes), "seed": seed},
        items_per_chunk=100,
    )
