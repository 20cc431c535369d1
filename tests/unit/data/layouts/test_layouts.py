"""Data sets of every layout are read as they are: which frames there are, their pixels, and what is kept for tests."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellcascade.config.load import load_config
from cellcascade.core.errors import InputError
from cellcascade.data.recording import Recording, held_out_recording, training_recording
from tests.unit.data.layouts.writing import folders, nnunet, ome_zarr, scenes, seg_npy, stardist, write, zipped

LAYOUTS = {
    "equal names": (folders("images/field {}.tif", "masks/field {}.tif"), "folders", {}),
    "another suffix": (folders("raw/a_{}.png", "Labels/a_{}_mask.TIF"), "folders", {}),
    "other words": (folders("frames/img_{:03d}.jp2", "GT/seg_{:03d}.png"), "folders", {}),
    "by order": (folders("images/{}-a.bmp", "masks/{}-b-c.tiff"), "folders", {}),
    "beside the masks": (folders("f{}.tif", "masks/f{}.tif"), "folders", {}),
    "names that hold a word": (folders("my_frames/f{}.tif", "my_label_images/f{}.tif"), "folders", {}),
    "_masks": (folders("well{}.tif", "well{}_masks.tif"), "suffixes", {}),
    "_label": (folders("x{}_img.TIF", "x{}_label.png"), "suffixes", {}),
    "cp_masks below train": (folders("train/x{}.png", "train/x{}_cp_masks.png"), "suffixes", {}),
    "_seg.npy": (seg_npy, "suffixes", {}),
    "StarDist": (stardist, "folders", {}),
    "nnU-Net": (nnunet, "nnunet", {"channel": 1}),
    "OME-Zarr 0.4": (ome_zarr("0.4"), "ome-zarr", {"channel": 1, "labels": "nuclei"}),
    "OME-Zarr 0.5": (ome_zarr("0.5"), "ome-zarr", {"channel": 1, "labels": "nuclei"}),
    "CTC, upper case": (folders("01/t{:02d}.TIF", "01_GT/SEG/man_seg{:05d}.tiff"), "ctc", {"test_sequence": None}),
    "zip": (zipped(folders("images/f{}.tif", "masks/f{}.tif")), "folders", {}),
    "zip, one folder too deep": (zipped(folders("f{}.tif", "f{}_mask.tif"), "Data/Data"), "suffixes", {}),
}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def config_of(folder: Path, ndim: int = 2, **entry):
    size = [2.0, 0.5, 0.5][-ndim:]
    data = {"folder": folder.name, "voxel_size_um": size, "annotations": "GT", **entry}
    return load_config({"data_root": str(folder.parent), "datasets": {"mine": data}})


@pytest.mark.parametrize("writer, layout, entry", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_gives_the_same_frames(tmp_path, writer, layout, entry):
    images, labels = scenes(12)
    writer(tmp_path / "Mine", images, labels)
    config = config_of(tmp_path / "Mine", **{"test_share": 0.2, **entry})
    training, tests = training_recording(config, "mine"), held_out_recording(config, "mine", "GT")
    assert training.layout == layout and tests is not None
    found = [(training, training.checked_frames()), (tests, tests.checked_frames())]
    assert sorted(item.frame for _, items in found for item in items) == list(range(12))
    assert len(found[1][1]) == (1 if layout == "nnunet" or writer is stardist else 2)
    for recording, items in found:
        assert items == recording.frames()
        for item in items:
            frame, cells = recording.read(item)
            np.testing.assert_array_equal(cells, labels[item.frame])
            np.testing.assert_array_equal(frame, images[item.frame])
            assert recording.read_image(item).shape == frame.shape and all(path.is_file() for path in item.files)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_stacks_of_ome_zarr(tmp_path, version):
    images, labels = scenes(2, ndim=3)
    ome_zarr(version)(tmp_path / "Mine", images, labels)
    recording = training_recording(config_of(tmp_path / "Mine", 3, channel=1, labels="nuclei", test_share=0), "mine")
    for item in recording.checked_frames():
        frame, cells = recording.read(item)
        np.testing.assert_array_equal(frame, images[item.frame])
        np.testing.assert_array_equal(cells, labels[item.frame])
        np.testing.assert_array_equal(recording.read_image(item)[3:5], images[item.frame][3:5])


@pytest.mark.parametrize("options", [{"imagej": True}, {"ome": True}, {"ome": True, "compression": "zlib"}])
@pytest.mark.parametrize("ndim", [2, 3])
def test_films_by_their_axes(tmp_path, ndim, options):
    images, labels = scenes(5, ndim)
    axes = "TZCYX" if ndim == 3 else "TCYX"
    film = np.stack([np.stack([frame // 2, frame], -3) for frame in images])
    write(tmp_path / "Film/film.tif", film, metadata={"axes": axes}, **options)
    write(tmp_path / "Film/film_masks.tif", np.stack(labels), metadata={"axes": axes.replace("C", "")}, **options)
    config = config_of(tmp_path / "Film", ndim, channel=1)
    training, tests = training_recording(config, "mine"), held_out_recording(config, "mine")
    assert [item.frame for item in training.checked_frames()] == [0, 1, 2, 3]
    assert [item.frame for item in tests.checked_frames()] == [4], "the end of a film is kept for tests"
    for item in training.frames():
        frame, cells = training.read(item)
        np.testing.assert_array_equal(frame, images[item.frame])
        np.testing.assert_array_equal(cells, labels[item.frame])
        np.testing.assert_array_equal(training.read_image(item)[1], images[item.frame][1])
    with pytest.raises(InputError, match=r"several channels[\s\S]*channel: 0"):
        training_recording(config_of(tmp_path / "Film", ndim), "mine").checked_frames()
    with pytest.raises(InputError, match=r"2 channels[\s\S]*channel 2"):
        training_recording(config_of(tmp_path / "Film", ndim, channel=2), "mine").checked_frames()


def test_a_share_of_zero_keeps_nothing_for_tests(tmp_path):
    folders("images/{}.tif", "masks/{}.tif")(tmp_path / "Mine", *scenes(3))
    for entry in ({"test_share": 0}, {"test_sequence": None}):
        config = config_of(tmp_path / "Mine", **entry)
        assert held_out_recording(config, "mine") is None
        assert len(training_recording(config, "mine").frames()) == 3


def test_one_frame_is_learned_from_and_none_is_left_for_tests(tmp_path):
    folders("images/{}.tif", "masks/{}.tif")(tmp_path / "Mine", *scenes(1))
    config = config_of(tmp_path / "Mine")
    assert len(training_recording(config, "mine").frames()) == 1
    with pytest.raises(InputError, match=r"No annotated frame is left for tests[\s\S]*test_share: 0"):
        held_out_recording(config, "mine").frames()


def test_frames_without_annotations_are_left_out_and_keep_no_number(tmp_path):
    images, labels = scenes(4)
    folders("images/{}.tif", "masks/{}.tif")(tmp_path / "Mine", images, labels)
    (tmp_path / "Mine/masks/1.tif").unlink()
    found = training_recording(config_of(tmp_path / "Mine", test_share=0), "mine").frames()
    assert [item.image.name for item in found] == ["0.tif", "2.tif", "3.tif"]
    assert [item.frame for item in found] == [0, 1, 2]


def test_frames_may_differ_in_shape_but_not_in_type(tmp_path):
    images, labels = scenes(2)
    images[1], labels[1] = images[1][:60], labels[1][:60]
    folders("images/{}.tif", "masks/{}.tif")(tmp_path / "Mine", images, labels)
    recording = training_recording(config_of(tmp_path / "Mine", test_share=0), "mine")
    assert [recording.read(item)[0].shape for item in recording.checked_frames()] == [(96, 112), (60, 112)]
    write(tmp_path / "Mine/images/1.tif", images[1].astype(np.uint16))
    with pytest.raises(InputError, match="differs from the first one"):
        recording.checked_frames()


def test_an_archive_is_unpacked_once_by_its_contents(tmp_path):
    writer = zipped(folders("images/f{}.tif", "masks/f{}.tif"))
    writer(tmp_path / "Mine", *scenes(2))
    config = config_of(tmp_path / "Mine.zip")
    first = training_recording(config, "mine").folder
    assert first == training_recording(config_of(tmp_path / "Mine"), "mine").folder and first.is_dir()
    (tmp_path / "Mine.zip").touch()
    assert training_recording(config, "mine").folder == first
    writer(tmp_path / "Mine", *scenes(3))
    assert len(list(training_recording(config, "mine").folder.glob("images/*"))) == 3


def test_a_stack_of_three_slices_whose_file_does_not_say_so_is_no_colour(tmp_path):
    images, labels = scenes(1, ndim=3)
    tifffile.imwrite(tmp_path / "x.tif", images[0][4:7])
    tifffile.imwrite(tmp_path / "x_mask.tif", labels[0][4:7])
    assert tifffile.TiffFile(tmp_path / "x.tif").series[0].axes == "SYX"
    recording = Recording(tmp_path, "all", "GT", (2.0, 0.5, 0.5), layout="suffixes")
    (item,) = recording.checked_frames()
    np.testing.assert_array_equal(recording.read(item)[0], images[0][4:7])
