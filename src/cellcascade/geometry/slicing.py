"""Volumes to slices (paper, section 2, slicing the synthetic masks), perpendicular to the input view's axis.

A mask says nothing of a cell's height, and a volume made of it is about as high as wide. Volumes are stretched along z
before they are cut: to the ratio of height to width that annotated stacks show.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from cellcascade.config.settings import Slicing
from cellcascade.core.logs import progress
from cellcascade.core.seeds import numpy_generator
from cellcascade.data.layout import height_ratio
from cellcascade.data.shards import Store, check_invalid, digests_of
from cellcascade.data.stores import CROPS, MASKS, SLICES, VOLUMES, SlicesRecord, VolumesRecord
from cellcascade.geometry.masks import iou

SMALLEST_END = 0.04  # area of an end slice relative to the widest one; less is a cap that nobody would annotate


def slice_heights(extent: float, spacing: float) -> np.ndarray:
    """Heights of slices at equal distances through the central section.

    Args:
        extent: Half height of the volume.
        spacing: Distance of slices, in the same unit.

    Returns:
        Heights `(S,)` from below `-extent` up, zero among them.
    """
    count = int(extent / spacing)
    return np.arange(-count, count + 1) * spacing


def cut(sdf: np.ndarray, heights: np.ndarray, size: int) -> np.ndarray:
    """Cut a signed distance volume into masks, with sub-voxel interpolation.

    Args:
        sdf: Signed distances `(z, y, x)`, positive inside, over the cube `[-1, 1]^3`.
        heights: Heights `(S,)` of the slices in `[-1, 1]`.
        size: Edge of the masks, pixels.

    Returns:
        Masks `(S', size, size)`, uint8: the largest connected body, without the empty or tiny slices at its ends.
    """
    edge = sdf.shape[0]
    z = (np.asarray(heights) + 1) * edge / 2 - 0.5
    plane = (2 * np.arange(size) + 1) / size * edge / 2 - 0.5
    coordinates = np.meshgrid(z, plane, plane, indexing="ij")
    inside = ndimage.map_coordinates(sdf.astype(np.float32), coordinates, order=1, mode="nearest") > 0
    labels, bodies = ndimage.label(inside)
    if bodies > 1:
        inside = labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1
    areas = inside.sum((1, 2))
    filled = np.flatnonzero(areas > SMALLEST_END * areas.max())
    return inside[filled[0] : filled[-1] + 1].astype(np.uint8) if len(filled) else inside[:0].astype(np.uint8)


@dataclass(frozen=True)
class Sliced:
    """The slices of a shard of cells; S is the largest number of slices of a cell.

    Attributes:
        mask: Masks `(n, S, y, x)`, uint8, from below up; a cell with fewer slices ends with empty ones.
        n_slices: Number of slices of each cell `(n,)`, int32; 0 for a cell without any.
    """

    mask: np.ndarray
    n_slices: np.ndarray

    @property
    def widest(self) -> np.ndarray:
        """Index of each cell's slice with the largest mask `(n,)`, int32."""
        return self.mask.sum((2, 3)).argmax(1).astype(np.int32)


def make_slices(
    *,
    volumes: Path,
    masks: Path,
    crops: Path,
    voxel_size_um: tuple[float, float, float],
    settings: Slicing,
    store: Path,
    dataset: str,
    seeded_as: str,
    max_invalid_fraction: float,
) -> None:
    """Stage `slices`: slice a shard of volumes at the data set's distance of slices.

    Args:
        volumes: The shard of volumes, `VOLUMES`.
        masks: The shard of masks that the cells came from, `MASKS`.
        crops: The crops store, `CROPS`: how high the real cells are.
        voxel_size_um: Size of a voxel of the data set, (z, y, x).
        settings: The `slicing` block.
        store: The shard to write, `SLICES`.
        dataset: Name of the data set.
        seeded_as: Name that the random numbers depend on: that of the data set whose models are used.
        max_invalid_fraction: The job fails when a larger share of its cells is invalid.

    Raises:
        InputError: Too many cells are invalid.
    """
    shard, outlines = VOLUMES.open(volumes), MASKS.open(masks)["mask"]
    ids, valid, size = shard["cell_id"], shard["valid"].astype(bool), outlines.shape[-1]
    spacing, half_width_um = settings.spacing_um or voxel_size_um[0], size * voxel_size_um[-1] / 2
    ratios = height_ratios(settings, CROPS.open(crops).record.heights, ids, (shard.record.seed, seeded_as))
    made = cut_cells(shard, valid, ratios, spacing / half_width_um, size)
    widest = made.widest
    missed = {int(cell): "no slice meets the cell" for cell in ids[valid & (made.n_slices == 0)]}
    reasons = shard.record.reasons | missed
    check_invalid(reasons, len(ids), max_invalid_fraction, store)
    arrays = {
        "mask": made.mask,
        "n_slices": made.n_slices,
        "widest": widest,
        "section_iou": iou(made.mask[np.arange(len(ids)), widest], outlines).astype(np.float32),
        "cell_id": ids,
        "valid": (valid & (made.n_slices > 0)).astype(np.uint8),
    }
    about = {"dataset": dataset, "seed": shard.record.seed, "digests": digests_of([volumes, masks])}
    SLICES.write(store, arrays, SlicesRecord(**about, reasons=reasons, spacing_um=spacing))


def height_ratios(
    settings: Slicing, measured: Sequence[float], ids: np.ndarray, key: tuple[int, str]
) -> list[float | None]:
    """Height over width that each cell is to have; `None`: as it was reconstructed.

    Args:
        settings: The `slicing` block.
        measured: Those of real cells, from the smallest to the largest at equal steps of rank; may be empty.
        ids: Numbers of the cells.
        key: Seed of the run, and the name that random numbers depend on.
    """
    if settings.height_ratio is not None or not measured:
        return [settings.height_ratio] * len(ids)
    ranks = [numpy_generator(key[0], key[1], "height", int(cell)).random() for cell in ids]
    return np.interp(ranks, np.linspace(0, 1, len(measured)), measured).tolist()


def stretch_to(sdf: np.ndarray, ratio: float | None) -> float:
    """Factor along z with which a volume gets a ratio of height to width; 1 for `None`, and for an empty volume.

    Args:
        sdf: Signed distances `(z, y, x)`, positive inside.
        ratio: Height over width, see `data.layout.height_ratio`.
    """
    areas = (sdf > 0).sum((1, 2))
    if ratio is None or not areas.any():
        return 1.0
    return ratio / height_ratio(float(areas.sum()), float(areas.max()))


def cut_cells(
    volumes: Store[VolumesRecord], wanted: np.ndarray, ratios: Sequence[float | None], spacing: float, size: int
) -> Sliced:
    """Cut the volumes of a shard, which are read one at a time.

    Args:
        volumes: The opened shard.
        wanted: Which cells to cut `(n,)`, boolean; the others get no slices.
        ratios: Height over width that each cell is to have; `None`: as it is.
        spacing: Distance of slices, half widths of the crop.
        size: As of `cut`.
    """
    none = np.zeros((0, size, size), np.uint8)
    stacks = [
        _cut_stretched(volumes.read("sdf", i), ratios[i], spacing, size) if wanted[i] else none
        for i in progress(range(len(wanted)), total=len(wanted), what="sliced cells")
    ]
    most = max(1, *(len(stack) for stack in stacks))
    padded = np.stack([np.pad(stack, ((0, most - len(stack)), (0, 0), (0, 0))) for stack in stacks])
    return Sliced(padded, np.array([len(stack) for stack in stacks], np.int32))


def _cut_stretched(sdf: np.ndarray, ratio: float | None, spacing: float, size: int) -> np.ndarray:
    factor = stretch_to(sdf, ratio)
    return cut(sdf, slice_heights(factor, spacing) / factor, size)
