"""The Cell Tracking Challenge layout, and everything that can be wrong with it."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellcascade.core.errors import InputError
from cellcascade.data import ctc
from cellcascade.data.annotated import AnnotatedFrame, count_slices, read_counts, read_labels
from cellcascade.data.pixels import open_frame
from tests.ctc_data import annotated_frames, check_sequence, scene_3d, write_2d, write_3d, write_sparse_gold, write_tiff


@pytest.fixture
def data_2d(tmp_path: Path) -> Path:
    return write_2d(tmp_path / "Toy-2D")


@pytest.fixture
def data_3d(tmp_path: Path) -> Path:
    return write_3d(tmp_path / "Toy-3D")


def label_file(folder: Path, frame: int = 0) -> Path:
    return folder / "01_ST" / "SEG" / f"man_seg{frame:03d}.tif"


def read_annotated(item: AnnotatedFrame, ndim: int) -> tuple[np.ndarray, np.ndarray]:
    return read_counts(item, ndim), read_labels(item, ndim)


def fails(folder: Path, *words: str, annotations: str = "ST", ndim: int = 2) -> InputError:
    """The check fails with one message that holds all its parts and these words."""
    with pytest.raises(InputError) as caught:
        check_sequence(folder, "01", annotations, ndim)
    message = str(caught.value)
    for word in ("where:", "found:", "expected:", "fix:", *words):
        assert word in message, message
    return caught.value


def test_walks_the_annotations(data_2d):
    found = annotated_frames(data_2d, "01", "ST")
    assert [item.frame for item in found] == [0, 2]
    assert [item.image.name for item in found] == ["t000.tif", "t002.tif"]
    assert [item.labels.name for item in found] == ["man_seg000.tif", "man_seg002.tif"]
    assert all(item.z is None for item in found)
    assert check_sequence(data_2d, "01", "ST", 2) == found


def test_chosen_frames_alone_spread_evenly_or_by_number(tmp_path):
    folder = write_2d(tmp_path / "Toy")
    for kind, name in (("01", "t"), ("01_ST/SEG", "man_seg")):
        for frame in range(3, 12):
            shutil.copy(folder / kind / f"{name}000.tif", folder / kind / f"{name}{frame:03d}.tif")
    every = [item.frame for item in annotated_frames(folder, "01", "ST")]
    assert every == [0, 2, *range(3, 12)]

    def chosen(frames):
        found = annotated_frames(folder, "01", "ST", frames)
        assert check_sequence(folder, "01", "ST", 2, frames) == found
        return [item.frame for item in found]

    assert chosen(1) == [6] and chosen(2) == [3, 9] and chosen(11) == every and chosen([7, 0]) == [0, 7]
    with pytest.raises(InputError, match="at least 12"):
        chosen(12)
    with pytest.raises(InputError, match="frames 1, 40 among them"):
        chosen([0, 1, 40])


def test_four_digits(tmp_path):
    folder = write_2d(tmp_path / "Toy", digits=4)
    assert [item.image.name for item in annotated_frames(folder, "01", "ST")] == ["t0000.tif", "t0002.tif"]


def test_read_2d(data_2d):
    item = annotated_frames(data_2d, "01", "ST")[1]
    image, labels = read_annotated(item, 2)
    assert np.array_equal(image, tifffile.imread(data_2d / "01" / "t002.tif"))
    assert image.dtype == np.uint8
    assert labels.dtype == np.uint16
    assert sorted(np.unique(labels)) == [0, 1, 2, 4, 7, 9]


@pytest.mark.parametrize("digits", [3, 4])
def test_sparse_gold_gives_the_slice(data_3d, digits):
    write_sparse_gold(data_3d, scene=scene_3d(), slices=[(2, 6), (0, 3)], digits=digits)
    found = check_sequence(data_3d, "01", "GT", 3)
    assert [(item.frame, item.z) for item in found] == [(0, 3), (2, 6)]
    image, labels = read_annotated(found[0], 3)
    assert np.array_equal(image, tifffile.imread(data_3d / "01" / "t000.tif")[3])
    assert np.array_equal(labels, scene_3d().labels()[3])


def test_some_slices_of_stacks(data_3d):
    write_sparse_gold(data_3d, scene=scene_3d(), slices=[(0, 3), (0, 5), (0, 9), (2, 6)])

    def chosen(annotations, **annotated):
        found = annotated_frames(data_3d, "01", annotations, **annotated)
        assert check_sequence(data_3d, "01", annotations, 3, **annotated) == found
        return [(item.frame, item.z) for item in found]

    assert chosen("ST", slices=3) == [(0, 2), (0, 6), (0, 10), (2, 2), (2, 6), (2, 10)]
    assert chosen("ST", frames=[2], slices=[7, 4]) == [(2, 4), (2, 7)]
    assert chosen("GT", slices=1) == [(0, 5), (2, 6)]
    assert chosen("GT", frames=[0], slices=2) == [(0, 3), (0, 9)]
    with pytest.raises(InputError, match="annotated slices than train_slices asks for"):
        chosen("GT", slices=2)
    with pytest.raises(InputError, match="slices 12 among them"):
        chosen("ST", slices=[3, 12])
    found = annotated_frames(data_3d, "01", "ST", slices=[4])
    image, labels = read_annotated(found[1], 3)
    assert np.array_equal(image, tifffile.imread(data_3d / "01" / "t002.tif")[4])
    assert np.array_equal(labels, scene_3d().labels()[4])
    assert count_slices(found) == 2 and count_slices(annotated_frames(data_3d, "01", "ST")) == 24


def test_dense_3d(data_3d):
    item = check_sequence(data_3d, "01", "ST", 3)[0]
    image, labels = read_annotated(item, 3)
    assert image.shape == labels.shape == (12, 64, 72)
    assert image.dtype == np.uint16


def test_uncompressed_stack(data_3d):
    stack = tifffile.imread(data_3d / "01" / "t000.tif")
    tifffile.imwrite(data_3d / "01" / "t000.tif", stack, imagej=True)
    assert len(check_sequence(data_3d, "01", "ST", 3)) == 2


def test_missing_folder(tmp_path):
    error = fails(tmp_path / "Fluo-N2DH-GOWT1", "no such folder", "data_root=PATH", "celltrackingchallenge.net")
    assert error.where == str(tmp_path / "Fluo-N2DH-GOWT1")
    nowhere = str(ctc.missing_folder(tmp_path / "no" / "Fluo-N2DH-GOWT1"))
    assert f"neither it nor {tmp_path / 'no'}" in nowhere


def test_missing_sequence(data_2d):
    with pytest.raises(InputError, match="no frames") as caught:
        check_sequence(data_2d, "02", "ST", 2)
    assert caught.value.where == str(data_2d / "02")


def test_frames_without_annotation(data_2d):
    for path in (data_2d / "01_ST" / "SEG").iterdir():
        path.unlink()
    fails(data_2d, "None of the 3 frames of sequence 01 has an annotation", "an empty folder", "man_seg000.tif")


def test_other_annotations_are_named(data_2d):
    fails(data_2d, "01_GT", "set annotations: ST", annotations="GT")


def test_annotation_without_frame(data_2d):
    (data_2d / "01" / "t002.tif").unlink()
    error = fails(data_2d, "An annotation has no frame", str(data_2d / "01" / "t002.tif"))
    assert error.where == str(label_file(data_2d, 2))
    with pytest.raises(InputError, match="has no frame"):
        annotated_frames(data_2d, "01", "ST")


def test_shape_mismatch(data_2d):
    write_tiff(label_file(data_2d), np.ones((96, 96), np.uint16))
    fails(data_2d, "differ in shape", "(96, 96)", "(96, 112)", str(label_file(data_2d)))


def test_slice_shape_mismatch(data_3d):
    write_tiff(data_3d / "01_GT" / "SEG" / "man_seg_000_003.tif", np.ones((64, 64), np.uint16))
    fails(data_3d, "differ in shape", "(64, 64)", "(64, 72)", annotations="GT", ndim=3)


def test_slice_beyond_the_stack(data_3d):
    write_tiff(data_3d / "01_GT" / "SEG" / "man_seg_000_012.tif", np.ones((64, 72), np.uint16))
    fails(data_3d, "slice 12", "from 0 to 11", annotations="GT", ndim=3)


def test_slice_annotation_of_2d_data(data_2d):
    write_tiff(data_2d / "01_GT" / "SEG" / "man_seg_000_003.tif", np.ones((96, 112), np.uint16))
    fails(data_2d, "declared 2D", "voxel_size_um", annotations="GT")


@pytest.mark.parametrize(
    "dtype, value, found",
    [
        (np.float32, 0.25, "from 0.25 to 0.25, such as 0.25"),
        (np.float32, np.nan, "from nan to nan, such as nan"),
        (np.int16, -3, "from -3 to -3"),
        (np.uint32, 70000, "from 70000 to 70000"),
    ],
)
def test_frames_must_be_counts(data_2d, dtype, value, found):
    write_tiff(data_2d / "01" / "t000.tif", np.full((96, 112), value, dtype))
    fails(data_2d, "camera counts", f"pixels of type {np.dtype(dtype).name} {found}", "0 to 65535", "t000.tif")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.uint32])
def test_whole_numbers_of_another_type_are_counts_and_labels(data_2d, dtype):
    item = annotated_frames(data_2d, "01", "ST")[0]
    image, labels = read_annotated(item, 2)
    write_tiff(item.image, image.astype(dtype))
    write_tiff(item.labels, labels.astype(dtype))
    assert open_frame(item.image, 2).dtype == np.uint16
    again = read_annotated(item, 2)
    np.testing.assert_array_equal(again[0], image)
    np.testing.assert_array_equal(again[1], labels)
    assert again[0].dtype == again[1].dtype == np.uint16


@pytest.mark.parametrize("planar", [False, True])
def test_colour_frame(data_2d, planar):
    shape = (3, 96, 112) if planar else (96, 112, 3)
    layout = {"planarconfig": "separate"} if planar else {}
    tifffile.imwrite(data_2d / "01" / "t000.tif", np.ones(shape, np.uint8), photometric="rgb", **layout)
    fails(data_2d, "colour", "t000.tif", "one channel")


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("which", ["frame", "label"])
def test_truncated_tiff(data_2d, which, compression):
    path = data_2d / "01" / "t000.tif" if which == "frame" else label_file(data_2d)
    tifffile.imwrite(path, tifffile.imread(path), compression=compression)
    path.write_bytes(path.read_bytes()[:-200])
    fails(data_2d, "cannot be read", str(path))


@pytest.mark.parametrize("content", [b"", b"not a TIFF at all", b"II*\0\x08\0\0\0"])
def test_no_tiff(data_2d, content):
    (data_2d / "01" / "t000.tif").write_bytes(content)
    fails(data_2d, "cannot be read", "t000.tif")


def test_damaged_pixels_are_found_when_read(data_2d):
    path = data_2d / "01" / "t000.tif"
    with tifffile.TiffFile(path) as file:
        start, count = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
    content = bytearray(path.read_bytes())
    content[start : start + count] = b"\xff" * count
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        open_frame(path, 2)[...]


def test_labels_must_be_whole_numbers(data_2d):
    write_tiff(label_file(data_2d), np.full((96, 112), 1.5, np.float32))
    fails(data_2d, "whole numbers", "float32", "such as 1.5", str(label_file(data_2d)))


@pytest.mark.parametrize("value", [-1, 70000])
def test_labels_out_of_range(data_2d, value):
    write_tiff(label_file(data_2d), np.full((96, 112), value, np.int32))
    with pytest.raises(InputError, match=str(value)):
        read_annotated(annotated_frames(data_2d, "01", "ST")[0], 2)


def test_2d_frames_declared_3d(data_2d):
    fails(data_2d, "2D frame in a data set that is declared 3D", "(96, 112)", "voxel_size_um", ndim=3)


def test_3d_frames_declared_2d(data_3d):
    fails(data_3d, "3D frame in a data set that is declared 2D", "(12, 64, 72)", "voxel_size_um", ndim=2)


def test_frames_of_two_shapes(data_2d):
    write_tiff(data_2d / "01" / "t002.tif", np.ones((50, 60), np.uint8))
    write_tiff(label_file(data_2d, 2), np.ones((50, 60), np.uint16))
    fails(data_2d, "differs from the first", "(50, 60)", "(96, 112)")


def test_all_problems_at_once(data_2d):
    (data_2d / "01" / "t000.tif").write_bytes(b"broken")
    write_tiff(label_file(data_2d, 2), np.full((96, 112), 0.5, np.float32))
    write_tiff(label_file(data_2d, 33), np.ones((96, 112), np.uint16))
    fails(data_2d, "3 problems", "cannot be read", "whole numbers", "has no frame")


def test_check_reads_no_pixels(data_2d, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("pixels were read")

    monkeypatch.setattr(tifffile, "imread", refuse)
    monkeypatch.setattr(tifffile.TiffFile, "asarray", refuse)
    assert len(check_sequence(data_2d, "01", "ST", 2)) == 2


def test_import_is_free_of_torch():
    code = "import sys, cellcascade.data.ctc, cellcascade.data.crops; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
