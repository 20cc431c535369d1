"""Crops: which cells are cut, and that each is alone on its background."""

from functools import partial

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from cellcascade.config.settings import CropSettings
from cellcascade.core.errors import InputError
from cellcascade.core.files import digest
from cellcascade.data.crops import make_crops, read_crops, to_counts, to_unit
from cellcascade.data.recording import Recording
from cellcascade.data.stores import CROPS
from tests.ctc_data import (
    BACKGROUND,
    Blob,
    Scene,
    scene_2d,
    write_2d,
    write_sequence,
    write_tiff,
)
from tests.memory import extra_mb
from tests.unit.data.cutting import cut, index, raw_crop, write_scene


def test_every_object_has_a_row_with_its_reason(tmp_path):
    crops, table = cut(write_2d(tmp_path / "Toy"))
    assert list(table.loc[0].index) == [1, 2, 4, 7, 9]
    assert list(table.reason) == ["", "", "", "touches border", "too small"] * 2
    assert list(table.kept) == [True, True, True, False, False] * 2
    assert list(zip(crops.frame, crops.label)) == [(f, label) for f in (0, 2) for label in (1, 2, 4)]
    assert table.loc[(0, 1), "area"] == (scene_2d().labels() == 1).sum()
    assert table.loc[(0, 7), "solidity"] == ""
    assert float(table.loc[(0, 2), "eccentricity"]) < float(table.loc[(0, 4), "eccentricity"]) < 1
    assert float(table.loc[(0, 4), "solidity"]) > 0.9


def test_store(tmp_path):
    folder = write_2d(tmp_path / "Toy")
    crops, _ = cut(folder)
    assert crops.image.shape == crops.mask.shape == (6, 48, 48)
    assert crops.image.dtype == np.uint16
    assert set(np.unique(crops.mask)) == {0, 1}
    assert crops.z.tolist() == [-1] * 6
    assert crops.widest.tolist() == [1] * 6
    assert crops.area_ratio.tolist() == [1] * 6
    assert np.allclose(crops.brightness, [90, 160, 90] * 2, rtol=0.03)
    assert np.allclose(crops.background, BACKGROUND, atol=1.1)
    for image, mask, brightness in zip(crops.image, crops.mask, crops.brightness):
        assert brightness == pytest.approx(image[mask > 0].mean())
    expected = {
        "dataset": "toy",
        "sequence": "01",
        "voxel_size_um": (0.5, 0.5),
        "frame_shape": (96, 112),
        "frame_dtype": "uint8",
        "frames": (0, 2),
        "cells_per_frame": (5, 5),
    }
    assert {name: getattr(crops.record, name) for name in expected} == expected
    assert crops.record.digests["01/t002.tif"] == digest(folder / "01" / "t002.tif")
    names = ["01/t000.tif", "01/t002.tif", "SEG/man_seg000.tif", "SEG/man_seg002.tif"]
    assert sorted(crops.record.digests) == names and crops.record.ndim == 2 and crops.record.largest == 255


def test_crops_are_centred_on_the_bounding_box(tmp_path):
    crops, _ = cut(write_2d(tmp_path / "Toy"))
    for mask in crops.mask:
        pixels = np.argwhere(mask)
        assert np.abs((pixels.min(0) + pixels.max(0)) / 2 - 23.5).max() <= 0.5


def test_four_digits_and_16_bit(tmp_path):
    crops, _ = cut(write_2d(tmp_path / "Toy", digits=4, dtype=np.uint16))
    assert len(crops.image) == 6
    assert crops.record.frame_dtype == "uint16"


def test_cells_that_do_not_fit(tmp_path):
    crops, table = cut(write_2d(tmp_path / "Toy"), size=22, margin=2)
    # widths with two free pixels on each side: 23, 21 and 27
    assert list(table.loc[0].reason) == ["does not fit", "", "does not fit", "touches border", "too small"]
    assert crops.label.tolist() == [2, 2]


def test_pieces_and_holes(tmp_path):
    folder = write_scene(tmp_path / "Toy", Blob(1, (30, 30), (10, 10)), Blob(2, (60, 70), (10, 10)))
    labels = Scene((96, 112), [Blob(1, (30, 30), (10, 10)), Blob(2, (60, 70), (10, 10))]).labels()
    whole = (labels == 1).sum()
    labels[28:31, 28:31] = 0
    labels[10:12, 50:53] = 1
    labels[80:86, 66:76] = 2
    write_tiff(folder / "01_ST" / "SEG" / "man_seg000.tif", labels)
    crops, table = cut(folder)
    assert list(table.reason) == ["", "several pieces"]
    assert crops.label.tolist() == [1]
    assert crops.mask[0].sum() == whole
    assert ndimage.label(crops.mask[0])[1] == 1


def test_neighbours_become_background(tmp_path):
    folder = write_2d(tmp_path / "Toy")
    crops, _ = cut(folder)
    i, frame, labels = index(crops, 0, 1), tifffile.imread(folder / "01" / "t000.tif"), scene_2d().labels()
    raw, around = raw_crop(frame, labels, 1, crops.mask[i])
    removed = around == 2
    assert removed.sum() > 100 and raw[removed].mean() > 150
    new = crops.image[i][removed].astype(float)
    assert abs(new.mean() - BACKGROUND) < 1.5
    assert abs(new.std() - BACKGROUND**0.5) < 0.25 * BACKGROUND**0.5
    ring = (ndimage.distance_transform_edt(crops.mask[i] == 0) <= 4) & (ndimage.distance_transform_edt(around != 2) > 4)
    assert ring.sum() > 300
    assert np.array_equal(crops.image[i][ring], raw[ring])


def test_no_seam_where_a_neighbour_was(tmp_path):
    """Texture that was put in has the slope, the noise and the short correlation of the background around it."""
    generator = np.random.default_rng(3)
    labels = Scene((128, 160), [Blob(1, (60, 60), (14, 14)), Blob(2, (60, 92), (14, 14))]).labels()
    slope = 100 + 0.3 * np.indices(labels.shape)[1]
    for frame in range(8):
        noise = ndimage.gaussian_filter(generator.normal(size=labels.shape), 1)
        image = np.rint(slope + 12 * noise / noise.std() + 500 * (labels > 0))
        write_tiff(tmp_path / "Toy" / "01" / f"t{frame:03d}.tif", image.astype(np.uint16))
        write_tiff(tmp_path / "Toy" / "01_ST" / "SEG" / f"man_seg{frame:03d}.tif", labels)
    crops, _ = cut(tmp_path / "Toy", size=96)
    chosen = crops.label == 1
    expected, around = raw_crop(slope, labels, 1, crops.mask[chosen][0])
    residual = crops.image[chosen] - expected
    hole, free = around == 2, ndimage.maximum_filter(around, 25) == 0
    assert abs(residual[:, hole].mean() - residual[:, free].mean()) < 4, "a third of the noise"
    assert residual[:, hole].std() == pytest.approx(residual[:, free].std(), rel=0.15)
    assert next_pixel(residual, hole) == pytest.approx(next_pixel(residual, free), abs=0.1)
    assert next_pixel(residual, free) > 0.6


def next_pixel(residual: np.ndarray, area: np.ndarray) -> float:
    """Correlation of neighbouring pixels of images (m, y, x) within an area (y, x)."""
    both = area[:, :-1] & area[:, 1:]
    return np.corrcoef(residual[:, :, :-1][:, both].ravel(), residual[:, :, 1:][:, both].ravel())[0, 1]


def test_touching_cells_are_parted(tmp_path):
    blobs = [Blob(1, (40, 40), (10, 10)), Blob(2, (40, 58), (10, 10), 200.0)]
    folder = write_scene(tmp_path / "Toy", *blobs)
    crops, _ = cut(folder)
    i, labels = index(crops, 0, 1), Scene((96, 112), blobs).labels()
    raw, around = raw_crop(tifffile.imread(folder / "01" / "t000.tif"), labels, 1, crops.mask[i])
    assert (ndimage.binary_dilation(crops.mask[i]) & (around == 2)).any(), "they should touch"
    assert np.array_equal(crops.image[i][crops.mask[i] > 0], raw[crops.mask[i] > 0])
    assert crops.image[i][around == 2].max() < 60


def test_crops_beyond_the_frame_are_filled(tmp_path):
    folder = write_scene(tmp_path / "Toy", Blob(3, (12, 100), (9, 9)))
    crops, table = cut(folder, size=64)
    assert table.loc[(0, 3), "reason"] == ""
    image, mask = crops.image[0].astype(float), crops.mask[0]
    pixels = np.argwhere(mask)
    beyond = np.zeros_like(mask, bool)
    beyond[: pixels[:, 0].min() - 3] = True
    beyond[:, pixels[:, 1].max() + 3 :] = True
    assert beyond.sum() > 1500
    assert abs(image[beyond].mean() - BACKGROUND) < 1
    assert image[beyond].std() == pytest.approx(BACKGROUND**0.5, rel=0.15)


def test_unlabelled_cells_are_removed(tmp_path):
    blobs = [Blob(1, (40, 40), (9, 9)), Blob(2, (40, 62), (7, 7), 120.0)]
    folder = write_scene(tmp_path / "Toy", *blobs)
    labels = Scene((96, 112), blobs).labels()
    write_tiff(folder / "01_ST" / "SEG" / "man_seg000.tif", np.where(labels == 1, labels, 0))
    crops, table = cut(folder)
    _, around = raw_crop(labels, labels, 1, crops.mask[0])
    assert len(table) == 1
    assert crops.image[0][around == 2].mean() < BACKGROUND + 2


def test_frame_without_background(tmp_path):
    """Cells everywhere: there is hardly a pixel to copy, but nothing breaks."""
    centres = [(y, x) for y in range(12, 96, 18) for x in range(12, 112, 18)]
    folder = write_scene(tmp_path / "Toy", *(Blob(i, centre, (9, 9)) for i, centre in enumerate(centres, 1)))
    crops, table = cut(folder)
    assert table.kept.sum() == len(crops.image) > 10
    assert crops.image[:, :4, :4].mean() < 60


def test_equal_runs_give_equal_bytes(tmp_path):
    folder, store = write_2d(tmp_path / "Toy"), tmp_path / "crops.zarr.zip"
    cut(folder)
    first, table = store.read_bytes(), (tmp_path / "crops.csv").read_bytes()
    cut(folder)
    assert store.read_bytes() == first
    assert (tmp_path / "crops.csv").read_bytes() == table


def test_frames_may_be_worked_on_side_by_side(tmp_path):
    folder = write_sequence(tmp_path / "Toy", scene=scene_2d(), frames=5, annotated=range(5))
    recording, made = Recording(folder, "01", "ST", (0.5, 0.5)), []
    for threads in (1, 3):
        store, table = tmp_path / f"{threads}.zarr.zip", tmp_path / f"{threads}.csv"
        settings = CropSettings(size=48)
        make_crops(recording=recording, dataset="toy", settings=settings, store=store, table=table, threads=threads)
        made.append((store.read_bytes(), table.read_bytes()))
    assert made[0] == made[1]


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path):
    blobs = [Blob(5 * y + x + 1, (20 + 27 * y, 20 + 27 * x), (9, 9)) for y in range(5) for x in range(5)]
    folder = write_sequence(tmp_path / "Toy", scene=Scene((150, 150), blobs), frames=48, annotated=range(48))
    few, many = (extra_mb(partial(cut, folder, size=96, chosen=(frames, None))) for frames in (24, 48))
    crops = read_crops(tmp_path / "crops.zarr.zip")
    assert len(crops.z) == 1200 > 2 * 2 * CROPS.items_per_chunk, "both write whole chunks"
    more = (crops.image.nbytes + crops.mask.nbytes) / 2 / 2**20
    assert many < few + 0.5 * more, "MB"


def test_texture_hangs_on_the_cell_alone(tmp_path):
    folder = write_2d(tmp_path / "Toy")
    both, _ = cut(folder)
    other, _ = cut(folder, dataset="other")
    assert not np.array_equal(both.image, other.image)
    (folder / "01_ST" / "SEG" / "man_seg000.tif").unlink()
    later, _ = cut(folder)
    assert np.array_equal(both.image[both.frame == 2], later.image)


def test_no_usable_cell(tmp_path):
    folder = write_2d(tmp_path / "Toy")
    with pytest.raises(InputError, match="No annotated cell can be used") as caught:
        cut(folder, min_area=5000)
    assert "10 annotated cells" in caught.value.found
    assert "8 too small" in caught.value.found and "2 touches border" in caught.value.found
    assert "crops.min_area" in caught.value.fix
    assert not (tmp_path / "crops.zarr.zip").exists()
    assert not (tmp_path / "crops.csv").exists()


def test_empty_annotations_are_no_usable_cell(tmp_path):
    folder = write_sequence(tmp_path / "Toy", scene=Scene((64, 64)))
    with pytest.raises(InputError, match="No annotated cell can be used") as caught:
        cut(folder)
    assert caught.value.found == "0 of 0 annotated cells usable"


def test_crops_are_checked_when_read(tmp_path):
    with pytest.raises(InputError, match="cannot be used"):
        read_crops(tmp_path / "crops.zarr.zip")


@pytest.mark.parametrize("percentiles", [(0.1, 99.9), (0, 100), (5, 95), (37.5, 62.5)])
def test_window_is_that_of_all_pixels(tmp_path, percentiles):
    crops, _ = cut(write_2d(tmp_path / "Toy"), window_percentiles=percentiles)
    background = crops.image[ndimage.maximum_filter(crops.mask, (1, 9, 9)) == 0]
    sides = zip((background, crops.image[crops.mask > 0]), percentiles)
    assert list(crops.record.window) == [np.percentile(side, each, method="nearest") for side, each in sides]


def test_window_spans_background_and_cells(tmp_path):
    crops, _ = cut(write_2d(tmp_path / "Toy"), window_percentiles=(5, 95))
    low, high = crops.record.window
    assert BACKGROUND - 12 < low < BACKGROUND - 5
    assert 150 < high < 190
    shares = [(image[mask > 0] > high).mean() for image, mask in zip(crops.image, crops.mask)]
    assert max(shares) < 0.2, "bright cells are not all white"


@pytest.mark.parametrize("window", [(0, 255), (3, 179), (96, 65535), (32768, 36000), (5, 6)])
def test_transfer_is_invertible_within_the_window(window):
    low, high = window
    counts = np.arange(low, high + 1).astype(np.uint16)
    unit = to_unit(counts, window)
    assert unit.dtype == np.float32
    assert unit[0] == 0 and unit[-1] == 1 and (np.diff(unit) > 0).all()
    back = to_counts(unit, window, 65535)
    assert back.dtype == np.uint16
    assert np.array_equal(back, counts)


def test_transfer_is_a_square_root_and_clips():
    assert to_unit(np.array([10, 35, 110]), (10, 110)).tolist() == [0, 0.5, 1]
    assert to_unit(np.array([0, 255]), (10, 110)).tolist() == [0, 1]
    assert to_counts(np.array([-1.0, 0.5, 2.0]), (10, 110), 255).tolist() == [10, 35, 110]
    assert to_counts(np.array([1.0]), (10, 300), 255).tolist() == [255]


def test_slivers_and_specks_are_fragments_and_no_cells_of_their_frame(tmp_path, caplog):
    folder = write_2d(tmp_path / "Toy")
    for path in (folder / "01_ST/SEG").glob("*.tif"):
        labels = tifffile.imread(path)
        ring = ndimage.binary_dilation(labels == 1) & (labels == 0)
        ring[40:] = False
        labels[ring] = 20  # half a ring, as interpolation between 0 and 40 leaves it
        labels[90, 60:64] = 21
        write_tiff(path, labels)
    with caplog.at_level("INFO", "cellcascade"):
        crops, table = cut(folder)
    assert list(table.loc[0].reason) == ["", "", "", "touches border", "too small", "fragment", "fragment"]
    assert crops.record.cells_per_frame == (5, 5)
    said = "6 of 14 annotated cells usable: 4 fragment, 2 touches border, 2 too small"
    assert caplog.messages.count(said) == 1
