import warnings

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from cellcascade.core.errors import InputError
from cellcascade.data.recording import Recording
from cellcascade.data.stores import BACKGROUND, CROPS
from cellcascade.population.background import fit_background, read_background
from cellcascade.population.canvas_background import sample_background, sample_noise
from tests.partly import partly
from tests.stores import write_store


def skewness(values):
    values = np.asarray(values, float)
    return (((values - values.mean()) / values.std()) ** 3).mean()


def neighbour_correlation(image, axis):
    image = image - image.mean()
    first = image.take(range(image.shape[axis] - 1), axis)
    second = image.take(range(1, image.shape[axis]), axis)
    return float((first * second).mean() / image.var())


def skewed_noise(rng, shape, sigma):
    """Noise with a known correlation and a long upper tail."""
    scores = ndimage.gaussian_filter(rng.standard_normal(shape), sigma)
    return np.exp(0.5 * scores / scores.std())


def labels_of(shape, radius=8, cells=12):
    labels = np.zeros(shape, np.uint16)
    grid = np.indices(shape)[-2:]
    rng = np.random.default_rng(4)
    for label in range(1, cells + 1):
        y, x = rng.integers(radius, np.array(shape[-2:]) - radius)
        labels[((grid[0] - y) ** 2 + (grid[1] - x) ** 2 < radius**2) & (labels == 0)] = label
    return labels


def write_sequence(folder, image, labels, sparse=None):
    segmentation = folder / "01_GT" / "SEG"
    segmentation.mkdir(parents=True)
    (folder / "01").mkdir()
    tifffile.imwrite(folder / "01" / "t000.tif", image)
    if sparse is None:
        tifffile.imwrite(segmentation / "man_seg000.tif", labels)
    else:
        tifffile.imwrite(segmentation / f"man_seg_000_{sparse:03d}.tif", labels[sparse])
    facts = {"dataset": "test", "frame_dtype": str(image.dtype), "frame_shape": image.shape}
    return write_store(CROPS, folder / "crops.zarr.zip", {}, **facts)


def fit(folder, image, labels, voxel_size_um, sparse=None, rim=6):
    crops = write_sequence(folder, image, labels, sparse)
    store, recording = folder / "background.zarr.zip", Recording(folder, "01", "GT", voxel_size_um)
    fit_background(recording=recording, crops=crops, rim=rim, dataset="test", store=store)
    return read_background(store)


def counts_with_cells(background, labels):
    return np.where(labels > 0, 2000, np.rint(background)).astype(np.uint16)


def test_samples_have_mean_std_skewness_and_correlation_of_the_truth(tmp_path):
    truth = 100 + 20 * skewed_noise(np.random.default_rng(0), (256, 256), 1.0)
    labels = labels_of(truth.shape)
    model = fit(tmp_path, counts_with_cells(truth, labels), labels, (0.5, 0.5))
    sample = sample_background(model, (256, 256), np.random.default_rng(1))
    assert sample.dtype == np.float32 and (sample == np.rint(sample)).all()
    assert sample.mean() == pytest.approx(truth.mean(), rel=0.01)
    assert sample.std() == pytest.approx(truth.std(), rel=0.06)
    assert skewness(sample) == pytest.approx(skewness(truth), abs=0.3)
    for axis in (0, 1):
        assert neighbour_correlation(sample, axis) == pytest.approx(neighbour_correlation(truth, axis), abs=0.03)


def test_counts_clipped_at_zero_stay_clipped(tmp_path):
    truth = np.maximum(np.rint(np.random.default_rng(0).normal(0.5, 2, (256, 256))), 0)
    labels = labels_of(truth.shape)
    model = fit(tmp_path, counts_with_cells(truth, labels), labels, (0.5, 0.5))
    sample = sample_background(model, (256, 256), np.random.default_rng(1))
    for count in range(4):
        assert (sample == count).mean() == pytest.approx((truth == count).mean(), abs=0.015)


def test_slow_field_and_the_noise_that_follows_it_are_learned(tmp_path):
    field = np.linspace(100, 400, 256)[:, None] * np.ones((1, 256))
    truth = np.random.default_rng(0).poisson(field).astype(float)
    labels = labels_of(truth.shape)
    model = fit(tmp_path, counts_with_cells(truth, labels), labels, (0.5, 0.5))
    sample = sample_background(model, (256, 256), np.random.default_rng(3))
    dim, bright = sorted((sample[30:60], sample[-60:-30]), key=np.mean)
    assert dim.mean() == pytest.approx(field[30:60].mean(), rel=0.06)
    assert bright.mean() == pytest.approx(field[-60:-30].mean(), rel=0.06)
    columns = [np.diff(part, axis=1).std() / np.sqrt(2) for part in (dim, bright)]
    assert columns[0] == pytest.approx(np.sqrt(field[30:60].mean()), rel=0.1)
    assert columns[1] == pytest.approx(np.sqrt(field[-60:-30].mean()), rel=0.1)


def test_stack_keeps_its_blur_along_z_and_fits_canvases_of_other_shapes(tmp_path):
    truth = 100 + 20 * skewed_noise(np.random.default_rng(0), (20, 96, 100), (1.2, 0.6, 0.6))
    labels = labels_of(truth.shape, cells=4)
    labels[:5] = labels[15:] = 0
    model = fit(tmp_path, counts_with_cells(truth, labels), labels, (1.0, 0.5, 0.5))
    sample = sample_background(model, (24, 128, 90), np.random.default_rng(1))
    assert sample.shape == (24, 128, 90)
    for axis in (0, 1, 2):
        assert neighbour_correlation(sample, axis) == pytest.approx(neighbour_correlation(truth, axis), abs=0.08)


def test_signal_beyond_the_ends_of_cells_gives_the_decay_along_z(tmp_path):
    labels = labels_of((20, 96, 96), cells=4)
    labels[:8] = labels[12:] = 0
    signal = 1000.0 * (labels > 0)
    for z, share in ((7, 0.5), (12, 0.5), (6, 0.25), (13, 0.25)):
        signal[z] = share * signal[9]
    image = np.random.default_rng(0).poisson(50 + signal).astype(np.uint16)
    assert fit(tmp_path, image, labels, (1.0, 0.5, 0.5)).z_decay == pytest.approx(0.5, abs=0.05)


def test_cells_in_slices_without_annotation_do_not_count_as_background(tmp_path):
    truth = np.random.default_rng(0).poisson(50, (12, 128, 128)).astype(float)
    labels = labels_of(truth.shape)
    image = np.where(labels > 0, 400, truth).astype(np.uint16)
    model = fit(tmp_path, image, labels, (1.0, 0.5, 0.5), sparse=6)
    sample = sample_background(model, (12, 128, 128), np.random.default_rng(1))
    assert sample.mean() == pytest.approx(truth.mean(), rel=0.02)
    assert sample.std() == pytest.approx(truth.std(), rel=0.05)


def test_a_bright_speck_that_nobody_annotated_is_left_out(tmp_path):
    truth = np.random.default_rng(0).poisson(50, (256, 256)).astype(np.uint16)
    truth[100:110, 100:110] = 1500
    model = fit(tmp_path, truth, labels_of(truth.shape) * 0, (0.5, 0.5))
    assert sample_background(model, (256, 256), np.random.default_rng(1)).max() < 120


def test_noise_is_standard_normal_and_depends_on_the_generator_alone(tmp_path):
    truth = 100 + 20 * skewed_noise(np.random.default_rng(0), (128, 128), 1.0)
    model = fit(tmp_path, np.rint(truth).astype(np.uint16), np.zeros((128, 128), np.uint16), (0.5, 0.5))
    noise = sample_noise(model, (300, 200), np.random.default_rng(5))[0]
    assert abs(noise.mean()) < 0.1 and noise.std() == pytest.approx(1, abs=0.05)
    assert np.array_equal(noise, sample_noise(model, (300, 200), np.random.default_rng(5))[0])


def test_frames_full_of_cells_are_refused(tmp_path):
    labels = np.ones((64, 64), np.uint16)
    with pytest.raises(InputError, match="No frame shows background"):
        fit(tmp_path, labels * 100, labels, (0.5, 0.5))


def test_a_variant_has_its_own_name_and_the_background_of_the_data_set_whose_crops_it_uses(tmp_path):
    truth = 100 + 20 * skewed_noise(np.random.default_rng(0), (128, 128), 1.0)
    labels = labels_of(truth.shape, cells=4)
    crops = write_sequence(tmp_path, counts_with_cells(truth, labels), labels)
    common = {"recording": Recording(tmp_path, "01", "GT", (0.5, 0.5)), "rim": 6}
    made = []
    for dataset in ("test", "variant"):
        fit_background(**common, crops=crops, dataset=dataset, store=tmp_path / f"{dataset}.zarr.zip")
        made.append(BACKGROUND.open(tmp_path / f"{dataset}.zarr.zip"))
    assert [store.record.dataset for store in made] == ["test", "variant"]
    assert all(np.array_equal(made[0][name], made[1][name]) for name in BACKGROUND.arrays)
    record = made[0].record
    assert record.frame_shape == (128, 128) and record.largest == 65535 and "crops.zarr.zip" in str(record.digests)
    assert record.mean == pytest.approx(truth.mean(), rel=0.02) and record.std == pytest.approx(truth.std(), rel=0.1)


def test_the_rim_keeps_the_blur_of_cells_out_of_the_background(tmp_path):
    labels = labels_of((256, 256), radius=5, cells=20)
    truth = 100 + np.random.default_rng(0).normal(0, 3, labels.shape)
    blurred = truth + 40 * ndimage.gaussian_filter((labels > 0).astype(float), 2)
    means = []
    for rim in (1, 12):
        model = fit(tmp_path / str(rim), counts_with_cells(blurred, labels), labels, (0.5, 0.5), rim=rim)
        means.append(sample_background(model, (256, 256), np.random.default_rng(1)).mean())
    assert means[1] < means[0] and means[1] == pytest.approx(100, abs=0.2)


@pytest.mark.parametrize("counts", [0, 10, 255])
def test_a_background_without_spread_is_learned_as_it_is(tmp_path, counts):
    labels = labels_of((128, 128))
    with warnings.catch_warnings(action="error"):
        model = fit(tmp_path, counts_with_cells(np.full((128, 128), counts), labels), labels, (0.5, 0.5))
        sample = sample_background(model, (96, 160), np.random.default_rng(0))
        noise = sample_noise(model, (96, 160), np.random.default_rng(0))[0]
    assert (sample == counts).all() and np.isfinite(noise).all() and noise.std() == pytest.approx(1, abs=0.05)


def test_nothing_is_learned_from_what_nobody_annotated(tmp_path):
    """There, pixels are ten times as bright as the background."""
    recording = partly(tmp_path / "Mine")
    write_store(CROPS, tmp_path / "crops.zarr.zip", {}, dataset="test", frame_dtype="uint8", frame_shape=(96, 112))
    store = tmp_path / "background.zarr.zip"
    fit_background(recording=recording, crops=tmp_path / "crops.zarr.zip", rim=6, dataset="test", store=store)
    record = BACKGROUND.open(store).record
    assert record.mean == pytest.approx(20, abs=1) and record.std == pytest.approx(20**0.5, abs=1)
    assert record.things_per_frame == (), "cells that nobody annotated are no distractors"
