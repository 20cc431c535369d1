import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from cellcascade.population.cell_library import CellLibrary
from cellcascade.population.placement import Canvas, Rules, place_cells
from tests.unit.population.scenes import make, opened, write_inputs, write_textures


def placements(tmp_path, wanted, shape=(1, 300, 300), seed=8, clustering=0.5, reach=10, gap=1):
    library = CellLibrary(write_textures(tmp_path), rim=6)
    rules = Rules(clustering, reach, gap)
    canvas = Canvas(shape, spacing=(1.0, 1.0, 1.0), gap=gap, reach=max(reach, 6))
    generator = np.random.default_rng(seed)
    chosen = generator.integers(len(library), size=wanted).tolist()
    return canvas, place_cells(library, canvas, chosen, rules=rules, generator=generator)


def least_gap(labels, metric):
    """Least distance between voxels of different cells in a Minkowski metric."""
    trees = [cKDTree(np.argwhere(labels == label)) for label in np.unique(labels[labels > 0])]
    return min(one.query(other.data, p=metric)[0].min() for one, other in itertools.combinations(trees, 2))


@pytest.mark.parametrize("gap", (0, 1, 4))
def test_cells_never_overlap_and_keep_the_gap(tmp_path, gap):
    canvas, placed = placements(tmp_path, 60, gap=gap, clustering=0.7)
    assert len(placed) > 20
    visible = 0
    for item in placed:
        z, y, x = (np.argwhere(item.cell.mask) + item.corner).T
        visible += int(((y >= 0) & (y < 300) & (x >= 0) & (x < 300)).sum())
    assert visible == np.count_nonzero(canvas.labels)  # a pixel claimed twice would be counted twice
    assert least_gap(canvas.labels[0], np.inf) > gap


def test_cells_are_the_closer_together_the_larger_p(tmp_path):
    nearest = []
    for clustering in (0.0, 0.5, 1.0):
        found = []
        for seed in range(4):
            _, placed = placements(tmp_path, 25, shape=(1, 700, 700), seed=seed, clustering=clustering)
            centres = np.array([item.corner for item in placed], float)
            found.append(cKDTree(centres).query(centres, k=2)[0][:, 1].mean())
        nearest.append(np.mean(found))
    assert nearest[0] > 1.3 * nearest[1] > 1.3 * 1.1 * nearest[2]


def test_clustered_cells_are_within_reach_of_an_earlier_one(tmp_path):
    canvas, placed = placements(tmp_path, 25, shape=(1, 700, 700), clustering=1.0, reach=4)
    assert [item.clustered for item in placed] == [False] + [True] * (len(placed) - 1)
    for item in placed[1:]:
        earlier = (canvas.labels > 0) & (canvas.labels < item.label)
        assert ndimage.distance_transform_edt(~earlier)[canvas.labels == item.label].min() <= 4


def test_the_border_cuts_cells_anywhere_to_slivers_as_well(tmp_path):
    inputs = write_inputs(tmp_path, shape=(80, 80))
    folder = make(tmp_path / "out", inputs, images=(0, 30), cells_per_image=(5, 5), clustering=0.0)
    cells = pd.read_csv(folder / "cells.csv")
    assert cells["touches_border"].any() and not cells["touches_border"].all()
    cut = cells.loc[cells["touches_border"], "area_px"] / CellLibrary(inputs["textures"], rim=6).areas.mean()
    assert 0.35 < (cut < 0.5).mean() < 0.75  # of cells whose middle lies within, few would be


@pytest.mark.parametrize("ndim, shape", [(2, (200, 240)), (3, (12, 150, 150))])
def test_where_the_border_cuts_no_annotated_cell_it_cuts_no_synthetic_one(tmp_path, ndim, shape):
    inputs = write_inputs(tmp_path, ndim=ndim, shape=shape, cut=False)
    folder = make(tmp_path / "out", inputs, images=(0, 1), cells_per_image=(20, 20), clustering=0.5)
    cells, labels = pd.read_csv(folder / "cells.csv"), opened(folder)[1]
    assert len(cells) > 10 and not cells["touches_border"].any()
    assert not any(labels.take([0, -1], axis).any() for axis in range(ndim))


def test_cells_without_a_place_are_counted(tmp_path):
    inputs = write_inputs(tmp_path, shape=(60, 60))
    folder = make(tmp_path / "out", inputs, images=(0, 1), cells_per_image=(80, 80))
    row = pd.read_csv(folder / "images.csv").iloc[0]
    assert row["not_placed"] > 0 and row["cells"] + row["not_placed"] == 80
    assert opened(folder)[1].max() == row["cells"]
