"""Single cells cut from annotated frames (paper, section 3, data sets). Free of torch.

Every usable cell gets a square crop of its own, centred on its bounding box, in which it is alone.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
import pandas as pd
from skimage.measure import regionprops

from cellcascade.config.settings import CropSettings
from cellcascade.core.errors import InputError
from cellcascade.core.files import write_table
from cellcascade.core.logs import progress
from cellcascade.core.processes import in_order
from cellcascade.core.seeds import numpy_generator
from cellcascade.data.along_z import SectionLight, brightened, fit_fading, measure_sections, unfolded_heights
from cellcascade.data.annotated import AnnotatedFrame
from cellcascade.data.contacts import ContactLight, measure_contacts, neighbour_light
from cellcascade.data.inpainting import clear_of, cut_alone, section_at
from cellcascade.data.layout import FrameLayout, fit_heights, fit_layout, measure_frame
from cellcascade.data.levels import Levels
from cellcascade.data.objects import CUT, FRAGMENTARY, PARTLY_SEEN, Cell, Slice, crop_origin, find_cells
from cellcascade.data.recording import Recording
from cellcascade.data.shards import Store, digests_of
from cellcascade.data.slice_likeness import mean_likeness, measure_likeness
from cellcascade.data.stores import CROPS, CropsRecord

logger = logging.getLogger(__name__)

SEED = 0  # crops are the same whatever the seed of the run
COLUMNS = ["frame", "label", "z", "area", "kept", "reason", "mean", "background", "eccentricity", "solidity"]


@dataclass(frozen=True)
class Crops:
    """The crops of a data set; m crops, several of one cell where slices were taken of it.

    An array is read when it is first asked for, and kept.

    Attributes:
        store: Where they are.
    """

    store: Store[CropsRecord]

    @property
    def record(self) -> CropsRecord:
        """Record of the store: window, voxel size and others."""
        return self.store.record

    @property
    def size(self) -> tuple[int, int]:
        """Size (y, x) of a crop, pixels."""
        _, y, x = self.store.shape("image")
        return y, x

    @cached_property
    def image(self) -> np.ndarray:
        """Counts (m, y, x), uint16, the cell alone on background."""
        return self.store["image"]

    @cached_property
    def mask(self) -> np.ndarray:
        """The cell (m, y, x), uint8, 0 or 1."""
        return self.store["mask"]

    @cached_property
    def frame(self) -> np.ndarray:
        """Source frame (m)."""
        return self.store["frame"]

    @cached_property
    def label(self) -> np.ndarray:
        """Source label (m)."""
        return self.store["label"]

    @cached_property
    def z(self) -> np.ndarray:
        """Source slice (m), -1 in 2D."""
        return self.store["z"]

    @cached_property
    def widest(self) -> np.ndarray:
        """1 (m) where the crop is the cell's widest, or its annotated, slice."""
        return self.store["widest"]

    @cached_property
    def area_ratio(self) -> np.ndarray:
        """Area of the slice over that of the cell's widest slice (m)."""
        return self.store["area_ratio"]

    @cached_property
    def brightness(self) -> np.ndarray:
        """Mean counts in the mask of the cell's widest slice (m), the same for all its slices."""
        return self.store["brightness"]

    @cached_property
    def background(self) -> np.ndarray:
        """Median counts of the crop's background (m)."""
        return self.store["background"]


@dataclass(frozen=True)
class _Seen:
    """What one annotation shows.

    Attributes:
        annotated: The annotation.
        rows: Its rows of the table.
        cut_by_border: By axis, whether its border cuts cells.
        dtype: Type of its counts.
        layout: How its cells lie, of a slice alone their sections; `None` of a frame that is annotated in part.
        contacts: Their light where they touch; `None` of a slice alone, too.
        likeness: How alike their slices are, see `measure_likeness`.
        along_z: Light along z through the sections of a slice alone, by label.
        share: Share of its pixels that somebody annotated.
    """

    annotated: AnnotatedFrame
    rows: list[dict]
    cut_by_border: np.ndarray
    dtype: np.dtype
    layout: FrameLayout | None
    contacts: ContactLight | None
    likeness: list[float]
    along_z: dict[int, SectionLight]
    share: float

    @property
    def cells(self) -> float:
        """Number of its cells, usable or not, were all of it as full as what is annotated; fragments are none."""
        return sum(row["reason"] != FRAGMENTARY for row in self.rows) / self.share


def make_crops(
    *, recording: Recording, dataset: str, settings: CropSettings, store: Path, table: Path, threads: int = 1
) -> None:
    """Stage `crops`: cut every usable cell of a sequence (paper, section 3, data sets).

    Each crop is written as soon as its frame is done: what is in memory does not grow with the number of frames.

    Args:
        recording: The annotated frames.
        dataset: Name of the data set; the random numbers depend on it.
        settings: The `crops` block of the configuration.
        store: Crops to write, `CROPS`.
        table: CSV to write: one row an annotated object, with the reason if it was left out.
        threads: Frames that are worked on at once, each in a process of its own.

    Raises:
        InputError: The data cannot be used, or hold no usable cell.
    """
    frames = recording.frames()
    see = partial(_see, recording, dataset=dataset, settings=settings)
    seen: list[_Seen] = []
    levels = Levels()
    with CROPS.writer(store) as writer:
        for found, arrays in progress(in_order(see, frames, threads), total=len(frames), what="frames"):
            seen.append(found)
            if arrays:
                levels.add(arrays["image"], arrays["mask"])
                writer.append(arrays)
        rows = [row for found in seen for row in found.rows]
        logger.info("%s", usable([row["reason"] for row in rows]))
        if not any(row["kept"] for row in rows):
            raise _no_usable_cell(recording.annotation_folder, rows, settings)
        write_table(table, pd.DataFrame(rows, columns=COLUMNS), float_format="%.6g")
        window = levels.window(settings.window_percentiles)
        writer.finish(_record(recording, frames, seen, dataset=dataset, window=window))


def read_crops(store: str | Path) -> Crops:
    """Open a store of crops; its arrays are read when they are asked for.

    Raises:
        InputError: The store is missing, or holds something else.
    """
    return Crops(CROPS.open(store))


def usable(reasons: Sequence[str]) -> str:
    """How many annotated cells are used, and why not the others, in one line; an empty reason is a cell that is."""
    left_out = Counter(reason for reason in reasons if reason).most_common()
    why = ", ".join(f"{count} {reason}" for reason, count in left_out)
    return f"{reasons.count('')} of {len(reasons)} annotated cells usable{': ' + why if why else ''}"


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


def _see(
    recording: Recording, item: AnnotatedFrame, *, dataset: str, settings: CropSettings
) -> tuple[_Seen, dict[str, np.ndarray]]:
    """Find the cells of one annotation and cut those that can be used: arrays as in the store, none without a cell."""
    (image, labels), ignored = recording.read(item), recording.read_ignored(item)
    cells = list(find_cells(labels, item, settings, ignored))
    along_z = _along_z(recording, item, labels, cells)
    crops = _cut_frame(
        image,
        labels,
        cells,
        dataset=dataset,
        frame=item.frame,
        size=settings.size,
        ignored=ignored,
        along_z=along_z,
    )
    arrays = {name: np.stack([crop[name] for crop in crops]) for name in CROPS.arrays} if crops else {}
    size_um, complete = recording.voxel_size_um, ignored is None
    seen = _Seen(
        annotated=item,
        rows=[cell.row for cell in cells],
        cut_by_border=_cut_by_border(labels, recording.ndim),
        dtype=image.dtype,
        share=1.0 if ignored is None else float(1 - ignored.mean()),
        layout=_layout(labels, cells, size_um[-labels.ndim :]) if complete else None,
        contacts=measure_contacts(image, labels, size_um) if complete and item.z is None else None,
        likeness=_likeness(recording, item, image, cells),
        along_z=along_z,
    )
    return seen, arrays


def _likeness(recording: Recording, item: AnnotatedFrame, image: np.ndarray, cells: Sequence[Cell]) -> list[float]:
    """How alike slices of cells are; around an annotated slice, the stack shows the others."""
    if item.z is None:
        return measure_likeness(image, cells)
    stack = recording.read_image(item)
    around = range(max(item.z - 1, 0), min(item.z + 2, stack.shape[0]))
    return measure_likeness(np.stack([stack[z] for z in around]), cells, around.start)


def _along_z(
    recording: Recording, item: AnnotatedFrame, labels: np.ndarray, cells: Sequence[Cell]
) -> dict[int, SectionLight]:
    """Light along z through the sections of an annotated slice, but for those whose width is not seen."""
    if item.z is None:
        return {}
    whole = [cell.row["label"] for cell in cells if cell.row["reason"] not in (FRAGMENTARY, CUT, PARTLY_SEEN)]
    return measure_sections(recording.read_image(item), labels, item.z, whole, recording.voxel_size_um)


def _layout(labels: np.ndarray, cells: Sequence[Cell], voxel_size_um: Sequence[float]) -> FrameLayout:
    names = [cell.row["label"] for cell in cells if cell.row["reason"] != FRAGMENTARY]
    usable = [cell.row["label"] for cell in cells if cell.row["kept"]]
    return measure_frame(labels, names, [size / voxel_size_um[-1] for size in voxel_size_um], usable)


def _record(
    recording: Recording,
    frames: Sequence[AnnotatedFrame],
    seen: Sequence[_Seen],
    *,
    dataset: str,
    window: tuple[float, float],
) -> CropsRecord:
    per_slice: dict[int, list[float]] = {}
    seen = [each for each in seen if each.share]  # a frame that nobody annotated says nothing of their number
    for each in seen:
        if each.annotated.z is not None:
            per_slice.setdefault(each.annotated.frame, []).append(each.cells)
    layouts = [each.layout for each in seen if each.layout and each.annotated.z is None]
    sections = [each.layout for each in seen if each.layout and each.annotated.z is not None]
    along_z = [section for each in seen for section in each.along_z.values()]
    return CropsRecord(
        dataset=dataset,
        seed=SEED,
        sequence=recording.sequence,
        voxel_size_um=recording.voxel_size_um,
        window=window,
        frame_shape=_commonest(recording.read_image(item).shape for item in frames),
        frame_dtype=seen[-1].dtype.name,
        frames=sorted({each.annotated.frame for each in seen}),
        cut_by_border=np.any([each.cut_by_border for each in seen], 0).tolist(),
        cells_per_frame=[round(each.cells) for each in seen if each.annotated.z is None],
        cells_per_slice=[float(np.mean(counts)) for counts in per_slice.values()],
        layout=fit_layout(layouts) if layouts else fit_layout(sections, sections=True),
        heights=fit_heights(layouts) if layouts else unfolded_heights(along_z, recording.voxel_size_um),
        fading=fit_fading(along_z),
        neighbour_light=neighbour_light([each.contacts for each in seen if each.contacts]),
        slice_likeness=mean_likeness([one for each in seen for one in each.likeness]),
        digests=digests_of(dict.fromkeys(path for item in frames for path in (item.image, item.labels))),
    )


def _commonest(shapes: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape that most frames have; of equally many, the first."""
    return Counter(shapes).most_common(1)[0][0]


def _cut_by_border(labels: np.ndarray, ndim: int) -> np.ndarray:
    """By axis ([z,] y, x), whether the frame's border cuts a cell; of a slice of a stack, z is not known and counts."""
    ends = [bool(labels.take([0, -1], axis).any()) for axis in range(labels.ndim)]
    return np.array([True] * (ndim - labels.ndim) + ends)


def _cut_frame(
    image: np.ndarray,
    labels: np.ndarray,
    cells: Sequence[Cell],
    *,
    dataset: str,
    frame: int,
    size: int,
    ignored: np.ndarray | None,
    along_z: Mapping[int, SectionLight],
) -> list[dict]:
    """Cut the slices of a frame's cells, plane by plane; completes the cells' rows."""
    cuts: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
    planes = [(plane.z, cell.row["label"], cell, plane) for cell in cells for plane in cell.slices]
    for z, same in groupby(sorted(planes, key=itemgetter(0, 1)), key=itemgetter(0)):
        section = section_at(image, labels, z if image.ndim == 3 else 0, size=size, ignored=ignored)
        for _, label, cell, plane in same:
            generator = numpy_generator(SEED, dataset, "crops", frame, z, label)
            origin = crop_origin(cell.slices[0], size)
            mask = np.zeros((size, size), np.uint8)
            start_y, start_x = (first - start for first, start in zip(plane.corner, origin))
            mask[start_y : start_y + plane.mask.shape[0], start_x : start_x + plane.mask.shape[1]] = plane.mask
            crop = cut_alone(section, origin, mask=mask > 0, label=label, generator=generator)
            dim = along_z.get(label)
            cuts[label, z] = brightened(crop, mask, dim.light) if dim else crop, mask
    return [entry for cell in cells if cell.slices for entry in _entries(cell, cuts)]


def _entries(cell: Cell, cuts: Mapping[tuple[int, int], tuple[np.ndarray, np.ndarray]]) -> list[dict]:
    """The entries of the store for a cell's crops, the widest first; completes the cell's row."""
    made: list[dict] = []
    for plane in cell.slices:
        made.append(_entry(*cuts[cell.row["label"], plane.z], cell, plane, made))
    shape = regionprops(cell.slices[0].mask.astype(np.uint8))[0]
    cell.row |= {"mean": made[0]["brightness"], "background": made[0]["background"]}
    cell.row |= {"eccentricity": shape.eccentricity, "solidity": shape.solidity}
    return made


def _entry(crop: np.ndarray, mask: np.ndarray, cell: Cell, plane: Slice, made: list[dict]) -> dict:
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


def _no_usable_cell(where: Path, rows: list[dict], options: CropSettings) -> InputError:
    return InputError(
        "No annotated cell can be used",
        where=where,
        found=usable([row["reason"] for row in rows]),
        expected=f"cells of {options.min_area} pixels or more, in one piece, off the border, that fit into "
        f"{options.size} pixels with {options.margin} free on each side",
        fix="change crops.size, crops.min_area or crops.margin, or annotate more cells",
    )
