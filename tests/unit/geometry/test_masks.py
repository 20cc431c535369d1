import numpy as np
import pytest

from cellcascade.geometry.masks import iou, signed_distance


def test_signed_distance_is_zero_between_the_pixels_on_both_sides_of_an_outline():
    mask = np.zeros((9, 11), bool)
    mask[3:6, 2:8] = True
    distance = signed_distance(mask)
    assert distance.dtype == np.float32 and np.array_equal(distance > 0, mask)
    assert distance[2:6, 4].tolist() == [-0.5, 0.5, 1.5, 0.5] and distance[0, 4] == -2.5
    assert distance[1, 0] == pytest.approx(0.5 - np.hypot(2, 2))


def test_everything_is_far_outside_an_empty_mask():
    assert (signed_distance(np.zeros((6, 8))) == -8).all()


def test_iou_is_that_of_each_pair_and_zero_where_there_is_nothing():
    a, b = np.zeros((3, 4, 4)), np.zeros((3, 4, 4), np.uint8)
    a[0, :2], b[0, 1:3] = 0.3, 1
    a[1], b[1] = -1.0, 1
    assert iou(a, b).tolist() == [pytest.approx(1 / 3), 0, 0]
    assert iou(b[:1], b[:1]).tolist() == [1]
