"""How alike the slices of real cells are, by the stack around the annotated ones."""

import numpy as np
import pytest

from cellcascade.data.slice_likeness import inner_of, mean_likeness
from tests.ctc_data import write_tiff
from tests.unit.data.cutting import cut

KEPT = 0.6  # correlation of neighbouring slices


def write_stack(folder, *, sparse, shape=(16, 150, 150)):
    """Six tall cells in which noise goes from slice to slice; annotated as a whole, or in slice 8."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(shape)
    for below, above in zip(noise, noise[1:]):
        above *= (1 - KEPT**2) ** 0.5
        above += KEPT * below
    labels, (y, x) = np.zeros(shape, np.uint16), np.mgrid[: shape[1], : shape[2]]
    for label in range(1, 7):
        middle = np.array([30 + 45 * ((label - 1) // 3), 30 + 45 * ((label - 1) % 3)])
        labels[2:15, np.hypot(y - middle[0], x - middle[1]) < 11] = label
    write_tiff(folder / "01/t000.tif", (200 + (labels > 0) * 300 + 20 * noise).astype(np.uint16))
    name = "man_seg_000_008.tif" if sparse else "man_seg000.tif"
    write_tiff(folder / "01_GT/SEG" / name, labels[8] if sparse else labels)
    return folder


@pytest.mark.parametrize("sparse", [False, True])
def test_the_stack_tells_how_alike_slices_are_whatever_is_annotated(tmp_path, sparse):
    crops, _ = cut(write_stack(tmp_path / "Toy", sparse=sparse), annotations="GT", ndim=3, size=48)
    assert len(crops.z) == 6
    assert crops.record.slice_likeness == pytest.approx(KEPT, abs=0.05)


def test_few_pairs_tell_nothing():
    assert mean_likeness([0.5] * 3) is None
    assert mean_likeness([0.4, 0.6] * 2) == 0.5


def test_the_inner_part_keeps_from_the_outline_in_the_plane_alone():
    masks = np.zeros((2, 20, 20), np.uint8)
    masks[0, 5:15, 5:15] = 1
    inner = inner_of(masks)
    assert inner[0, 7:13, 7:13].all() and inner.sum() == 36
