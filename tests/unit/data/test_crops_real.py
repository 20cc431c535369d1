"""Crops of real stem cells, where the Cell Tracking Challenge's data are at hand."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from tests.ctc_data import annotated_frames
from tests.unit.data.cutting import cut


def gowt1() -> Path | None:
    """The folder of Fluo-N2DH-GOWT1, from CELLCASCADE_DATA or in a data folder in or beside the repository."""
    root = Path(__file__).resolve().parents[3]
    named = os.environ.get("CELLCASCADE_DATA")
    places = [Path(named)] if named else [root / "data", *sorted(root.parent.glob("*/data"))]
    return next((place / "Fluo-N2DH-GOWT1" for place in places if (place / "Fluo-N2DH-GOWT1").is_dir()), None)


@pytest.fixture
def some_stem_cells(tmp_path: Path) -> Path:
    """Links to some annotated frames, which keeps the test short."""
    if gowt1() is None:
        pytest.skip("Fluo-N2DH-GOWT1 is not there: set CELLCASCADE_DATA to the folder it is in")
    for annotated in annotated_frames(gowt1(), "01", "ST")[::10]:
        for path in (annotated.image, annotated.labels):
            link = tmp_path / "GOWT1" / path.relative_to(gowt1())
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    return tmp_path / "GOWT1"


def test_real_stem_cells(some_stem_cells):
    crops, rows = cut(some_stem_cells, size=128)
    assert len(rows) == sum(crops.record.cells_per_frame) > 100
    assert rows.kept.mean() > 0.9
    assert crops.record.frame_shape == (1024, 1024)
    low, high = crops.record.window
    assert low < 5 and 100 < high < 255
    # nothing as bright as a cell is left far from the cell in the middle
    far = ndimage.maximum_filter(crops.mask, (1, 15, 15)) == 0
    smooth = ndimage.uniform_filter(crops.image.astype(np.float32), (1, 9, 9))
    assert (np.where(far, smooth, 0).max((1, 2)) < 0.5 * np.median(crops.brightness)).mean() > 0.98
