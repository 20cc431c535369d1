import itertools

import numpy as np
import pandas as pd
import pytest
import zarr
from scipy import ndimage
from scipy.spatial import cKDTree

from cellcascade.config.settings import Population
from cellcascade.core.errors import InputError
from cellcascade.data.ngff import read_image
from cellcascade.data.shards import write_shard
from cellcascade.population.cell_library import CellLibrary
from cellcascade.population.compose import _shot_noise, make_images, place_cells
from cellcascade.population.noise import SCORES
from cellcascade.population.placement import Canvas

LEVEL, SPREAD, SIGNAL = 100.0, 6.0, 400.0


def wedge(size, rng):
    """A strongly asymmetric mask: a comma of random size."""
    grid = np.indices((size, size)) - size / 2
    radius = rng.uniform(0.18, 0.3) * size
    mask = np.hypot(*grid) < radius
    mask &= ~((grid[0] > 0) & (grid[1] > 0))
    mask[size // 2, size // 2 : size - 4] = True
    return mask


def write_inputs(
    folder,
    *,
    ndim=2,
    cells=10,
    shape=(200, 240),
    size=32,
    cells_per_frame=(12,),
    level=LEVEL,
    shards=2,
    per_slice=(),
    cut=True,
):
    """Texture shards, a background model and a crops store of noise with a known level."""
    rng = np.random.default_rng(0)
    slices = 1 if ndim == 2 else 5
    masks = np.zeros((cells, slices, size, size), bool)
    for cell in masks:
        outline = wedge(size, rng)
        for z in range(slices):
            cell[z] = ndimage.binary_erosion(outline, iterations=abs(z - slices // 2)) if z != slices // 2 else outline
    images = np.rint(rng.normal(level, SPREAD, masks.shape) + SIGNAL * masks).astype(np.uint16)
    paths = []
    for shard, rows in enumerate(np.array_split(np.arange(cells), shards)):
        arrays = {"image": images[rows], "mask": masks[rows].astype(np.uint8), "cell_id": rows.astype(np.int32)}
        arrays |= {"n_slices": np.full(len(rows), slices, np.int32), "valid": (rows != 1).astype(np.uint8)}
        paths.append(folder / f"textures-{shard}.zarr.zip")
        write_shard(paths[-1], schema="textures/1", arrays=arrays, attributes={"background": level})
    lags = np.zeros((3,) * ndim, np.float32)
    lags[(1,) * ndim] = 1
    model = {
        "fields": np.full((1,) + (4,) * ndim, LEVEL, np.float32),
        "levels": np.array([LEVEL], np.float32),
        "residuals": (SPREAD * SCORES)[None],
        "correlation": lags,
    }
    about = {"frame_shape": list(shape), "largest": 65535, "z_decay": 0.0 if ndim == 2 else 0.5}
    write_shard(folder / "background.zarr.zip", schema="background/1", arrays=model, attributes=about)
    frames = {
        "voxel_size_um": [0.5, 0.5] if ndim == 2 else [1.0, 0.5, 0.5],
        "frame_shape": list(shape),
        "frame_dtype": "uint16",
        "cells_per_frame": list(cells_per_frame),
        "cells_per_slice": list(per_slice),
        "cut_by_border": [cut] * ndim,
    }
    write_shard(folder / "crops.zarr.zip", schema="crops/1", arrays={"z": np.zeros(1)}, attributes=frames)
    return {"textures": paths, "background": folder / "background.zarr.zip", "crops": folder / "crops.zarr.zip"}


def make(folder, inputs, *, images=(0, 2), seed=3, **settings):
    make_images(
        inputs["textures"],
        inputs["background"],
        inputs["crops"],
        settings=settings,
        export={"levels": 2},
        images=images,
        folder=folder,
        seed=seed,
        dataset="test",
    )
    return folder


def opened(folder, index=0):
    image = read_image(folder / f"img-{index:05d}.ome.zarr")
    return image.image[0].compute(), image.labels[0].compute()


def placements(tmp_path, wanted, shape=(1, 300, 300), **settings):
    library = CellLibrary(write_inputs(tmp_path)["textures"])
    settings = Population(**settings)
    canvas = Canvas(shape, spacing=(1.0, 1.0, 1.0), gap=settings.gap, reach=max(settings.reach, settings.rim))
    generator = np.random.default_rng(8)
    return canvas, place_cells(library, canvas, wanted, settings=settings, generator=generator)


def least_gap(labels, metric):
    """Least distance between voxels of different cells in a Minkowski metric."""
    trees = [cKDTree(np.argwhere(labels == label)) for label in np.unique(labels[labels > 0])]
    return min(one.query(other.data, p=metric)[0].min() for one, other in itertools.combinations(trees, 2))


@pytest.mark.parametrize("gap", (0, 1, 4))
def test_cells_never_overlap_and_keep_the_gap(tmp_path, gap):
    canvas, placed = placements(tmp_path, 60, gap=gap, clustering=0.7)
    assert len(placed) > 20
    visible = 0
    for item in placed:
        z, y, x = (np.argwhere(item.cell.mask) + item.corner).T
        visible += int(((y >= 0) & (y < 300) & (x >= 0) & (x < 300)).sum())
    assert visible == np.count_nonzero(canvas.labels)  # a pixel claimed twice would be counted twice
    assert least_gap(canvas.labels[0], np.inf) > gap


def test_asymmetric_cells_are_pasted_with_their_own_pixels(tmp_path):
    folder = make(tmp_path / "out", write_inputs(tmp_path), cells_per_image=(15, 15))
    image, labels = opened(folder)
    assert image[labels > 0].mean() == pytest.approx(LEVEL + SIGNAL, rel=0.01)
    assert image[labels > 0].min() > LEVEL + SIGNAL / 2
    assert (image[labels == 0] < LEVEL + SIGNAL / 2).mean() > 0.999


def test_cells_are_the_closer_together_the_larger_p(tmp_path):
    nearest = []
    for clustering in (0.0, 0.5, 1.0):
        _, placed = placements(tmp_path, 25, shape=(1, 700, 700), clustering=clustering)
        centres = np.array([item.corner for item in placed], float)
        nearest.append(cKDTree(centres).query(centres, k=2)[0][:, 1].mean())
    assert nearest[0] > 1.3 * nearest[1] > 1.3 * 1.1 * nearest[2]


def test_clustered_cells_are_within_reach_of_an_earlier_one(tmp_path):
    canvas, placed = placements(tmp_path, 25, shape=(1, 700, 700), clustering=1.0, reach=4)
    assert [item.clustered for item in placed] == [False] + [True] * (len(placed) - 1)
    for item in placed[1:]:
        earlier = (canvas.labels > 0) & (canvas.labels < item.label)
        assert ndimage.distance_transform_edt(~earlier)[canvas.labels == item.label].min() <= 4


def test_more_than_255_cells_have_their_own_labels(tmp_path):
    inputs = write_inputs(tmp_path, shape=(700, 700), size=16)
    folder = make(tmp_path / "out", inputs, images=(0, 1), cells_per_image=(400, 400))
    _, labels = opened(folder)
    cells = pd.read_csv(folder / "cells.csv")
    assert labels.dtype == np.uint16 and labels.max() > 255
    assert list(np.unique(labels[labels > 0])) == list(cells["label"])


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


@pytest.mark.parametrize("level", (LEVEL, LEVEL - 40, LEVEL + 40))
def test_no_halo_around_pasted_cells(tmp_path, level):
    inputs = write_inputs(tmp_path, shape=(500, 500), level=level)
    folder = make(tmp_path / "out", inputs, images=(0, 1), cells_per_image=(40, 40), rim=6)
    image, labels = opened(folder)
    distance = ndimage.distance_transform_edt(labels == 0)
    far = image[distance > 10].astype(float)
    for low, high in ((0, 1.5), (1.5, 3), (3, 5), (5, 7), (7, 9)):
        ring = image[(distance > low) & (distance <= high)].astype(float)
        assert ring.mean() == pytest.approx(far.mean(), abs=0.25 * SPREAD)
        assert ring.std() == pytest.approx(far.std(), rel=0.1)


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


def test_nothing_near_a_cell_in_a_stack_is_darker_than_the_background(tmp_path):
    inputs = write_inputs(tmp_path, ndim=3, cells=6, shape=(16, 120, 120), level=LEVEL + 20)
    image, labels = opened(make(tmp_path / "out", inputs, images=(0, 1), cells_per_image=(10, 10)))
    distance = ndimage.distance_transform_edt(labels == 0, sampling=(2, 1, 1))
    floor = np.percentile(image[distance > 10], 1)
    near = image[(distance > 0) & (distance <= 6)]
    assert (near < floor - 0.5).mean() < 0.01


@pytest.mark.parametrize("light", (2.0, 50.0))
def test_shot_noise_adds_light_with_the_variance_of_photons(light):
    made = _shot_noise(np.full(200_000, light), 4.0, np.random.default_rng(0).standard_normal(200_000))
    assert made.min() >= 0 and made.mean() == pytest.approx(light, rel=0.1)
    assert made.var() == pytest.approx(4 * light, rel=0.15)


def test_cells_fade_out_above_and_below(tmp_path):
    inputs = write_inputs(tmp_path, ndim=3, cells=1, shape=(21, 60, 60), shards=1, size=40)
    folder = make(tmp_path / "out", inputs, images=(0, 12), cells_per_image=(1, 1))
    profiles = []
    for index in range(12):
        image, labels = opened(folder, index)
        slices = np.flatnonzero(labels.any((1, 2)))
        if slices[-1] + 3 < len(labels):
            end = labels[slices[-1]] > 0
            profiles.append([image[slices[-1] + k][end].mean() - LEVEL for k in range(4)])
    profile = np.mean(profiles, axis=0)
    assert profile[0] > 2 * SIGNAL / 3
    assert all(0.15 < after / before < 0.75 for before, after in itertools.pairwise(profile))


def test_cells_are_cut_by_the_border_but_their_middle_is_inside(tmp_path):
    folder = make(tmp_path / "out", write_inputs(tmp_path, shape=(80, 80)), images=(0, 8), cells_per_image=(5, 5))
    cells = pd.read_csv(folder / "cells.csv")
    assert cells["touches_border"].any() and not cells["touches_border"].all()


@pytest.mark.parametrize("ndim, shape", [(2, (200, 240)), (3, (12, 150, 150))])
def test_where_the_border_cuts_no_annotated_cell_it_cuts_no_synthetic_one(tmp_path, ndim, shape):
    inputs = write_inputs(tmp_path, ndim=ndim, shape=shape, cut=False)
    folder = make(tmp_path / "out", inputs, images=(0, 1), cells_per_image=(20, 20), clustering=0.5)
    cells, labels = pd.read_csv(folder / "cells.csv"), opened(folder)[1]
    assert len(cells) > 10 and not cells["touches_border"].any()
    assert not any(labels.take([0, -1], axis).any() for axis in range(ndim))


def test_cells_without_a_place_are_counted(tmp_path):
    inputs = write_inputs(tmp_path, shape=(60, 60))
    folder = make(tmp_path / "out", inputs, images=(0, 1), cells_per_image=(80, 80), tries=50)
    row = pd.read_csv(folder / "images.csv").iloc[0]
    assert row["not_placed"] > 0 and row["cells"] + row["not_placed"] == 80
    assert opened(folder)[1].max() == row["cells"]


def test_number_of_cells_follows_real_frames_and_the_canvas(tmp_path):
    inputs = write_inputs(tmp_path, shape=(200, 200), cells_per_frame=(4, 6))
    same = pd.read_csv(make(tmp_path / "same", inputs, images=(0, 12)) / "images.csv")
    wide = pd.read_csv(make(tmp_path / "wide", inputs, images=(0, 4), frame_shape=(200, 400)) / "images.csv")
    assert set(same["cells"]) == {4, 6}
    assert set(wide["cells"]) <= {8, 12}
    assert opened(tmp_path / "wide")[0].shape == (200, 400)


def test_attributes_name_seed_and_source_cells_and_skip_invalid_ones(tmp_path):
    folder = make(tmp_path / "out", write_inputs(tmp_path), images=(0, 1), cells_per_image=(30, 30))
    facts = zarr.open_group(folder / "img-00000.ome.zarr", mode="r").attrs["cellcascade"]
    table = pd.read_csv(folder / "cells.csv")
    assert [cell["source_cell"] for cell in facts["cells"]] == list(table["source_cell"])
    assert facts["seed"] == pd.read_csv(folder / "images.csv")["seed"][0]
    assert 1 not in set(table["source_cell"]) and table["source_cell"].nunique() > 3


def test_annotated_slices_say_how_many_cells_a_stack_has(tmp_path):
    inputs = write_inputs(tmp_path, ndim=3, shape=(40, 200, 200), cells_per_frame=(), per_slice=(3.0,))
    folder = make(tmp_path / "out", inputs, images=(0, 6))
    assert set(pd.read_csv(folder / "images.csv")["cells"]) == {24}  # 3 a slice, 40 slices, cells 5 slices high
    labels = [opened(folder, index)[1] for index in range(6)]
    seen = np.mean([len(np.unique(plane)) - 1 for stack in labels for plane in stack])
    assert seen == pytest.approx(3, rel=0.25)  # the border cuts some


def test_without_counted_cells_a_range_is_needed(tmp_path):
    inputs = write_inputs(tmp_path, cells_per_frame=())
    with pytest.raises(InputError, match="population.cells_per_image"):
        make(tmp_path / "out", inputs)
    assert not (tmp_path / "out").exists()


def test_shards_without_valid_cells_are_refused(tmp_path):
    inputs = write_inputs(tmp_path)
    arrays = {"cell_id": np.arange(2), "valid": np.zeros(2, np.uint8), "n_slices": np.ones(2, np.int32)}
    write_shard(tmp_path / "empty.zarr.zip", schema="textures/1", arrays=arrays, attributes={"background": 0.0})
    with pytest.raises(InputError, match="no cell to place"):
        make(tmp_path / "out", {**inputs, "textures": [tmp_path / "empty.zarr.zip"]})
