"""COCO: 8-bit images and one file of run-length encoded instances each for training and validation.

Programs that read COCO take 8-bit images and cut brighter ones off, so counts are scaled. Stacks are written slice by
slice, for these programs know no depth.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image
from scipy.ndimage import find_objects

from cellcascade.config.formats import CocoFormat
from cellcascade.data.synthetic import SyntheticSet
from cellcascade.exports.base import Exported, empty_images, held_out

SHOWN = (0.1, 99.9)  # percentiles of an image that become black and white
CATEGORY = {"id": 1, "name": "cell", "supercategory": "cell"}


@dataclass
class _File:
    """A file of instances that grows image by image: the annotations, of which there are many, go straight to it."""

    file: IO[str]
    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: int = 0

    def add(self, item: dict[str, Any]) -> None:
        """Write an annotation."""
        self.file.write(",\n" if self.annotations else '{"annotations": [\n')
        self.annotations += 1
        json.dump({"id": self.annotations, **item}, self.file)

    def close(self) -> None:
        """Write what stands after the annotations."""
        self.file.write("],\n" if self.annotations else '{"annotations": [],\n')
        info = {"description": "synthetic images of cellcascade"}
        rest = {"images": self.images, "categories": [CATEGORY], "info": info, "licenses": []}
        self.file.write(json.dumps(rest)[1:] + "\n")


def write(source: SyntheticSet, folder: Path, settings: CocoFormat) -> Exported:
    """Write images, or the slices of stacks, and their instances.

    Raises:
        InputError: An image cannot be read.
    """
    held = held_out(source.images, settings.validation)
    parts = ["train", "val"] if held else ["train"]
    with ExitStack() as stack:
        files = {}
        for part in parts:
            (folder / part).mkdir(parents=True)
            files[part] = _File(stack.enter_context((folder / f"instances_{part}.json").open("w")))
        for image in source.images:
            part = "val" if image.name in held else "train"
            for name, grey, labels in _slices(image.name, image.counts(), image.labels()):
                Image.fromarray(grey).save(folder / part / f"{name}.png", compress_level=1)
                _add(files[part], f"{name}.png", labels)
        for file in files.values():
            file.close()
        counts = [
            f"{len(file.images)} images and {file.annotations} instances to {part}" for part, file in files.items()
        ]
    return Exported(", ".join(counts), _notes(parts) + empty_images(source))


def rle(mask: np.ndarray, box: tuple[slice, ...], shape: tuple[int, ...]) -> list[int]:
    """Run lengths of an instance in the order of COCO: down the columns, background first.

    Args:
        mask: The instance in its box, (y, x).
        box: Where the box is, (y, x).
        shape: Shape of the whole image, (y, x).
    """
    edges = np.diff(np.pad(mask.T.astype(np.int8), [(0, 0), (1, 1)]), axis=1)
    (columns, first), (_, end) = np.nonzero(edges == 1), np.nonzero(edges == -1)
    offset = (columns + box[1].start) * shape[0] + box[0].start
    starts, ends = offset + first, offset + end
    apart = starts[1:] != ends[:-1]  # a run that goes on at the top of the next column is one with this
    starts, ends = starts[np.r_[True, apart]], ends[np.r_[apart, True]]
    bounds = np.r_[0, np.stack([starts, ends], 1).ravel(), shape[0] * shape[1]]
    return np.diff(bounds).tolist()


def _slices(name: str, counts: np.ndarray, labels: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, 8-bit grey and labels of an image, or of the slices of a stack, scaled alike."""
    low, high = np.percentile(counts, SHOWN)
    for z in range(len(counts) if counts.ndim == 3 else 1):
        plane, cells = (counts, labels) if counts.ndim == 2 else (counts[z], labels[z])
        grey = np.clip((plane.astype(np.float32) - low) * (255 / max(high - low, 1)), 0, 255)
        yield (name if counts.ndim == 2 else f"{name}_z{z:04d}"), np.rint(grey).astype(np.uint8), cells


def _add(file: _File, name: str, labels: np.ndarray) -> None:
    """Add an image with its instances."""
    height, width = labels.shape
    number = len(file.images) + 1
    file.images.append({"id": number, "file_name": name, "height": height, "width": width})
    for label, box in enumerate(find_objects(labels.astype(np.int32)), 1):
        if box is None:
            continue
        mask = labels[box] == label
        (top, bottom), (left, right) = ((part.start, part.stop) for part in box)
        file.add(
            {
                "image_id": number,
                "category_id": CATEGORY["id"],
                "segmentation": {"size": [height, width], "counts": rle(mask, box, labels.shape)},
                "area": int(mask.sum()),
                "bbox": [left, top, right - left, bottom - top],
                "iscrowd": 0,
                "label": label,
            }
        )


def _notes(parts: list[str]) -> list[str]:
    low, high = SHOWN
    calls = [f"register_coco_instances('cells_{part}', {{}}, 'instances_{part}.json', '{part}')" for part in parts]
    return [
        f"counts were scaled to 8 bits: percentiles {low} and {high} of an image are black and white",
        f"Detectron2 takes them by {', '.join(calls)} and INPUT.MASK_FORMAT: bitmask",
    ]
