import shutil

import numpy as np
import pytest
import tifffile

from cellcascade.core.errors import InputError
from cellcascade.data.recording import Recording
from cellcascade.data.synthetic import open_synthetic
from cellcascade.exports.ctc import digits
from cellcascade.metrics.seg import annotation_pairs, score
from tests.synthetic import scattered, write_set


@pytest.mark.parametrize("ndim", (2, 3))
def test_our_own_reader_of_the_challenge_reads_frames_and_labels(flat, stacks, exported, ndim):
    source = flat if ndim == 2 else stacks
    folder, _ = exported("ctc", source)
    recording = Recording(folder, "01", "GT", source.voxel_size_um)
    frames = recording.checked_frames()
    assert len(frames) == len(source.images)
    for item, image in zip(frames, source.images, strict=True):
        assert np.array_equal(recording.read_image(item)[...], image.counts())
        assert np.array_equal(recording.read_labels(item), image.labels())


def test_the_truth_as_a_result_scores_one_by_ours_and_by_py_ctcmetrics(flat, exported):
    metrics = pytest.importorskip("ctc_metrics.metrics.technical.seg")
    matching = pytest.importorskip("ctc_metrics.utils.representations")
    folder, _ = exported("ctc", flat)
    (folder / "01_RES").mkdir()
    truths = sorted((folder / "01_GT/SEG").iterdir())
    assert [path.name for path in truths] == [f"man_seg{frame:03d}.tif" for frame in range(6)]
    results = [folder / "01_RES" / path.name.replace("man_seg", "mask") for path in truths]
    for truth, result in zip(truths, results):
        shutil.copy(truth, result)
    found = [matching.match(str(truth), str(result)) for truth, result in zip(truths, results)]
    assert metrics.seg([item[0] for item in found], [item[4] for item in found]) == 1
    assert score(annotation_pairs(folder / "01_GT", folder / "01_RES")).seg == 1


def test_more_than_a_thousand_frames_have_four_digits():
    assert [digits(count) for count in (1, 1000, 1001, 10_000)] == [3, 3, 4, 4]


@pytest.mark.parametrize("form", ("ctc", "hub", "cellpose"))
def test_labels_above_the_limit_of_a_format_are_refused(tmp_path, exported, form):
    image, labels = scattered((96, 96), 20)
    large = np.where(labels, labels.astype(np.uint32) + 65535, 0)
    source = open_synthetic(write_set(tmp_path / "synthetic", [(image, large)]))
    with pytest.raises(InputError, match="more labels than") as caught:
        exported(form, source)
    assert "img-00000.ome.zarr" in caught.value.where and "65535" in caught.value.expected
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic"]


def test_formats_without_a_limit_keep_large_labels(tmp_path, exported):
    image, labels = scattered((96, 96), 20)
    large = np.where(labels, labels.astype(np.uint32) + 65535, 0)
    source = open_synthetic(write_set(tmp_path / "synthetic", [(image, large)]))
    folder, _ = exported("pairs", source)
    read = tifffile.imread(folder / "img-00000_masks.tif")
    assert read.dtype == np.uint32 and np.array_equal(read, large)
