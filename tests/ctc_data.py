"""Small synthetic sequences in the layout of the Cell Tracking Challenge."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tifffile

from cellcascade.data.annotated import AnnotatedFrame, Choice
from cellcascade.data.recording import Recording

BACKGROUND = 20.0  # counts


@dataclass
class Blob:
    """An ellipsoidal cell: centre and half axes in pixels, (y, x) or (z, y, x)."""

    label: int
    centre: tuple[float, ...]
    radii: tuple[float, ...]
    brightness: float = 90.0


@dataclass
class Scene:
    """What one frame shows."""

    shape: tuple[int, ...]
    blobs: list[Blob] = field(default_factory=list)

    def labels(self) -> np.ndarray:
        """Labels, uint16; later blobs do not cover earlier ones."""
        grid = np.indices(self.shape, dtype=float)
        labels = np.zeros(self.shape, np.uint16)
        for blob in self.blobs:
            distance = sum(((axis - c) / r) ** 2 for axis, c, r in zip(grid, blob.centre, blob.radii))
            labels[(distance <= 1) & (labels == 0)] = blob.label
        return labels

    def image(self, generator: np.random.Generator, dtype: type = np.uint8) -> np.ndarray:
        """Counts with Poisson noise."""
        expected, labels = np.full(self.shape, BACKGROUND), self.labels()
        for blob in self.blobs:
            expected[labels == blob.label] = blob.brightness
        return generator.poisson(expected).clip(0, np.iinfo(dtype).max).astype(dtype)


def blobs_2d() -> list[Blob]:
    """Five cells of a 96 x 112 frame: two neighbours, a distant one, one on the border, one speck."""
    return [
        Blob(1, (40, 34), (9, 8)),
        Blob(2, (40, 52), (8, 8), 160.0),
        Blob(4, (66, 84), (8, 11)),
        Blob(7, (2, 90), (7, 9)),
        Blob(9, (82, 20), (2, 2)),
    ]


def blobs_3d() -> list[Blob]:
    """Three cells of a 12 x 64 x 72 stack: two far apart, one on the border."""
    return [
        Blob(1, (5, 22, 22), (4, 8, 8)),
        Blob(2, (6, 38, 48), (4, 7, 9), 150.0),
        Blob(5, (6, 60, 12), (4, 8, 8)),
    ]


def scene_2d() -> Scene:
    """A 2D frame of five cells."""
    return Scene((96, 112), blobs_2d())


def scene_3d() -> Scene:
    """A 3D frame of three cells."""
    return Scene((12, 64, 72), blobs_3d())


def annotated_frames(
    folder: Path, sequence: str, annotations: str, frames: Choice = None, slices: Choice = None
) -> list[AnnotatedFrame]:
    """The annotated frames of a sequence."""
    return Recording(folder, sequence, annotations, (1.0, 1.0), frames, slices).frames()


def check_sequence(
    folder: Path, sequence: str, annotations: str, ndim: int, frames: Choice = None, slices: Choice = None
) -> list[AnnotatedFrame]:
    """The annotated frames of a sequence, each checked by the headers of its files."""
    return Recording(folder, sequence, annotations, (1.0,) * ndim, frames, slices).checked_frames()


def write_tiff(path: Path, array: np.ndarray) -> None:
    """Write one image or stack; compressed, as the Challenge does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array, photometric="minisblack", compression="zlib")


def write_sequence(
    folder: Path,
    *,
    scene: Scene,
    sequence: str = "01",
    frames: int = 3,
    annotated: tuple[int, ...] = (0, 2),
    annotations: str = "ST",
    digits: int = 3,
    dtype: type = np.uint8,
) -> Path:
    """Write a sequence of noisy frames with dense annotations of some of them; gives the data set's folder.

    Args:
        folder: The data set's folder.
        scene: What all frames show.
        sequence: Sequence, e.g. `"01"`.
        frames: Number of frames.
        annotated: Frames with an annotation.
        annotations: `"ST"` or `"GT"`.
        digits: Digits of the numbers in the names.
        dtype: Type of the counts.
    """
    generator = np.random.default_rng(7)
    for frame in range(frames):
        write_tiff(folder / sequence / f"t{frame:0{digits}d}.tif", scene.image(generator, dtype))
    for frame in annotated:
        write_tiff(folder / f"{sequence}_{annotations}" / "SEG" / f"man_seg{frame:0{digits}d}.tif", scene.labels())
    return folder


def write_2d(folder: Path, **options) -> Path:
    """Write a 2D sequence of `scene_2d`."""
    return write_sequence(folder, scene=scene_2d(), **options)


def write_3d(folder: Path, **options) -> Path:
    """Write a 3D sequence of `scene_3d`."""
    return write_sequence(folder, scene=scene_3d(), **{"dtype": np.uint16, **options})


def write_sparse_gold(
    folder: Path, *, scene: Scene, slices: list[tuple[int, int]], sequence: str = "01", digits: int = 3
) -> None:
    """Add sparse gold truth: single annotated slices, given as (frame, z)."""
    for frame, z in slices:
        name = f"man_seg_{frame:0{digits}d}_{z:0{digits}d}.tif"
        write_tiff(folder / f"{sequence}_GT" / "SEG" / name, scene.labels()[z])
