"""Made-up cells, a made-up background and the stores that images are composed of: no data are needed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from cellcascade.core.seeds import numpy_generator
from cellcascade.data.stores import BACKGROUND, CROPS, TEXTURES, BackgroundRecord, CropsRecord, TexturesRecord
from cellcascade.population.noise import LAGS, SCORES

LEVEL, SPREAD, SIGNAL = 300.0, 12.0, 600.0  # background, its noise, and cells above it, counts
BUMPS = range(2, 7)  # waves along an outline
GRAIN = 1.5  # Gaussian width of the texture, pixels
KINDS = 60  # cells of the library


@dataclass(frozen=True)
class Scene:
    """Images to compose.

    Attributes:
        shape: ([z,] y, x), pixels.
        cells: Cells of an image.
        radius: Mean radius of a cell, pixels.
        spacing: Distance of slices, pixels of y and x.
    """

    shape: tuple[int, ...]
    cells: int
    radius: float
    spacing: float = 1.0

    @property
    def ndim(self) -> int:
        """2 or 3."""
        return len(self.shape)


@dataclass(frozen=True)
class Inputs:
    """Stores that `make_images` reads."""

    textures: list[Path]
    background: Path
    crops: Path


def write_inputs(folder: Path, scene: Scene) -> Inputs:
    """Write a library of cells, a background model and a crops store for a scene."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Inputs([folder / "textures.zarr.zip"], folder / "background.zarr.zip", folder / "crops.zarr.zip")
    generator = numpy_generator(0, "population", scene.ndim, str(scene.radius))
    masks = [make_mask(scene, generator) for _ in range(KINDS)]
    _write_textures(made.textures[0], masks, generator)
    _write_background(made.background, scene)
    widest = [mask[len(mask) // 2] for mask in masks]
    record = CropsRecord(
        dataset="made-up",
        seed=0,
        digests={},
        sequence="01",
        voxel_size_um=((scene.spacing * 0.2,) if scene.ndim == 3 else ()) + (0.2, 0.2),
        window=(0.0, 2000.0),
        frame_shape=scene.shape,
        frame_dtype="uint16",
        frames=(0,),
        cut_by_border=(True,) * scene.ndim,
        cells_per_frame=(scene.cells,),
        cells_per_slice=(),
    )
    arrays = {
        "image": np.stack([_textured(mask, generator) for mask in widest]),
        "mask": np.stack(widest).astype(np.uint8),
        "frame": np.zeros(KINDS, np.int32),
        "label": np.arange(1, KINDS + 1, dtype=np.int32),
        "z": np.zeros(KINDS, np.int32),
        "widest": np.ones(KINDS, np.uint8),
        "area_ratio": np.ones(KINDS, np.float32),
        "brightness": np.full(KINDS, LEVEL + SIGNAL, np.float32),
        "background": np.full(KINDS, LEVEL, np.float32),
    }
    CROPS.write(made.crops, arrays, record)
    return made


def make_mask(scene: Scene, generator: np.random.Generator) -> np.ndarray:
    """A bumpy cell in its crop, (z, y, x), boolean: in 3D thinner towards its end slices."""
    edge = int(3.6 * scene.radius) // 2 * 2
    radius = scene.radius * generator.uniform(0.8, 1.2)
    y, x = np.indices((edge, edge)) - (edge - 1) / 2
    angle, outline = np.arctan2(y, x), np.ones((edge, edge))
    for wave in BUMPS:
        outline += generator.normal(0, 0.2 / wave) * np.cos(wave * angle + generator.uniform(0, 2 * np.pi))
    depth = ndimage.distance_transform_edt(np.hypot(y, x) < radius * np.clip(outline, 0.3, 1.6))
    if scene.ndim == 2:
        return (depth > 0)[None]
    slices = max(1, 2 * round(scene.radius / scene.spacing * 0.8) - 1)
    height = np.linspace(-1, 1, slices + 2)[1:-1, None, None]
    return depth > depth.max() * (1 - np.sqrt(1 - height**2))


def _textured(mask: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Counts of a cell on its background, uint16, of the mask's shape."""
    grain = ndimage.gaussian_filter(generator.standard_normal(mask.shape), (0,) * (mask.ndim - 2) + (GRAIN, GRAIN))
    signal = ndimage.gaussian_filter(np.where(mask, SIGNAL, 0.0), (0,) * (mask.ndim - 2) + (1, 1))
    return np.rint(np.maximum(LEVEL + signal * (1 + grain) + generator.normal(0, SPREAD, mask.shape), 0)).astype(
        np.uint16
    )


def _write_textures(path: Path, masks: list[np.ndarray], generator: np.random.Generator) -> None:
    arrays = {
        "image": np.stack([_textured(mask, generator) for mask in masks]),
        "mask": np.stack(masks).astype(np.uint8),
        "n_slices": np.full(KINDS, len(masks[0]), np.int32),
        "cell_id": np.arange(KINDS, dtype=np.int32),
        "valid": np.ones(KINDS, np.uint8),
    }
    record = TexturesRecord(dataset="made-up", seed=0, digests={}, background=LEVEL, redraws=0)
    TEXTURES.write(path, arrays, record)


def _write_background(path: Path, scene: Scene) -> None:
    """An uneven field, with noise that grows with it and correlates over a few pixels."""
    generator = numpy_generator(0, "population", "background")
    fields = LEVEL * generator.uniform(0.8, 1.2, (4, *(1,) * (scene.ndim - 2), 16, 16))
    levels = np.linspace(0.8, 1.2, 16, dtype=np.float32) * LEVEL
    lags = np.meshgrid(*(np.arange(-reach, reach + 1) for reach in LAGS[-scene.ndim :]), indexing="ij")
    arrays = {
        "fields": fields.astype(np.float32),
        "levels": levels,
        "residuals": (SPREAD * np.sqrt(levels / LEVEL)[:, None] * SCORES).astype(np.float32),
        "thing_image": np.zeros((0, 1, 8, 8), np.uint16),
        "thing_mask": np.zeros((0, 1, 8, 8), np.uint8),
        "thing_slices": np.zeros(0, np.int32),
        "thing_border": np.zeros((0, 2), np.int8),
        "correlation": np.exp(-sum(lag**2 for lag in lags) / (2 * 0.8**2)).astype(np.float32),
    }
    facts = {"frame_shape": scene.shape, "largest": 65535, "z_decay": 0.4 if scene.ndim == 3 else 0.0}
    record = BackgroundRecord(dataset="made-up", seed=0, digests={}, mean=LEVEL, std=SPREAD, skewness=0.0, **facts)
    BACKGROUND.write(path, arrays, record)
