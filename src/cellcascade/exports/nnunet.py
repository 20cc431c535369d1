"""nnU-Net v2: a raw data set `DatasetNNN_NAME`, and its segmentations back as instances.

nnU-Net knows classes, not instances. The inner part of each cell is one class and its border another, so that cores of
neighbours never touch; instances grow back from their cores.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import edt
import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed

from cellcascade.config.formats import NnunetFormat
from cellcascade.data.synthetic import SyntheticSet
from cellcascade.exports.base import Exported, empty_images
from cellcascade.exports.tiffs import write_counts, write_labels

CORE, BORDER = 1, 2
CLASSES = {"background": 0, "core": CORE, "border": BORDER}


def write(source: SyntheticSet, folder: Path, settings: NnunetFormat) -> Exported:
    """Write the raw data set.

    Raises:
        InputError: An image cannot be read.
    """
    name, size_um = f"Dataset{settings.number:03d}_{source.record.dataset}", source.voxel_size_um
    place, sampling = folder / name, [size / size_um[-1] for size in size_um]
    for image in source.images:
        write_counts(place / f"imagesTr/{image.name}_0000.tif", image.counts(), size_um)
        classes = to_classes(image.labels(), border=settings.border, sampling=sampling)
        write_labels(place / f"labelsTr/{image.name}.tif", classes, size_um)
        if source.ndim == 3:
            for part in ("imagesTr", "labelsTr"):
                (place / part / f"{image.name}.json").write_text(json.dumps({"spacing": size_um}) + "\n")
    reader = "NaturalImage2DIO" if source.ndim == 2 else "Tiff3DIO"
    facts = {
        "channel_names": {"0": "microscopy"},
        "labels": CLASSES,
        "numTraining": len(source.images),
        "file_ending": ".tif",
        "name": source.record.dataset,
        "overwrite_image_reader_writer": reader,
    }
    (place / "dataset.json").write_text(json.dumps(facts, indent=2) + "\n")
    notes = ["the classes are the cores and the borders of the cells: `cellcascade instances` makes cells of them"]
    return Exported(f"{len(source.images)} images in {name}", notes + empty_images(source), _commands(source, settings))


def to_classes(labels: np.ndarray, *, border: int, sampling: Sequence[float]) -> np.ndarray:
    """Cores and borders of cells.

    Args:
        labels: Labels, ([z,] y, x), 0 is background.
        border: Width of the border, pixels along x.
        sampling: Size of a pixel over its size along x, ([z,] y, x).

    Returns:
        0 in the background, `CORE`, or `BORDER`, of equal shape, uint8. Each cell has one core in one piece, if only a
        pixel, and no two cores share a face.
    """
    depth = edt.edt(np.ascontiguousarray(labels), anisotropy=tuple(sampling), black_border=False)
    depth = np.where(_touches(labels), 0, depth)  # of stacks with thick slices the distance alone would not part them
    classes = np.where(labels > 0, BORDER, 0).astype(np.uint8)
    for label, box in enumerate(ndimage.find_objects(labels.astype(np.int32)), 1):
        if box is not None:
            inside = labels[box] == label
            classes[box][_core(inside, depth[box], border)] = CORE
    return classes


def to_instances(classes: np.ndarray) -> np.ndarray:
    """Cells of an image of classes: each core grows over the border around it. Borders without a core are no cell.

    Args:
        classes: What `to_classes` gives, or nnU-Net predicts, ([z,] y, x).

    Returns:
        Labels of equal shape, uint16 (uint32 above 65 535), 0 is background.
    """
    cores, count = ndimage.label(classes == CORE)
    grown = watershed(np.zeros(classes.shape, np.uint8), cores, mask=classes > 0)
    return grown.astype(np.uint16 if count <= np.iinfo(np.uint16).max else np.uint32)


def _touches(labels: np.ndarray) -> np.ndarray:
    """Pixels of a cell with a face at a pixel of another cell."""
    found = np.zeros(labels.shape, bool)
    for axis in range(labels.ndim):
        here, there = np.moveaxis(labels, axis, 0)[:-1], np.moveaxis(labels, axis, 0)[1:]
        meet = (here != there) & (here > 0) & (there > 0)
        view = np.moveaxis(found, axis, 0)
        view[:-1] |= meet
        view[1:] |= meet
    return found


def _core(inside: np.ndarray, depth: np.ndarray, border: int) -> np.ndarray:
    """The core of a cell in its box: its largest inner piece, or where it is deepest."""
    inner = inside & (depth > border)
    if not inner.any():
        deepest = np.where(inside, depth, -1)
        inner = deepest == deepest.max()
    pieces, count = ndimage.label(inner)
    return pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]) if count > 1 else inner


def _commands(source: SyntheticSet, settings: NnunetFormat) -> list[str]:
    network = "2d" if source.ndim == 2 else "3d_fullres"
    return [
        'export nnUNet_raw="$PWD" nnUNet_preprocessed="$PWD/preprocessed" nnUNet_results="$PWD/results"',
        f"nnUNetv2_plan_and_preprocess -d {settings.number} -c {network} --verify_dataset_integrity",
        f"nnUNetv2_train {settings.number} {network} 0",
        f"nnUNetv2_predict -i IMAGES -o CLASSES -d {settings.number} -c {network} -f 0",
        "cellcascade instances CLASSES LABELS",
    ]
