"""What is seen of a folder: layout, frames, cells, channel, and the size of the pixels."""

import json

import numpy as np
import pytest
import zarr
from ome_zarr.writer import write_image, write_labels

from cellcascade.core.errors import InputError
from cellcascade.intake.looking import look
from tests.ctc_data import scene_3d, write_2d, write_3d, write_sparse_gold
from tests.partly import partly
from tests.unit.data.layouts.writing import folders, nnunet, ome_zarr, scenes, seg_npy, stardist, write


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "writer, layout, channel, tests",
    [
        (folders("images/{}.tif", "masks/{}.png"), "folders", None, 1),
        (folders("x{}.png", "x{}_mask.png"), "suffixes", None, 1),
        (seg_npy, "suffixes", None, 1),
        (stardist, "folders", None, 1),
        (nnunet, "nnunet", 1, 1),
        (ome_zarr("0.4"), "ome-zarr", 1, 1),
        (folders("01/t{:03d}.tif", "01_GT/SEG/man_seg{:03d}.tif"), "ctc", None, 1),
    ],
)
def test_a_folder_of_planes(tmp_path, writer, layout, channel, tests):
    writer(tmp_path / "Mine", *scenes(4))
    found = look(tmp_path / "Mine")
    assert (found.recording.layout, found.recording.channel, found.test_frames) == (layout, channel, tests)
    assert found.recording.ndim == 2 and found.dtype == "uint8" and found.shapes == {(96, 112): 4}
    assert found.cells.per_frame == [5] * 4 and list(found.cells.usable[:5]) == [True, True, True, False, True]
    np.testing.assert_allclose(found.cells.edges[:3], (19, 17, 23), atol=2)
    assert found.voxel_source == "guess"
    middle = np.median(found.cells.diameters[found.cells.usable])
    assert found.recording.voxel_size_um == pytest.approx((10 / middle, 10 / middle), rel=0.01)


@pytest.mark.parametrize("sparse", [False, True])
def test_a_folder_of_stacks(tmp_path, sparse):
    folder = write_3d(tmp_path / "Mine")
    if sparse:
        write_sparse_gold(folder, scene=scene_3d(), slices=[(0, 4), (1, 5)])
        for path in (folder / "01_ST/SEG").iterdir():
            path.unlink()
    found = look(folder)
    assert found.recording.ndim == 3 and found.shapes == {(12, 64, 72): 2}
    assert found.recording.annotations == ("GT" if sparse else "ST")
    assert list(found.cells.heights[:3]) == ([1, 1, 1] if sparse else [9, 9, 9])
    assert found.test_frames == 0 and found.test_sequence is None, "two frames are too few to keep one"


def test_one_cell_a_frame_is_no_foreground(tmp_path):
    images, labels = scenes(3)
    alone = [np.where(mask == mask.max(), 1, 0).astype(np.uint8) for mask in labels]
    folders("images/{}.tif", "masks/{}.tif")(tmp_path / "Mine", images, alone)
    found = look(tmp_path / "Mine")
    assert not found.recording.split_labels and found.cells.per_frame == [1] * 3


def test_the_second_sequence_is_kept_for_tests(tmp_path):
    write_2d(tmp_path / "Mine")
    write_2d(tmp_path / "Mine", sequence="03", annotated=(0, 1, 2), annotations="GT")
    found = look(tmp_path / "Mine")
    assert (found.recording.sequence, found.recording.annotations) == ("01", "ST")
    assert (found.test_sequence, found.test_frames) == ("03", 3)


def test_sizes_that_files_say(tmp_path):
    (images, labels), places = scenes(2, 3), {"ome": tmp_path / "Ome", "imagej": tmp_path / "ImageJ"}
    for number, (image, mask) in enumerate(zip(images, labels)):
        sizes = {f"PhysicalSize{axis}": value for axis, value in zip("ZYX", (1500, 250, 250))}
        units = {f"PhysicalSize{axis}Unit": "nm" for axis in "ZYX"}
        write(places["ome"] / f"images/{number}.tif", image, ome=True, metadata={"axes": "ZYX", **sizes, **units})
        about = {"axes": "ZYX", "spacing": 2.0, "unit": "um"}
        write(places["imagej"] / f"images/{number}.tif", image, imagej=True, metadata=about, resolution=(5, 5))
        for folder in places.values():
            write(folder / f"masks/{number}.tif", mask)
    assert look(places["ome"]).recording.voxel_size_um == (1.5, 0.25, 0.25)
    assert look(places["imagej"]).recording.voxel_size_um == (2.0, 0.2, 0.2)
    assert look(places["imagej"]).voxel_source == "files"
    given = look(places["ome"], [3.0, 0.5, 0.5])
    assert given.recording.voxel_size_um == (3.0, 0.5, 0.5) and given.voxel_source == "given"


def test_sizes_that_ome_zarr_and_nnunet_say(tmp_path):
    images, labels = scenes(1, 3)
    root = zarr.open_group(tmp_path / "Mine/a.zarr", mode="w")
    common = {"axes": "zyx", "axes_units": dict.fromkeys("zyx", "micrometer"), "scale": {"z": 2.0, "y": 0.3, "x": 0.3}}
    write_image(images[0], root, scale_factors=[2], **common)
    write_labels(labels[0], root, name="cells", scale_factors=[2], **common)
    assert look(tmp_path / "Mine/a.zarr").recording.voxel_size_um == (2.0, 0.3, 0.3)
    write(tmp_path / "Task/imagesTr/a_0000.tif", images[0])
    write(tmp_path / "Task/labelsTr/a.tif", labels[0])
    (tmp_path / "Task/imagesTr/a.json").write_text(json.dumps({"spacing": [4.0, 0.7, 0.7]}))
    assert look(tmp_path / "Task").recording.voxel_size_um == (4.0, 0.7, 0.7)


def test_stacks_without_sizes_get_cells_as_high_as_wide(tmp_path):
    images, labels = scenes(1, 3)
    write(tmp_path / "Mine/a.tif", images[0])
    write(tmp_path / "Mine/a_masks.tif", labels[0])
    found = look(tmp_path / "Mine")
    z, _, x = found.recording.voxel_size_um
    width = np.median(found.cells.diameters[found.cells.fitting])
    assert found.voxel_source == "guess" and z * 9 == pytest.approx(x * width, rel=0.02)


def test_pictures_of_grey_written_as_colour(tmp_path):
    images, labels = scenes(3)
    folders("images/{}.png", "masks/{}.png")(tmp_path / "Mine", [np.stack([image] * 3, -1) for image in images], labels)
    found = look(tmp_path / "Mine")
    assert found.recording.channel == 0 and sorted(found.channels) == [0, 1, 2]
    assert look(tmp_path / "Mine", channel=2).recording.channel == 2


def test_what_cannot_be_looked_at(tmp_path):
    with pytest.raises(InputError, match="There is no such folder"):
        look(tmp_path / "nowhere")
    images, labels = scenes(2)
    folders("images/{}.tif", "masks/{}.tif")(tmp_path / "Mine", images, [np.zeros_like(mask) for mask in labels])
    with pytest.raises(InputError, match=r"No cell is annotated[\s\S]*2 frames"):
        look(tmp_path / "Mine")
    with pytest.raises(InputError, match="does not fit the frames"):
        look(tmp_path / "Mine", [0.0, 0.5])


def test_frames_that_are_annotated_in_part(tmp_path):
    partly(tmp_path / "Mine")
    found = look(tmp_path / "Mine", ignore_label=-1)
    assert found.recording.ignore_label == -1 and found.cells.per_frame == [3, 3, 3]
    with pytest.raises(InputError, match="ignore_label: -1"):
        look(tmp_path / "Mine")
