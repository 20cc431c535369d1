"""Which real cells lend their light, and which outlines are kept; with a focus, by what a network misses."""

import numpy as np
import pandas as pd
import pytest

from cellcascade.data.crops import read_crops
from cellcascade.diffusion.lenders import Lenders
from cellcascade.population.misses import read_misses


@pytest.fixture
def hardness(tmp_path):
    """A table by which dim, small cells are missed and bright, large ones found; between them, half of both."""
    rng = np.random.default_rng(0)
    area, brightness, eccentricity = rng.uniform(100, 400, 600), rng.uniform(50, 170, 600), rng.uniform(0, 0.9, 600)
    missed = rng.random(600) < 1 / (1 + np.exp((area - 250) / 30 + (brightness - 110) / 15))
    cells = {"area": area, "brightness": brightness, "eccentricity": eccentricity, "touching": 0, "border": 0}
    path = tmp_path / "hardness.csv"
    pd.DataFrame(cells | {"iou": np.where(missed, 0.2, 0.9)}).to_csv(path, index=False)
    return path


def test_without_a_table_cells_of_similar_area_lend_alike_and_every_outline_is_kept(crops):
    data, generator = read_crops(crops), np.random.default_rng(0)
    lenders, areas = Lenders(data), data.mask.sum((1, 2))
    largest = data.mask[areas.argmax()]
    drawn = np.bincount([lenders.draw(largest, generator) for _ in range(3000)], minlength=24)
    assert set(np.flatnonzero(drawn)) == set(np.argsort(areas)[-6:])
    assert np.ptp(drawn[drawn > 0]) < 150  # of 500 each
    assert all(lenders.keep(mask, 1.0) for mask in data.mask)


def test_outlines_and_lights_together_are_as_frequent_as_cells_are_to_be_made(crops, hardness):
    data, generator, focus = read_crops(crops), np.random.default_rng(1), 4.0
    lenders = Lenders(data, hardness, focus)
    made = np.zeros((24, 24))
    for _ in range(700):
        for number, mask in enumerate(data.mask):
            if lenders.keep(mask, generator.random()):
                made[number, lenders.draw(mask, generator)] += 1
    outline, light = np.nonzero(made)
    traits = [data.mask.sum((1, 2))[outline], (data.brightness - data.background)[light], np.zeros(len(outline))]
    wanted = read_misses(hardness).weights(np.stack(traits, 1).astype(float), focus)
    assert len(wanted) == 24 * 6 and wanted.max() > 4 * wanted.min()
    share = made[outline, light] / made.sum()
    np.testing.assert_allclose(share, wanted / wanted.sum(), atol=0.003)  # of .007 on average, up to .01
    assert np.corrcoef(share, wanted)[0, 1] > 0.9


def test_with_a_focus_of_zero_the_table_changes_nothing(crops, hardness):
    data = read_crops(crops)
    lenders, alike = Lenders(data, hardness, 0.0), Lenders(data)
    assert all(lenders.keep(mask, 0.999) for mask in data.mask)
    drawn = np.zeros((2, 24))
    for which, each in enumerate((lenders, alike)):
        generator = np.random.default_rng(2)
        np.add.at(drawn[which], [each.draw(data.mask[0], generator) for _ in range(3000)], 1)
    assert np.abs(drawn[0] - drawn[1]).max() < 120
