"""Whole images on the page."""

import re

import numpy as np
import pytest
from scipy import ndimage

from cellcascade.core.errors import InputError
from cellcascade.report.images import (
    SyntheticImage,
    beside_real_frame,
    images_part,
    labelled_sheets,
    read_synthetic_image,
)
from cellcascade.report.pictures import Display
from tests.unit.report.reading import pixels_of

DISPLAY = Display((0.0, 100.0))


def test_a_synthetic_image_is_shown_with_its_labels(written, ndim):
    part = images_part(written[1]["images"], DISPLAY)
    assert part.beside is None and "2 labelled cells" in part.synthetic.caption
    plain, coloured = (pixels_of(picture.src) for picture in part.synthetic.pictures)
    assert plain.shape == coloured.shape[:2] and coloured.shape[2] == 3
    assert ("XZ (below)" in part.synthetic.caption) == (ndim == 3)


def test_a_cell_has_one_colour_in_all_planes():
    labels = np.zeros((6, 20, 20), "u2")
    labels[:, 2:8, 2:8], labels[:, 10:18, 10:18] = 1, 2
    made = SyntheticImage("img-00000", labels * 40, labels, (1.0, 1.0, 1.0))
    (_, coloured), where = labelled_sheets(made, DISPLAY, scale=1)
    z, y, x = (int(number) for number in re.findall(r"= (\d+)", where))
    planes = coloured[:20, :20], coloured[24:, :20], coloured[:20, 24:]
    cuts = labels[z], labels[:, y], labels[:, :, x].T
    inner = [plane[ndimage.binary_erosion(cut == 2)] for plane, cut in zip(planes, cuts)]
    assert len({tuple(colour) for colours in inner for colour in colours}) == 1 and all(map(len, inner))


def test_images_are_cut_to_equal_size_beside_a_real_frame():
    made = SyntheticImage("img-00000", np.full((10, 20), 50, "u2"), np.zeros((10, 20), "u2"), (1.0, 1.0))
    pair = beside_real_frame(np.full((16, 12), 100, "u2"), made, DISPLAY)
    real, synthetic = (pixels_of(picture.src) for picture in pair.pictures)
    assert real.shape == synthetic.shape == (10 * 45, 12 * 45)
    assert (real == 255).all() and (synthetic == 128).all() and "10 × 12 pixels of both" in pair.caption


def test_a_folder_without_images_is_named(tmp_path):
    with pytest.raises(InputError, match="no composed images"):
        read_synthetic_image(tmp_path)
