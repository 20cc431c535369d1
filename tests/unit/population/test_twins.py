"""Images with twins: an image is a draw, its twin the mean of all draws."""

import json
import os

import numpy as np
import pytest
from scipy import ndimage

from cellcascade.config.settings import Population
from cellcascade.core.errors import InputError
from cellcascade.data.ngff import read_image
from cellcascade.data.stores import BACKGROUND, CROPS
from cellcascade.data.synthetic import CLEAN, open_synthetic
from cellcascade.population.arrangement import rules_of
from cellcascade.population.background import Background, read_background
from cellcascade.population.canvas_background import mean_counts, noisy_counts, sample_noise
from cellcascade.population.cell_choice import CellChoice
from cellcascade.population.cell_library import CellLibrary, cell_of
from cellcascade.population.collect import collect_images
from cellcascade.population.compose import Draws, compose
from cellcascade.population.denoise import noise_like, still_cell
from cellcascade.population.distractors import Things
from cellcascade.population.haze import Haze
from cellcascade.population.noise import SCORES
from cellcascade.population.twins import shot_noise
from tests.unit.population.scenes import LEVEL, SPREAD, make, opened, write_inputs

SHAPES = {2: (90, 100), 3: (9, 70, 80)}
FINE = (0, 1, 1)  # Gaussian width below which structure is fine, pixels


def background(*, width=0.0, levels=(100.0,), spread=6.0, largest=65535):
    """A background of two axes whose noise is as wide as a Gaussian, pixels, and as strong at each level."""
    lags = np.zeros((17, 17))
    lags[8, 8] = 1
    lags = ndimage.gaussian_filter(lags, width * 2**0.5) if width else lags
    return Background(
        fields=np.full((1, 4, 4), levels[0], np.float32),
        levels=np.array(levels, np.float32),
        residuals=np.array([spread * SCORES] * len(levels), np.float32),
        correlation=(lags / lags.max()).astype(np.float32),
        frame_shape=(64, 64),
        largest=largest,
        z_decay=0.0,
        fading=None,
        haze=Haze(),
        things=Things.of([], 16),
        things_per_frame=(),
    )


def smooth_cell(rng, *, slices=1, edge=56, signal=300.0):
    """A cell with coarse structure and a soft edge, (z, y, x), and its mask."""
    mask = np.broadcast_to(np.hypot(*np.indices((edge, edge)) - edge / 2) < edge / 3.5, (slices, edge, edge))
    coarse = ndimage.gaussian_filter(rng.standard_normal(mask.shape), (0, 6, 6))
    light = ndimage.gaussian_filter(np.where(mask, 1 + 0.2 * coarse / coarse.std(), 0.0), (0, 1.5, 1.5))
    return (LEVEL + signal * light).astype(np.float32), mask.copy()


def grain(image, mask):
    """Standard deviation of what is finer than two pixels, away from the edge of a mask."""
    inner = ndimage.binary_erosion(mask, np.ones((1, 13, 13)))
    return (image - ndimage.gaussian_filter(image, (0, 2, 2)))[inner].std()


def draws(folder, inputs, count, **settings):
    """Twin and `count` noisy images of the same cells on the same field."""
    chosen = Population(twins=True, **settings)
    frames, model = CROPS.open(inputs["crops"]).record, read_background(inputs["background"])
    library = CellLibrary(inputs["textures"], chosen.rim)
    choice, rules = CellChoice(library, inputs["crops"]), rules_of(chosen, None)
    made = []
    for number in range(count):
        sources = Draws(*map(np.random.default_rng, (5, 100 + number, 7)))
        made.append(compose(library, model, frames, choice=choice, settings=chosen, rules=rules, draws=sources))
    assert all(np.array_equal(item.labels, made[0].labels) for item in made)
    assert all(np.array_equal(item.twin, made[0].twin) for item in made)
    return made[0].twin, np.stack([item.image for item in made]).astype(np.float64), made[0].labels


@pytest.mark.parametrize("ndim", (2, 3))
@pytest.mark.parametrize("level", (LEVEL, 5.0))  # at 5 counts, a fifth of the background's noise is clipped at zero
def test_the_twin_is_the_mean_of_the_image_over_all_noise(tmp_path, ndim, level):
    inputs = write_inputs(tmp_path, ndim=ndim, shape=SHAPES[ndim], level=level)
    store = BACKGROUND.open(inputs["background"])
    arrays = {name: store[name] for name in BACKGROUND.arrays} | {
        "fields": np.full((1,) + (4,) * ndim, level, np.float32)
    }
    BACKGROUND.write(inputs["background"], arrays, store.record)
    count = 150
    twin, images, labels = draws(tmp_path, inputs, count, cells_per_image=(6, 6))
    error = (images - twin).mean(0) / np.maximum(images.std(0), 0.3) * count**0.5  # in standard errors
    assert twin.dtype == np.float32 and error.std() < 1.15 and np.abs(error).max() < 9
    near = ndimage.binary_dilation(labels > 0, iterations=4)
    for where in (labels > 0, near & (labels == 0), ~near):
        means = (images - twin)[:, where].mean(1)
        assert abs(means.mean()) < 4.5 * means.std() / count**0.5


def test_twins_of_randomised_images_are_their_mean_as_well(tmp_path):
    changes = {"contrast": [0.6, 0.6], "blur": [0.7, 0.7], "noise": [1.5, 1.5]}
    inputs, count = write_inputs(tmp_path, shape=SHAPES[2]), 150
    frames = read_background(inputs["background"])
    twin, images, labels = draws(tmp_path, inputs, count, cells_per_image=(6, 6), randomise=changes)
    error = (images - twin).mean(0) / images.std(0) * count**0.5
    assert error.std() < 1.15 and abs(error.mean()) < 0.1
    assert twin[labels > 0].mean() < LEVEL + 0.7 * 400 and frames.largest == 65535


def test_noise_of_an_image_grows_with_the_light_as_its_gain_says():
    rng = np.random.default_rng(0)
    for light, gain in ((400.0, 4.0), (30.0, 4.0), (30.0, 0.5), (4.0, 4.0)):
        full = np.full(200_000, light, np.float32)
        made = shot_noise(full, np.full_like(full, gain), rng.standard_normal(len(full), np.float32))
        assert abs(made.mean()) < 4 * made.std() / len(full) ** 0.5
        assert made.var() == pytest.approx(gain * light, rel=0.03) and made.min() >= -light
    dark = np.zeros(5, np.float32)
    assert not shot_noise(dark, dark, dark + 3).any()


@pytest.mark.parametrize("gain", (2.0, 8.0))
def test_cells_get_the_noise_that_they_had(gain):
    rng, model = np.random.default_rng(1), background()
    light, mask = smooth_cell(rng)
    image = (
        light + rng.normal(0, SPREAD, light.shape) + rng.standard_normal(light.shape) * (gain * (light - LEVEL)) ** 0.5
    )
    assert still_cell(cell_of(image.astype(np.float32), mask, rim=6), noise_like(model)).gain == pytest.approx(
        gain, rel=0.2
    )


@pytest.mark.parametrize("width", (0.0, 0.7))  # noise of single pixels, and noise that neighbours share
@pytest.mark.parametrize("slices", (1, 4))
@pytest.mark.parametrize("spread", (20.0, 60.0))
def test_grain_is_taken_away_and_structure_stays(width, slices, spread):
    model, rng = background(width=width), np.random.default_rng(2)
    light, mask = smooth_cell(rng, slices=slices)
    noise = np.stack([sample_noise(model, light.shape[1:], rng)[0] for _ in range(slices)])
    cell = cell_of((light + spread * noise).astype(np.float32), mask, rim=6)
    clean = still_cell(cell, noise_like(model))
    assert grain(clean.image, cell.mask) < 0.25 * grain(cell.image, cell.mask)
    assert clean.image[cell.mask].mean() == pytest.approx(cell.image[cell.mask].mean(), rel=1e-3)
    coarse = [ndimage.gaussian_filter(image, (0, 4, 4)) for image in (cell.image, clean.image)]
    assert np.abs(coarse[1] - coarse[0])[cell.mask].max() < 0.02 * 300 + 0.1 * spread


def test_structure_that_the_noise_does_not_explain_is_kept():
    """Texture of two pixels' width is no noise where the noise is of single pixels and weak."""
    rng, model = np.random.default_rng(3), background()
    light, mask = smooth_cell(rng)
    texture = ndimage.gaussian_filter(rng.standard_normal(light.shape), (0, 2, 2))
    light = light + np.where(mask, 30 * texture / texture.std(), 0)
    cell = cell_of((light + rng.normal(0, 3, light.shape)).astype(np.float32), mask, rim=6)
    clean = still_cell(cell, noise_like(model))
    inner = ndimage.binary_erosion(cell.mask, np.ones((1, 5, 5)))
    parts = [ndimage.gaussian_filter(image, FINE)[inner] for image in (cell.image, clean.image)]
    assert np.corrcoef(*parts)[0, 1] > 0.98 and parts[1].std() > 0.93 * parts[0].std()


@pytest.mark.parametrize("image", (np.zeros((1, 9, 9)), np.full((3, 9, 9), 200.0), np.eye(9)[None] * 100))
@pytest.mark.parametrize("side", (1, 2, 9))  # a pixel, a speck, and all of the crop
def test_flat_and_tiny_cells_are_no_problem(image, side):
    mask = np.zeros(image.shape, bool)
    mask[:, :side, :side] = True
    clean = still_cell(cell_of(image.astype(np.float32), mask, rim=6), noise_like(background()))
    assert all(np.isfinite(array).all() for array in (clean.image, clean.around, clean.signal)) and clean.gain >= 0


def test_dark_cells_get_no_more_noise_than_the_background():
    light, mask = smooth_cell(np.random.default_rng(4), signal=-60.0)
    noisy = light + np.random.default_rng(5).normal(0, SPREAD, light.shape)
    assert still_cell(cell_of(noisy.astype(np.float32), mask, rim=6), noise_like(background())).gain == 0


@pytest.mark.parametrize("level, spread", ((100.3, 6.0), (2.4, 0.5), (1.0, 3.0), (80.25, 0.0)))
def test_mean_of_the_background_knows_of_rounding_and_clipping(level, spread):
    model = background(levels=(level - 1, level + 1), spread=spread)
    field = np.linspace(level - 2, level + 2, 24, dtype=np.float32)[:, None].repeat(40_000, 1)
    scores = np.random.default_rng(0).standard_normal(field.shape, np.float32)
    drawn, mean = noisy_counts(model, field, scores).mean(1), mean_counts(model, field)[:, 0]
    np.testing.assert_allclose(mean, drawn, atol=5 * max(spread, 0.5) / 200 + (0.1 if spread else 0.6))


def test_labels_and_background_are_those_of_images_without_twins(tmp_path):
    inputs = write_inputs(tmp_path, cut=False)  # cells without a label, beyond the border, are not near
    plain, twinned = (make(tmp_path / str(on), inputs, images=(0, 1), twins=on) for on in (False, True))
    for one, other in zip(opened(plain), opened(twinned)):
        far = ndimage.distance_transform_edt(opened(plain)[1] == 0) > 8
        assert np.array_equal(one[far], other[far])
    assert np.array_equal(opened(plain)[1], opened(twinned)[1]) and not (plain / CLEAN).exists()
    counts, labels = opened(twinned / CLEAN)
    assert np.array_equal(labels, opened(plain)[1]) and counts.dtype == np.float32
    names = [read_image(folder / "img-00000.ome.zarr") for folder in (twinned, twinned / CLEAN)]
    assert names[0].voxel_size_um == names[1].voxel_size_um
    assert names[1].image[1].compute()[5, 5] == pytest.approx(counts[10:12, 10:12].mean(), rel=1e-6)


def collected(tmp_path, shards):
    record = {"dataset": "test", "seed": 3, "config": {}}
    collect_images(population=shards, sources=[], record=record, folder=tmp_path / "synthetic")
    return open_synthetic(tmp_path / "synthetic")


def test_twins_travel_with_the_images_of_all_shards(tmp_path):
    inputs = write_inputs(tmp_path)
    first = make(tmp_path / "a", inputs, images=(0, 1), twins=True)
    assert len(collected(tmp_path, [first]).images) == 1
    source = collected(tmp_path, [first, make(tmp_path / "b", inputs, images=(1, 3), twins=True)])
    assert source.has_twins and [image.name for image in source.images] == ["img-00000", "img-00001", "img-00002"]
    for image in source.images:
        noise = image.counts() - image.twin.counts()
        assert np.array_equal(image.labels(), image.twin.labels()) and abs(noise.mean()) < 0.3
    here = first / CLEAN / "img-00000.ome.zarr" / "zarr.json"
    assert os.path.samefile(here, source.folder / here.relative_to(first))
    assert json.loads((source.folder / "dataset.json").read_text())["images"] == 3


def test_shards_of_which_one_lacks_its_twins_are_refused(tmp_path):
    inputs = write_inputs(tmp_path)
    shards = [make(tmp_path / name, inputs, images=(at, at + 1), twins=at == 0) for at, name in enumerate("ab")]
    with pytest.raises(InputError, match="lack their twins"):
        collected(tmp_path, shards)
