"""Textures that miss their outline are drawn again, and counted; real cells do not miss theirs."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from cellcascade.config.settings import CropSettings
from cellcascade.core.errors import InputError
from cellcascade.data.crops import make_crops, read_crops, to_unit
from cellcascade.data.recording import Recording
from cellcascade.data.stores import SLICES
from cellcascade.diffusion.texture import cells as drawing
from cellcascade.diffusion.texture.agreement import agreement, least_agreement
from tests.stores import write_store
from tests.unit.diffusion.texture.quick import cells_shard, changed, fine_tune, settings, textures

GOWT1 = Path(__file__).parents[5] / "shared/data/Fluo-N2DH-GOWT1"


def disc(contrast, *, aside=0, radius=9, seed=0):
    """A noisy disc on a background of 100 counts, and its outline, from which it may lie aside."""
    y, x = np.mgrid[:48, :48] - 23.5
    light = ndimage.gaussian_filter((np.hypot(x - aside, y) < radius).astype(float), 1.2)
    counts = np.random.default_rng(seed).poisson(100 + contrast * light)
    return counts.astype(np.uint16), (np.hypot(x, y) < radius).astype(np.uint8)


@pytest.mark.parametrize("contrast", [8, 40, 400])
def test_agreement_hardly_depends_on_contrast_and_falls_where_a_cell_lies_aside(contrast):
    own = np.array([agreement(*disc(contrast, seed=seed)) for seed in range(20)])
    aside = np.array([agreement(*disc(contrast, aside=9, seed=seed)) for seed in range(20)])
    away = np.array([agreement(*disc(contrast, aside=40, seed=seed)) for seed in range(20)])
    assert own.min() > 0.8 and aside.max() < 0.72 and abs(away.mean() - 0.5) < 0.05


def test_agreement_without_pixels_on_one_side_says_nothing():
    image, mask = disc(40)
    assert agreement(image, np.zeros_like(mask)) == agreement(image, np.ones_like(mask)) == 1


def passing(crops):
    """The least agreement, and which of the real cells reach it."""
    least = least_agreement(crops)
    return least, np.array([agreement(*pair) >= least for pair in zip(crops.image, crops.mask)])


def test_real_cells_reach_what_is_asked_of_textures(crops):
    least, reach = passing(read_crops(crops))
    assert reach.all() and 0.7 < least < 0.76


@pytest.mark.skipif(not GOWT1.is_dir(), reason=f"{GOWT1} is not there")
def test_dim_real_cells_reach_it_too_and_cells_aside_do_not(tmp_path):
    recording = Recording(GOWT1, "01", "ST", (0.24, 0.24), chosen_frames=3)
    store = tmp_path / "crops.zarr.zip"
    make_crops(recording=recording, dataset="d", settings=CropSettings(), store=store, table=tmp_path / "crops.csv")
    data = read_crops(store)
    least, reach = passing(data)
    contrast = data.brightness - data.background
    dim = contrast <= np.percentile(contrast, 20)
    assert len(reach) > 50 and reach.mean() >= 0.99 and reach[dim].mean() >= 0.99
    radius = np.sqrt(data.mask.sum((1, 2)) / np.pi).round().astype(int)
    aside = [agreement(image, np.roll(mask, r, 1)) for image, mask, r in zip(data.image, data.mask, radius)]
    assert (np.array(aside) < least).mean() > 0.9


@pytest.fixture
def missing(crops, monkeypatch):
    """Draws six real cells, but beside their outline as often as it is told to, by cell."""
    data, left, drawn = read_crops(crops), {}, []
    _, first = np.unique(data.mask.reshape(len(data.mask), -1), axis=0, return_index=True)
    image, mask = data.image[first[:6]], data.mask[first[:6]]

    def draw(model, hints, noise, block):
        drawn.append(len(hints))
        for i in range(len(hints)):
            which = int(np.flatnonzero((mask == hints.mask[i]).all((1, 2)))[0])
            light = to_unit(image[which], data.record.window)
            left[which] = left.get(which, 0) - 1
            yield np.roll(light, 12, 1) if left[which] >= 0 else light

    monkeypatch.setattr(drawing, "draw", draw)
    return mask, left, drawn


def test_a_texture_that_misses_its_outline_is_drawn_again_and_counted(crops, tmp_path, missing):
    mask, left, drawn = missing
    folder = fine_tune(crops, tmp_path, settings(train={"steps": 1}))
    cells = cells_shard(tmp_path / "cells.zarr.zip", mask, slices=2)
    left |= {1: 2, 3: 4, 5: 99}  # two slices a cell: missed once, missed twice, and always
    block = settings(max_redraws=4)
    store = textures(folder, crops, block, tmp_path / "t.zarr.zip", slices=cells)
    assert drawn == [12, 6, 4, 2] and store.record.redraws == 3 + 2 + 1
    assert store["valid"].tolist() == [1, 1, 1, 1, 1, 0] and not store["image"][5].any()
    assert store.record.reasons == {5: drawing.MISSED}
    assert all(agreement(store["image"][i, 0], mask[i]) > 0.9 for i in range(5))
    left[5] = 99
    with pytest.raises(InputError, match="Too many cells of a shard are invalid"):
        textures(folder, crops, block, tmp_path / "u.zarr.zip", slices=cells, max_invalid_fraction=0.1)


def test_a_texture_is_drawn_again_with_other_noise_and_the_same_brightness(crops, tmp_path, monkeypatch):
    folder, seen = fine_tune(crops, tmp_path, settings(train={"steps": 1})), []
    monkeypatch.setattr(drawing, "least_agreement", lambda crops: 1.1)

    def draw(model, hints, noise, block):
        seen.append((np.stack(noise), hints.levels))
        yield from np.zeros((len(noise), 32, 32))

    monkeypatch.setattr(drawing, "draw", draw)
    cells = cells_shard(tmp_path / "cells.zarr.zip", read_crops(crops).mask[:3])
    textures(folder, crops, settings(max_redraws=3), tmp_path / "t.zarr.zip", slices=cells)
    (first, levels), (second, again), _ = seen
    assert len(seen) == 3 and abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.1
    np.testing.assert_array_equal(levels, again)


def test_slices_are_no_smaller_to_the_model_than_those_that_it_learned_from(crops, tmp_path, monkeypatch):
    data, seen = read_crops(crops), []
    areas = data.mask.sum((1, 2))
    masks = np.stack([data.mask[areas.argmin()], data.mask[areas.argmax()]])[None]
    cells = write_store(SLICES, tmp_path / "cells.zarr.zip", {"mask": masks, "n_slices": [2], "cell_id": [0]})

    def draw(model, hints, noise, block):
        seen.append(hints.relative_area)
        yield from np.zeros((len(noise), 32, 32))

    monkeypatch.setattr(drawing, "draw", draw)
    share = areas.min() / areas.max()
    for least in (0.05, share + 0.1, 1.0):
        ratios = np.linspace(least, 1, len(areas), dtype=np.float32)
        learned = changed(crops, tmp_path / f"{least}.zarr.zip", area_ratio=ratios).store.path
        model = fine_tune(learned, tmp_path / f"{least}", settings(train={"steps": 1}))
        textures(model, crops, settings(max_redraws=1), tmp_path / f"{least}/t.zarr.zip", slices=cells)
        assert seen[-1] == pytest.approx([max(share, least), 1.0])
