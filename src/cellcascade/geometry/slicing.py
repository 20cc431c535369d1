"""Volumes to slices (paper, section 2, slicing the synthetic masks): cut along the input view, over all its extent."""

import numpy as np
from scipy import ndimage

from cellcascade.config.settings import Slicing
from cellcascade.core.files import digest
from cellcascade.core.logs import progress
from cellcascade.data.shards import open_shard, write_shard

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


def make_slices(volumes: str, masks: str, *, voxel_size_um: tuple[float, ...], settings: dict, store: str) -> None:
    """Slice a shard of volumes at the data set's z spacing.

    Args:
        volumes: A `volumes/1` shard.
        masks: The `masks/1` shard the cells came from.
        voxel_size_um: Size `(z, y, x)` of a voxel of the data set.
        settings: The `slicing` block.
        store: The `slices/1` shard to write.
    """
    spacing = Slicing(**settings).spacing_um or voxel_size_um[0]
    shard, source = open_shard(volumes, "volumes/1"), open_shard(masks, "masks/1")["mask"][:]
    ids, valid, size = shard["cell_id"][:], shard["valid"][:].copy(), source.shape[-1]
    half_width_um = size * voxel_size_um[-1] / 2
    heights = slice_heights(1.0, spacing / half_width_um)
    reasons = dict(shard.attrs["reasons"])
    stacks = []
    for i in progress(range(len(ids)), total=len(ids), what="sliced cells"):
        stacks.append(cut(shard["sdf"][i], heights, size) if valid[i] else np.zeros((0, size, size), np.uint8))
        if valid[i] and not len(stacks[-1]):
            valid[i], reasons[str(ids[i])] = 0, "no slice meets the cell"
    most = max(1, *(len(stack) for stack in stacks))
    padded = np.stack([np.pad(stack, ((0, most - len(stack)), (0, 0), (0, 0))) for stack in stacks])
    widest = padded.sum((2, 3)).argmax(1)
    section = padded[np.arange(len(ids)), widest] > 0
    union = (section | (source > 0)).sum((1, 2))
    write_shard(
        store,
        schema="slices/1",
        arrays={
            "mask": padded,
            "n_slices": np.array([len(stack) for stack in stacks], np.int32),
            "widest": widest.astype(np.int32),
            "section_iou": ((section & (source > 0)).sum((1, 2)) / np.maximum(union, 1)).astype(np.float32),
            "valid": valid,
            "cell_id": ids,
        },
        attributes={"dz_um": spacing, "reasons": reasons, "volumes": digest(volumes)},
    )
