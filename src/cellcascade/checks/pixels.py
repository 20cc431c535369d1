"""From a sample of annotations to findings: on masks, labels, cells and counts."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from cellcascade.checks.finding import KINDS, Finding
from cellcascade.checks.fit import EXCHANGED, Fit
from cellcascade.checks.sample import Look, Sample
from cellcascade.checks.views import view
from cellcascade.config.settings import CropSettings
from cellcascade.data.crops import usable
from cellcascade.data.objects import FRAGMENTARY
from cellcascade.population.background import away_from_cells

PICTURES = 3  # of one finding
MANY_PIECES = 0.05  # share of objects in several large pieces from which on labels are merged
MANY_FRAGMENTS = 0.1  # share of objects
MANY_SLIVERS = 0.5  # slivers per cell from which on labels were interpolated
FEW_CELLS, FEW_SHARE = 30, 0.25  # usable cells of the whole sequence, and their share
TOO_LARGE = 0.2  # share of the cells off the border that do not fit into a crop
CELLS_UM = (3.0, 30.0)  # likely diameters of cells, micrometres
LITTLE = 0.02  # share of background pixels
FLAT = 0.95  # share of background pixels with the same counts
SATURATED = 0.05  # share of the pixels of cells with the largest counts
CROP_STEP = 32  # crop sizes are named in multiples of it, which all models take


def mask_findings(sample: Sample, fits: Sequence[Fit]) -> Iterator[Finding]:
    """Masks that do not fit their frames."""
    wrong, judged = [fit for fit in fits if fit.wrong], [fit for fit in fits if fit.judged]
    if not wrong:
        return
    many = len(wrong) * 2 >= len(judged)
    changes = Counter(_in_general(fit.change) for fit in wrong if fit.change)
    named = "; ".join(f"{fit.look.name}: {fit.contrast:.2f}{_better(fit)}" for fit in wrong[:PICTURES])
    found = f"the contrast of {len(wrong)} of {len(judged)} masks is too low: {named}{'; …' * (len(wrong) > PICTURES)}"
    likely = f"the masks would fit if they were {changes.most_common(1)[0][0]}: see the pictures" if changes else ""
    pictures = tuple(view(fit.look, f"contrast {fit.contrast:.2f}{_better(fit)}") for fit in wrong[:PICTURES])
    code = "masks_do_not_fit" if many else "some_masks_do_not_fit"
    yield Finding(code, found, str(wrong[0].look.file), likely, pictures)


def _better(fit: Fit) -> str:
    return f", or {fit.better:.2f} if {fit.change}" if fit.change else ""


def _in_general(change: str) -> str:
    return "paired with other frames" if change.startswith(EXCHANGED) else change


def label_findings(sample: Sample) -> Iterator[Finding]:
    """Labels that are no instances, merged, interpolated or in fragments; empty annotations."""
    looks, where = sample.looks, str(sample.recording.annotation_folder)
    facts = [look.facts for look in looks]
    objects = sum(len(each.values) for each in facts)
    empty = [look.name for look in looks if not len(look.facts.values)]
    if not objects:
        yield Finding("no_cells", f"nothing in {sample.text}", where)
        return
    if empty:
        yield Finding("empty_annotations", f"{len(empty)} of {len(looks)} looked at: {', '.join(empty[:5])}", where)
    merged, pieces = sum(each.merged for each in facts), sum(each.pieces for each in facts)
    if foreground_only(sample):
        number = max(each.values.max(initial=0) for each in facts)
        found = f"the only number is {number}, in {pieces} pieces in {sample.text}"
        yield Finding("foreground_mask", found, where, pictures=_pictures(looks, lambda look: look.facts.merged))
    elif merged_labels(sample):
        found = f"{merged} of {objects} labels are in several large pieces, {pieces} in all"
        yield Finding("merged_labels", found, where, pictures=_pictures(looks, lambda look: look.facts.merged))
    yield from _broken(sample, objects, where)


def _broken(sample: Sample, objects: int, where: str) -> Iterator[Finding]:
    fragments = sum(look.facts.reasons.count(FRAGMENTARY) for look in sample.looks)
    slivers, cells = sum(look.facts.slivers for look in sample.looks), max(1, objects - fragments)
    if slivers > MANY_SLIVERS * cells:
        found = f"{slivers} slivers along {cells} cells; {fragments} labels are nothing but slivers"
        pictures = _pictures(sample.looks, lambda look: look.facts.slivers)
        yield Finding("interpolated_labels", found, where, pictures=pictures)
    elif fragments > MANY_FRAGMENTS * objects:
        found = f"{fragments} of {objects} objects"
        yield Finding("fragments", found, where)


def cell_findings(sample: Sample, settings: CropSettings) -> Iterator[Finding]:
    """Cells that cannot be used, too few of them, an unlikely size."""
    reasons = [reason for look in sample.looks for reason in look.facts.reasons]
    where, count = str(sample.recording.annotation_folder), reasons.count("")
    extents = np.concatenate([look.facts.extents for look in sample.looks])
    if not reasons or foreground_only(sample):
        return
    cure = cure_of_cells(sample, extents, settings)
    expected = count * sample.total / len(sample.looks)
    if not count and len(sample.looks) == sample.total:
        yield Finding("no_usable_cell", usable(reasons), where, cure)
    elif expected < FEW_CELLS or count < FEW_SHARE * len(reasons):
        yield Finding("few_usable_cells", f"{usable(reasons)}, in {sample.text}", where, cure)
    inner = [reason for reason in reasons if reason not in ("touches border", FRAGMENTARY)]
    large = inner.count("does not fit")
    if large > TOO_LARGE * len(inner) and count:
        found = f"{large} of {len(inner)} cells off the border, with crops.size {settings.size}"
        yield Finding("crop_too_small", found, where, _larger_crop(extents, settings))
    if merged_labels(sample):  # their size is not that of cells
        return
    pixels, diameter = diameters(sample)
    if not CELLS_UM[0] <= diameter <= CELLS_UM[1]:
        size = ", ".join(f"{size:g}" for size in sample.recording.voxel_size_um)
        found = f"the median cell is {pixels:.0f} pixels wide: {diameter:.3g} µm with voxel_size_um [{size}]"
        yield Finding("voxel_size", found, where)


def diameters(sample: Sample) -> tuple[float, float]:
    """Diameter of a disc of the median cell's area, on its widest slice: pixels, micrometres."""
    pixels = 2 * math.sqrt(float(np.median(np.concatenate([look.facts.areas for look in sample.looks]))) / math.pi)
    return pixels, pixels * sample.recording.voxel_size_um[-1]


def cure_of_cells(sample: Sample, extents: np.ndarray, settings: CropSettings) -> str:
    """How more cells become usable, by what is wrong with most of them; empty if nothing helps but more of them.

    Args:
        sample: The annotations that were looked at.
        extents: Longest edges of the cells, pixels, (n,).
        settings: The `crops` block.
    """
    if merged_labels(sample):
        return KINDS["merged_labels"].cure
    reasons = Counter(reason for look in sample.looks for reason in look.facts.reasons if reason)
    worst = reasons.most_common(1)[0][0] if reasons else ""
    cures = {
        "does not fit": _larger_crop(extents, settings),
        "too small": f"lower crops.min_area, which is {settings.min_area} pixels, if these are cells",
        "touches border": "annotate larger frames: most cells reach the border of theirs",
    }
    return cures.get(worst, "")


def merged_labels(sample: Sample) -> bool:
    """Whether so many labels are in several large pieces that they are no single cells."""
    objects = sum(len(look.facts.values) for look in sample.looks)
    return sum(look.facts.merged for look in sample.looks) >= max(1, MANY_PIECES * objects)


def foreground_only(sample: Sample) -> bool:
    """Whether all cells have the same number, and a plane has several."""
    values = np.unique(np.concatenate([look.facts.values for look in sample.looks]))
    return len(values) == 1 and any(look.facts.merged for look in sample.looks)


def _larger_crop(extents: np.ndarray, settings: CropSettings) -> str:
    """The cure that names a crop size that nearly all cells fit into."""
    needed = float(np.quantile(extents, 0.98)) + 2 * settings.margin
    return f"set crops.size: {math.ceil(needed / CROP_STEP) * CROP_STEP} in the data set's entry"


def count_findings(sample: Sample, rim: int | None) -> Iterator[Finding]:
    """Blank frames, saturated cells, and, unless `rim` is `None`, backgrounds that are missing or flat."""
    looks, where = sample.looks, str(sample.recording.folder)
    blank = [look for look in looks if look.image.min() == look.image.max()]
    if blank:
        found = f"{len(blank)} of {len(looks)} looked at: {', '.join(look.name for look in blank[:5])}"
        yield Finding("blank_frames", found, str(blank[0].annotated.image))
    saturated = [_at_maximum(look) for look in looks if look.labels.any() and look not in blank]
    if saturated and np.median(saturated) > SATURATED:
        found = f"{100 * np.median(saturated):.0f} % of the pixels of cells, in the median of {len(saturated)} planes"
        pictures = _pictures(looks, _at_maximum)
        yield Finding("saturated", found, where, pictures=pictures)
    if rim is not None:
        yield from _backgrounds(sample, rim, where)


def _at_maximum(look: Look) -> float:
    """Share of a plane's cell pixels that have its largest counts."""
    inside = look.image[look.labels > 0]
    return float((inside == look.image.max()).mean()) if inside.size else 0.0


def background_share(sample: Sample, rim: int) -> list[float]:
    """Share of each plane that is away from cells."""
    size = sample.recording.voxel_size_um[-2:]
    return [float(away_from_cells(look.labels, size, rim, look.ignored).mean()) for look in sample.looks]


def _backgrounds(sample: Sample, rim: int, where: str) -> Iterator[Finding]:
    shares = background_share(sample, rim)
    if not any(shares):
        pictures = tuple(view(look) for look in sample.looks[:1])
        yield Finding("no_background", f"no pixel of {sample.text} is away from cells", where, pictures=pictures)
        return
    if np.mean(shares) < LITTLE:
        yield Finding("little_background", f"{100 * np.mean(shares):.1f} % of the pixels of {sample.text}", where)
    flat = [_most_frequent(look, sample, rim) for look, share in zip(sample.looks, shares) if share]
    if np.median([share for share, _ in flat]) > FLAT:
        share, counts = flat[0]
        yield Finding("flat_background", f"{100 * share:.1f} % of the background has {counts} counts", where)


def _most_frequent(look: Look, sample: Sample, rim: int) -> tuple[float, int]:
    """The most frequent counts of a plane's background, and their share of it."""
    background = look.image[away_from_cells(look.labels, sample.recording.voxel_size_um[-2:], rim, look.ignored)]
    occurrences = np.bincount(background)
    return float(occurrences.max() / len(background)), int(occurrences.argmax())


def _pictures(looks: Sequence[Look], how_bad: Callable[[Look], float]) -> tuple:
    worst = sorted(looks, key=how_bad, reverse=True)[:PICTURES]
    return tuple(view(look) for look in worst)


def fit_text(fits: Sequence[Fit]) -> str:
    """The contrasts of masks, in words."""
    values = [fit.contrast for fit in fits if fit.judged]
    return f"{np.median(values):.2f} ({min(values):.2f} to {max(values):.2f})" if values else "cannot be told"
