"""Single cells cut from annotated frames (paper, section 3, data sets). Free of torch.

Every usable cell gets a square crop of its own, centred on its bounding box, in which it is alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage
from skimage.measure import regionprops

from cellcascade.config.settings import CropSettings
from cellcascade.core.errors import InputError
from cellcascade.core.files import write_table
from cellcascade.core.logs import progress
from cellcascade.core.seeds import numpy_generator
from cellcascade.data.ctc import AnnotatedFrame
from cellcascade.data.inpainting import Section, clear_of, cut_alone, section_at
from cellcascade.data.recording import Recording
from cellcascade.data.shards import digests_of
from cellcascade.data.stores import CROPS, CropsRecord

SEED = 0  # crops are the same whatever the seed of the run
ONE_PIECE = 0.95  # share of a cell's area that its largest piece must hold
COLUMNS = ["frame", "label", "z", "area", "kept", "reason", "mean", "background", "eccentricity", "solidity"]


@dataclass(frozen=True)
class Crops:
    """The crops of a data set, in memory; m crops, several of one cell where slices were taken of it.

    Attributes:
        image: Counts (m, y, x), uint16, the cell alone on background.
        mask: The cell (m, y, x), uint8, 0 or 1.
        frame: Source frame (m).
        label: Source label (m).
        z: Source slice (m), -1 in 2D.
        widest: 1 (m) where the crop is the cell's widest, or its annotated, slice.
        area_ratio: Area of the slice over that of the cell's widest slice (m).
        brightness: Mean counts in the mask of the cell's widest slice (m), the same for all its slices.
        background: Median counts of the crop's background (m).
        record: Record of the store: window, voxel size and others.
    """

    image: np.ndarray
    mask: np.ndarray
    frame: np.ndarray
    label: np.ndarray
    z: np.ndarray
    widest: np.ndarray
    area_ratio: np.ndarray
    brightness: np.ndarray
    background: np.ndarray
    record: CropsRecord


@dataclass(frozen=True)
class _Seen:
    """What one annotation shows: its rows of the table, the entries of its crops, and where its border cuts cells."""

    annotated: AnnotatedFrame
    rows: list[dict]
    crops: list[dict]
    cut_by_border: np.ndarray
    dtype: np.dtype


@dataclass(frozen=True)
class _Slice:
    """A slice of a cell: its mask (y, x) in its bounding box, whose first pixel is `corner`."""

    z: int
    mask: np.ndarray
    corner: tuple[int, int]


@dataclass
class _Cell:
    """An annotated object: its row of the table, and the slices to cut, the widest first; none if it is left out."""

    row: dict
    slices: list[_Slice] = field(default_factory=list)


def make_crops(*, recording: Recording, dataset: str, settings: CropSettings, store: Path, table: Path) -> None:
    """Stage `crops`: cut every usable cell of a sequence (paper, section 3, data sets).

    Args:
        recording: The annotated frames.
        dataset: Name of the data set; the random numbers depend on it.
        settings: The `crops` block of the configuration.
        store: Crops to write, `CROPS`.
        table: CSV to write: one row an annotated object, with the reason if it was left out.

    Raises:
        InputError: The data cannot be used, or hold no usable cell.
    """
    frames = recording.frames()
    seen = [_see(recording, item, dataset, settings) for item in progress(frames, total=len(frames), what="frames")]
    rows, crops = [row for each in seen for row in each.rows], [crop for each in seen for crop in each.crops]
    if not crops:
        raise _no_usable_cell(recording.annotation_folder, rows, settings)
    arrays = {name: np.stack([crop[name] for crop in crops]) for name in CROPS.arrays}
    write_table(table, pd.DataFrame(rows, columns=COLUMNS), float_format="%.6g")
    CROPS.write(store, arrays, _record(recording, frames, seen, arrays, dataset=dataset, settings=settings))


def read_crops(store: str | Path) -> Crops:
    """Read all crops of a store into memory.

    Raises:
        InputError: The store is missing, damaged, or holds something else.
    """
    opened = CROPS.open(store)
    return Crops(**{name: opened[name] for name in CROPS.arrays}, record=opened.record)


def to_unit(counts: np.ndarray, window: Sequence[float]) -> np.ndarray:
    """Counts to 0..1 by a square root, which evens out shot noise.

    Args:
        counts: Camera counts of any shape.
        window: Counts that become 0 and 1; what is outside is clipped.
    """
    low, high = window
    return np.sqrt(np.clip((np.asarray(counts, np.float32) - low) / (high - low), 0, 1)).astype(np.float32)


def to_counts(unit: np.ndarray, window: Sequence[float], dtype_max: int) -> np.ndarray:
    """The inverse of `to_unit`, exact for whole counts within the window.

    Args:
        unit: Values of any shape; what is outside 0..1 is clipped.
        window: Counts that are 0 and 1.
        dtype_max: Largest count of the camera, 255 or 65535.

    Returns:
        Rounded counts, uint16.
    """
    low, high = window
    counts = low + (high - low) * np.clip(np.asarray(unit, np.float64), 0, 1) ** 2
    return np.clip(np.rint(counts), 0, dtype_max).astype(np.uint16)


def _see(recording: Recording, item: AnnotatedFrame, dataset: str, settings: CropSettings) -> _Seen:
    """Find the cells of one annotation and cut those that can be used."""
    image, labels = recording.read(item)
    cells = list(_find_cells(labels, item, settings))
    cuts = list(_cut_frame(image, labels, cells, dataset=dataset, frame=item.frame, size=settings.size))
    rows, crops = [cell.row for cell, _ in cuts], [crop for _, made in cuts for crop in made]
    return _Seen(item, rows, crops, _cut_by_border(labels, recording.ndim), image.dtype)


def _record(
    recording: Recording,
    frames: Sequence[AnnotatedFrame],
    seen: Sequence[_Seen],
    arrays: Mapping[str, np.ndarray],
    *,
    dataset: str,
    settings: CropSettings,
) -> CropsRecord:
    per_slice: dict[int, list[int]] = {}
    for each in seen:
        if each.annotated.z is not None:
            per_slice.setdefault(each.annotated.frame, []).append(len(each.rows))
    return CropsRecord(
        dataset=dataset,
        seed=SEED,
        sequence=recording.sequence,
        voxel_size_um=recording.voxel_size_um,
        window=_window(arrays["image"], arrays["mask"], settings.window_percentiles),
        frame_shape=recording.read_image(frames[0]).shape,
        frame_dtype=seen[-1].dtype.name,
        frames=sorted({item.frame for item in frames}),
        cut_by_border=np.any([each.cut_by_border for each in seen], 0).tolist(),
        cells_per_frame=[len(each.rows) for each in seen if each.annotated.z is None],
        cells_per_slice=[float(np.mean(counts)) for counts in per_slice.values()],
        digests=digests_of(dict.fromkeys(path for item in frames for path in (item.image, item.labels))),
    )


def _find_cells(labels: np.ndarray, annotated: AnnotatedFrame, options: CropSettings) -> Iterator[_Cell]:
    """Every annotated object, with the slices to cut if it is usable."""
    volume = labels if labels.ndim == 3 else labels[None]
    for label, box in enumerate(ndimage.find_objects(volume), 1):
        if box is None:
            continue
        inside = volume[box] == label
        areas = inside.sum((1, 2))
        widest = int(areas.argmax())
        z = annotated.z if annotated.z is not None else widest + box[0].start if labels.ndim == 3 else -1
        row = {"frame": annotated.frame, "label": label, "z": z, "area": int(areas[widest])}
        plane = _one_piece(inside[widest], box, z)
        touches = any(side.start == 0 or side.stop == edge for side, edge in zip(box[1:], volume.shape[1:]))
        row["reason"] = "touches border" if touches else _unfit(plane, options)
        row["kept"] = not row["reason"]
        cell = _Cell(row)
        if row["kept"] and plane:
            others = (_one_piece(inside[i], box, i + box[0].start) for i in _heights(areas, options.slices_per_cell))
            cell.slices = [plane] + [other for other in others if other and _fits(other, plane, options)]
        yield cell


def _cut_by_border(labels: np.ndarray, ndim: int) -> np.ndarray:
    """By axis ([z,] y, x), whether the frame's border cuts a cell; of a slice of a stack, z is not known and counts."""
    ends = [bool(labels.take([0, -1], axis).any()) for axis in range(labels.ndim)]
    return np.array([True] * (ndim - labels.ndim) + ends)


def _one_piece(mask: np.ndarray, box: tuple[slice, ...], z: int) -> _Slice | None:
    """The largest piece of a mask with its holes filled, or `None` if other pieces are too large to ignore."""
    pieces, count = ndimage.label(mask, np.ones((3, 3)))
    if count == 0:
        return None
    if count > 1:
        areas = np.bincount(pieces.ravel())[1:]
        if areas.max() < ONE_PIECE * areas.sum():
            return None
        mask = pieces == areas.argmax() + 1
    tight = ndimage.find_objects(mask.astype(np.uint8))[0]
    corner = (box[-2].start + tight[0].start, box[-1].start + tight[1].start)
    return _Slice(z, ndimage.binary_fill_holes(mask[tight]), corner)


def _unfit(plane: _Slice | None, options: CropSettings) -> str:
    """Why a cell cannot be used, or an empty text."""
    if plane is None:
        return "several pieces"
    if plane.mask.sum() < options.min_area:
        return "too small"
    return "does not fit" if max(plane.mask.shape) + 2 * options.margin > options.size else ""


def _heights(areas: np.ndarray, wanted: int) -> list[int]:
    """Slices spread evenly over a cell's height, besides the widest one, which replaces its nearest."""
    widest, count = int(areas.argmax()), min(wanted, len(areas))
    chosen = np.unique(((np.arange(count) + 0.5) * len(areas) / count).astype(int))
    return [int(z) for z in chosen if z != chosen[np.abs(chosen - widest).argmin()]]


def _origin(plane: _Slice, size: int) -> tuple[int, int]:
    """First pixel (y, x) of the crop that is centred on the bounding box."""
    y, x = (first + (length - size) // 2 for first, length in zip(plane.corner, plane.mask.shape))
    return y, x


def _fits(other: _Slice, widest: _Slice, options: CropSettings) -> bool:
    """Whether another slice of the cell lies in the crop of the widest one."""
    starts = [first - origin for first, origin in zip(other.corner, _origin(widest, options.size))]
    return all(start >= 0 and start + n <= options.size for start, n in zip(starts, other.mask.shape))


def _cut_frame(
    image: np.ndarray, labels: np.ndarray, cells: list[_Cell], *, dataset: str, frame: int, size: int
) -> Iterator[tuple[_Cell, list[dict]]]:
    """Cut the slices of a frame's cells; completes the cells' rows."""
    sections: dict[int, Section] = {}
    for cell in cells:
        made: list[dict] = []
        for plane in cell.slices:
            depth = plane.z if image.ndim == 3 else 0
            if depth not in sections:
                sections[depth] = section_at(image, labels, depth, size=size)
            generator = numpy_generator(SEED, dataset, "crops", frame, plane.z, cell.row["label"])
            y, x = _origin(cell.slices[0], size)
            mask = np.zeros((size, size), np.uint8)
            start_y, start_x = plane.corner[0] - y, plane.corner[1] - x
            mask[start_y : start_y + plane.mask.shape[0], start_x : start_x + plane.mask.shape[1]] = plane.mask
            crop = cut_alone(sections[depth], (y, x), mask=mask > 0, label=cell.row["label"], generator=generator)
            made.append(_entry(crop, mask, cell, plane, made))
        if made:
            shape = regionprops(cell.slices[0].mask.astype(np.uint8))[0]
            cell.row |= {"mean": made[0]["brightness"], "background": made[0]["background"]}
            cell.row |= {"eccentricity": shape.eccentricity, "solidity": shape.solidity}
        yield cell, made


def _entry(crop: np.ndarray, mask: np.ndarray, cell: _Cell, plane: _Slice, made: list[dict]) -> dict:
    """The entries of the store for one crop; `made` holds the cell's crops so far, the widest first."""
    return {
        "image": crop,
        "mask": mask,
        "frame": np.int32(cell.row["frame"]),
        "label": np.int32(cell.row["label"]),
        "z": np.int32(plane.z),
        "widest": np.uint8(not made),
        "area_ratio": np.float32(plane.mask.sum() / cell.slices[0].mask.sum()),
        "brightness": made[0]["brightness"] if made else np.float32(crop[mask > 0].mean()),
        "background": np.float32(np.median(crop[clear_of(mask)])),
    }


def _window(image: np.ndarray, mask: np.ndarray, percentiles: tuple[float, float]) -> list[float]:
    """Counts of black and white for crops (m, y, x): a low percentile of the background, a high one of the cells."""
    low = np.percentile(image[clear_of(mask)], percentiles[0], method="nearest")
    high = np.percentile(image[mask > 0], percentiles[1], method="nearest")
    return [float(low), max(float(high), float(low) + 1)]


def _no_usable_cell(where: Path, rows: list[dict], options: CropSettings) -> InputError:
    reasons = pd.Series([row["reason"] for row in rows], dtype=object).value_counts()
    listed = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    return InputError(
        "No annotated cell can be used",
        where=where,
        found=f"{len(rows)} annotated cells{': ' + listed if listed else ''}",
        expected=f"cells of {options.min_area} pixels or more, in one piece, off the border, that fit into "
        f"{options.size} pixels with {options.margin} free on each side",
        fix="change crops.size, crops.min_area or crops.margin, or annotate more cells",
    )
