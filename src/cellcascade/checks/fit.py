"""Do masks fit their frames? The contrast between inside and outside, and what would make the masks fit.

Contrast is the difference of the means inside and outside, divided by the standard deviation. It is taken of ranks, so
that few very bright pixels do not matter, once of the counts and once of their local variation (phase contrast), and
once against all that is outside and once against a ring around the cells (uneven light, cells nobody annotated). The
largest of the four counts. Of right masks of fluorescence and phase contrast frames it was 1.3 and more; of wrong ones
0.9 at most, and 0.3 in most cases.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import edt
import numpy as np
from scipy import fft, ndimage

from cellcascade.checks.sample import Look, Sample

EDGE = 768  # of larger planes, so many pixels around the middle are looked at
SAMPLES = 60_000  # pixels that the ends of a histogram are taken from
BINS = 4096
RING = (1, 12)  # nearest and farthest pixels of the ring around cells
FEWEST = 20  # pixels inside and outside, at least, for a contrast
LOW = 0.6  # contrast below which masks do not fit
BETTER = 1.3  # times the contrast from which on another mask fits better, if it fits well:
WELL = 0.9
SURE = 1.4  # contrast from which on no other mask could be so much better: that of a perfect one is about 1.73
EXCHANGED = "exchanged for that of"  # another plane
NEAR = 2  # pixels of a shift that is none


@dataclass(frozen=True)
class Fit:
    """How the mask of a plane fits.

    Attributes:
        look: The plane.
        contrast: Its contrast; NaN where it cannot be told, as nothing or everything is inside.
        change: What would make the mask fit, in words: "transposed"; empty if nothing is known.
        better: The contrast of the mask after that.
    """

    look: Look
    contrast: float
    change: str = ""
    better: float = np.nan

    @property
    def judged(self) -> bool:
        """Whether it can be told."""
        return bool(np.isfinite(self.contrast))

    @property
    def wrong(self) -> bool:
        """Whether the mask does not fit."""
        return self.judged and (bool(self.change) or self.contrast < LOW)


def fits_of(sample: Sample) -> list[Fit]:
    """How the masks of a sample fit; where one does not, those of the other frames are tried as well."""
    found = []
    for look in sample.looks:
        place = _middle(look.labels)
        features, inside = _features(look.image[place]), look.labels[place] > 0
        own = contrast(features, inside)
        if own < SURE:
            found.append(_improved(look, own, features, {**dict(_changes(features, inside)), **_others(sample, look)}))
        else:
            found.append(Fit(look, own))
    return found


def contrast(features: Sequence[np.ndarray], inside: np.ndarray) -> float:
    """The largest contrast of a mask.

    Args:
        features: Ranks of the counts and of their variation, (y, x) each.
        inside: The mask (y, x).

    Returns:
        The contrast; NaN where less than 20 pixels are inside or outside.
    """
    if min(np.count_nonzero(inside), np.count_nonzero(~inside)) < FEWEST:
        return np.nan
    distance = edt.edt(np.ascontiguousarray(~inside))
    ring = (distance > RING[0]) & (distance <= RING[1])
    return max(_of_one(feature, inside, outside) for feature in features for outside in (~inside, ring))


def _of_one(feature: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> float:
    here, there = feature[inside], feature[outside]
    if len(there) < FEWEST:
        return 0.0
    return abs(float(here.mean()) - float(there.mean())) / max(float(np.concatenate([here, there]).std()), 1e-6)


def _improved(look: Look, own: float, features: Sequence[np.ndarray], tried: dict[str, np.ndarray]) -> Fit:
    """The fit of a mask, with what would make it much better, if any of what is tried does."""
    rough = {change: max(_of_one(feature, mask, ~mask) for feature in features) for change, mask in tried.items()}
    change = max(rough, key=lambda name: rough[name])
    better = contrast(features, tried[change])
    return Fit(look, own, change, better) if better >= max(WELL, BETTER * own) else Fit(look, own)


def _middle(labels: np.ndarray) -> tuple[slice, ...]:
    """The middle of a plane (y, x), where that holds cells; else around the middle of the cells."""
    starts = [max(0, (n - EDGE) // 2) for n in labels.shape]
    place = tuple(slice(start, start + EDGE) for start in starts)
    if labels[place].any() or not labels.any():
        return place
    centres = (int(np.median(positions)) for positions in np.nonzero(labels))
    starts = [min(max(0, centre - EDGE // 2), max(0, n - EDGE)) for centre, n in zip(centres, labels.shape)]
    return tuple(slice(start, start + EDGE) for start in starts)


def _features(image: np.ndarray) -> list[np.ndarray]:
    """Ranks, from 0 to 1, of the smoothed counts and of their local standard deviation, (y, x) each."""
    counts = image.astype(np.float32)
    mean = ndimage.uniform_filter(counts, 5)
    variance = ndimage.uniform_filter(counts**2, 5) - mean**2
    return [_ranks(ndimage.uniform_filter(counts, 3)), _ranks(np.sqrt(np.maximum(variance, 0)))]


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0 to 1 in a histogram that leaves a thousandth at each end in its last bins."""
    step = max(1, int((values.size / SAMPLES) ** 0.5))
    low, high = np.quantile(values[::step, ::step], (0.001, 0.999))
    level = np.clip((values - low) * ((BINS - 1) / max(high - low, 1e-6)), 0, BINS - 1).astype(np.uint16)
    counts = np.bincount(level.ravel(), minlength=BINS)
    return ((np.cumsum(counts) - counts / 2) / values.size).astype(np.float32)[level]


def _changes(features: Sequence[np.ndarray], inside: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """What would undo a usual slip, and the mask after it."""
    yield "mirrored left to right", inside[:, ::-1]
    yield "upside down", inside[::-1]
    yield "turned by 180°", inside[::-1, ::-1]
    if inside.shape[0] == inside.shape[1]:
        yield "transposed (y and x exchanged)", inside.T
        yield "turned by 90°", np.rot90(inside)
        yield "turned by 90°", np.rot90(inside, -1)
    for feature in features:
        shift = _best_shift(feature, inside)
        if max(map(abs, shift)) > NEAR:
            yield f"shifted by {shift[0]} pixels in y and {shift[1]} in x", np.roll(inside, shift, (0, 1))


def _best_shift(feature: np.ndarray, inside: np.ndarray) -> tuple[int, int]:
    """The shift (y, x) of a mask with the largest contrast, of all shifts, by correlation."""
    spectra = [fft.rfft2((item - item.mean()).astype(np.float32)) for item in (feature, inside)]
    correlation = np.abs(fft.irfft2(spectra[0] * np.conj(spectra[1]), s=inside.shape))
    best = np.unravel_index(correlation.argmax(), correlation.shape)
    y, x = (int(step) if step <= n // 2 else int(step) - n for step, n in zip(best, inside.shape))
    return y, x


def _others(sample: Sample, look: Look) -> dict[str, np.ndarray]:
    """Masks of the other planes of equal shape, and of the frames before and after this one."""
    others = [other for other in (*sample.looks, *sample.beside(look)) if other.annotated != look.annotated]
    place = _middle(look.labels)
    return {
        f"{EXCHANGED} {other.name}": other.labels[place] > 0
        for other in others
        if other.labels.shape == look.labels.shape
    }
