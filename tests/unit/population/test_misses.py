"""The chance that a network misses a cell, learned from judged cells, and how often cells are drawn by it."""

import numpy as np
import pandas as pd
import pytest

from cellcascade.population.misses import TRAITS, cell_traits, fit_misses, read_misses


def judged(count, *, seed=0, sharpness=4.0):
    """Cells of which the smaller ones are missed more often, half of all; brightness and shape do not matter."""
    rng = np.random.default_rng(seed)
    area, brightness = np.exp(rng.normal(5, 0.6, count)), np.exp(rng.normal(4, 0.5, count))
    missed = rng.random(count) < 1 / (1 + np.exp(sharpness * (np.log(area) - 5)))
    traits = {"area": area, "brightness": brightness, "eccentricity": rng.uniform(0.2, 0.9, count)}
    return pd.DataFrame({**traits, "iou": np.where(missed, 0.3, 0.9), "touching": 0, "border": 0})


def traits(area, brightness=55.0, eccentricity=0.5):
    return np.stack(np.broadcast_arrays(area, brightness, eccentricity), -1).astype(float)


def test_the_chance_of_a_miss_follows_what_was_missed():
    model = fit_misses(judged(800))
    sizes = np.exp([4.0, 5.0, 6.0])
    small, middle, large = model.chance(traits(sizes))
    assert small > 0.9 and middle == pytest.approx(0.5, abs=0.1) and large < 0.1
    dim, bright = model.chance(traits(np.exp(5), np.exp([3.0, 5.0])))
    assert abs(dim - bright) < 0.25  # chance alone


def test_cells_between_found_and_lost_are_drawn_most_and_hopeless_ones_as_often_as_easy_ones():
    model = fit_misses(judged(800, sharpness=8.0))
    sizes = np.exp(np.linspace(3.8, 6.2, 25))
    weights, chance = model.weights(traits(sizes), 3.0), model.chance(traits(sizes))
    assert chance[0] > 0.97 and chance[-1] < 0.03
    assert 0.4 < chance[weights.argmax()] < 0.6 and weights.max() == pytest.approx(4, abs=0.1)
    assert max(weights[0], weights[-1]) < 1.5 and weights.min() >= 1 and weights.max() <= 4
    assert (np.diff(weights)[: weights.argmax()] > 0).all() and (np.diff(weights)[weights.argmax() :] < 0).all()
    assert (model.weights(traits(sizes), 0.0) == 1).all()


def test_what_contact_does_is_not_put_down_to_the_size_of_the_cells_that_touch():
    rng, small = np.random.default_rng(0), traits(np.exp([4.0, 6.0]))
    cells = judged(1500)
    touching = rng.random(1500) < 1 / (1 + np.exp(3 * (np.log(cells["area"]) - 5)))  # small cells touch more
    lost = rng.random(1500) < np.where(touching, 0.5, 0.05)
    cells = cells.assign(touching=touching.astype(int), iou=np.where(lost, 0.3, 0.9))
    told, untold = fit_misses(cells), fit_misses(cells.assign(touching=0))
    assert np.divide(*untold.weights(small, 3.0)) > 1.8
    assert np.divide(*told.weights(small, 3.0)) == pytest.approx(1, abs=0.15)
    both = cells.assign(iou=np.where(lost | (cells["area"] < np.exp(4.5)), 0.3, 0.9))
    small_chance, large_chance = fit_misses(both).chance(small)
    assert small_chance > 0.7 and large_chance < 0.2  # what size does besides is kept


def test_contact_that_is_alike_for_all_tells_nothing():
    cells, some = judged(200), traits(np.exp(np.linspace(3, 7, 9)))
    assert (fit_misses(cells).chance(some) == fit_misses(cells.assign(touching=1)).chance(some)).all()


@pytest.mark.parametrize("missed", [0, 2, 4])
def test_of_few_cells_all_have_nearly_the_chance_of_the_average_one(missed):
    spreads = []
    for copies in (1, 25):
        few = pd.DataFrame({"area": [60, 90, 140, 200], "brightness": [9, 14, 20, 30], "touching": 0, "border": 0})
        few = few.assign(eccentricity=[0.9, 0.7, 0.5, 0.3], iou=np.where(np.arange(4) < missed, 0.2, 0.9))
        chance = fit_misses(pd.concat([few] * copies)).chance(few[[*TRAITS]].to_numpy(float))
        spreads.append(np.ptp(chance))
        assert chance.mean() == pytest.approx((copies * missed + 0.5) / (4 * copies + 1), abs=0.06)
    assert spreads[0] <= (0.55 if missed == 2 else 0.02)
    assert missed != 2 or spreads[1] > spreads[0] + 0.15  # as many again, and size tells


def test_without_a_cell_all_are_alike():
    nothing = judged(0)
    for table in (nothing, judged(5).assign(border=1)):
        model, some = fit_misses(table), traits([20, 500, 3000])
        assert (model.chance(some) == 0.5).all() and (model.weights(some, 2.0) == 3).all()


def test_cells_that_the_border_cuts_are_not_learned_from(tmp_path):
    cells = judged(200)
    slivers = cells.assign(area=5.0, iou=0.0, border=1)
    table = tmp_path / "hardness.csv"
    pd.concat([cells, slivers]).to_csv(table, index=False)
    some = traits(np.exp(np.linspace(3, 7, 9)))
    assert read_misses(table).chance(some) == pytest.approx(fit_misses(cells).chance(some), abs=1e-6)


def test_cells_beyond_the_real_ones_count_as_the_outermost():
    cells = judged(300)
    model = fit_misses(cells)
    least, most = cells["area"].min(), cells["area"].max()
    assert (model.chance(traits([least / 9, most * 9])) == model.chance(traits([least, most]))).all()
    dark = model.chance(traits(150, [-50.0, 0.0, 1e-9]))
    assert np.isfinite(dark).all() and np.ptp(dark) == 0


def test_traits_are_the_size_the_contrast_and_the_shape():
    y, x = np.indices((60, 80))
    rod = ((y - 30) / 5) ** 2 + ((x - 40) / 20) ** 2 < 1
    other = (y - 30) ** 2 + (x - 68) ** 2 < 25
    image = np.where(rod, 90.0, 20.0) + 300.0 * other
    image[:8] = 1000.0  # far away
    area, brightness, eccentricity = cell_traits(image, rod, ~rod & ~other, level=0.0)
    assert area == rod.sum() and brightness == 70
    assert eccentricity == pytest.approx(np.sqrt(1 - (5 / 20) ** 2), abs=0.01)
    assert cell_traits(image, rod, np.zeros_like(rod), level=15.0)[1] == 75
