"""What a layout cannot be read from is said in one message: what lies there, what was expected, and the cure."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cellcascade.config.load import load_config
from cellcascade.core.errors import InputError
from cellcascade.data.layouts.archives import unpacked
from cellcascade.data.recording import training_recording
from cellcascade.data.seg_npy import read_part
from tests.unit.data.layouts.writing import folders, nnunet, ome_zarr, scenes, seg_npy, write


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(folder: Path, *words: str, **entry) -> None:
    data = {"folder": folder.name, "voxel_size_um": [0.5, 0.5], **entry}
    config = load_config({"data_root": str(folder.parent), "datasets": {"mine": data}})
    with pytest.raises(InputError) as caught:
        training_recording(config, "mine").checked_frames()
    for word in ("where:", "found:", "expected:", "fix:", *words):
        assert word in str(caught.value), str(caught.value)


def test_a_folder_of_no_layout_says_what_lies_there_and_which_layouts_there_are(tmp_path):
    write(tmp_path / "Mine/first.tif", scenes(1)[0][0])
    (tmp_path / "Mine/notes.txt").write_text("no frames")
    refused(tmp_path / "Mine", "first.tif, notes.txt", "images/x.tif with masks/x.tif", "01/t000.tif", "x_masks.tif")


def test_an_empty_folder(tmp_path):
    (tmp_path / "Mine").mkdir()
    refused(tmp_path / "Mine", "an empty folder")


def test_a_layout_that_is_asked_for_and_not_there(tmp_path):
    folders("images/{}.tif", "masks/{}.tif")(tmp_path / "Mine", *scenes(2))
    refused(tmp_path / "Mine", "not of the layout nnunet", "imagesTr", layout="nnunet")


def test_masks_without_images_are_named(tmp_path):
    folders("images/{}.tif", "masks/{}.tif")(tmp_path / "Mine", *scenes(3))
    (tmp_path / "Mine/images/1.tif").unlink()
    refused(tmp_path / "Mine", "2 images and 3 masks", "1.tif")


def test_two_annotations_of_one_frame(tmp_path):
    folders("x{}.tif", "x{}_masks.tif")(tmp_path / "Mine", *scenes(1))
    write(tmp_path / "Mine/x0_label.png", scenes(1)[1][0])
    refused(tmp_path / "Mine", "two annotations", "x0_label.png and x0_masks.tif")


def test_channels_in_files_of_their_own_are_chosen(tmp_path):
    nnunet(tmp_path / "Mine", *scenes(2))
    refused(tmp_path / "Mine", "channels 0, 1", "channel: 0")
    refused(tmp_path / "Mine", "channels 0, 1", "channel 7", channel=7)


def test_formats_of_medical_images_are_named(tmp_path):
    for name in ("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"):
        (tmp_path / "Mine" / name).parent.mkdir(parents=True)
        (tmp_path / "Mine" / name).write_bytes(b"?")
    refused(tmp_path / "Mine", "a_0000.nii.gz", "convert frames and labels to TIFF")


def test_labels_of_ome_zarr_are_chosen(tmp_path):
    ome_zarr("0.5")(tmp_path / "Mine", *scenes(1))
    refused(tmp_path / "Mine", "several labels", "empty, nuclei", "labels: empty")
    refused(tmp_path / "Mine", "does not have the labels", "cytoplasm", labels="cytoplasm")


@pytest.mark.parametrize("name", [".zattrs", "s0/.zarray"])
def test_damaged_ome_zarr(tmp_path, name):
    ome_zarr("0.4")(tmp_path / "Mine", *scenes(1))
    (tmp_path / "Mine/img0.ome.zarr" / name).write_text("{]")
    refused(tmp_path / "Mine", "An OME-Zarr cannot be read", labels="nuclei", channel=1)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n broken"])
def test_damaged_pictures(tmp_path, content):
    folders("images/{}.png", "masks/{}.png")(tmp_path / "Mine", *scenes(2))
    (tmp_path / "Mine/images/0.png").write_bytes(content)
    refused(tmp_path / "Mine", "A picture cannot be read", "images/0.png")


def test_colour_pictures_need_a_channel(tmp_path):
    images, labels = scenes(2)
    folders("images/{}.png", "masks/{}.png")(tmp_path / "Mine", [np.stack([image] * 3, -1) for image in images], labels)
    refused(tmp_path / "Mine", "colour", "channel: 0")


def test_two_frames_of_one_number(tmp_path):
    images, labels = scenes(1)
    folders("01/t{:03d}.tif", "01_ST/SEG/man_seg{:03d}.tif")(tmp_path / "Mine", images, labels)
    write(tmp_path / "Mine/01/t0000.tif", images[0])
    refused(tmp_path / "Mine", "same number", "t0000.tif", "t000.tif")


def test_masks_of_cellpose_that_are_none(tmp_path):
    seg_npy(tmp_path / "Mine", *scenes(1))
    np.save(tmp_path / "Mine/well_0_seg.npy", {"outlines": 1})
    refused(tmp_path / "Mine", "Masks of Cellpose cannot be read", "well_0_seg.npy")


def test_a_pickle_that_would_run_code_runs_none(tmp_path):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "attacked"),)

    np.save(tmp_path / "x_seg.npy", {"masks": Attack()})
    with pytest.raises(InputError, match=r"posix\.mkdir"):
        read_part(tmp_path / "x_seg.npy", ...)
    assert not (tmp_path / "attacked").exists()


def test_archives_that_are_damaged_or_write_elsewhere(tmp_path):
    folders("images/{}.tif", "masks/{}.tif")(tmp_path / "Mine", *scenes(1))
    path = tmp_path / "Mine.zip"
    path.write_bytes(b"PK no archive")
    with pytest.raises(InputError, match=r"An archive cannot be unpacked"):
        unpacked(path)
    for name in ("../outside.tif", "/outside.tif", "a/../../outside.tif"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, b"x")
        with pytest.raises(InputError, match="written elsewhere"):
            unpacked(path)
    assert not list(tmp_path.parent.glob("outside.tif")) and not (tmp_path / "resources").exists()
