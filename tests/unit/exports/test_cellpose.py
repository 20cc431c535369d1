"""Cellpose's own reader and command line on what is exported for it."""

from pathlib import Path

import numpy as np
import pytest

from cellcascade.core.errors import InputError
from cellcascade.data.synthetic import open_synthetic
from cellcascade.exports.cellpose import BYTES_PER_PIXEL
from tests.synthetic import scattered, write_set
from tests.unit.exports.conftest import labels_of

io = pytest.importorskip("cellpose.io")


def loaded(folder: Path, part: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images and masks of a part as Cellpose reads them, by their names."""
    images, labels, names = io.load_images_labels(str(folder / part))
    return {Path(name).stem: pair for name, *pair in zip(names, images, labels, strict=True)}


def test_cellpose_reads_images_and_masks_to_the_pixel(flat, exported):
    folder, done = exported("cellpose", flat)
    read = loaded(folder, "train") | loaded(folder, "test")
    assert set(read) == {f"img-{number:05d}" for number in (2, 3, 4, 5)} and len(loaded(folder, "test")) == 1
    for image in flat.images[2:]:
        counts, labels = read[image.name]
        assert np.array_equal(counts, image.counts()) and np.array_equal(labels, image.labels())
        assert labels.dtype == np.uint16
    assert "fewer than 5 masks, left out: 1 (img-00000)" in " ".join(done.notes)
    assert "without cells, left out: img-00001" in " ".join(done.notes)


def test_images_with_few_masks_are_joined_side_by_side(tmp_path, exported):
    pairs = [scattered((64, 64), 3, seed) for seed in range(4)]
    source = open_synthetic(write_set(tmp_path / "synthetic", pairs))
    folder, _ = exported("cellpose", source, few_masks="join", validation=0)
    read = loaded(folder, "train")
    assert set(read) == {"img-00000+00001", "img-00002+00003"}
    (first, second), (counts, labels) = pairs[:2], read["img-00000+00001"]
    assert np.array_equal(counts, np.concatenate([first[0], second[0]], 1))
    assert np.array_equal(labels[:, :64], first[1])
    assert np.array_equal(labels[:, 64:], np.where(second[1], second[1] + first[1].max(), 0))


def test_planes_of_stacks_have_square_pixels_and_the_nearest_labels(stacks, exported):
    folder, done = exported("cellpose", stacks, min_masks=1)
    read = loaded(folder, "train") | loaded(folder, "test")
    labels = labels_of(stacks)
    tall = {name: np.repeat(stack, 2, 0) for name, stack in labels.items()}  # the distance of slices is two pixels
    seen = dict.fromkeys(("xy", "xz", "yz"), 0)
    for name, (counts, cells) in read.items():
        image, orientation, at = name.split("_")
        axis = ("xy", "xz", "yz").index(orientation)
        assert np.array_equal(cells, (tall if axis else labels)[image].take(int(at), axis))
        assert counts.shape == cells.shape and counts.dtype == np.uint16
        seen[orientation] += 1
    shown = [sum((stack > 0).any(other).sum() for stack in labels.values()) for other in ((1, 2), (0, 2), (0, 1))]
    assert list(seen.values()) == shown
    assert {counts.shape for counts, _ in read.values()} == {(56, 64), (20, 64), (20, 56)}
    assert "--anisotropy" in " ".join(done.notes)


def test_counts_of_stretched_planes_are_interpolated(stacks, exported):
    folder, _ = exported("cellpose", stacks, min_masks=1, validation=0)
    name, (counts, _) = next((name, pair) for name, pair in loaded(folder, "train").items() if "_xz_" in name)
    image, _, at = name.split("_")
    stack = next(item for item in stacks.images if item.name == image).counts()[:, int(at)].astype(float)
    between = np.rint(0.75 * stack[3] + 0.25 * stack[4])  # rows of twice as many lie at quarters between slices
    assert np.array_equal(counts[7], between)


def test_no_more_is_written_than_fits_into_memory(flat, exported):
    gigabytes = 2 * 96 * 112 * BYTES_PER_PIXEL / 1e9
    folder, done = exported("cellpose", flat, memory_gb=gigabytes, validation=0)
    assert len(loaded(folder, "train")) == 2
    assert "left out, so that the training fits" in " ".join(done.notes)


def test_without_an_image_with_enough_masks_nothing_is_left(flat, exported, tmp_path):
    with pytest.raises(InputError, match="No image can be used to train Cellpose"):
        exported("cellpose", flat, min_masks=99)
    assert not list(tmp_path.iterdir())
