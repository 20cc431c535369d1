"""Layouts are like those of the frames they were measured in."""

import logging

import numpy as np
import pytest

from cellcascade.config.settings import Population
from cellcascade.data.layout import fit_layout, measure_frame
from cellcascade.data.stores import TEXTURES
from cellcascade.population.arrangement import Target, arrange_cells, rules_of
from cellcascade.population.cell_choice import Choice
from cellcascade.population.cell_library import CellLibrary
from cellcascade.population.placement import Canvas
from tests.stores import write_store

RADIUS = 6


def library(folder):
    """Round cells of one size."""
    y, x = np.ogrid[:32, :32]
    mask = (np.hypot(y - 15.5, x - 15.5) < RADIUS).astype(np.uint8)
    arrays = {"image": 100 * mask[None, None], "mask": mask[None, None], "n_slices": [1]}
    return CellLibrary([write_store(TEXTURES, folder / "textures.zarr.zip", arrays)], rim=4)


def frame(rng, kind, shape=(300, 300)):
    """A frame of 40 round cells: in touching pairs, or on a jittered grid, far from each other."""
    labels, grid = np.zeros(shape, np.uint16), np.indices(shape)
    places = rng.permutation([(y, x) for y in range(25, 300, 42) for x in range(25, 300, 42)])
    middles = places[:40] + rng.integers(-4, 5, (40, 2))
    if kind == "pairs":
        middles = np.concatenate([middles[:20], middles[:20] + (0, 2 * RADIUS)])
    for label, (y, x) in enumerate(middles, 1):
        labels[(np.hypot(grid[0] - y + 0.5, grid[1] - x + 0.5) < RADIUS) & (labels == 0)] = label
    return labels


def measured(labels):
    return measure_frame(labels, np.unique(labels[labels > 0]).tolist(), (1.0, 1.0))


@pytest.mark.parametrize("kind, touching", [("pairs", 1.0), ("grid", 0.0)])
def test_touching_cells_and_distances_are_those_of_the_frames(tmp_path, kind, touching):
    rng = np.random.default_rng(2)
    real = [measured(frame(rng, kind)) for _ in range(3)]
    layout = fit_layout(real)
    rules, cells, made = rules_of(Population(), layout), library(tmp_path), []
    for seed in range(3):
        canvas = Canvas((1, 300, 300), spacing=(1.0, 1.0, 1.0), gap=rules.gap, reach=max(rules.reach, 6))
        target = Target(layout, np.mean(layout.touching), 40)
        chosen, generator = [Choice(0, np.nan)] * 40, np.random.default_rng(seed)
        placed = arrange_cells(cells, canvas, chosen, rules=rules, target=target, generator=generator)
        assert len(placed) == 40
        made.append(measured(canvas.labels[0]))
    assert np.mean([each.touching for each in real]) == pytest.approx(touching, abs=0.05)
    assert np.mean([each.touching for each in made]) == pytest.approx(touching, abs=0.2)
    near, far = (np.median(np.concatenate([each.separation for each in side])) for side in (made, real))
    assert near == pytest.approx(far, rel=0.3, abs=1.5)


def test_numbers_override_what_the_frames_show_and_few_cells_leave_the_defaults(caplog):
    rng = np.random.default_rng(3)
    layout = fit_layout([measured(frame(rng, "grid"))])
    with caplog.at_level(logging.WARNING):
        own = rules_of(Population(reach=7, gap=3, clustering=0.2), None)
        assert (own.reach, own.gap, own.clustering) == (7, 3, 0.2)
        assert rules_of(Population(), layout).gap == layout.gap > 3
        assert not caplog.records
        few = rules_of(Population(), None)
    assert (few.reach, few.gap, few.clustering) == (10, 1, 0.5)
    assert "too few cells are annotated" in caplog.text


def test_cells_of_a_stack_lie_as_deep_as_they_should(tmp_path):
    mask = np.zeros((3, 32, 32), np.uint8)
    mask[:, 10:20, 10:20], mask[1, 8:22, 8:22] = 1, 1
    arrays = {"image": 100 * mask[None], "mask": mask[None], "n_slices": [3]}
    cells = CellLibrary([write_store(TEXTURES, tmp_path / "textures.zarr.zip", arrays)], rim=4)
    rng = np.random.default_rng(4)
    labels = np.zeros((20, 150, 150), np.uint16)
    for label in range(1, 13):
        z, y, x = rng.integers((0, 0, 0), (17, 136, 136))
        labels[z : z + 3, y : y + 14, x : x + 14] = label
    layout = fit_layout([measure_frame(labels, np.unique(labels[labels > 0]).tolist(), (1.0, 1.0, 1.0))])
    rules = rules_of(Population(gap=1), layout)
    canvas = Canvas((20, 150, 150), spacing=(1.0, 1.0, 1.0), gap=1, reach=max(rules.reach, 6))
    wanted = np.tile([0.225, 0.775], 6)
    chosen, target = [Choice(0, depth) for depth in wanted], Target(layout, 0.0, 12)
    placed = arrange_cells(cells, canvas, chosen, rules=rules, target=target, generator=rng)
    depths = [(item.corner[0] + 1.5) / 20 for item in placed]
    assert np.corrcoef(depths, wanted)[0, 1] > 0.9
