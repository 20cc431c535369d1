"""SEG, the segmentation measure of the Cell Tracking Challenge, and precision, recall and F1 beside it. Free of torch.

SEG asks how well the reference objects are covered and does not count what was found beyond them; precision does.
Every annotation file counts by itself: of sparse 3D gold truth (`man_seg_TTT_ZZZ.tif`) each slice is an image of its
own, so a cell annotated in two slices counts twice, and areas are those in the slice.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile

from cellcascade.core.errors import InputError
from cellcascade.data.ctc import LABELS
from cellcascade.data.tiff import READ_ERRORS
from cellcascade.data.whole_numbers import as_labels

THRESHOLDS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.9)
RESULT = re.compile(r"mask(\d{3,4})\.tif")
LARGEST_TABLE = 1 << 22  # entries; beyond it sorting is cheaper than a table with an entry for every number
BLOCK = 1 << 20  # pixels


class Overlaps(NamedTuple):
    """Which labels of two images share pixels; 0, the background, is left out.

    Attributes:
        reference_labels: Labels of the reference `(n)`, ascending.
        reference_sizes: Their pixels `(n)`.
        result_labels: Labels of the result `(m)`, ascending.
        result_sizes: Their pixels `(m)`.
        pairs: One row `(k, 3)` for every two labels that meet: index in `reference_labels`, index in
            `result_labels`, common pixels.
    """

    reference_labels: np.ndarray
    reference_sizes: np.ndarray
    result_labels: np.ndarray
    result_sizes: np.ndarray
    pairs: np.ndarray


@dataclass(frozen=True)
class Score:
    """How well a segmentation agrees with a reference.

    Attributes:
        seg: Mean of `jaccards`.
        n_objects: Reference objects, pooled over the images.
        n_found: Objects of the result, pooled over the images.
        precision: Share of the result's objects that are true, by the threshold of the IoU; 0 if there are none.
        recall: Share of the reference objects that were found, by the threshold of the IoU.
        f1: Harmonic mean of the two, by the threshold of the IoU.
        ap: Average precision as cell segmenters use it, by the threshold of the IoU: true objects over all of the
            reference and of the result, each pair counted once.
        jaccards: IoU of each reference object with the object that covers more than half of it `(n_objects)`,
            0 where there is none; in the order of images and labels.
        hits: Whether each object of the result is true, by an IoU above 0.5 `(n_found)`, in the same order.
    """

    seg: float
    n_objects: int
    n_found: int
    precision: dict[float, float]
    recall: dict[float, float]
    f1: dict[float, float]
    ap: dict[float, float]
    jaccards: np.ndarray
    hits: np.ndarray


def overlaps(reference: np.ndarray, result: np.ndarray) -> Overlaps:
    """Count the pixels that the labels of two images share.

    Args:
        reference: Labels of any integer type, `(y, x)` or `(z, y, x)`; 0 is background.
        result: Labels of the same shape, of any integer type.

    Returns:
        Labels, sizes and the pairs of labels that meet.

    Raises:
        ValueError: The shapes differ, or an array does not hold labels.
    """
    if reference.shape != result.shape:
        raise ValueError(f"reference {reference.shape} and result {result.shape} differ in shape")
    rows, columns = _Numbers(reference), _Numbers(result)
    width = len(columns.labels) + 1
    codes = (rows.of(part) * width + columns.of(other) for part, other in zip(blocks(reference), blocks(result)))
    met, counts = _counted(codes, (len(rows.labels) + 1) * width)
    first, second = np.divmod(met, width)
    cells = (first > 0) & (second > 0)
    pairs = np.stack([first[cells] - 1, second[cells] - 1, counts[cells]], axis=1)
    return Overlaps(rows.labels, rows.sizes, columns.labels, columns.sizes, pairs)


def score(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Score:
    """Score segmentations as the Cell Tracking Challenge does, and by precision and recall.

    SEG: the object that covers strictly more than half of a reference object is its match (there is one at most, and
    it may match several); the IoU of the two counts, 0 without a match; the mean is over all reference objects of all
    images (Maska et al., Bioinformatics 30:1609, 2014). For precision and recall an object is true if its IoU with a
    reference object is strictly above the threshold: above 0.5 that makes pairs unique. They need references in which
    every cell is annotated: where gold truth leaves cells out, these count as false.

    Args:
        pairs: Reference and result labels of each image, both `(y, x)` or `(z, y, x)`; a slice of sparse 3D truth
            with the slice of the result, as `annotation_pairs` gives them.

    Returns:
        The score of all images together.

    Raises:
        InputError: The references hold no object.
        ValueError: A pair differs in shape or does not hold labels.
    """
    jaccards, ious, hits, n_images = [], [], [], 0
    for reference, result in pairs:
        both = overlaps(reference, result)
        rows, columns, common = both.pairs.T
        iou = common / (both.reference_sizes[rows] + both.result_sizes[columns] - common)
        matched = 2 * common > both.reference_sizes[rows]
        best = np.zeros(len(both.reference_labels))
        best[rows[matched]] = iou[matched]
        jaccards.append(best)
        ious.append(iou[iou > THRESHOLDS[0]])
        hits.append(np.isin(np.arange(len(both.result_labels)), columns[iou > THRESHOLDS[0]]))
        n_images += 1
    pooled = np.concatenate([*jaccards, np.empty(0)])
    if not len(pooled):
        raise _no_objects(n_images)
    found, true_objects = np.concatenate(ious), np.concatenate(hits)
    n_found = len(true_objects)
    true = {threshold: int((found > threshold).sum()) for threshold in THRESHOLDS}
    return Score(
        seg=float(pooled.mean()),
        n_objects=len(pooled),
        n_found=n_found,
        precision={threshold: count / max(n_found, 1) for threshold, count in true.items()},
        recall={threshold: count / len(pooled) for threshold, count in true.items()},
        f1={threshold: 2 * count / (len(pooled) + n_found) for threshold, count in true.items()},
        ap={threshold: count / (len(pooled) + n_found - count) for threshold, count in true.items()},
        jaccards=pooled,
        hits=true_objects,
    )


def annotation_pairs(
    reference_folder: str | Path, result_folder: str | Path
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pair every annotation file with the result of its frame, for `score`.

    A result that is missing is an error, as it is for the Challenge's own tool: an empty result must be written as an
    image of zeros. Results of frames without annotation are not looked at. If a result volume was cropped in depth
    and only slices are annotated, this shows only where an annotated slice lies outside it.

    Args:
        reference_folder: `01_GT` or `01_ST`, with `SEG/man_segTTT.tif` or `SEG/man_seg_TTT_ZZZ.tif`.
        result_folder: `01_RES`, with `maskTTT.tif`. The numbers have 3 or 4 digits in both.

    Returns:
        Reference and result labels of one annotation after the other, read as they are asked for: `(y, x)`,
        `(z, y, x)`, or `(y, x)` of the annotated slice.

    Raises:
        InputError: There is no annotation, results are missing, or (while the pairs are taken) a file is damaged,
            holds no labels, or differs in shape from the other.
    """
    references, results = Path(reference_folder) / "SEG", Path(result_folder)
    found = {int(match[1]): path for path in _files(results) if (match := RESULT.fullmatch(path.name))}
    annotations: list[tuple[int, int, Path]] = []
    missing: dict[str, None] = {}
    for path in _files(references):
        if match := LABELS.fullmatch(path.name):
            digits = match[1] or match[2]
            annotations.append((int(digits), -1 if match[3] is None else int(match[3]), path))
            if int(digits) not in found:
                missing[f"mask{digits}.tif"] = None
    if not annotations:
        raise InputError(
            "There are no annotations to score against",
            where=references.absolute(),
            found="no file of that name" if references.is_dir() else "no such folder",
            expected="man_seg000.tif or man_seg_000_000.tif (3 or 4 digits)",
            fix="name the folder that holds SEG, for example 01_GT or 01_ST",
        )
    if missing:
        raise _missing_results(list(missing), results)
    return _read_pairs(sorted(annotations), found)


class _Numbers:
    """The labels of an image numbered from 1; 0 stays 0.

    Attributes:
        labels: Its labels `(n)`, ascending.
        sizes: Their pixels `(n)`.
    """

    def __init__(self, image: np.ndarray):
        if image.dtype.kind not in "iu" or (image.size and image.min() < 0):
            raise ValueError(f"labels must be integers of 0 and above, not {image.dtype}")
        present, sizes = _counted(blocks(image), int(image.max(initial=0)) + 1)
        self.labels, self.sizes = present[present > 0], sizes[present > 0]
        self._table = None
        if not len(present) or present[-1] < LARGEST_TABLE:
            self._table = np.zeros(int(present.max(initial=0)) + 1, np.intp)
            self._table[self.labels] = np.arange(1, len(self.labels) + 1)

    def of(self, part: np.ndarray) -> np.ndarray:
        """The numbers of some pixels' labels."""
        if self._table is not None:
            return self._table[part]
        numbers = np.searchsorted(self.labels, part) + 1
        return np.where(part == 0, 0, numbers)


def blocks(image: np.ndarray) -> Iterator[np.ndarray]:
    """The pixels of an image, some at a time: so many that what is computed of them needs little memory."""
    flat = image.ravel()
    return (flat[start : start + BLOCK] for start in range(0, len(flat), BLOCK))


def _counted(blocks: Iterable[np.ndarray], stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers below `stop` that occur in blocks, ascending, and how often."""
    if stop <= LARGEST_TABLE:
        counts = np.zeros(stop, np.intp)
        for block in blocks:
            some = np.bincount(block.astype(np.intp, copy=False))
            counts[: len(some)] += some
        return np.flatnonzero(counts), counts[counts > 0]
    found = [np.unique(block, return_counts=True) for block in blocks]
    met, place = np.unique(np.concatenate([numbers for numbers, _ in found]), return_inverse=True)
    counts = np.zeros(len(met), np.intp)
    np.add.at(counts, place, np.concatenate([some for _, some in found]))
    return met, counts


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _read_pairs(
    annotations: list[tuple[int, int, Path]], results: dict[int, Path]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Reference and result of each annotation (frame, slice or -1, file); a result is read once for all its slices."""
    for frame, files in groupby(annotations, key=lambda item: item[0]):
        result = _read_labels(results[frame])
        for _, z, path in files:
            yield _paired(_read_labels(path), result, z, files=(path, results[frame]))


def _paired(
    reference: np.ndarray, result: np.ndarray, z: int, *, files: tuple[Path, Path]
) -> tuple[np.ndarray, np.ndarray]:
    shape = result.shape
    if z < 0 and shape == reference.shape:
        return reference, result
    if z >= 0 and len(shape) == 3 and z < shape[0] and shape[1:] == reference.shape:
        return reference, result[z]
    expected = f"shape {reference.shape}, as {files[0]}"
    if z >= 0:
        expected = f"a volume with slice {z} (counted from 0) and slices of shape {reference.shape}, as {files[0]}"
    raise InputError(
        "A result does not fit its annotation",
        where=files[1].absolute(),
        found=f"shape {shape}",
        expected=expected,
        fix="segment the whole frame; if the image was cropped or scaled, put the result back into the frame's grid",
    )


def _read_labels(path: Path) -> np.ndarray:
    try:
        with tifffile.TiffFile(path) as file:
            if len(file.series) != 1:
                raise ValueError(f"{len(file.series)} images of different shapes")
            colour, labels = "S" in file.series[0].axes, file.asarray()
    except READ_ERRORS as error:
        raise InputError(
            "Labels cannot be read",
            where=path.absolute(),
            found=f"{type(error).__name__}: {error}",
            expected="an undamaged TIFF file with one image or one stack",
            fix="write or copy the file again",
        ) from error
    labels = as_labels(labels, path.absolute())
    if colour or labels.dtype.kind not in "iu" or (labels.size and labels.min() < 0):
        negative = f"values down to {labels.min()}, " if labels.dtype.kind == "i" else ""
        raise InputError(
            "A file does not hold labels",
            where=path.absolute(),
            found=f"{'colour, ' if colour else ''}{negative}pixels of type {labels.dtype}",
            expected="an integer type, one number of 1 or above per cell, 0 for what is no cell",
            fix="write the labels as a 16 bit TIFF",
        )
    return labels


def _missing_results(names: list[str], folder: Path) -> InputError:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return InputError(
        "Annotated frames have no result",
        where=folder.absolute(),
        found=f"no {', '.join(names[:10])}{more}" if folder.is_dir() else "no such folder",
        expected="a result for every annotated frame",
        fix="segment these frames too; where nothing was found, write an image of zeros",
    )


def _no_objects(n_images: int) -> InputError:
    return InputError(
        "There is no object to score against",
        where="reference annotations",
        found=f"no object in {n_images} image(s)",
        expected="at least one labelled object",
        fix="use a sequence with annotated cells",
    )
