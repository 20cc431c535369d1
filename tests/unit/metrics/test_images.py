"""Measures of whole images on drawn cells with known answers, and the table written for a data set."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from cellcascade.core.errors import InputError
from cellcascade.data.ngff import write_image
from cellcascade.data.recording import Recording
from cellcascade.metrics import images as population

DATA = Path(__file__).resolve().parents[3] / "demo" / "data" / "MouseEmbryo"
EMBRYO = Recording(DATA, "01", "ST", (1.75, 0.8, 0.8))


def squares(*corners, shape=(60, 60), side=6):
    labels = np.zeros(shape, np.uint16)
    for label, (y, x) in enumerate(corners, 1):
        labels[..., y : y + side, x : x + side] = label
    return labels


def real_frames(folder, frames):
    """A Cell Tracking Challenge folder with annotated frames, images and labels by their number."""
    for place in ("01", "01_GT/SEG"):
        (folder / place).mkdir(parents=True)
    for number, (image, labels) in frames.items():
        tifffile.imwrite(folder / "01" / f"t{number:03d}.tif", image, photometric="minisblack")
        tifffile.imwrite(folder / "01_GT" / "SEG" / f"man_seg{number:03d}.tif", labels, photometric="minisblack")


def recording(folder, voxel_size_um=(0.5, 0.5), **chosen):
    """The annotated frames of `real_frames`."""
    return Recording(folder, "01", "GT", voxel_size_um, **chosen)


def frame(labels, seed=0, inside=100):
    noise = np.random.default_rng(seed).integers(0, 5, labels.shape)
    return (np.where(labels > 0, inside, 10) + noise).astype(np.uint16)


def test_counts_shares_and_distances_of_drawn_cells():
    labels = squares((10, 10), (10, 30), (40, 10))
    found = population.measure_image(np.where(labels, 100, 10), labels, (0.5, 0.5))
    assert found["cells_per_image"] == [3]
    assert sorted(found["neighbour_distance_um"]) == pytest.approx([10, 10, 15])
    assert found["foreground_share"] == [3 * 36 / 3600]
    assert found["touching_share"] == [0]
    assert found["background_mean"] == [10] and found["background_std"] == [0]
    assert found["image_mean"] == pytest.approx([10 + 90 * 0.03])


@pytest.mark.parametrize(("gap", "touch"), [(0, [1, 2]), (1, [1, 2]), (2, [])])
def test_cells_touch_within_two_pixels(gap, touch):
    labels = squares((10, 10), (10, 16 + gap), (40, 40))
    assert np.unique(population.touching_pairs(labels, (0.5, 0.5)).labels).tolist() == touch


def test_light_between_touching_cells_is_relative_to_the_dimmer_one():
    labels = squares((10, 10), (10, 16), (40, 40))
    image = np.where(labels == 1, 110.0, np.where(labels == 2, 60.0, 10.0))
    image[10:16, 14:18] = 45  # within two pixels of the other cell
    found = population.measure_image(image, labels, (0.5, 0.5))
    dimmer = (4 * 50 + 2 * 35) / 6
    assert found["contact_light"] == pytest.approx([35 / dimmer])
    assert found["cell_brightness"] == pytest.approx([((4 * 100 + 2 * 35) / 6 + dimmer + 0) / 3])


def test_slivers_are_cells_at_the_border_below_half_the_median_size():
    labels = squares((-4, 10), (-1, 30), (30, 30), (40, 10), (20, 50))
    labels[:2, 10:16], labels[:5, 30:36] = 1, 2
    labels[50:52, 50:52] = 6  # small, but whole
    found = population.measure_image(np.where(labels, 100, 10), labels, (0.5, 0.5))
    assert found["small_share"] == pytest.approx([2 / 6]) and found["sliver_share"] == pytest.approx([1 / 2])


def test_touching_in_z_counts_in_pixels_of_the_plane():
    labels = np.zeros((6, 20, 20), np.uint16)
    labels[1, 5:9, 5:9], labels[2, 5:9, 5:9] = 1, 2
    assert population.touching_pairs(labels, (1.0, 0.6, 0.6)).labels.tolist() == [[1, 2]]
    assert not len(population.touching_pairs(labels, (1.0, 0.3, 0.3)).labels)


def test_a_ring_leaves_other_cells_out_and_ends_after_three_pixels():
    labels = squares((20, 10), (20, 20), shape=(50, 50))
    image = np.full(labels.shape, 10.0)
    image[labels == 2] = 1000
    assert population.ring_means(image, labels) == pytest.approx([10, 10])
    far = population.ring_means(np.where(np.indices(labels.shape)[0] < 16, 500, image), labels)
    assert far == pytest.approx([10, 10])
    near = population.ring_means(np.where(np.indices(labels.shape)[0] < 18, 500, image), labels)
    assert (near > 50).all()


def test_a_ring_in_3d_lies_in_the_planes_of_the_cell():
    labels = np.zeros((5, 30, 30), np.uint16)
    labels[2, 10:16, 10:16] = 7
    image = np.broadcast_to(np.array([0, 500, 20, 500, 0])[:, None, None], labels.shape)
    assert population.ring_means(image, labels) == pytest.approx([20])


def test_background_is_clear_of_the_blur_of_cells_in_all_directions():
    labels = np.zeros((5, 40, 40), np.uint16)
    labels[2, 15:25, 15:25] = 1
    image = np.full(labels.shape, 10.0)
    image[1:4, 12:28, 12:28] = 60
    assert population.measure_image(image, labels, (1, 1, 1))["background_mean"] == [10]


def test_an_image_without_cells_and_one_without_background_have_fewer_values():
    empty = population.measure_image(np.ones((20, 20)), np.zeros((20, 20), np.uint16), (1, 1))
    assert empty["cells_per_image"] == [0] and empty["foreground_share"] == [0]
    assert all(len(empty[name]) == 0 for name in ("neighbour_distance_um", "touching_share", "ring_mean"))
    full = population.measure_image(np.ones((20, 20)), np.ones((20, 20), np.uint16), (1, 1))
    assert len(full["background_mean"]) == 0 and full["foreground_share"] == [1]


def test_the_table_holds_the_chosen_frames_and_every_image(tmp_path):
    one, two = squares((10, 10)), squares((10, 10), (30, 30))
    real_frames(tmp_path / "real", {0: (frame(one), one), 1: (frame(two, 1), two), 2: (frame(one, 2), one)})
    for index in range(2):
        image = frame(two, 3 + index)
        write_image(tmp_path / "made" / f"img-{index:05d}.ome.zarr", image, two, voxel_size_um=(0.5, 0.5), levels=1)
    out = tmp_path / "population.csv"
    real = recording(tmp_path / "real", chosen_frames=[0, 1])
    population.compare_images(recording=real, synthetic=tmp_path / "made", table=out)
    rows = pd.read_csv(out).set_index("property")
    assert list(rows.index) == list(population.PROPERTIES)
    assert rows.loc["cells_per_image", ["real_mean", "synthetic_mean", "n_real", "n_synthetic"]].tolist() == [
        1.5,
        2,
        2,
        2,
    ]
    assert rows.loc["ring_mean", ["n_real", "n_synthetic"]].tolist() == [3, 4]
    assert rows.loc["neighbour_distance_um", "real_mean"] == pytest.approx(20 * 2**0.5 / 2, rel=1e-4)
    assert abs(rows.loc["ring_mean", "synthetic_mean"] - rows.loc["ring_mean", "real_mean"]) < 0.5


def test_of_many_images_some_are_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(population, "MOST_IMAGES", 2)
    labels = squares((10, 10))
    real_frames(tmp_path / "real", {0: (frame(labels), labels)})
    for index in range(4):
        shown = labels if index in (0, 3) else squares((10, 10), (30, 30))
        write_image(tmp_path / f"img-{index:05d}.ome.zarr", frame(shown), shown, voxel_size_um=(1, 1), levels=1)
    population.compare_images(recording=recording(tmp_path / "real"), synthetic=tmp_path, table=tmp_path / "p.csv")
    cells = pd.read_csv(tmp_path / "p.csv").set_index("property").loc["cells_per_image"]
    assert cells.n_synthetic == 2 and cells.synthetic_mean == 1


def test_slices_annotated_alone_leave_the_real_columns_empty(tmp_path):
    labels = np.zeros((4, 40, 40), np.uint16)
    labels[1:3, 10:20, 10:20] = 1
    real_frames(tmp_path / "real", {0: (frame(labels), labels)})
    whole = tmp_path / "real" / "01_GT" / "SEG" / "man_seg000.tif"
    whole.unlink()
    tifffile.imwrite(whole.with_name("man_seg_000_001.tif"), labels[1])
    write_image(tmp_path / "img-00000.ome.zarr", frame(labels), labels, voxel_size_um=(1, 1, 1), levels=1)
    real = recording(tmp_path / "real", (1.0, 1.0, 1.0))
    population.compare_images(recording=real, synthetic=tmp_path, table=tmp_path / "p.csv")
    rows = pd.read_csv(tmp_path / "p.csv")
    assert (rows.n_real == 0).all() and rows.real_mean.isna().all()
    assert rows.set_index("property").loc["cells_per_image", "synthetic_mean"] == 1


def test_a_real_embryo_against_itself_agrees(tmp_path):
    image, labels = (tifffile.imread(next((DATA / place).glob("*.tif"))) for place in ("01", "01_ST/SEG"))
    made = tmp_path / "img-00000.ome.zarr"
    write_image(made, image, labels.astype(np.uint16), voxel_size_um=(1.75, 0.8, 0.8), levels=1)
    population.compare_images(recording=EMBRYO, synthetic=tmp_path, table=tmp_path / "p.csv")
    rows = pd.read_csv(tmp_path / "p.csv").set_index("property")
    assert np.array_equal(rows.real_mean, rows.synthetic_mean, equal_nan=True)
    assert rows.loc["cells_per_image", "real_mean"] == 16
    assert rows.loc["ring_mean", "real_mean"] > rows.loc["background_mean", "real_mean"]


def test_no_image_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no composed images"):
        population.compare_images(recording=EMBRYO, synthetic=tmp_path, table=tmp_path / "p.csv")


def test_what_nobody_annotated_is_left_out():
    labels = squares((10, 10), (10, 20))
    image, ignored = np.where(labels, 100, 10), np.zeros(labels.shape, bool)
    image[:, 30:], ignored[:, 30:] = 200, True
    found = population.measure_image(image, labels, (0.5, 0.5), ignored)
    whole = population.measure_image(image[:, :30], labels[:, :30], (0.5, 0.5))
    assert found["cells_per_image"] == [4] and found["foreground_share"] == [2 * 36 / 1800]
    for name in ("background_mean", "background_std", "image_mean", "neighbour_distance_um", "contact_light"):
        assert found[name] == pytest.approx(whole[name]), name
    near = np.zeros(labels.shape, bool)
    near[:, 26:] = True
    assert population.ring_means(image, labels, ~near) == pytest.approx([10, 10])


def test_frames_that_nobody_annotated_are_not_compared(tmp_path):
    labels = squares((10, 10), (10, 30)).astype(np.int16)
    hidden = np.full_like(labels, -1)
    real_frames(tmp_path / "Mine", {0: (frame(labels), labels), 1: (frame(labels), hidden)})
    write_image(tmp_path / "img-00000.ome.zarr", frame(labels), labels.astype(np.uint16), voxel_size_um=(0.5, 0.5))
    mine = recording(tmp_path / "Mine", ignore_label=-1)
    population.compare_images(recording=mine, synthetic=tmp_path, table=tmp_path / "table.csv")
    table = pd.read_csv(tmp_path / "table.csv", index_col=0)
    assert table.loc["cells_per_image", "n_real"] == 1 and table.loc["cells_per_image", "real_mean"] == 2
