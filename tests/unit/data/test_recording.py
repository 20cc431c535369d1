"""Recordings: which frames, how they are read, and which recordings a data set has."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from cellcascade.config.load import load_config
from cellcascade.data.recording import Recording, held_out_recording, training_recording
from tests.ctc_data import scene_2d, scene_3d, write_2d, write_3d, write_sparse_gold


def test_annotated_frames_are_read_with_their_labels(tmp_path):
    recording = Recording(write_2d(tmp_path / "Toy"), "01", "ST", (0.5, 0.5))
    assert recording.ndim == 2 and recording.anisotropy == 1
    assert [item.frame for item in recording.frames()] == [0, 2]
    assert recording.frames() == recording.checked_frames()
    image, labels = recording.read(recording.frames()[0])
    np.testing.assert_array_equal(labels, scene_2d().labels())
    np.testing.assert_array_equal(image, recording.read_image(recording.frames()[0]))


def test_of_an_annotated_slice_the_whole_frame_can_be_read(tmp_path):
    folder = write_3d(tmp_path / "Toy")
    write_sparse_gold(folder, scene=scene_3d(), slices=[(0, 4), (0, 7)])
    recording = Recording(folder, "01", "ST", (1.0, 0.5, 0.5), [0]).all_of("GT")
    assert recording.ndim == 3 and recording.anisotropy == 2 and recording.chosen_frames is None
    item = recording.frames()[1]
    image, labels = recording.read(item)
    np.testing.assert_array_equal(labels, scene_3d().labels()[7])
    np.testing.assert_array_equal(image, recording.read_image(item)[7])


def test_a_choice_of_frames_is_kept(tmp_path):
    folder = write_2d(tmp_path / "Toy")
    assert [item.frame for item in Recording(folder, "01", "ST", (1.0, 1.0), [2]).frames()] == [2]
    assert len(Recording(folder, "01", "ST", (1.0, 1.0), 1).checked_frames()) == 1


def test_of_a_patch_nothing_but_the_middle_is_read(tmp_path):
    whole = Recording(write_2d(tmp_path / "Toy"), "01", "ST", (0.5, 0.5))
    patch, item = replace(whole, patch=41), whole.frames()[0]
    image, labels = whole.read(item)
    first = [(side - 41) // 2 for side in image.shape]
    part = tuple(slice(start, start + 41) for start in first)
    np.testing.assert_array_equal(patch.read(item)[0], image[part])
    np.testing.assert_array_equal(patch.read(item)[1], labels[part])
    np.testing.assert_array_equal(patch.read_labels(item), labels[part])
    seen = patch.read_image(item)
    assert seen.shape == (41, 41)
    np.testing.assert_array_equal(seen, image[part])
    np.testing.assert_array_equal(seen[3:9, 5], image[part][3:9, 5])
    assert patch.count_cells() == 2 * len(np.unique(labels[part])[1:]) < whole.count_cells()
    assert patch.all_of("GT").patch is None


def test_a_patch_of_a_stack_has_all_its_slices_and_at_most_the_frame(tmp_path):
    whole = Recording(write_3d(tmp_path / "Toy"), "01", "ST", (1.0, 0.5, 0.5), [0])
    item = whole.frames()[0]
    image, _ = whole.read(item)
    edge = min(image.shape[1:]) - 4
    first = [(side - edge) // 2 for side in image.shape[1:]]
    part = image[:, first[0] : first[0] + edge, first[1] : first[1] + edge]
    seen = replace(whole, patch=edge).read_image(item)
    assert seen.shape == part.shape
    np.testing.assert_array_equal(seen[2], part[2])
    np.testing.assert_array_equal(seen[2:5, 3], part[2:5, 3])
    np.testing.assert_array_equal(seen[:, :, 0], part[:, :, 0])
    assert replace(whole, patch=10_000).read_image(item).shape == image.shape


def test_a_cell_in_several_slices_counts_once(tmp_path):
    folder = write_3d(tmp_path / "Toy")
    write_sparse_gold(folder, scene=scene_3d(), slices=[(0, 4), (0, 7)])
    recording = Recording(folder, "01", "ST", (1.0, 0.5, 0.5), [0]).all_of("GT")
    labels = scene_3d().labels()
    assert recording.count_cells() == len(np.union1d(*np.split(labels[[4, 7]], 2))) - 1


def test_recordings_of_a_data_set():
    entry = {"folder": "Toy", "voxel_size_um": [1.0, 0.5, 0.5], "train_frames": 2, "train_slices": [3, 4]}
    config = load_config({"data_root": "some", "datasets": {"toy": entry, "alone": {**entry, "test_sequence": None}}})
    assert training_recording(config, "toy") == Recording(Path("some/Toy"), "01", "ST", (1.0, 0.5, 0.5), 2, [3, 4])
    assert held_out_recording(config, "toy", "GT") == Recording(Path("some/Toy"), "02", "GT", (1.0, 0.5, 0.5))
    assert held_out_recording(config, "alone") is None


def test_of_one_sequence_the_last_frames_are_kept_for_tests_if_a_share_is_asked_for(tmp_path):
    write_2d(tmp_path / "Toy", frames=5, annotated=(0, 1, 2, 4))
    entry = {"folder": "Toy", "voxel_size_um": [0.5, 0.5], "test_sequence": None}
    raw = {"data_root": str(tmp_path), "datasets": {"toy": {**entry, "test_share": 0.5}, "all": entry}}
    config = load_config(raw)
    assert [item.frame for item in training_recording(config, "toy").frames()] == [0, 1]
    assert [item.frame for item in held_out_recording(config, "toy").checked_frames()] == [2, 4]
    assert [item.frame for item in training_recording(config, "all").frames()] == [0, 1, 2, 4]
