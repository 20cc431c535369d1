"""Kinds of reference objects: who belongs to them, and their SEG."""

import numpy as np
import pandas as pd
import pytest

from cellcascade.evaluation.strata import STRATA, object_traits, seg_by_stratum


def scene():
    """A round bright cell, a long dim one, two that touch, and one that the border cuts."""
    labels, image = np.zeros((60, 80), np.uint16), np.full((60, 80), 10.0)
    y, x = np.mgrid[:60, :80]
    labels[np.hypot(y - 20, x - 20) < 10] = 3
    labels[40:44, 10:40] = 5
    labels[10:20, 50:60], labels[10:20, 61:71] = 7, 8
    labels[50:60, 60:66] = 9
    for label, light in ((3, 200), (5, 20), (7, 100), (8, 100), (9, 100)):
        image[labels == label] = light
    return image, labels


def test_traits_of_objects_are_those_that_were_drawn():
    rows = object_traits(*scene(), (0.5, 0.5))
    assert rows["brightness"].tolist() == [190, 10, 90, 90, 90]
    assert rows["size"].tolist()[1:] == [120, 100, 100, 60]
    assert rows["touching"].tolist() == [False, False, True, True, False]
    assert rows["border"].tolist() == [False] * 4 + [True]
    assert rows["roundness"].tolist()[:3] == pytest.approx([1, 4 / 30, 1], abs=0.02)


def test_roundness_of_a_stack_counts_micrometres():
    z, y, x = np.mgrid[-8:9, -20:21, -20:21]
    ball = ((4 * z) ** 2 + y**2 + x**2 < 18**2).astype(np.uint16)
    assert object_traits(ball * 5, ball, (2.0, 0.5, 0.5))["roundness"].item() == pytest.approx(1, abs=0.05)
    assert object_traits(ball * 5, ball, (0.5, 0.5, 0.5))["roundness"].item() == pytest.approx(0.25, abs=0.03)


def test_a_lone_pixel_and_an_image_full_of_cells_have_traits():
    lone = np.zeros((9, 9), np.uint16)
    lone[4, 4] = 1
    assert object_traits(lone * 7, lone, (1, 1))["roundness"].tolist() == [1]
    full = np.ones((9, 9), np.uint16)
    assert object_traits(full * 7, full, (1, 1))["brightness"].tolist() == [7]


def test_seg_by_stratum_is_the_mean_of_its_objects():
    traits = pd.DataFrame(
        {
            "brightness": np.arange(10.0),
            "size": np.arange(10)[::-1],
            "roundness": np.linspace(0.5, 1, 10),
            "touching": [False] * 10,
            "border": [True] + [False] * 9,
        }
    )
    found = seg_by_stratum(traits, np.arange(10) / 10)
    assert tuple(found) == STRATA
    assert [found[name] for name in ("dim", "small", "elongated", "border")] == pytest.approx([0.05, 0.85, 0.05, 0])
    assert np.isnan(found["touching"])
