import numpy as np
import pandas as pd
import pytest
import zarr
from scipy import ndimage

from cellcascade.config.settings import Population
from cellcascade.core.errors import InputError
from cellcascade.data.layout import LayoutRecord, measure_frame
from cellcascade.data.stores import CROPS
from cellcascade.population import cell_library
from cellcascade.population.arrangement import rules_of
from cellcascade.population.background import read_background
from cellcascade.population.cell_choice import CellChoice
from cellcascade.population.cell_library import CellLibrary
from cellcascade.population.compose import FULLEST, Draws, compose
from tests.memory import extra_mb
from tests.unit.population.scenes import make, opened, write_inputs


def test_images_do_not_depend_on_the_shards(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    two = write_inputs(tmp_path / "a", shards=2)
    five = write_inputs(tmp_path / "b", shards=5)
    whole = make(tmp_path / "whole", two, images=(0, 3))
    part = make(tmp_path / "part", {**five, "textures": five["textures"][::-1]}, images=(2, 3))
    for one, other in zip(opened(whole, 2), opened(part, 2)):
        assert np.array_equal(one, other)
    assert not np.array_equal(opened(whole, 1)[1], opened(whole, 2)[1])
    assert not np.array_equal(opened(whole, 2)[1], opened(make(tmp_path / "seed", two, images=(2, 3), seed=4), 2)[1])


def test_stack_is_composed_in_three_dimensions(tmp_path):
    inputs = write_inputs(tmp_path, ndim=3, shape=(16, 120, 120))
    folder = make(tmp_path / "out", inputs, images=(0, 1), cells_per_image=(14, 14), gap=2, clustering=0.6)
    image, labels = opened(folder)
    cells = pd.read_csv(folder / "cells.csv")
    assert image.shape == labels.shape == (16, 120, 120)
    assert cells["centroid_z_um"].std() > 1
    for row in cells.itertuples():
        centroid = np.argwhere(labels == row.label).mean(0) * (1.0, 0.5, 0.5)
        assert centroid == pytest.approx((row.centroid_z_um, row.centroid_y_um, row.centroid_x_um), abs=1e-3)
        assert row.volume_voxels == np.count_nonzero(labels == row.label)
        assert row.volume_um3 == pytest.approx(row.volume_voxels * 0.25)
    grown = [ndimage.maximum_filter(labels == label, (3, 5, 5)) for label in cells["label"]]
    for label, around in zip(cells["label"], grown):
        assert set(np.unique(labels[around])) <= {0, label}


@pytest.mark.parametrize("ndim, shape", [(2, (150, 160)), (3, (12, 100, 110))])
def test_what_is_left_out_of_a_crop_is_not_seen(tmp_path, ndim, shape):
    """Images of cells with the rim around them are, to the bit, those of cells with all of their crops."""
    inputs = write_inputs(tmp_path, ndim=ndim, shape=shape, size=64)
    frames, model = CROPS.open(inputs["crops"]).record, read_background(inputs["background"])
    settings, made = Population(cells_per_image=(12, 12), clustering=0.6), []
    rules = rules_of(settings, None)
    for rim in (settings.rim, 64):
        library, draws = CellLibrary(inputs["textures"], rim), Draws(*map(np.random.default_rng, (5, 6, 7)))
        choice = CellChoice(library, inputs["crops"])
        made.append(compose(library, model, frames, choice=choice, settings=settings, rules=rules, draws=draws))
    assert made[0].cells == made[1].cells and len(made[0].cells) > 5
    assert np.array_equal(made[0].image, made[1].image) and np.array_equal(made[0].labels, made[1].labels)


def images_of(folder, inputs):
    """Images that all cells of a library are placed on, with little memory to keep them in."""
    cell_library.KEPT = 2**20
    make(folder, inputs, images=(0, 5), cells_per_image=(25, 25), clustering=0.0)


def test_memory_does_not_grow_with_the_number_of_cells(tmp_path):
    used = []
    for cells in (12, 120):
        folder = tmp_path / str(cells)
        folder.mkdir()
        inputs = write_inputs(folder, ndim=3, shape=(8, 150, 150), size=64, cells=cells, shards=4)
        used.append(extra_mb(images_of, folder / "images", inputs))
    library = CellLibrary(inputs["textures"], rim=6)
    assert sum(library.load(index).nbytes for index in range(len(library))) > 10 * 2**20
    assert used[1] < used[0] + 4


def test_number_of_cells_follows_real_frames_and_the_canvas(tmp_path):
    inputs = write_inputs(tmp_path, shape=(200, 200), cells_per_frame=(4, 6))
    same = pd.read_csv(make(tmp_path / "same", inputs, images=(0, 12)) / "images.csv")
    wide = pd.read_csv(make(tmp_path / "wide", inputs, images=(0, 4), frame_shape=(200, 400)) / "images.csv")
    assert set(same["cells"]) == {4, 6}
    assert set(wide["cells"]) <= {8, 12}
    assert opened(tmp_path / "wide")[0].shape == (200, 400)


def test_density_multiplies_the_number_of_a_frame_until_the_image_is_full(tmp_path):
    inputs = write_inputs(tmp_path, shape=(200, 200), cells_per_frame=(10,))
    denser = pd.read_csv(make(tmp_path / "denser", inputs, images=(0, 12), density=(1.5, 3.0)) / "images.csv")
    wanted = denser["cells"] + denser["not_placed"]
    assert 15 <= wanted.min() < 20 and 25 < wanted.max() <= 30
    folder = make(tmp_path / "full", inputs, images=(0, 2), density=(30.0, 30.0), gap=0)
    full = pd.read_csv(folder / "images.csv")
    volume = CellLibrary(inputs["textures"], rim=6).volume
    assert set(full["cells"] + full["not_placed"]) == {round(FULLEST * 200 * 200 / volume)}
    assert 0.35 < np.mean([(opened(folder, index)[1] > 0).mean() for index in range(2)]) <= FULLEST
    (tmp_path / "crowded").mkdir()
    crowded = write_inputs(tmp_path / "crowded", shape=(60, 60), cells_per_frame=(40,))
    image = pd.read_csv(make(tmp_path / "as-real", crowded, images=(0, 1), density=(1.0, 4.0)) / "images.csv")
    assert image[["cells", "not_placed"]].sum().sum() == 40  # fuller than that, as the frames are


def test_the_background_does_not_depend_on_the_cells(tmp_path):
    inputs = write_inputs(tmp_path)
    few, many = (
        opened(make(tmp_path / str(count), inputs, images=(0, 1), cells_per_image=(count, count))) for count in (1, 8)
    )
    far = ndimage.distance_transform_edt((few[1] == 0) & (many[1] == 0)) > 10
    assert far.any() and np.array_equal(few[0][far], many[0][far])


def test_annotated_slices_say_how_many_cells_a_stack_has(tmp_path):
    inputs = write_inputs(tmp_path, ndim=3, shape=(40, 200, 200), cells_per_frame=(), per_slice=(3.0,))
    folder = make(tmp_path / "out", inputs, images=(0, 6))
    assert set(pd.read_csv(folder / "images.csv")["cells"]) == {
        26
    }  # 3 a slice; of cells 5 slices high, 44 layers are seen in 40 slices
    labels = [opened(folder, index)[1] for index in range(6)]
    seen = np.mean([len(np.unique(plane)) - 1 for stack in labels for plane in stack])
    assert seen == pytest.approx(3, rel=0.25)  # the border cuts some


def test_cells_of_a_stack_touch_as_often_as_sections_do_in_annotated_slices(tmp_path):
    strewn = {"edges": (0.0, 12.0, 80.0), "closeness": (0.3, 1.0), "gap": 0, "reach": 8, "least_share": 0.0}
    layout = LayoutRecord(touching=(0.3,), **strewn)
    inputs = write_inputs(tmp_path, ndim=3, shape=(40, 200, 200), cells_per_frame=(), per_slice=(3.0,), layout=layout)
    folder, shares = make(tmp_path / "out", inputs, images=(0, 4)), list[float]()
    for index in range(4):
        labels = opened(folder, index)[1]
        shares.append(measure_frame(labels, range(1, labels.max() + 1), (2.0, 1.0, 1.0)).touching)
    assert np.mean(shares) == pytest.approx(0.3, abs=0.1)  # of all 26 cells, not of the three in a slice


def test_without_counted_cells_a_range_is_needed(tmp_path):
    inputs = write_inputs(tmp_path, cells_per_frame=())
    with pytest.raises(InputError, match="population.cells_per_image"):
        make(tmp_path / "out", inputs)
    assert not (tmp_path / "out").exists()


def test_images_of_a_variant_bear_its_name_and_draw_the_numbers_of_the_data_set_whose_models_it_uses(tmp_path):
    inputs = write_inputs(tmp_path)
    parent = make(tmp_path / "parent", inputs, images=(0, 1))
    variant = make(tmp_path / "variant", inputs, images=(0, 1), dataset="variant")
    other = make(tmp_path / "other", inputs, images=(0, 1), dataset="other", seeded_as="other")
    facts = [
        zarr.open_group(folder / "img-00000.ome.zarr", mode="r").attrs["cellcascade"]
        for folder in (parent, variant, other)
    ]
    assert [about["dataset"] for about in facts] == ["test", "variant", "other"]
    assert facts[0]["seed"] == facts[1]["seed"] != facts[2]["seed"]
    assert facts[0]["cells"] == facts[1]["cells"] != facts[2]["cells"]
    for one, same, another in zip(opened(parent), opened(variant), opened(other)):
        assert np.array_equal(one, same) and not np.array_equal(one, another)
    for table in ("images.csv", "cells.csv"):
        assert (parent / table).read_bytes() == (variant / table).read_bytes()


def test_images_show_more_of_the_cells_that_networks_are_likely_to_miss(tmp_path):
    inputs, rng = write_inputs(tmp_path, cells=60), np.random.default_rng(1)
    library = CellLibrary(inputs["textures"], 6)
    area, bright, shape = library.traits[rng.integers(len(library), size=400)].T
    lost = rng.random(400) < 1 / (1 + np.exp((area - np.quantile(area, 0.85)) / 15))  # nearly all but the largest
    table = pd.DataFrame({"area": area, "brightness": bright, "eccentricity": shape, "touching": 0, "border": 0})
    table.assign(iou=np.where(lost, 0.1, 0.9)).to_csv(tmp_path / "hardness.csv", index=False)
    sizes = []
    for name, given in (("alike", {}), ("focused", {"hardness": tmp_path / "hardness.csv"})):
        made = make(tmp_path / name, {**inputs, **given}, images=(0, 3), cells_per_image=(25, 25), focus=20.0)
        cells = pd.read_csv(made / "cells.csv")
        sizes.append(library.areas[np.searchsorted([0, *range(2, 60)], cells["source_cell"])].mean())  # 1 is invalid
    assert sizes[1] > sizes[0] + 0.5 * library.areas.std()
