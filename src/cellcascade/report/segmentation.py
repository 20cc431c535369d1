"""A test frame as each regime segments it: what was found, what was missed, what was made up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation, uniform_filter
from skimage.segmentation import find_boundaries

from cellcascade.data.annotated import AnnotatedFrame
from cellcascade.data.recording import Recording
from cellcascade.evaluation.predictions import Predictions, open_predictions
from cellcascade.evaluation.scoring import reference_annotations
from cellcascade.metrics.seg import overlaps
from cellcascade.report import figures
from cellcascade.report.findings import MEANINGS
from cellcascade.report.pictures import Display, Picture
from cellcascade.report.sources import EvaluationFiles
from cellcascade.report.words import named

TRUTH, FOUND, MISSED, EXTRA = (255, 255, 255), (64, 196, 255), (255, 82, 140), (255, 196, 61)
WIDTH, DETAIL, CELLS_ACROSS = 1100, 480, 5  # pixels of a row of frames and of a detail; cell widths in a detail


@dataclass(frozen=True)
class SegmentedFrame:
    """A test frame as each regime segments it.

    Attributes:
        detail: The region where the segmentations are most often wrong.
        detail_columns: Pictures of it per row.
        whole: The whole frame.
        whole_columns: Pictures of it per row.
        caption: Their common caption.
    """

    detail: list[Picture]
    detail_columns: int
    whole: list[Picture]
    whole_columns: int
    caption: str


@dataclass(frozen=True)
class Matched:
    """A segmentation of a plane against its truth, all `(y, x)`: labels, and those that count as each outcome."""

    truth: np.ndarray = field(repr=False)
    result: np.ndarray = field(repr=False)
    found: np.ndarray = field(repr=False)
    missed: np.ndarray = field(repr=False)
    extra: np.ndarray = field(repr=False)

    @property
    def text(self) -> str:
        """Counts of the outcomes."""
        found, missed, extra = (len(np.unique(part[part > 0])) for part in (self.found, self.missed, self.extra))
        return f"{found} of {found + missed} found, {missed} missed, {extra} extra"


def match(truth: np.ndarray, result: np.ndarray) -> Matched:
    """Sort the objects of a plane by outcome, with the matching rule of SEG.

    Args:
        truth: Labels `(y, x)`, 0 is background.
        result: Labels of the same shape. A reference object is found by the result object that covers more than
            half of it; result objects that find nothing are extra.
    """
    both = overlaps(truth, result)
    rows, columns, common = both.pairs.T
    good = 2 * common > both.reference_sizes[rows]
    found = np.isin(result, both.result_labels[columns[good]])
    missed = ~np.isin(truth, both.reference_labels[rows[good]])
    return Matched(truth, result, result * found, truth * missed, result * ~found)


def segmented_frame(files: EvaluationFiles, display: Display) -> SegmentedFrame | None:
    """Show one annotated test frame with the outlines of each regime's segmentation.

    Args:
        files: The predictions, one store per regime, and the test sequence; silver truth is shown where there is some,
            as it annotates all cells.
        display: How counts are shown.

    Returns:
        The frame; `None` where none is both annotated and segmented by all regimes.

    Raises:
        InputError: A store or a frame cannot be read, or a segmentation does not fit its frame.
    """
    if not files.predictions or files.test_recording is None:
        return None
    regimes = list(MEANINGS)
    predictions = sorted(
        map(open_predictions, files.predictions), key=lambda each: regimes.index(each.store.record.regime)
    )
    annotations = reference_annotations(files.test_recording)
    reference = "silver" if "silver" in annotations else "gold"
    shown = [item for item in annotations[reference] if all(item.frame in each for each in predictions)]
    if not shown:
        return None
    chosen = shown[len(shown) // 2]
    image, labels, results, where = _planes(chosen, files.test_recording, predictions)
    matched = {each.store.record.regime: match(labels, result) for each, result in zip(predictions, results)}
    seeds = ", ".join(sorted({str(each.store.record.seed) for each in predictions}))
    which = f"the middle one of {len(shown)} annotated ones" if len(shown) > 1 else "the only annotated one"
    caption = (
        f"Test frame {chosen.frame}{where} of sequence {files.test_recording.sequence}, {which} ({reference} truth); "
        f"{display.text}; seed {seeds}. Found: one segmented object covers more than half of the annotated one."
    )
    return _framed(display.grey(image), labels, matched, caption)


def _framed(grey: np.ndarray, labels: np.ndarray, matched: Mapping[str, Matched], caption: str) -> SegmentedFrame:
    """The whole frame and the detail where the segmentations differ most, in rows that are filled."""
    window = _where_they_differ(labels, list(matched.values()))
    cut = {name: _cut(item, window) for name, item in matched.items()}
    columns = 2 if len(matched) == 3 else 3
    return SegmentedFrame(
        detail=_panels(grey[window], labels[window], cut, edge=DETAIL, counts=False),
        detail_columns=4 if len(matched) == 3 else 3,
        whole=_panels(grey, labels, matched, edge=WIDTH // columns, counts=True),
        whole_columns=columns,
        caption=caption,
    )


def _planes(
    chosen: AnnotatedFrame, recording: Recording, predictions: Sequence[Predictions]
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray], str]:
    """Image, truth and results on the plane to show, and the words for that plane."""
    labels, z = recording.read_labels(chosen), chosen.z
    if z is None and labels.ndim == 3:
        z = int((labels > 0).sum((1, 2)).argmax())
        labels = labels[z]
    plane = ... if z is None else z
    image = recording.read_image(chosen)[plane]
    results = [each[chosen.frame].labels[plane] for each in predictions]
    for each, result in zip(predictions, results):
        if result.shape != labels.shape:
            raise each.store.damaged(
                f"a plane of {result.shape} pixels of frame {chosen.frame}",
                f"{labels.shape}, as {chosen.labels.name}",
            )
    return image, labels, results, "" if z is None else f", slice {z}"


def _where_they_differ(truth: np.ndarray, matched: Sequence[Matched]) -> tuple[slice, slice]:
    """The window, some cells wide, in which most pixels are wrong in one regime or another; else the densest."""
    counts = np.bincount(truth.ravel())[1:]
    across = 2 * np.sqrt(np.median(counts[counts > 0]) / np.pi) if (counts > 0).any() else min(truth.shape) / 5
    edge = int(min(max(24, CELLS_ACROSS * across), *truth.shape))
    wrong = sum(
        ((item.result > 0) != (truth > 0)).astype(np.float32) + (item.missed > 0) + (item.extra > 0) for item in matched
    )
    weight = uniform_filter(wrong + 1e-3 * (truth > 0), edge, mode="constant")
    y, x = np.unravel_index(weight.argmax(), weight.shape)
    top, left = (int(np.clip(at - edge // 2, 0, size - edge)) for at, size in zip((y, x), truth.shape))
    return slice(top, top + edge), slice(left, left + edge)


def _cut(item: Matched, window: tuple[slice, slice]) -> Matched:
    return Matched(*(part[window] for part in (item.truth, item.result, item.found, item.missed, item.extra)))


def _panels(
    grey: np.ndarray, truth: np.ndarray, matched: Mapping[str, Matched], *, edge: int, counts: bool
) -> list[Picture]:
    """Panels of equal size, enough to fill their rows: the image, the annotation, one per regime."""
    height, width = (max(1, round(size * edge / max(grey.shape))) for size in grey.shape)
    shape = height, width
    thickness = 2 if counts else 3
    base, objects = figures.image_uri(_resized(grey, shape)), len(np.unique(truth[truth > 0]))
    lines = {"Annotation": [(truth, TRUTH)]}
    notes = {"Image": "", "Annotation": f": {objects} objects"}
    for regime, item in matched.items():
        lines[named(regime)] = [(item.found, FOUND), (item.extra, EXTRA), (item.missed, MISSED)]
        notes[named(regime)] = f": {item.text}"
    sheets = {name: figures.image_uri(_sheet(layers, shape, thickness)) for name, layers in lines.items()}
    names = ["Image"] * (len(matched) in (1, 4)) + list(lines)
    return [
        Picture(base, f"test frame: {name}", name + notes[name] * counts, width, sheets.get(name, "")) for name in names
    ]


def _resized(grey: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    shrinks = shape[0] < grey.shape[0]
    picture = Image.fromarray(np.ascontiguousarray(grey))
    return np.asarray(picture.resize(shape[::-1], Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC))


def _sheet(layers: Sequence[tuple[np.ndarray, tuple]], shape: tuple[int, int], thickness: int) -> np.ndarray:
    """Transparent sheet with the outlines of labels, later layers on top."""
    sheet = np.zeros((*shape, 4), np.uint8)
    for labels, colour in layers:
        rows, columns = (
            np.minimum((np.arange(want) + 0.5) * have / want, have - 1).astype(int)
            for want, have in zip(shape, labels.shape)
        )
        enlarged = labels[np.ix_(rows, columns)]
        rim = find_boundaries(enlarged, mode="inner")
        sheet[binary_dilation(rim, iterations=thickness - 1) if thickness > 1 else rim] = (*colour, 255)
    return sheet
