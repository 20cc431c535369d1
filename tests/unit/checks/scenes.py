"""Small frames with cells, and the slips that masks go through, made here; the check reads them as a user's files."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage

from cellcascade.checks.data import Checked, check_recordings
from cellcascade.config.settings import CropSettings
from cellcascade.data.recording import Recording

SHAPE = (160, 160)
Pair = tuple[np.ndarray, np.ndarray]


def frame(seed: int, shape: tuple[int, int] = SHAPE, radius: float = 9.0) -> Pair:
    """Counts (y, x), uint8, and labels: round cells at random places that do not touch, and noise."""
    random = np.random.default_rng(seed)
    labels, cells = np.zeros(shape, np.uint16), list[tuple[float, float, float]]()
    for _ in range(300):
        y, x, own = (*(random.uniform(0, n) for n in shape), radius * random.uniform(0.8, 1.2))
        if all(math.hypot(y - other[0], x - other[1]) > own + other[2] + 3 for other in cells):
            cells.append((y, x, own))
    rows, columns = np.indices(shape)
    for number, (y, x, own) in enumerate(cells, 1):
        labels[(rows - y) ** 2 + (columns - x) ** 2 <= own**2] = number
    counts = random.poisson(20 + 60 * ndimage.gaussian_filter((labels > 0).astype(float), 1))
    return counts.clip(0, 255).astype(np.uint8), labels


def frames(count: int = 3, **options) -> list[Pair]:
    """Several of them, all different."""
    return [frame(seed, **options) for seed in range(count)]


def write(folder: Path, pairs: Sequence[Pair], sequence: str = "01") -> Path:
    """Write frames and labels as gold truth of the Cell Tracking Challenge; gives the folder."""
    for index, (image, labels) in enumerate(pairs):
        for name, array in (
            (f"{sequence}/t{index:03d}.tif", image),
            (f"{sequence}_GT/SEG/man_seg{index:03d}.tif", labels),
        ):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(folder / name, array, photometric="minisblack")
    return folder


def check(folder: Path, *, split: bool = False, size: int = 48, rim: int | None = 4) -> Checked:
    """Check a folder's sequence 01, and 02 if it is there."""
    ndim = tifffile.imread(next((folder / "01").glob("t*"))).ndim
    voxel = (1.0, 0.5, 0.5)[-ndim:]
    recordings = [Recording(folder, name, "GT", voxel, split_labels=split) for name in ("01", "02")]
    test = recordings[1] if (folder / "02").is_dir() else None
    settings = CropSettings(size=size)
    return check_recordings("toy", recordings[0], test_recording=test, settings=settings, rim=rim)


def codes(checked: Checked, level: str = "") -> set[str]:
    """Codes of the findings, of all levels or of one."""
    return {finding.code for finding in checked.findings if not level or finding.level.word == level}


def relabelled(change: Callable[[np.ndarray], np.ndarray], pairs: Sequence[Pair] | None = None) -> list[Pair]:
    """Frames with other labels."""
    return [(image, np.ascontiguousarray(change(labels))) for image, labels in pairs or frames()]


def interpolated(labels: np.ndarray) -> np.ndarray:
    """Labels halved and doubled again with interpolation."""
    return np.rint(ndimage.zoom(labels[::2, ::2].astype(float), 2, order=1)).astype(np.uint16)


def confluent(labels: np.ndarray) -> np.ndarray:
    """Every pixel belongs to its nearest cell."""
    return labels[tuple(ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True))]


def phase_contrast(labels: np.ndarray, seed: int) -> np.ndarray:
    """Grey cells with a dark inside and a bright halo, no brighter on the whole than what is around them."""
    outside = ndimage.distance_transform_edt(labels == 0)
    halo = (outside > 0) & (outside <= 3)
    expected = 100.0 - 25 * (labels > 0) + 40 * halo
    return np.random.default_rng(seed).normal(expected, 6).clip(0, 255).astype(np.uint8)
