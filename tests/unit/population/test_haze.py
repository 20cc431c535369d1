"""Light that cells shed on the background around them is fitted, and is the same around placed cells."""

import numpy as np
import pytest
from scipy import ndimage

from cellcascade.population.background import read_background
from cellcascade.population.haze import Haze, fit_haze, lit_pixels
from tests.unit.population.scenes import LEVEL, SIGNAL, SPREAD, make, opened, write_inputs
from tests.unit.population.test_background import fit, labels_of

SHAPE, TRUE = (300, 320), Haze((3.0, 6.0, 12.0, 24.0), (0.0, 0.15, 0.0, 0.1))


def frame(haze=TRUE, *, seed=0, blob=False, radius=10):
    """Counts and labels of a frame whose cells shed light around them."""
    labels = labels_of(SHAPE, radius=radius, cells=14)
    light = np.where(labels > 0, SIGNAL, 0.0)
    counts = LEVEL + light + np.where(labels > 0, 0, haze.of(light))
    if blob:  # nobody annotated it
        away = ndimage.distance_transform_edt(labels == 0)
        y, x = np.unravel_index(away.argmax(), SHAPE)
        counts[y - 6 : y + 6, x - 6 : x + 6] += SIGNAL
    return np.rint(np.random.default_rng(seed).normal(counts, SPREAD)).astype(np.uint16), labels


def around(image, labels, label=None):
    """Mean counts at growing distances from the cells."""
    distance = ndimage.distance_transform_edt(labels == 0)
    rings = ((1, 4), (4, 7), (7, 10), (10, 15), (15, 25), (25, 40))
    return np.array([image[(distance >= low) & (distance < high)].mean() for low, high in rings])


def test_gaussians_spread_light_and_keep_its_sum():
    light = np.zeros((200, 200), np.float32)
    light[95:105, 95:105] = 100
    for width in (3.0, 15.0):
        haze = Haze((width,) * 4, (0.05, 0.05, 0.1, 0.0)).of(light)
        assert haze.sum() == pytest.approx(0.2 * light.sum(), rel=0.02)
        fine = 0.2 * ndimage.gaussian_filter(light, width, mode="constant")
        assert np.abs(haze - fine).max() < 0.04 * fine.max()
    assert not Haze().of(light).any()


@pytest.mark.parametrize("blob", [False, True])
def test_the_haze_of_a_frame_is_found_whatever_lies_about(tmp_path, blob):
    image, labels = frame(blob=blob)
    haze = fit(tmp_path, image, labels, (0.5, 0.5)).haze
    light = np.where(labels > 0, SIGNAL, 0).astype(np.float32)
    free = ndimage.distance_transform_edt(labels == 0) > 6
    made, true = (each.of(light)[free] for each in (haze, TRUE))
    # what is the same everywhere may be of the background's level as well
    assert np.std(made - true) < 0.1 * np.std(true) and abs(made.mean() - true.mean()) < 0.3 * true.mean()


def test_where_cells_shed_no_light_there_is_no_haze(tmp_path):
    image, labels = frame(Haze())
    model = fit(tmp_path, image, labels, (0.5, 0.5))
    assert model.haze == Haze() == fit_haze([], 10.0)
    assert lit_pixels(image, image, np.zeros(SHAPE, bool), 10.0, np.random.default_rng(0)) is None


def test_a_background_without_its_haze_is_no_darker_or_brighter_near_cells(tmp_path):
    image, labels = frame()
    model = fit(tmp_path, image, labels, (0.5, 0.5))
    assert model.fields.mean() == pytest.approx(LEVEL, abs=3) and model.fields.std() < 2
    assert read_background(tmp_path / "background.zarr.zip").haze == model.haze


@pytest.mark.parametrize("twins", [False, True])
def test_light_around_placed_cells_falls_as_in_the_frame(tmp_path, twins):
    """The crops' light ends with the rim, 6 pixels from a cell; the haze goes on."""
    made = {}
    for name, haze in (("bare", ()), ("hazy", (TRUE.widths, TRUE.weights))):
        (tmp_path / name).mkdir()
        inputs = write_inputs(tmp_path / name, shape=SHAPE, haze=haze)
        made[name] = opened(make(tmp_path / name / "images", inputs, images=(0, 1), twins=twins))
    (bare, labels), (image, same) = made["bare"], made["hazy"]
    np.testing.assert_array_equal(labels, same)
    expected = around(LEVEL + TRUE.of(np.where(labels > 0, SIGNAL, 0)), labels)
    assert np.abs(around(bare, labels)[2:] - LEVEL).max() < 1
    assert expected[2] > LEVEL + 4 and np.abs(around(image, labels) - expected)[1:].max() < 1.5
    far = TRUE.parts(np.where(labels > 0, SIGNAL, 0))[1]  # it lies over the cells as over all else
    assert image[labels > 0].mean() == pytest.approx(bare[labels > 0].mean() + far[labels > 0].mean(), abs=1)
