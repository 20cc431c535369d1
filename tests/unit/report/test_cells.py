"""Single cells on the page: the shuffled sheet and its answer, the sentences on likeness and intensity."""

import numpy as np
import pandas as pd

from cellcascade.data.shards import Store
from cellcascade.data.stores import CROPS, TEXTURES
from cellcascade.metrics.consistency import Consistency
from cellcascade.report.cells import distributions, likeness, line_up
from cellcascade.report.pictures import Display
from cellcascade.report.sources import CellSources, open_cells, open_sources
from tests.stores import write_store
from tests.unit.report.reading import pixels_of


def test_answer_of_the_line_up_names_the_synthetic_cells(tmp_path):
    real = write_store(CROPS, tmp_path / "crops.zarr.zip", {"image": np.full((30, 8, 8), 50), "widest": np.ones(30)})
    arrays = {"image": np.full((20, 1, 8, 8), 200), "mask": np.ones((20, 1, 8, 8))}
    textures = open_cells([write_store(TEXTURES, tmp_path / "textures.zarr.zip", arrays)], TEXTURES)
    stages = {"masks": textures, "textures": textures}
    sources = CellSources(CROPS.open(real), np.arange(30), pd.DataFrame(), stages, pd.DataFrame(), pd.DataFrame())
    picture, key = line_up(sources, Display((0, 255)))
    places = pixels_of(picture.src)[64::130, 64::130].ravel()  # tiles of 128 pixels with gaps of 2
    assert len(places) == 32 and sorted(set(places)) == [50, 200]
    bright = [str(place) for place, value in enumerate(places, 1) if value == 200]
    assert key == ", ".join(bright) and len(bright) == 16 and bright != [str(place) for place in range(17, 33)]


def test_likeness_says_which_rho_fits_or_comes_nearest():
    measured = {"rho": [0.0, 1.0], "synthetic": [0.1, 0.5], "real": 0.3, "pairs": 24}
    table = pd.DataFrame({"correlation": "eq2", **measured})
    made = Consistency(2.0, "ar1")
    words = likeness(table, made)
    assert "correlate by 0.10 at ρ = 0, 0.50 at ρ = 1: ρ = 0.58 fits the real ones best" in words
    assert "were made with ρ = 2, the less alike the further apart." in words
    assert "all are less similar than the real ones; ρ = 1 comes nearest" in likeness(table.assign(real=0.9), made)
    assert likeness(table[:0], made) == likeness(None, made) == ""


def test_distributions_look_at_no_pixel(written, monkeypatch):
    sources = open_sources(written[1]["cells"])
    monkeypatch.setattr(Store, "read", None)
    assert distributions(sources)[0].src


def test_distributions_count_each_valid_cell_once(written, ndim):
    picture, words = distributions(open_sources(written[1]["cells"]))
    textures = 4 if ndim == 3 else 5
    assert f"Real cells (n = 7), synthetic masks (n = 5) and synthetic textures (n = {textures})" in picture.caption
    assert words.startswith("Mean counts inside the mask: real 9") and "synthetic 1" in words
