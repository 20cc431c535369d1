"""Textures of synthetic cells against real ones: intensities, edges, outlines, power spectrum, likeness of slices."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage
from skimage.filters import threshold_otsu

from cellcascade.core.files import write_table
from cellcascade.data.cells import CellStack, real_stacks, synthetic_stacks
from cellcascade.data.crops import read_crops
from cellcascade.geometry.masks import signed_distance
from cellcascade.metrics.compare import compare_values, side_by_side
from cellcascade.metrics.grain import measure_grain

BAND = 2  # pixels on each side of the outline in which edges are measured
RING = 3  # pixels outside the outline in which the surroundings are measured
SMOOTH = 1.0  # Gaussian width before gradients and thresholds, pixels
DIM = 20  # percentile of the real brightness below which a cell is dim
POWER = 0.99  # share of the real power in the band in which spectra are compared
FEWEST = 10  # pixels that two slices must share for their correlation to count
APART = 3  # slices: up to this distance their likeness is measured


def measure_textures(images: np.ndarray, masks: np.ndarray) -> pd.DataFrame:
    """Measure single cells.

    Args:
        images: Counts `(n, y, x)`, each cell alone on background.
        masks: The cells `(n, y, x)`; everything above 0 is inside; none is empty.

    Returns:
        One row per cell: `intensity_mean` and `intensity_std` (counts, inside the mask), `edge_gradient` (counts per
        pixel: mean magnitude of the gradient after a blur of 1 pixel, within 2 pixels of the outline), `ring_mean`
        (counts, within 3 pixels outside the outline), `otsu_iou` (intersection over union of the mask and Otsu's
        threshold of the crop after a blur of 1 pixel), `grain` (counts) and `grain_correlation` (-1 to 1), the finest
        structure's strength and correlation of neighbouring pixels, see `measure_grain`.
    """
    return pd.DataFrame([_measured(*cell) for cell in zip(images, masks)], dtype=float)


def radial_power(images: np.ndarray) -> np.ndarray:
    """Mean power spectrum of images `(n, y, x)`, each about its own mean.

    Returns:
        Mean power `(k)` at k = 0, 1, … cycles per image side, up to the Nyquist frequency, whatever the direction.
    """
    return _by_frequency(np.add.reduce([_power(image) for image in images]), len(images))


def spectrum_deviation(real: np.ndarray, other: np.ndarray) -> float:
    """Largest deviation in dB of a radial power spectrum from the real one, where 99 % of the real power lies.

    The band goes from one cycle per image upwards until it holds that share of the power.

    Args:
        real: Real images `(n, y, x)`.
        other: Other images `(m, y, x)` of the same size.
    """
    return _deviation(radial_power(real), radial_power(other))


def _deviation(true: np.ndarray, made: np.ndarray) -> float:
    """`spectrum_deviation` of radial power spectra (k)."""
    share = np.cumsum(true * np.arange(len(true)))  # a ring of frequencies is as long as its radius
    last = int(np.searchsorted(share, POWER * share[-1]))
    ratio = np.maximum(made[1 : last + 1], 1e-12) / np.maximum(true[1 : last + 1], 1e-12)
    return float(np.abs(10 * np.log10(ratio)).max())


def slice_correlations(stacks: Sequence[CellStack], apart: int) -> np.ndarray:
    """Likeness of each cell's slices: Pearson correlation of counts where both slices show the cell.

    Args:
        stacks: Cells.
        apart: Distance of the two slices of a pair, in slices.

    Returns:
        Mean over the pairs of each cell `(n)`, of those cells that have such a pair.
    """
    cells = np.array([_likeness(stack, apart) for stack in stacks])
    return cells[~np.isnan(cells)]


def compare_textures(*, crops: Path, textures: list[Path], table: Path, cells: Path) -> None:
    """Stage `evaluate_textures`: how the textures of a data set agree with its real cells.

    Args:
        crops: Store of real crops.
        textures: Shards of synthetic cells; valid ones count.
        table: CSV to write, see `compare_stacks`.
        cells: CSV to write: a row per cell, `side` (real or synthetic) and what `measure_textures` measures.

    Raises:
        InputError: A store cannot be read, the sizes of its cells differ, or there is nothing to compare.
    """
    data = read_crops(crops)
    found, measured = compare_stacks(real_stacks(data), synthetic_stacks(textures, data.size))
    write_table(cells, measured, float_format="%.6g")
    write_table(table, found, float_format="%.6g")


def compare_stacks(real: Iterable[CellStack], synthetic: Iterable[CellStack]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare the textures of real and synthetic cells; each is looked at once, and none is kept.

    Args:
        real: Real cells.
        synthetic: Synthetic cells of the same size.

    Returns:
        The columns of `compare_values`, and what was measured, cell by cell. Intensities are in counts. Every cell
        counts once, on its widest slice, with the measures of `measure_textures`; rows `…_dim` hold the cells below the
        real 20th percentile of brightness alone.
        `power_spectrum_db` is `spectrum_deviation` of the synthetic cells, and, as `real_mean`, of every other real
        cell from the rest. In 3D, `slice_correlation` is the likeness of neighbouring slices and
        `slice_correlation_2`, `_3` of slices as far apart, with real values where the crops hold such pairs.
    """
    sides = true, made = _look(real), _look(synthetic)
    dim = np.percentile(true.measured["intensity_mean"], DIM)
    values = {name: (true.measured[name], made.measured[name]) for name in true.measured}
    dark = [side.measured[side.measured["intensity_mean"] <= dim] for side in sides]
    values |= {f"{name}_dim": (dark[0][name], dark[1][name]) for name in dark[0]}
    halves = [_deviation(*true.halves)] if len(true.measured) > 1 else []
    values["power_spectrum_db"] = (halves, [_deviation(true.power, made.power)])
    for apart in range(1, APART + 1):
        pair = true.likeness[apart], made.likeness[apart]
        if len(pair[1]):
            values["slice_correlation" if apart == 1 else f"slice_correlation_{apart}"] = pair
    rows = compare_values(values)
    spectrum = rows["property"] == "power_spectrum_db"
    rows.loc[spectrum, ["n_real", "n_synthetic"]] = len(true.measured), len(made.measured)
    rows.loc[spectrum, ["real_std", "synthetic_std"]] = np.nan  # one value of all cells together
    return rows, side_by_side(true.measured, made.measured)


@dataclass(frozen=True)
class _Look:
    """What is kept of cells.

    Attributes:
        measured: A row per cell, see `measure_textures`.
        power: Their radial power spectrum (k).
        halves: That of every other cell, and that of the others.
        likeness: By distance in slices, the cells' `slice_correlations`.
    """

    measured: pd.DataFrame
    power: np.ndarray
    halves: list[np.ndarray]
    likeness: dict[int, np.ndarray]


def _look(cells: Iterable[CellStack]) -> _Look:
    rows: list[dict] = []
    powers = [np.zeros(1)] * 3  # of all cells, of every other one, and of the others
    likeness: dict[int, list[float]] = {apart: [] for apart in range(1, APART + 1)}
    for number, cell in enumerate(cells):
        image, mask = cell.plane
        rows.append(_measured(image, mask))
        power = _power(image)
        for part in (0, 1 + number % 2):
            powers[part] = powers[part] + power
        for apart, found in likeness.items():
            found.extend(slice_correlations([cell], apart))
    half = len(rows) // 2
    counts = [count for count in (len(rows), len(rows) - half, half) if count]
    power, *halves = (_by_frequency(total, count) for total, count in zip(powers, counts))
    alike = {apart: np.array(found) for apart, found in likeness.items()}
    return _Look(pd.DataFrame(rows, dtype=float), power, halves, alike)


def _measured(counts: np.ndarray, cell: np.ndarray) -> dict[str, float]:
    """A row of `measure_textures`, from counts and mask (y, x) of a cell."""
    image, mask = np.asarray(counts, np.float32), np.asarray(cell) > 0
    distance = signed_distance(mask)
    smooth = ndimage.gaussian_filter(image, SMOOTH)
    gradient = np.hypot(*np.gradient(smooth))
    bright = smooth > threshold_otsu(smooth)
    ring = (distance < 0) & (distance >= -RING)
    grain, neighbours = measure_grain(image, mask)
    return {
        "intensity_mean": image[mask].mean(),
        "intensity_std": image[mask].std(),
        "edge_gradient": gradient[np.abs(distance) <= BAND].mean(),
        "ring_mean": image[ring].mean() if ring.any() else np.nan,
        "otsu_iou": (bright & mask).sum() / (bright | mask).sum(),
        "grain": grain,
        "grain_correlation": neighbours,
    }


def _power(counts: np.ndarray) -> np.ndarray:
    """Power spectrum (v, u) of an image (y, x) about its own mean."""
    image = np.asarray(counts, np.float64)
    return np.abs(np.fft.fft2(image - image.mean())) ** 2


def _by_frequency(power: np.ndarray, images: int) -> np.ndarray:
    """Mean (k) over directions and a number of images of their summed power (v, u)."""
    size = power.shape[-1]
    cycles = np.fft.fftfreq(size) * size
    radius = np.rint(np.hypot(cycles[:, None], cycles)).astype(int)
    total, count = (np.bincount(radius.ravel(), weights)[: size // 2 + 1] for weights in (power.ravel(), None))
    return total / count / images


def _likeness(stack: CellStack, apart: int) -> float:
    """Mean correlation of a cell's slices that are so far apart; NaN where no pair can be compared."""
    values = [
        _correlation(stack.image[i], stack.image[j], (stack.mask[i] > 0) & (stack.mask[j] > 0))
        for i, j in combinations(range(len(stack.z)), 2)
        if stack.z[j] - stack.z[i] == apart
    ]
    kept = [value for value in values if not np.isnan(value)]
    return float(np.mean(kept)) if kept else np.nan


def _correlation(a: np.ndarray, b: np.ndarray, shared: np.ndarray) -> float:
    """Pearson correlation of two images where they share a mask; NaN where that says nothing."""
    first, second = a[shared].astype(float), b[shared].astype(float)
    if len(first) < FEWEST or first.std() == 0 or second.std() == 0:
        return np.nan
    return float(np.corrcoef(first, second)[0, 1])
