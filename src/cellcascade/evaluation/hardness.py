"""Which annotated cells a network misses that has not seen them; the test frames have no part in it.

Two short trainings, each on half of the annotated cells, judge the other half. Free of torch until a network is used.
"""

import logging
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage

from cellcascade.config.settings import Cellpose
from cellcascade.config.values import Training
from cellcascade.core.files import write_table
from cellcascade.core.logs import progress
from cellcascade.core.seeds import seed_for
from cellcascade.data.contacts import touching_pairs
from cellcascade.data.objects import fragments_of
from cellcascade.data.recording import Recording
from cellcascade.evaluation.cellpose.record import read_record
from cellcascade.evaluation.halves import Half, halves
from cellcascade.evaluation.predictions import Segmented
from cellcascade.metrics.images import at_border
from cellcascade.metrics.seg import overlaps
from cellcascade.population.misses import AROUND, MISSED, TRAITS, Traits, cell_traits

COLUMNS = ["label", "z", *TRAITS, "touching", "border", "iou"]
Segment = Callable[[np.ndarray], Segmented]  # of a frame ([z,] y, x)

logger = logging.getLogger(__name__)


def judge_cells(
    *,
    recording: Recording,
    start: Path | None,
    settings: Cellpose,
    train: Training,
    table: Path,
    checkpoints: str,
    seed: int,
    device: str,
) -> None:
    """Stage `hardness`: find out how well each annotated cell is found by a Cellpose that learned from the others.

    Args:
        recording: The annotated frames that the generative models learned from.
        start: Weights to start from; `None` for random ones.
        settings: The `evaluation.cellpose` block.
        train: How the two networks are trained.
        table: CSV to write: the number of the `frame`, and the columns of `rate_cells`.
        checkpoints: Prefix of the two trainings' checkpoint folders, which also carry a number and a fingerprint.
        seed: Seed of the trainings.
        device: auto, cpu or cuda.

    Raises:
        InputError: The images or the weights to start from cannot be used, another version of Cellpose is installed,
            or half of the annotations has no cell.
    """
    found: list[pd.DataFrame] = []
    how: dict[str, Any] = {"start": start, "settings": settings, "train": train, "device": device}
    with tempfile.TemporaryDirectory(prefix=f".{table.name}.", dir=table.parent) as folder:
        for number, half in enumerate(halves(recording, Path(folder))):
            logger.info("half %d of 2 is judged by a network that learns from the other", number + 1)
            how |= {"checkpoints": f"{checkpoints}-{number}", "seed": seed_for(seed, "hardness", number)}
            network = _trained(half.learned, Path(folder) / f"network-{number}", **how)
            found += _judged(half, recording, network)
    cells = pd.concat(found).sort_values(["frame", "label", "z"])
    missed = 100 * (cells["iou"] < MISSED).mean()
    logger.info("%d cells judged, %.0f %% of them missed (IoU below %s)", len(cells), missed, MISSED)
    write_table(table, cells, float_format="%.6g")


def rate_cells(
    image: np.ndarray,
    labels: np.ndarray,
    result: np.ndarray,
    *,
    voxel_size_um: tuple[float, ...],
    ignored: np.ndarray | None = None,
) -> pd.DataFrame:
    """How well each annotated cell of an image is found.

    Args:
        image: Counts, ([z,] y, x).
        labels: Labels of equal shape, 0 is background.
        result: Labels of a segmentation, of equal shape.
        voxel_size_um: Size of a pixel, ([z,] y, x).
        ignored: Where nobody annotated, bool, of the labels' shape; `None`: all is annotated.

    Returns:
        A row per label, ascending, but for slivers and specks: `label`; `z`, its widest slice, -1 in 2D; `area`,
        `brightness` and `eccentricity` on this slice, see `cell_traits`; `touching` (within 2 pixels of another) and
        `border` (cut by the border of the plane), 0 or 1; `iou`, the largest one with an object of the result.
    """
    both = overlaps(labels, result)
    rows, columns, common = both.pairs.T
    best = np.zeros(int(labels.max()) + 1)
    union = both.reference_sizes[rows] + both.result_sizes[columns] - common
    np.maximum.at(best, both.reference_labels[rows], common / union)
    touching, cut = np.unique(touching_pairs(labels, voxel_size_um).labels), at_border(labels)
    free = labels == 0 if ignored is None else (labels == 0) & ~ignored
    found = [
        (label, z, *traits, int(label in touching), int(label in cut), best[label])
        for label, z, traits in _traits(image, labels, free)
    ]
    return pd.DataFrame(found, columns=COLUMNS)


def _traits(image: np.ndarray, labels: np.ndarray, free: np.ndarray) -> Iterator[tuple[int, int, Traits]]:
    """Label, widest slice (-1 in 2D) and traits of each cell."""
    flat = labels.ndim == 2
    counts, stack, outside = (array[None] if flat else array for array in (image, labels, free))
    level = float(np.median(image[free])) if free.any() else 0.0
    left_out = fragments_of(stack)
    for label, box in enumerate(ndimage.find_objects(stack), 1):
        if box is None or label in left_out:
            continue
        z = box[0].start + int((stack[box] == label).sum((1, 2)).argmax())
        near = (z, *(slice(max(side.start - AROUND, 0), side.stop + AROUND) for side in box[1:]))
        yield label, -1 if flat else z, cell_traits(counts[near], stack[near] == label, outside[near], level=level)


def _trained(learned: Recording, place: Path, *, settings: Cellpose, device: str, **how: Any) -> Segment:
    """A network that learned from a recording; its files are in a folder of its own, but for its checkpoint."""
    from cellcascade.evaluation.cellpose.predict import segment
    from cellcascade.evaluation.cellpose.train import train_cellpose
    from cellcascade.evaluation.cellpose.weights import library
    from cellcascade.learning.device import pick_device

    train_cellpose(
        regime="real",
        recording=learned,
        synthetic=None,
        settings=settings,
        weights=place / "model",
        record=place / "config.json",
        table=place / "training.csv",
        device=device,
        **how,
    )
    version = library(settings.version)
    model, diameter = version.load(place / "model", pick_device(device)), read_record(place / "config.json").diameter
    return partial(
        segment,
        model,
        diameter=diameter,
        anisotropy=learned.anisotropy,
        volumes=settings.volumes,
        options=version.EVAL_OPTIONS,
    )


def _judged(half: Half, recording: Recording, network: Segment) -> Iterator[pd.DataFrame]:
    """How well the cells of a half are found, a table per annotation."""
    frames = groupby(half.judged, key=lambda item: item.frame)
    total = len({item.frame for item in half.judged})
    for frame, items in progress(frames, total=total, what="judged frames"):
        result: Segmented | None = None
        for item in items:
            if result is None:
                result = network(recording.read_image(item)[...])
            image, labels = recording.read(item)
            rated = rate_cells(
                image,
                labels,
                result.slice(item.z).labels,
                voxel_size_um=recording.voxel_size_um[-labels.ndim :],
                ignored=recording.read_ignored(item),
            )
            if item.z is not None:
                rated["z"] = item.z
            rated.insert(0, "frame", frame)
            yield rated if half.labels is None else rated[rated["label"].isin(half.labels)]
