"""What labels say without their frame: cells and pieces of cells, one number for several, slivers of interpolation."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.measure import label as connected

from cellcascade.config.settings import CropSettings
from cellcascade.data.ctc import AnnotatedFrame
from cellcascade.data.objects import FRAGMENTARY, find_cells, has_core, touches_another

PIECE = 0.25  # share of its label's largest piece from which on another piece is a cell of its own


@dataclass(frozen=True)
class LabelFacts:
    """What the labels of one annotation say.

    Attributes:
        values: The labels that occur, but for 0.
        reasons: Why objects are left out, one per object; empty for usable ones.
        areas: Pixels of the widest slice of the objects that are no fragments.
        extents: Longest edges of the bounding boxes of these, in y or x, pixels.
        merged: Objects with several large pieces.
        pieces: Large pieces of all objects together.
        slivers: Pieces without a core that touch another object.
    """

    values: np.ndarray
    reasons: list[str]
    areas: np.ndarray
    extents: np.ndarray
    merged: int
    pieces: int
    slivers: int


def label_facts(
    labels: np.ndarray, annotated: AnnotatedFrame, settings: CropSettings, ignored: np.ndarray | None = None
) -> LabelFacts:
    """Look at the labels of one annotation.

    Args:
        labels: Labels ([z,] y, x), 0 is background.
        annotated: The annotation that they are of.
        settings: The `crops` block: which cells are usable.
        ignored: Where nobody annotated, bool; `None`: all is annotated.
    """
    rows = [cell.row for cell in find_cells(labels, annotated, settings, ignored)]
    whole = [row for row in rows if row["reason"] != FRAGMENTARY]
    boxes = ndimage.find_objects(labels)
    extents = [max(side.stop - side.start for side in boxes[row["label"] - 1][-2:]) for row in whole]
    merged, pieces, slivers = _pieces(labels)
    return LabelFacts(
        values=np.array([row["label"] for row in rows], int),
        reasons=[row["reason"] for row in rows],
        areas=np.array([row["area"] for row in whole], float),
        extents=np.array(extents, float),
        merged=merged,
        pieces=pieces,
        slivers=slivers,
    )


def _pieces(labels: np.ndarray) -> tuple[int, int, int]:
    """Objects with several large pieces, large pieces of all, and slivers along other objects."""
    pieces = connected(labels, connectivity=labels.ndim)
    numbers, sizes = pieces.ravel(), np.bincount(pieces.ravel())
    owner = np.zeros(len(sizes), int)
    owner[numbers] = labels.ravel()
    cored, beside = (np.bincount(numbers, where.ravel()) > 0 for where in (has_core(labels), touches_another(labels)))
    largest = np.zeros(owner.max() + 1, int)
    np.maximum.at(largest, owner, sizes)
    large = cored & (sizes >= PIECE * largest[owner]) & (owner > 0)
    per_object = np.bincount(owner[large])
    return int((per_object > 1).sum()), int(large.sum()), int((~cored & beside).sum())
