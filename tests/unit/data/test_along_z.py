"""Height and fading of cells that single slices were annotated of, told by the slices that nobody annotated."""

from functools import lru_cache

import numpy as np
import pytest
from scipy import ndimage

from cellcascade.data.along_z import brightened, fit_fading, measure_sections, unfolded_heights
from cellcascade.data.recording import Recording
from cellcascade.population.background import fit_background, read_background
from tests.ctc_data import write_tiff
from tests.unit.data.cutting import cut

VOXEL = (1.0, 0.5, 0.5)
SLICE, SLICES = 30, 60
RADIUS = 9.0  # of the cells on their widest slice, pixels
PITCH = 36  # pixels from cell to cell


@lru_cache
def stack_of(ends, *, half=6.0, blur=1.2, columns=5, noise=2.0):
    """Cells of light, 2 `half` slices tall and blurred along z, and the labels of one slice.

    Annotators ended them `ends` times as far from their middle, and the slice meets them anywhere between these ends.
    """
    z, y, x = np.indices((SLICES, 3 * PITCH, columns * PITCH))
    light, labels = np.zeros(z.shape), np.zeros(z.shape[1:], np.uint16)
    away = np.linspace(-1, 1, 3 * columns + 2)[1:-1] * half * ends
    for number, shift in enumerate(np.random.default_rng(0).permutation(away)):
        row, column = ((place + 0.5) * PITCH for place in divmod(number, columns))
        across = ((y - row) ** 2 + (x - column) ** 2) / RADIUS**2
        height = np.abs(z - SLICE + shift)
        light += 100.0 * ((height / half) ** 2 + across < 1)
        labels[(height[SLICE] / (half * ends)) ** 2 + across[SLICE] < 1] = number + 1
    light = ndimage.gaussian_filter1d(light, blur, axis=0)
    return 20 + light + np.random.default_rng(1).normal(0, noise, light.shape), labels


def measured(image, labels):
    return among(image, labels, np.unique(labels[labels > 0]).tolist())


def among(image, labels, names, z=SLICE):
    return list(measure_sections(image, labels, z, names, VOXEL).values())


@pytest.mark.parametrize("ends", [1.0, 1.6])
def test_heights_are_those_that_annotators_would_have_drawn(ends):
    found = unfolded_heights(measured(*stack_of(ends)), VOXEL)
    ratio = 2 * 6.0 * ends * 2 / (2 * RADIUS)  # slices are two pixels apart
    assert np.median(found) == pytest.approx(ratio, rel=0.15)
    assert list(found) == sorted(found)


def test_cells_fade_as_their_light_does():
    sharp, generous = (fit_fading(measured(*stack_of(ends))) for ends in (1.0, 1.6))
    assert 0.4 < sharp.fall[0] < 0.8 and sharp.fall[-1] == 1.0
    assert generous.fall[0] < 0.1 and len(generous.fall) > len(sharp.fall)
    assert list(generous.fall) == sorted(generous.fall)
    blurred = fit_fading(measured(*stack_of(1.0, blur=2.4)))
    assert blurred.decay > sharp.decay and blurred.fall[1] < sharp.fall[1] - 0.05


def test_light_that_rises_again_is_another_cells():
    image, labels = stack_of(1.0)
    (before,) = among(image, labels, [8])
    other = np.arange(SLICES)[:, None, None] >= SLICE + 13
    (after,) = among(image + other * 300.0 * (labels == 8), labels, [8])
    assert after.half == pytest.approx(before.half, rel=0.1)
    assert all(column.light.max() < 1.2 for column in after.columns)


@pytest.mark.parametrize(("first", "last"), [(SLICE - 6, SLICES), (0, SLICE + 7)])
def test_cells_that_the_stack_ends_in_say_nothing(first, last):
    image, labels = stack_of(1.0)
    names = np.unique(labels[labels > 0]).tolist()
    whole, found = measured(image, labels), among(image[first:last], labels, names, SLICE - first)
    halves = [section.half for section in whole]
    assert 0 < len(found) < len(whole)
    assert all(min(abs(section.half - half) for half in halves) < 0.1 for section in found)


def test_few_sections_say_nothing():
    image, labels = stack_of(1.0)
    few = among(image, labels, [6, 7, 8, 9])
    assert len(few) == 4 and unfolded_heights(few, VOXEL) == () and fit_fading(few) is None
    assert among(image, labels * 0, []) == [] == list(unfolded_heights([], VOXEL))


def test_crops_and_background_of_single_slices_know_it(tmp_path):
    image, labels = stack_of(1.6)
    write_tiff(tmp_path / "Toy/01/t000.tif", image.round().astype(np.uint8))
    write_tiff(tmp_path / f"Toy/01_GT/SEG/man_seg_000_{SLICE:03}.tif", labels)
    crops, _ = cut(tmp_path / "Toy", annotations="GT", ndim=3, size=32)
    assert np.median(crops.record.heights) == pytest.approx(2 * 6.0 * 1.6 * 2 / (2 * RADIUS), rel=0.15)
    recording, store = Recording(tmp_path / "Toy", "01", "GT", VOXEL), tmp_path / "background.zarr.zip"
    fit_background(recording=recording, crops=tmp_path / "crops.zarr.zip", rim=4, dataset="toy", store=store)
    model = read_background(store)
    assert model.fading == crops.record.fading and model.z_decay == crops.record.fading.decay


def test_crops_of_dim_sections_are_as_bright_as_their_cells(tmp_path):
    image, labels = stack_of(1.6)
    write_tiff(tmp_path / "Toy/01/t000.tif", image.round().astype(np.uint8))
    write_tiff(tmp_path / f"Toy/01_GT/SEG/man_seg_000_{SLICE:03}.tif", labels)
    crops, table = cut(tmp_path / "Toy", annotations="GT", ndim=3, size=32, min_area=120)
    shown = np.array([image[SLICE][labels == label].mean() for label in crops.label]) - 20
    light = crops.brightness - 20
    assert shown.min() < 40 < 90 < shown.max(), "some sections lie near a cell's end"
    assert light.min() > 50 and light.max() < 115
    assert crops.background == pytest.approx(20, abs=1)
    np.testing.assert_allclose(table["mean"][table.kept].astype(float), crops.brightness, rtol=1e-3)


def test_grain_of_brightened_crops_grows_as_shot_noise_does():
    rng, mask = np.random.default_rng(0), np.zeros((48, 48), np.uint8)
    mask[12:36, 12:36] = 1
    image = np.rint(rng.normal(100 + 200.0 * mask, 10)).astype(np.uint16)
    made = brightened(image, mask, 0.5)
    inner = slice(16, 32), slice(16, 32)
    assert made[inner].mean() == pytest.approx(500, rel=0.02)
    assert made[inner].std() == pytest.approx(10 * 2**0.5, rel=0.2)
    np.testing.assert_array_equal(made[:6], image[:6])
    assert brightened(image, mask, 1.0) is image
    dim = (image // 2).astype(np.uint8)
    assert brightened(dim, mask, 0.01)[inner].max() == 255, "the camera counts no further"
