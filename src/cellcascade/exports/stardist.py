"""StarDist, 2D and 3D: `train/` and `val/` with `images/` and `masks/`, and the configuration that the cells imply."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from skimage.measure import regionprops
from skimage.segmentation import relabel_sequential

from cellcascade.config.formats import StarDistFormat
from cellcascade.core.errors import InputError
from cellcascade.data.synthetic import SyntheticSet
from cellcascade.exports.base import Exported, empty_images, held_out
from cellcascade.exports.tiffs import write_counts, write_labels

TRAINING = Path(__file__).parent / "templates/stardist_train.py.txt"
SMALL = 12  # median extent, pixels, below which cells would lose their shape on a grid of 2
FIELDS = {1: 46, 2: 94}  # pixels that StarDist's 2D network sees around a point, by its grid
RESNET_FIELD = 30  # the same for its 3D ResNet
POOLED = {2: 8, 3: 4}  # by how much its U-Nets halve a grid, 2D and 3D
LARGEST = {2: (256, 256), 3: (48, 96, 96)}  # patches of StarDist's own examples


def write(source: SyntheticSet, folder: Path, settings: StarDistFormat) -> Exported:
    """Write images and labels, `stardist.json`, and a script that trains with both.

    Raises:
        InputError: An image cannot be read, or is too small for a patch.
    """
    held = held_out(source.images, settings.validation)
    medians, shapes = [], []
    for image in source.images:
        place = folder / ("val" if image.name in held else "train")
        counts, labels = image.counts(), image.labels()
        labels = relabel_sequential(labels)[0].astype(labels.dtype)
        write_counts(place / f"images/{image.name}.tif", counts, source.voxel_size_um)
        write_labels(place / f"masks/{image.name}.tif", labels, source.voxel_size_um)
        shapes.append(labels.shape)
        if image.cells:
            medians.append(extents(labels))
    measured = np.median(medians, 0)
    config = configuration(measured, np.min(shapes, 0).tolist(), where=source.folder)
    facts = {"config": config, "median_extents_px": measured.tolist(), "voxel_size_um": source.voxel_size_um}
    (folder / "stardist.json").write_text(json.dumps(facts, indent=2) + "\n")
    shutil.copyfile(TRAINING, folder / "train.py")
    what = f"{len(source.images) - len(held)} images to train on, {len(held)} for validation"
    return Exported(what, [*_notes(config, measured, bool(held)), *empty_images(source)], ["python train.py"])


def extents(labels: np.ndarray) -> np.ndarray:
    """Median size of the cells' bounding boxes, ([z,] y, x), pixels."""
    boxes = np.array([region.bbox for region in regionprops(labels)])
    return np.median(boxes[:, labels.ndim :] - boxes[:, : labels.ndim], 0)


def configuration(measured: np.ndarray, smallest: Sequence[int], *, where: Path) -> dict[str, Any]:
    """What StarDist's `Config2D` or `Config3D` should be given.

    Args:
        measured: Median extents of the cells, ([z,] y, x), pixels.
        smallest: Smallest size of the images along each axis.
        where: The images, for messages.

    Raises:
        InputError: An image is too small for a patch.
    """
    ndim, anisotropy = len(measured), measured.max() / np.maximum(measured, 1)
    if ndim == 2:
        grid = [1 if measured.max() < SMALL else 2 if measured.max() <= FIELDS[2] else 4] * 2
        backbone = "unet"
    else:
        grid = [1 if stretch > 1.5 or size < SMALL else 2 for stretch, size in zip(anisotropy, measured)]
        backbone = "resnet" if measured.max() <= RESNET_FIELD or smallest[0] < POOLED[3] * grid[0] else "unet"
    steps = [cell * (POOLED[ndim] if backbone == "unet" else 1) for cell in grid]
    patch = [min(most, size) // step * step for most, size, step in zip(LARGEST[ndim], smallest, steps)]
    if not all(patch):
        raise InputError(
            "The images are too small for StarDist",
            where=where,
            found=f"{' × '.join(map(str, smallest))} pixels",
            expected=f"at least {' × '.join(map(str, steps))} pixels",
            fix="make larger images with population.frame_shape",
        )
    common = {"axes": "ZYX"[-ndim:], "n_channel_in": 1, "grid": grid, "train_patch_size": patch, "backbone": backbone}
    return {**common, "n_rays": 32} if ndim == 2 else {**common, "n_rays": 96, "anisotropy": anisotropy.tolist()}


def _notes(config: dict[str, Any], measured: np.ndarray, with_validation: bool) -> list[str]:
    size = " × ".join(f"{value:g}" for value in measured)
    notes = [f"median extents of the cells: {size} pixels; patch {config['train_patch_size']}, grid {config['grid']}"]
    if not with_validation:
        notes.append("no image is kept for validation, which StarDist needs: its training validates on what it learns")
    return notes
