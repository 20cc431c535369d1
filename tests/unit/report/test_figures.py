"""Images of the pages, pixel by pixel."""

import numpy as np

from cellcascade.report.figures import GUTTER, label_overlay, montage, orthogonal_planes, outlines, render_surface, tone
from tests.unit.report.toy import ball


def test_montage_places_tiles_and_maps_the_window():
    images = [np.full((4, 5), value) for value in (10, 60, 110, 200)]
    sheet = montage(images, window=(10, 110), columns=3, scale=2, gap=1)
    assert sheet.shape == (19, 34) and sheet.dtype == np.uint8
    assert sheet[1, 1] == 0 and sheet[1, 12] == 128 and sheet[1, 23] == 255 and sheet[17, 1] == 255
    assert sheet[0, 0] == sheet[17, 12] == GUTTER
    assert tone(np.array([35]), (10, 110), 0.5)[0] == 128


def test_outlines_are_the_rim_of_the_mask():
    mask = np.zeros((9, 9), np.uint8)
    mask[2:7, 2:7] = 1
    sheet = outlines([mask], gap=1)
    drawn = sheet[1:-1, 1:-1, 3] > 0
    assert drawn.sum() == 16 and not drawn[4, 4] and drawn[2, 2] and not drawn[1, 2]
    assert sheet.shape == (*montage([mask], window=(0, 1), gap=1).shape, 4) and not sheet[0].any()


def test_overlay_leaves_background_grey_and_tells_neighbours_apart():
    labels = np.zeros((6, 8), np.uint16)
    labels[1:5, 1:4], labels[1:5, 4:7] = 300, 900
    picture = label_overlay(np.full((6, 8), 100, np.uint8), labels)
    assert (picture[0] == 100).all()
    assert np.abs(picture[2, 2].astype(int) - picture[2, 5]).max() > 40


def test_planes_have_equal_scale_along_all_axes():
    volume = np.zeros((5, 8, 10), np.uint16)
    volume[3, 2, 7] = 9
    front, below, right = orthogonal_planes(volume, (3, 2, 7), (2.0, 0.5, 0.5), scale=2)
    assert front.shape == (16, 20) and below.shape == (40, 20) and right.shape == (16, 40)
    assert (front == 9).sum() == 4 and (below == 9).sum() == 16 and (right == 9).sum() == 16
    assert below[24:32, 14:16].all() and right[4:6, 24:32].all()


def test_surface_has_the_silhouette_of_the_volume_from_each_side():
    size = 32
    z, y, x = (2 * np.mgrid[:size, :size, :size] + 1) / size - 1
    box = np.min([0.8 - np.abs(z), 0.5 - np.abs(y), 0.25 - np.abs(x)], axis=0)
    box[y < 0] -= 0.3
    for turn, axis in ((0, 0), (90, 2)):
        seen = render_surface(box, turn=turn, size=size) > 0
        truth = (box > 0).any(axis) if axis == 0 else (box > 0).any(axis).T
        assert (seen & truth).sum() / (seen | truth).sum() > 0.9
    lit = render_surface(ball(0.7), turn=0, size=48)
    assert lit[14, 18] > lit[34, 30] > 0 and lit[0, 0] == 0
