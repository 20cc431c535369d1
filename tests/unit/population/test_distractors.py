"""Bright things without a label: found beside cells, cut out, and pasted without a label."""

import numpy as np
import pytest
import tifffile

from cellcascade.data.recording import Recording
from cellcascade.data.stores import CROPS
from cellcascade.population.background import fit_background, read_background
from cellcascade.population.distractors import cut_things, find_things
from tests.stores import write_store
from tests.unit.population.scenes import make, opened, write_inputs

CELLS, THINGS = ((40, 40), (40, 120), (110, 60), (110, 150)), ((75, 90), (150, 100))


def scene(things=THINGS, *, light=150.0, shape=(180, 200)):
    """Four labelled cells, and things without a label, on noise."""
    image = np.random.default_rng(0).normal(20, 2, shape)
    labels, grid = np.zeros(shape, np.uint16), np.indices(shape)[-2:]
    for label, (y, x) in enumerate(CELLS, 1):
        inside = np.hypot(grid[0] - y, grid[1] - x) < 12
        labels[..., inside], image[..., inside] = label, image[..., inside] + 100
    for y, x in things:
        image[..., np.hypot(grid[0] - y, grid[1] - x) < 5] += light
    return np.rint(image).astype(np.uint16), labels


def fitted(folder, image, labels, sparse=None):
    """The background that a data set of this frame gives, of which all or one slice is annotated."""
    (folder / "01").mkdir()
    (folder / "01_GT" / "SEG").mkdir(parents=True)
    tifffile.imwrite(folder / "01" / "t000.tif", image)
    name, shown = ("man_seg000.tif", labels) if sparse is None else (f"man_seg_000_{sparse:03d}.tif", labels[sparse])
    tifffile.imwrite(folder / "01_GT" / "SEG" / name, shown)
    facts = {"frame_shape": image.shape, "frame_dtype": "uint16", "voxel_size_um": (1.0,) * image.ndim}
    crops = write_store(CROPS, folder / "crops.zarr.zip", {"image": np.zeros((1, 48, 48))}, **facts)
    store = folder / "background.zarr.zip"
    recording = Recording(folder, "01", "GT", (1.0,) * image.ndim)
    fit_background(recording=recording, crops=crops, rim=6, dataset="toy", store=store)
    return store


def test_bright_things_apart_from_all_cells_are_found():
    things = find_things(*scene())
    assert things.max() == 2 and all(things[y, x] for y, x in THINGS)
    assert not find_things(*scene(light=20.0)).any()  # dimmer than half a cell
    assert not find_things(*scene(((40, 58),))).any()  # it is a part of the light of a cell
    assert not find_things(scene()[0], np.zeros((180, 200), np.uint16)).any()


def test_a_thing_is_cut_out_as_it_is_and_where_there_are_many_they_are_cells():
    found = cut_things(*scene(), size=48, generator=np.random.default_rng(1))
    assert len(found) == 2
    for thing in found:
        assert thing.image.shape == thing.mask.shape == (1, 48, 48) and thing.border == (0, 0)
        assert thing.image[thing.mask > 0].mean() > 100 and np.median(thing.image[thing.mask == 0]) < 30
    many = scene(((75, 90), (150, 100), (20, 80)))
    assert cut_things(*many, size=48, generator=np.random.default_rng(1)) == []


def test_the_background_keeps_the_things_of_densely_annotated_frames_alone(tmp_path):
    image, labels = scene(shape=(4, 180, 200))
    for name, sparse, expected in (("dense", None, (2,)), ("sparse", 1, ())):
        (tmp_path / name).mkdir()
        model = read_background(fitted(tmp_path / name, image, labels, sparse))
        assert model.things_per_frame == expected and len(model.things.slices) == sum(expected)


@pytest.mark.parametrize("things", (THINGS, ((75, 0), (150, 100))))
def test_things_are_pasted_without_a_label_as_many_as_in_the_frames(tmp_path, things):
    image, labels = scene(things)
    inputs = write_inputs(tmp_path, shape=image.shape, cells_per_frame=(4,), level=20.0)
    (tmp_path / "frames").mkdir()
    inputs["background"] = fitted(tmp_path / "frames", image, labels)
    with_them = make(tmp_path / "with", inputs, images=(0, 6), rim=4)
    without = make(tmp_path / "without", inputs, images=(0, 6), rim=4, distractors=False)
    counts, bright = [], 80
    for index in range(6):
        made, cells = opened(with_them, index)
        plain, same = opened(without, index)
        np.testing.assert_array_equal(cells, same)
        counts.append(int((made[cells == 0] > bright).sum()) - int((plain[cells == 0] > bright).sum()))
    real = int(((image > bright) & (labels == 0)).sum())
    assert np.mean(counts) == pytest.approx(real, rel=0.35)
