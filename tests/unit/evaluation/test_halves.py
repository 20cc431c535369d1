"""No half of the annotated cells is judged by a network that has seen a cell of it."""

from dataclasses import replace

import numpy as np
import pytest

from cellcascade.core.errors import InputError
from cellcascade.data.recording import Recording
from cellcascade.evaluation.halves import halves
from tests.ctc_data import Blob, Scene, scene_3d, write_sequence, write_sparse_gold
from tests.unit.data.layouts.writing import folders, scenes

WIDE = Scene((60, 100), [Blob(1, (20, 20), (8, 8)), Blob(2, (30, 46), (7, 8)), Blob(3, (40, 80), (8, 8), 160.0)])


def of_frames(folder, number=5, **other):
    """A film of one scene."""
    write_sequence(folder, scene=WIDE, frames=number, annotated=tuple(range(number)))
    return Recording(folder, "01", "ST", (1.0, 1.0), **other)


def test_a_film_is_divided_into_its_beginning_and_its_end(tmp_path):
    first, second = halves(of_frames(tmp_path), tmp_path)
    assert [item.frame for item in first.judged] == [0, 1] and [item.frame for item in second.judged] == [2, 3, 4]
    for half, other in ((first, second), (second, first)):
        assert half.learned.frames() == other.judged and half.labels is None


def test_of_single_images_every_second_one_is_in_a_half(tmp_path):
    folders("images/{}.tif", "masks/{}.tif")(tmp_path, *scenes(5))
    recording = Recording(tmp_path, "train", "GT", (1.0, 1.0), layout="folders")
    numbers = [{item.frame for item in half.judged} for half in halves(recording, tmp_path)]
    assert sorted(numbers[0] | numbers[1]) == [0, 1, 2, 3, 4] and numbers[0] == {0, 2, 4}


def test_frames_without_a_cell_are_in_no_half(tmp_path):
    recording = of_frames(tmp_path, 3)
    write_sequence(tmp_path, scene=replace(WIDE, blobs=[]), frames=1, annotated=(0,))
    assert [[item.frame for item in half.judged] for half in halves(recording, tmp_path)] == [[1], [2]]


def seen(half):
    """Counts and labels that a network learns from, by annotation; what it does not see is -1."""
    for item in half.learned.frames():
        image, labels = half.learned.read(item)
        ignored = half.learned.read_ignored(item)
        yield image, labels.astype(int) if ignored is None else np.where(ignored, -1, labels.astype(int))


@pytest.mark.parametrize("upright", [False, True])
def test_a_single_frame_is_split_in_the_middle_of_its_longer_side(tmp_path, upright):
    scene = WIDE
    if upright:
        scene = Scene(scene.shape[::-1], [replace(b, centre=b.centre[::-1], radii=b.radii[::-1]) for b in scene.blobs])
    write_sequence(tmp_path / "data", scene=scene, frames=1, annotated=(0,))
    recording = Recording(tmp_path / "data", "01", "ST", (1.0, 1.0))
    (item,) = recording.frames()
    whole = [array.T if upright else array for array in recording.read(item)]
    first, second = halves(recording, tmp_path / "parts")
    assert first.labels.tolist() == [1, 2] and second.labels.tolist() == [3]
    assert first.judged == second.judged == [item]
    for half, side, own in ((second, slice(0, 50), [1, 2]), (first, slice(50, 100), [3])):
        ((image, labels),) = ([array.T if upright else array for array in pair] for pair in seen(half))
        assert (image == whole[0][:, side]).all() and set(np.unique(labels)) - {0, -1} == set(own)
        assert not set(half.labels) & set(np.unique(labels))  # what is judged was not seen
        assert ((labels == -1) == (np.isin(whole[1][:, side], half.labels))).all()
    assert (whole[1][:, 50:] == 2).any()  # a cell was cut


def test_the_part_of_a_cut_cell_that_is_not_learned_is_dark(tmp_path):
    from cellcascade.evaluation.cellpose.planes import real_planes

    write_sequence(tmp_path / "data", scene=WIDE, frames=1, annotated=(0,))
    first, _ = halves(Recording(tmp_path / "data", "01", "ST", (1.0, 1.0)), tmp_path / "parts")
    planes = real_planes(first.learned, orientations=False, most=9)
    cut = WIDE.labels()[:, 50:] == 2
    assert cut.any() and set(np.unique(planes.labels[0])) == {0, 3}
    background = planes.images[0][WIDE.labels()[:, 50:] == 0]
    assert planes.images[0][cut].max() < np.percentile(background, 75)


def test_a_patch_is_split_as_it_is_and_what_nobody_annotated_stays_out(tmp_path):
    write_sequence(tmp_path / "data", scene=WIDE, frames=1, annotated=(0,))
    recording = Recording(tmp_path / "data", "01", "ST", (1.0, 1.0), patch=80, ignore_label=3)
    with pytest.raises(InputError, match="too few annotated cells"):
        halves(recording, tmp_path / "none")
    first, second = halves(replace(recording, ignore_label=1, patch=96), tmp_path / "parts")
    assert first.labels.tolist() == [2] and second.labels.tolist() == [3]
    ((image, labels),) = seen(second)
    assert image.shape == (60, 48) and set(np.unique(labels)) == {-1, 0, 2}


@pytest.mark.parametrize("sparse", [False, True])
def test_a_single_stack_is_split_whether_all_its_slices_are_annotated_or_some(tmp_path, sparse):
    scene, folder = scene_3d(), tmp_path / "data"
    write_sequence(folder, scene=scene, frames=1, annotated=(0,), dtype=np.uint16)
    write_sparse_gold(folder, scene=scene, slices=[(0, 4), (0, 6)])
    recording = Recording(folder, "01", "GT" if sparse else "ST", (2.0, 1.0, 1.0))
    found = halves(recording, tmp_path / "parts")
    assert [half.labels.tolist() for half in found] == [[1, 5], [2]]
    for half in found:
        learned = half.learned.frames()
        assert [item.z for item in learned] == [item.z for item in half.judged] == ([4, 6] if sparse else [None])
        for _, labels in seen(half):
            assert labels.shape == ((64, 36) if sparse else (12, 64, 36))
            assert not set(half.labels) & set(np.unique(labels))


def test_cells_in_one_half_alone_cannot_be_judged(tmp_path):
    for number, blobs in enumerate(([], WIDE.blobs[:1])):
        folder = tmp_path / str(number)
        write_sequence(folder, scene=replace(WIDE, blobs=blobs), frames=1, annotated=(0,))
        with pytest.raises(InputError, match="too few annotated cells") as caught:
            halves(Recording(folder, "01", "ST", (1.0, 1.0)), tmp_path / "parts")
        assert "population.focus: 0" in caught.value.fix
