"""Textures of synthetic cells against real ones: intensities, edges, outlines, power spectrum, likeness of slices."""

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import zarr
from scipy import ndimage
from skimage.filters import threshold_otsu

from cellcascade.core.errors import InputError
from cellcascade.core.files import atomic_path
from cellcascade.data.crops import Crops, read_crops
from cellcascade.data.shards import open_shard
from cellcascade.geometry.masks import signed_distance
from cellcascade.metrics.compare import compare_values

BAND = 2  # pixels on each side of the outline in which edges are measured
RING = 3  # pixels outside the outline in which the surroundings are measured
SMOOTH = 1.0  # Gaussian width before gradients and thresholds, pixels
DIM = 20  # percentile of the real brightness below which a cell is dim
POWER = 0.99  # share of the real power in the band in which spectra are compared
FEWEST = 10  # pixels that two slices must share for their correlation to count
APART = 3  # slices: up to this distance their likeness is measured


@dataclass(frozen=True)
class Stack:
    """Slices of one cell: counts and mask (s, y, x), and their numbers (s), which tell how far apart they are."""

    image: np.ndarray
    mask: np.ndarray
    z: np.ndarray

    @property
    def widest(self) -> int:
        """Index of the slice in which the cell is widest."""
        return int((self.mask > 0).sum((1, 2)).argmax())


def real_stacks(crops: Crops) -> list[Stack]:
    """Crops grouped by their cell, with slices in the order of z; one slice each in 2D."""
    order = np.lexsort((crops.z, crops.label, crops.frame))
    keys = np.stack([crops.frame, crops.label], 1)[order]
    parts = np.split(order, np.flatnonzero((keys[1:] != keys[:-1]).any(1)) + 1)
    return [Stack(crops.image[part], crops.mask[part], crops.z[part]) for part in parts]


def synthetic_stacks(textures: Sequence[str | Path]) -> list[Stack]:
    """Valid cells of texture shards.

    Args:
        textures: Shards `textures/1`.

    Raises:
        InputError: A shard cannot be read, holds an empty valid cell, or no shard holds a valid cell.
    """
    stacks = []
    for path in textures:
        group = open_shard(path, "textures/1")
        try:
            stacks.extend(_stacks(group))
        except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
            raise InputError(
                "Textures cannot be measured",
                where=path,
                found=repr(error),
                expected="arrays image and mask (n, slices, y, x), n_slices and valid (n), with no empty valid cell",
                fix=f"delete {path} and rerun snakemake: it remakes this file alone",
            ) from error
    if not stacks:
        raise InputError(
            "Textures cannot be compared",
            where=", ".join(map(str, textures)) or "no texture shards",
            found="no valid synthetic cell",
            expected="at least one",
            fix="raise cells, or look at the reasons in the shards' attributes",
        )
    return stacks


def measure(images: np.ndarray, masks: np.ndarray) -> pd.DataFrame:
    """Measure single cells.

    Args:
        images: Counts `(n, y, x)`, each cell alone on background.
        masks: The cells `(n, y, x)`; everything above 0 is inside; none is empty.

    Returns:
        One row a cell: `intensity_mean` and `intensity_std` (counts, inside the mask), `edge_gradient` (counts a
        pixel: mean magnitude of the gradient after a blur of 1 pixel, within 2 pixels of the outline), `ring_mean`
        (counts, within 3 pixels outside the outline) and `otsu_iou` (intersection over union of the mask and Otsu's
        threshold of the crop after a blur of 1 pixel).
    """
    rows = []
    for image, mask in zip(np.asarray(images, np.float32), np.asarray(masks) > 0):
        distance = signed_distance(mask)
        smooth = ndimage.gaussian_filter(image, SMOOTH)
        gradient = np.hypot(*np.gradient(smooth))
        bright = smooth > threshold_otsu(smooth)
        ring = (distance < 0) & (distance >= -RING)
        rows.append(
            {
                "intensity_mean": image[mask].mean(),
                "intensity_std": image[mask].std(),
                "edge_gradient": gradient[np.abs(distance) <= BAND].mean(),
                "ring_mean": image[ring].mean() if ring.any() else np.nan,
                "otsu_iou": (bright & mask).sum() / (bright | mask).sum(),
            }
        )
    return pd.DataFrame(rows, dtype=float)


def radial_power(images: np.ndarray) -> np.ndarray:
    """Mean power spectrum of images `(n, y, x)`, each about its own mean.

    Returns:
        Mean power `(k)` at k = 0, 1, … cycles per image side, up to the Nyquist frequency, whatever the direction.
    """
    images = np.asarray(images, np.float64)
    size = images.shape[-1]
    power = np.zeros(images.shape[1:])
    for image in images:
        power += np.abs(np.fft.fft2(image - image.mean())) ** 2
    cycles = np.fft.fftfreq(size) * size
    radius = np.rint(np.hypot(cycles[:, None], cycles)).astype(int)
    total, count = (np.bincount(radius.ravel(), weights)[: size // 2 + 1] for weights in (power.ravel(), None))
    return total / count / len(images)


def spectrum_deviation(real: np.ndarray, other: np.ndarray) -> float:
    """Largest deviation in dB of a radial power spectrum from the real one, where 99 % of the real power lies.

    The band goes from one cycle per image upwards until it holds that share of the power.

    Args:
        real: Real images `(n, y, x)`.
        other: Other images `(m, y, x)` of the same size.
    """
    true, made = radial_power(real), radial_power(other)
    share = np.cumsum(true * np.arange(len(true)))  # a ring of frequencies is as long as its radius
    last = int(np.searchsorted(share, POWER * share[-1]))
    ratio = np.maximum(made[1 : last + 1], 1e-12) / np.maximum(true[1 : last + 1], 1e-12)
    return float(np.abs(10 * np.log10(ratio)).max())


def slice_correlations(stacks: Sequence[Stack], apart: int) -> np.ndarray:
    """Likeness of each cell's slices: Pearson correlation of counts where both slices show the cell.

    Args:
        stacks: Cells.
        apart: Distance of the two slices of a pair, in slices.

    Returns:
        Mean over the pairs of each cell `(n)`, of those cells that have such a pair.
    """
    cells = []
    for stack in stacks:
        values = [
            _correlation(stack.image[i], stack.image[j], (stack.mask[i] > 0) & (stack.mask[j] > 0))
            for i, j in combinations(range(len(stack.z)), 2)
            if stack.z[j] - stack.z[i] == apart
        ]
        kept = [value for value in values if not np.isnan(value)]
        if kept:
            cells.append(float(np.mean(kept)))
    return np.array(cells)


def matching_rho(table: pd.DataFrame) -> float:
    """The strength of consistency whose neighbouring slices are as alike as real ones.

    Args:
        table: What `texture_watch.likeness_by_rho` measured: rho, synthetic, real.

    Returns:
        The rho, interpolated over the noise's correlation rho^2 / (1 + rho^2), on which likeness hangs nearly linearly;
        the smallest or the largest measured one where real slices are less or more alike than all; NaN if nothing was
        measured.
    """
    table = table.dropna()
    if table.empty:
        return float("nan")
    shared = table["rho"] ** 2 / (1 + table["rho"] ** 2)
    best = np.interp(table["real"].iloc[0], np.maximum.accumulate(table["synthetic"]), shared)
    return float(np.sqrt(best / (1 - best)))


def compare(crops: str | Path, textures: Sequence[str | Path], *, table: str | Path) -> None:
    """Write how the textures of a data set agree with its real cells, as CSV.

    Every cell counts once, on its widest slice, with the measures of `measure`; rows `…_dim` hold the cells below the
    real 20th percentile of brightness alone. `power_spectrum_db` is `spectrum_deviation` of the synthetic cells, and,
    as `real_mean`, of every other real cell from the rest. In 3D, `slice_correlation` is the likeness of neighbouring
    slices and `slice_correlation_2`, `_3` of slices as far apart, real ones where the crops hold such pairs.

    Args:
        crops: Store of real crops.
        textures: Shards of synthetic cells.
        table: CSV to write, the columns of `compare_values`; intensities in counts.

    Raises:
        InputError: A store cannot be read, the sizes of its cells differ, or there is nothing to compare.
    """
    real, synthetic = real_stacks(read_crops(crops)), synthetic_stacks(textures)
    if real[0].image.shape[1:] != synthetic[0].image.shape[1:]:
        raise InputError(
            "Real and synthetic cells differ in size",
            where=crops,
            found=f"crops of {real[0].image.shape[1:]} pixels, textures of {synthetic[0].image.shape[1:]}",
            expected="the same size",
            fix="delete the textures of the data set and rerun snakemake",
        )
    with atomic_path(table) as scratch:
        compare_stacks(real, synthetic).to_csv(scratch, index=False, float_format="%.6g")


def compare_stacks(real: Sequence[Stack], synthetic: Sequence[Stack]) -> pd.DataFrame:
    """The table that `compare` writes, of real and synthetic cells."""
    images = [np.stack([stack.image[stack.widest] for stack in side]) for side in (real, synthetic)]
    masks = [np.stack([stack.mask[stack.widest] for stack in side]) for side in (real, synthetic)]
    measured = [measure(image, mask) for image, mask in zip(images, masks)]
    dim = np.percentile(measured[0]["intensity_mean"], DIM)
    dark = [rows[rows["intensity_mean"] <= dim].add_suffix("_dim") for rows in measured]
    values = {name: (true[name], made[name]) for true, made in (measured, dark) for name in true.columns}
    halves = [spectrum_deviation(images[0][::2], images[0][1::2])] if len(real) > 1 else []
    values["power_spectrum_db"] = (halves, [spectrum_deviation(*images)])
    for apart in range(1, APART + 1):
        pair = tuple(slice_correlations(side, apart) for side in (real, synthetic))
        if len(pair[1]):
            values["slice_correlation" if apart == 1 else f"slice_correlation_{apart}"] = pair
    rows = compare_values(values)
    spectrum = rows["property"] == "power_spectrum_db"
    rows.loc[spectrum, ["n_real", "n_synthetic"]] = len(real), len(synthetic)
    rows.loc[spectrum, ["real_std", "synthetic_std"]] = np.nan  # one value of all cells together
    return rows


def _stacks(group: zarr.Group) -> Iterator[Stack]:
    image, mask, counts = group["image"][:], group["mask"][:], group["n_slices"][:]
    for index in np.flatnonzero(group["valid"][:]):
        count = int(counts[index])
        if not mask[index, :count].any():
            raise ValueError(f"valid cell {index} is empty")
        yield Stack(image[index, :count], mask[index, :count], np.arange(count))


def _correlation(a: np.ndarray, b: np.ndarray, shared: np.ndarray) -> float:
    """Pearson correlation of two images where they share a mask; NaN where that says nothing."""
    first, second = a[shared].astype(float), b[shared].astype(float)
    if len(first) < FEWEST or first.std() == 0 or second.std() == 0:
        return np.nan
    return float(np.corrcoef(first, second)[0, 1])
