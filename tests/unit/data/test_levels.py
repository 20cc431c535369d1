"""Black and white: percentiles, unless the background's noise would drown that of the cells."""

import numpy as np
import pytest

from cellcascade.data.crops import to_unit
from cellcascade.data.levels import LOUDEST, Levels

PERCENTILES = (0.1, 99.9)


def crops(*, level, light, noise, grain, count=12, size=64):
    """Round cells on a background, whole counts, and their masks."""
    rng = np.random.default_rng(0)
    mask = np.repeat((np.hypot(*(np.indices((size, size)) - size / 2)) < size / 4)[None], count, 0)
    image = rng.normal(np.where(mask, level + light, level), np.where(mask, grain, noise))
    return np.clip(np.rint(image), 0, 65535).astype(np.uint16), mask.astype(np.uint8)


def window_of(image, mask):
    levels = Levels()
    for start in range(0, len(image), 5):  # frame by frame
        levels.add(image[start : start + 5], mask[start : start + 5])
    return levels.window(PERCENTILES)


def percentiles_of(image, mask):
    sides = (image[:, :8], 0.1), (image[mask > 0], 99.9)
    return [np.percentile(side, share, method="nearest") for side, share in sides]


def loudness(image, window):
    """Noise of the background on the unit scale over that in cells."""
    unit = to_unit(image, window)
    return unit[:, :8].std() / unit[:, 28:36, 28:36].std()


def test_black_is_lowered_where_dim_images_would_have_a_loud_background():
    image, mask = crops(level=5, light=15, noise=0.4, grain=0.6)
    low, high = percentiles_of(image, mask)
    found = window_of(image, mask)
    assert loudness(image, (low, high)) > 1.3 * LOUDEST
    assert loudness(image, found) < LOUDEST
    assert low - 0.25 * 15 < found[0] < low and found[1] == high


@pytest.mark.parametrize("facts", [(100, 400, 10, 22), (16, 80, 2, 10), (500, 5000, 30, 0)])
def test_else_black_is_the_percentile(facts):
    """Shot noise, mottled cells, and cells without any noise, which tell nothing."""
    image, mask = crops(**dict(zip(("level", "light", "noise", "grain"), facts)))
    assert window_of(image, mask) == pytest.approx(percentiles_of(image, mask), rel=0.02)


def test_cells_darker_than_the_background_leave_it_as_it_is():
    image, mask = crops(level=200, light=-150, noise=10, grain=1)
    low, _ = percentiles_of(image, mask)
    assert window_of(image, mask)[0] == pytest.approx(low, abs=2)
