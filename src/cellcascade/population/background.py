"""The background of real frames, learned from pixels away from cells; `canvas_background` draws it.

A background is a slowly varying field plus noise. The noise is a stationary Gaussian field (its correlation in y, x
and, in stacks, z is the real one's) that is mapped through the quantiles of the real counts around the field; the
quantiles follow the field's level, so that brighter background may be noisier. Whole counts, skewed tails and counts
clipped at zero come out as they went in.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import edt
import numpy as np
from scipy import ndimage

from cellcascade.core.errors import InputError
from cellcascade.core.seeds import numpy_generator
from cellcascade.data.along_z import Fading
from cellcascade.data.annotated import AnnotatedFrame
from cellcascade.data.recording import Recording
from cellcascade.data.shards import digests_of
from cellcascade.data.stores import BACKGROUND, CROPS, BackgroundRecord, CropsRecord
from cellcascade.population.axial import assumed_fading, measured_width
from cellcascade.population.distractors import Thing, Things, cut_things
from cellcascade.population.haze import Haze, Lit, fit_haze, lit_pixels
from cellcascade.population.interpolation import expand
from cellcascade.population.noise import correlation_of, gaussian_correlation, quantiles

SEED = 0  # the background is the same whatever the seed of the run
FRAMES = {2: 12, 3: 4}  # frames learned from, by number of axes
SMOOTHNESS = 16  # the field's Gaussian width is the frame's shorter edge divided by this
Z_DECAY = 0.4  # of sparsely annotated stacks, in which it cannot be measured
THING_ARRAYS = ("image", "mask", "slices", "border")  # of `Things`
SAMPLES = 400_000  # pixels per frame that the quantiles are taken from

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Background:
    """A fitted background.

    Attributes:
        fields: Smooth fields of single frames at low resolution, counts, (field, [z,] y, x).
        levels: Field levels that have quantiles of their own, counts, ascending, (level,).
        residuals: Counts minus field at each of `noise.SCORES`, (level, score).
        correlation: Correlation of the Gaussian noise, lag 0 in the middle, ([z,] y, x).
        frame_shape: Shape of the real frames, ([z,] y, x).
        largest: Largest count that the camera's type can hold.
        z_decay: Share of a slice's signal that the next slice beyond a cell shows; 0 in 2D.
        fading: How cells fade towards their ends along z; `None` where their slices show it.
        haze: Light of cells that is seen around them; none in 3D.
        things: Bright things without a label.
        things_per_frame: How many there are, by densely annotated frame.
    """

    fields: np.ndarray
    levels: np.ndarray
    residuals: np.ndarray
    correlation: np.ndarray
    frame_shape: tuple[int, ...]
    largest: int
    z_decay: float
    fading: Fading | None
    haze: Haze
    things: Things
    things_per_frame: tuple[int, ...]


@dataclass(frozen=True)
class _Frame:
    """A frame with all its annotations.

    Attributes:
        image: Counts, ([z,] y, x).
        labels: Labels, 0 where there is no cell or nothing is annotated, ([z,] y, x).
        known: Where it is annotated, ([z,] y, x).
        ignored: Where its annotations say that nobody annotated: never learned from, ([z,] y, x).
    """

    image: np.ndarray
    labels: np.ndarray
    known: np.ndarray
    ignored: np.ndarray

    def light(self, voxel_size_um: Sequence[float], rim: int) -> np.ndarray:
        """Counts of its cells above the background away from them, 0 elsewhere, float32, ([z,] y, x)."""
        away = away_from_cells(self.labels, voxel_size_um, rim, self.ignored)
        level = float(np.median(self.image[away])) if away.any() else float(self.image.min())
        return np.where(self.labels > 0, np.maximum(self.image - np.float32(level), 0), np.float32(0))


@dataclass(frozen=True)
class _Learned:
    """What one frame shows of the background.

    Attributes:
        field: Its smooth field at low resolution, counts, ([z,] y, x).
        samples: Level of the field with the haze, and counts minus level, at some background pixels, (2, pixel).
        correlation: Correlation of its noise, ([z,] y, x).
        decays: Its cells' signal beyond their end slices, relative to that of the end slices.
        things: Its bright things without a label; `None` where not all of it is annotated.
    """

    field: np.ndarray
    samples: np.ndarray
    correlation: np.ndarray
    decays: list[float]
    things: list[Thing] | None


def fit_background(*, recording: Recording, crops: Path, rim: int, dataset: str, store: Path) -> None:
    """Stage `background`: learn the background of a sequence from the pixels away from its cells.

    Args:
        recording: The annotated frames. Of sparsely annotated stacks, the other slices serve where they are not bright.
        crops: The crops store, `CROPS`. Its data set is the key of the random numbers.
        rim: Pixels around cells that are not background, at least.
        dataset: Name of the data set.
        store: The model to write, `BACKGROUND`.

    Raises:
        InputError: No frame has background pixels.
    """
    source = CROPS.open(crops)
    cells, size = source.record, source.shape("image")[-1]
    generator = numpy_generator(SEED, cells.dataset, "background")
    haze = _fit_haze(recording, rim, numpy_generator(SEED, cells.dataset, "haze"))
    learned = _learn_frames(recording, rim, size, haze, generator)
    samples = np.concatenate([item.samples for item in learned], axis=1)
    model = _combined(learned, samples, cells, size, haze)
    if cells.ndim == 3 and not cells.cells_per_frame:
        fading = cells.fading or assumed_fading(measured_width(source), cells.voxel_size_um)
        model = replace(model, fading=fading, z_decay=fading.decay if fading else model.z_decay)
    counts = np.rint(samples.sum(0))
    mean, std = float(counts.mean()), float(counts.std())
    record = BackgroundRecord(
        dataset=dataset,
        seed=SEED,
        digests=digests_of([crops]),
        frame_shape=model.frame_shape,
        largest=model.largest,
        z_decay=model.z_decay,
        fading=model.fading,
        mean=mean,
        std=std,
        skewness=float((((counts - mean) / max(std, 1e-9)) ** 3).mean()),
        things_per_frame=model.things_per_frame,
        haze_widths=model.haze.widths,
        haze_weights=model.haze.weights,
    )
    things = {f"thing_{name}": getattr(model.things, name) for name in THING_ARRAYS}
    arrays = {name: getattr(model, name) for name in BACKGROUND.arrays if name not in things}
    BACKGROUND.write(store, arrays | things, record)


def read_background(store: Path) -> Background:
    """Read a model that `fit_background` wrote.

    Raises:
        InputError: The store is missing, damaged, or holds something else.
    """
    opened = BACKGROUND.open(store)
    arrays, facts = {name: opened[name] for name in BACKGROUND.arrays}, opened.record
    return Background(
        things=Things(*(arrays.pop(f"thing_{name}") for name in THING_ARRAYS)),
        **arrays,
        frame_shape=facts.frame_shape,
        largest=facts.largest,
        z_decay=facts.z_decay,
        fading=facts.fading,
        haze=Haze(facts.haze_widths, facts.haze_weights),
        things_per_frame=facts.things_per_frame,
    )


def _fit_haze(recording: Recording, rim: int, generator: np.random.Generator) -> Haze:
    """The haze of the frames that the background is learned from; none in 3D."""
    lit, diameter = list[Lit](), 0.0  # of the first frame's cells
    for frame in _chosen(recording) if recording.ndim == 2 else ():
        sizes = np.bincount(frame.labels.ravel())[1:]
        if sizes.any():
            diameter = diameter or float(2 * np.sqrt(np.median(sizes[sizes > 0]) / np.pi))
            seen = _lit(frame, recording, rim=rim, diameter=diameter, generator=generator)
            lit += [] if seen is None else [seen]
    haze = fit_haze(lit, diameter)
    logger.info("haze around cells: %.3g of their light", sum(haze.weights))
    return haze


def _lit(
    frame: _Frame, recording: Recording, *, rim: int, diameter: float, generator: np.random.Generator
) -> Lit | None:
    """What a frame tells of the haze; near where nobody annotated it says nothing, as there may be cells."""
    free = edt.edt(np.ascontiguousarray(frame.labels == 0)) > rim
    if frame.ignored.any():
        free &= edt.edt(np.ascontiguousarray(~frame.ignored)) > 2 * diameter
    return lit_pixels(frame.image, frame.light(recording.voxel_size_um, rim), free, diameter, generator)


def _chosen(recording: Recording) -> Iterator[_Frame]:
    """Frames of a sequence, evenly spread over it."""
    frames = _by_image(recording.frames())
    chosen = np.unique(np.linspace(0, len(frames) - 1, FRAMES[recording.ndim]).round().astype(int))
    return (_read(recording, frames[index]) for index in chosen)


def _learn_frames(
    recording: Recording, rim: int, size: int, haze: Haze, generator: np.random.Generator
) -> list[_Learned]:
    """What frames of a sequence show of its background."""
    how: dict[str, Any] = {"rim": rim, "size": size, "haze": haze, "generator": generator}
    learned = [_learn(frame, recording.voxel_size_um, **how) for frame in _chosen(recording)]
    shown = [item for item in learned if item is not None]
    if not shown:
        raise _no_background(recording.folder, len(learned))
    return shown


def _by_image(frames: Sequence[AnnotatedFrame]) -> list[list[AnnotatedFrame]]:
    groups: dict[int, list[AnnotatedFrame]] = {}
    for frame in frames:
        groups.setdefault(frame.frame, []).append(frame)
    return list(groups.values())


def _read(recording: Recording, annotations: Sequence[AnnotatedFrame]) -> _Frame:
    """One frame, from all its annotations: one of the whole frame, or several of single slices."""
    if annotations[0].z is None:
        (image, labels), ignored = recording.read(annotations[0]), recording.read_ignored(annotations[0])
        none = np.zeros(image.shape, bool)
        return _Frame(image, labels, ~none, none if ignored is None else ignored)
    image = recording.read_image(annotations[0])[...]
    labels, known, unseen = np.zeros(image.shape, np.int32), np.zeros(image.shape, bool), np.zeros(image.shape, bool)
    for annotated in annotations:
        labels[annotated.z] = recording.read_labels(annotated)
        known[annotated.z] = True
        if (ignored := recording.read_ignored(annotated)) is not None:
            unseen[annotated.z] = ignored
    return _Frame(image, labels, known, unseen)


def _learn(
    frame: _Frame, voxel_size_um: Sequence[float], *, rim: int, size: int, haze: Haze, generator: np.random.Generator
) -> _Learned | None:
    """What a frame shows of the background; `None` if all of it is a cell or close to one."""
    counts, widths = frame.image.astype(np.float32), _field_widths(frame.image.shape, voxel_size_um)
    lit = haze.of(frame.light(voxel_size_um, rim)) if haze.widths else np.zeros((), np.float32)
    image = counts - lit
    away = away_from_cells(frame.labels, voxel_size_um, rim, frame.ignored)
    usable = _usable(image, away, frame.known, widths)
    if not usable.any():
        return None
    field = _field(image, usable, widths)
    level = expand(field, image.shape)
    taken = np.flatnonzero(usable)
    if len(taken) > SAMPLES:
        taken = generator.choice(taken, SAMPLES, replace=False)
    # Whole counts become a smooth distribution by half a count of dither; rounding a sample undoes it.
    dithered = counts.ravel()[taken] + generator.uniform(-0.5, 0.5, len(taken))
    hazy = (level + lit).ravel()[taken]
    samples = np.stack([hazy, dithered - hazy])
    dense = image.ndim == 3 and frame.known.all()
    decays = _decays(image, frame.labels, level, frame.ignored) if dense else []
    complete = frame.known.all() and not frame.ignored.any()  # else what has no label may be a cell
    things = cut_things(frame.image, frame.labels, size=size, generator=generator) if complete else None
    return _Learned(field, samples, correlation_of(image - level, level, usable), decays, things)


def _usable(image: np.ndarray, away: np.ndarray, known: np.ndarray, widths: Sequence[float]) -> np.ndarray:
    """Background pixels, ([z,] y, x): those away from cells that, around the field of the others, are not bright."""
    usable = away & known
    for _ in range(2):
        if not usable.any():
            break
        residual = image - expand(_field(image, usable, widths), image.shape)
        usable = away & ~_bright(residual, usable, known)
    return usable


def away_from_cells(
    labels: np.ndarray, voxel_size_um: Sequence[float], rim: int, ignored: np.ndarray | None = None
) -> np.ndarray:
    """Pixels away from cells: at least the rim and a quarter of a cell, less where frames are crowded.

    Args:
        labels: Labels, ([z,] y, x).
        voxel_size_um: Size of a pixel, ([z,] y, x), micrometres.
        rim: Pixels around cells that are not background, at least.
        ignored: Where nobody annotated, bool: there may be cells, so the rim around it is not background either.
    """
    spacing = [size / voxel_size_um[-1] for size in voxel_size_um]
    seen = np.ones(labels.shape, bool)
    if ignored is not None and ignored.any():
        seen = edt.edt(np.ascontiguousarray(~ignored), anisotropy=spacing) > rim
    sizes = np.bincount(labels.ravel())[1:]
    sizes = sizes[sizes > 0]
    if not len(sizes):
        return seen
    radius = max(rim, 0.25 * float(np.median(sizes)) ** (1 / labels.ndim))
    distance = edt.edt(np.ascontiguousarray(labels == 0), anisotropy=spacing)
    while (distance > radius).mean() < 0.05 and radius > 1:
        radius *= 0.7
    return (distance > radius) & seen


def _combined(
    learned: Sequence[_Learned], samples: np.ndarray, cells: CropsRecord, size: int, haze: Haze
) -> Background:
    """The model of several frames; `samples` are those of all of them, (2, pixel), `size` is the edge of the crops."""
    levels, residuals = quantiles(*samples)
    # The median over frames: single frames with haze around their cells do not make the noise cloudy.
    correlation = np.median([item.correlation for item in learned], axis=0)
    decays = [decay for item in learned for decay in item.decays] or [Z_DECAY]
    things = [item.things for item in learned if item.things is not None]
    return Background(
        fields=np.stack([_resized(item.field, learned[0].field.shape) for item in learned]),
        levels=levels,
        residuals=residuals,
        correlation=gaussian_correlation(correlation, levels, residuals),
        frame_shape=cells.frame_shape,
        largest=cells.largest,
        z_decay=0.0 if len(cells.frame_shape) == 2 else float(np.clip(np.median(decays), 0, 0.8)),
        fading=None,
        haze=haze,
        things=Things.of([thing for frame in things for thing in frame], size),
        things_per_frame=tuple(len(frame) for frame in things),
    )


def _no_background(folder: Path, frames: int) -> InputError:
    return InputError(
        "No frame shows background",
        where=folder,
        found=f"every pixel of {frames} annotated frames is a cell or close to one",
        expected="frames in which a part of the pixels is away from cells",
        fix="take a sequence with fewer cells, set background_from to a data set whose frames show some background, or "
        "check that 0 means background in the annotations",
    )


def _decays(image: np.ndarray, labels: np.ndarray, level: np.ndarray, ignored: np.ndarray) -> list[float]:
    """Signal in the slice beyond each end of each cell, relative to the cell's end slice: the blur along z."""
    decays = []
    for label, box in enumerate(ndimage.find_objects(labels), 1):
        for end, beyond in ((box[0].stop - 1, box[0].stop), (box[0].start, box[0].start - 1)) if box else ():
            if not 0 <= beyond < len(image):
                continue
            here = (labels[end] == label) & (labels[beyond] == 0) & ~ignored[beyond]
            signal = (image[end] - level[end])[here].sum()
            if here.sum() >= 5 and signal > 0:
                decays.append(float((image[beyond] - level[beyond])[here].sum() / signal))
    return decays


def _field_widths(shape: Sequence[int], voxel_size_um: Sequence[float]) -> list[float]:
    """Gaussian width of the field along each axis, pixels; the same physical width along all."""
    width = max(min(shape[-2:]) / SMOOTHNESS, 6.0)
    return [width * voxel_size_um[-1] / size for size in voxel_size_um]


def _field(image: np.ndarray, usable: np.ndarray, widths: Sequence[float]) -> np.ndarray:
    """Normalised convolution at low resolution; places far from usable pixels tend to the overall mean."""
    blocks = [max(1, round(n / max(width / 4, 1))) for n, width in zip(image.shape, widths)]
    edges = [np.linspace(0, n, count + 1).astype(int)[:-1] for n, count in zip(image.shape, blocks)]
    total, weight = np.where(usable, image, 0).astype(np.float64), usable.astype(np.float64)
    for axis, edge in enumerate(edges):
        total, weight = np.add.reduceat(total, edge, axis=axis), np.add.reduceat(weight, edge, axis=axis)
    mean = total.sum() / weight.sum()
    sigma = [width * count / n for width, count, n in zip(widths, blocks, image.shape)]
    total, weight = (ndimage.gaussian_filter(item, sigma, mode="constant") for item in (total, weight))
    prior = 1e-3 * weight.max()
    return ((total + prior * mean) / (weight + prior)).astype(np.float32)


def _resized(field: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A field in the shape of another frame's."""
    return field if field.shape == shape else expand(field, shape)


def _bright(residual: np.ndarray, usable: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Blobs that stand out: debris and cells nobody annotated. Stricter where nothing is annotated."""
    sigma = (0,) * (residual.ndim - 2) + (2, 2)
    weight = ndimage.gaussian_filter(usable.astype(np.float32), sigma)
    smooth = ndimage.gaussian_filter(np.where(usable, residual, 0), sigma) / np.maximum(weight, 1e-3)
    smooth = np.where(usable, smooth, ndimage.gaussian_filter(residual, sigma))
    middle = np.median(smooth[usable])
    spread = 1.4826 * np.median(np.abs(smooth[usable] - middle))
    blobs = smooth > middle + np.where(known, 8, 4) * max(spread, 0.1)
    size = (1,) * (residual.ndim - 2) + (9, 9)
    return ndimage.maximum_filter(blobs, size)
