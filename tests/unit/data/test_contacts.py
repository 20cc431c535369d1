"""The light of touching cells in drawn frames whose neighbours' light is known."""

import numpy as np
import pytest
from scipy import ndimage

from cellcascade.data.contacts import measure_contacts, neighbour_light


def scene(share):
    """Pairs of touching discs and lone ones: a blurred light of each, of which a share falls on the other of a pair."""
    labels, image, grid = np.zeros((400, 400), np.uint16), np.full((400, 400), 10.0), np.indices((400, 400))
    centres = [(y, x) for y in range(30, 400, 60) for x in range(30, 400, 60)]
    pairs = [centre for number, centre in enumerate(centres) if number % 2]
    for y, x in centres + [(y, x + 19) for y, x in pairs]:
        labels[(np.hypot(grid[0] - y, grid[1] - x) < 10) & (labels == 0)] = labels.max() + 1
    for label in range(1, labels.max() + 1):
        light = ndimage.gaussian_filter((labels == label) * 100.0, 2)
        image += np.where((labels > 0) & (labels != label), share, 1) * light
    return image, labels


@pytest.mark.parametrize("share", (0.0, 0.5, 1.0))
def test_the_share_of_the_neighbours_light_is_found_again(share):
    found = neighbour_light([measure_contacts(*scene(share), (1.0, 1.0))])
    assert found == pytest.approx(share, abs=0.25)


def test_more_light_of_neighbours_is_a_larger_share():
    found = [neighbour_light([measure_contacts(*scene(share), (1.0, 1.0))]) for share in (0.2, 0.5, 0.8)]
    assert found[0] < found[1] < found[2]


def test_without_touching_cells_all_light_falls_on_neighbours():
    image, labels = scene(0.0)
    assert neighbour_light([]) == 1
    assert neighbour_light([measure_contacts(image, np.where(labels == 1, labels, 0), (1.0, 1.0))]) == 1
