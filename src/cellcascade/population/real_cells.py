"""Real cells in the form of synthetic ones: images composed of them are the baseline that a user has without models.

Copying annotated cells and pasting them elsewhere costs nothing; only what generated cells add to that is their worth.
Of a stack that is annotated in single slices, each section is made the middle of an ellipsoid: nothing is learned for
that, either.
"""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from scipy import ndimage

from cellcascade.config.settings import CropSettings, Slicing
from cellcascade.data.cells import CellStack, real_stacks
from cellcascade.data.crops import SEED, Crops, make_crops, read_crops
from cellcascade.data.recording import Recording
from cellcascade.data.shards import digests_of
from cellcascade.data.stores import TEXTURES, TexturesRecord
from cellcascade.geometry.slicing import SMALLEST_END, height_ratios, slice_heights

EVERY = 10_000  # slices of a cell: all of them


def make_real_cells(
    *,
    recording: Recording,
    dataset: str,
    seeded_as: str,
    settings: CropSettings,
    slicing: Slicing,
    crops: Path,
    store: Path,
    threads: int = 1,
) -> None:
    """Stage `real_cells`: the usable real cells of a sequence, whole, as a shard of textured cells.

    If no cell of a stack is annotated as a whole, each section becomes a body, as tall as synthetic cells are.

    Args:
        recording: The annotated frames.
        dataset: Name of the data set.
        seeded_as: Name that the random numbers depend on: that of the data set whose models are used.
        settings: The `crops` block of the configuration.
        slicing: The `slicing` block.
        crops: The crops store; in 2D it holds the cells. Of stacks, all slices of each cell are cut anew.
        store: Shard to write, `TEXTURES`.
        threads: Frames that are worked on at once.

    Raises:
        InputError: The data cannot be used.
    """
    with tempfile.TemporaryDirectory(dir=store.parent) as folder:
        source = crops
        if recording.ndim == 3:
            source = Path(folder) / "crops.zarr.zip"
            every = settings.model_copy(update={"slices_per_cell": EVERY})
            cut = partial(make_crops, recording=recording, dataset=dataset, settings=every, threads=threads)
            cut(store=source, table=Path(folder) / "crops.csv")
        found = read_crops(source)
        cells = _whole_cells if next(_whole_cells(found), None) else partial(_bodies, slicing=slicing, key=seeded_as)
        depths = [len(cell.z) for cell in cells(found)]
        record = TexturesRecord(
            dataset=dataset,
            seed=SEED,
            background=float(np.median(found.background)),
            redraws=0,
            digests=digests_of([crops]),
        )
        with TEXTURES.writer(store) as writer:
            for number, cell in enumerate(cells(found)):
                writer.append(_entry(number, cell, max(depths)))
            writer.finish(record)


def _whole_cells(crops: Crops) -> Iterator[CellStack]:
    """Cells of which no slice is missing; of stacks, those that were annotated on one slice alone do not count."""
    volumes = crops.record.ndim == 3
    for cell in real_stacks(crops):
        if not volumes or (len(cell.z) > 1 and (np.diff(cell.z) == 1).all()):
            yield cell


def _bodies(crops: Crops, *, slicing: Slicing, key: str) -> Iterator[CellStack]:
    """A body of each section; they are as tall as the slices of synthetic cells are, see `height_ratios`."""
    spacing = crops.record.voxel_size_um[0] / crops.record.voxel_size_um[-1]
    ratios = height_ratios(slicing, crops.record.heights, np.arange(len(crops.z)), (SEED, key))
    for cell, ratio in zip(real_stacks(crops), ratios):
        yield ellipsoid(*cell.plane, ratio=1.0 if ratio is None else ratio, spacing=spacing)


def ellipsoid(image: np.ndarray, mask: np.ndarray, *, ratio: float, spacing: float) -> CellStack:
    """A body whose slices are one section, smaller towards both ends as those of an ellipsoid are.

    Args:
        image: Counts of the section (y, x).
        mask: The section (y, x).
        ratio: Height over width.
        spacing: Distance of slices, pixels.
    """
    half = ratio * np.sqrt((mask > 0).sum() / np.pi) / spacing
    heights = slice_heights(half, 1)
    scales = np.sqrt(1 - (heights / half) ** 2)
    scales = scales[scales**2 > SMALLEST_END]
    images = np.stack([_scaled(image, mask, scale, mode="nearest") for scale in scales])
    masks = np.stack([_scaled(mask > 0, mask, scale, mode="constant") > 0.5 for scale in scales])
    return CellStack(np.rint(images).astype(image.dtype), masks.astype(np.uint8), np.arange(len(scales)))


def _scaled(plane: np.ndarray, mask: np.ndarray, scale: float, *, mode: str) -> np.ndarray:
    """A plane (y, x) that is smaller by a factor, around the middle of the mask (y, x)."""
    middle = np.array(ndimage.center_of_mass(mask > 0))
    offset = middle - middle / scale
    return ndimage.affine_transform(plane.astype(np.float32), np.full(2, 1 / scale), offset, order=1, mode=mode)


def _entry(number: int, cell: CellStack, slices: int) -> dict[str, np.ndarray]:
    """A cell as arrays of `TEXTURES`, filled up to a number of slices."""
    more = [(0, slices - len(cell.z)), (0, 0), (0, 0)]
    return {
        "image": np.pad(cell.image, more)[None],
        "mask": np.pad(cell.mask, more)[None],
        "n_slices": np.array([len(cell.z)], np.int32),
        "cell_id": np.array([number], np.int32),
        "valid": np.ones(1, np.uint8),
    }
