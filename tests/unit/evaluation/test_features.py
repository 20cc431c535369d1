"""Images are described by the networks that are there, and compared in one table."""

import numpy as np
import pandas as pd
import pytest
import torch

from cellcascade.core.errors import InputError
from cellcascade.evaluation.features import INCEPTION, compare_features
from tests.unit.metrics.test_fid import COLUMNS, write_crops, write_textures
from tests.unit.metrics.test_inception import filled


def compare(folder, **networks):
    """Compare eight crops with four synthetic cells."""
    images = np.random.default_rng(0).integers(0, 100, (8, 8, 8))
    given = {"inception": None, "cellpose": None, **networks}
    compare_features(
        test_crops=None,
        crops=write_crops(folder / "c.zarr.zip", images),
        textures=[write_textures(folder / "t.zarr.zip", images[:4, None])],
        table=folder / "fid.csv",
        dataset="toy",
        seed=0,
        device="cpu",
        **given,
    )
    return pd.read_csv(folder / "fid.csv")


def test_images_are_described_by_inception(tmp_path):
    torch.save(filled().state_dict(), tmp_path / "inception.pth")
    table = compare(tmp_path, inception=tmp_path / "inception.pth")
    assert list(table.columns) == COLUMNS
    assert set(table.features) == {INCEPTION} and set(table.dataset) == {"toy"}
    assert np.isfinite(table.value).all()


def test_without_a_network_nothing_is_compared(tmp_path):
    with pytest.raises(InputError, match="nothing to describe images by"):
        compare(tmp_path)
    assert not (tmp_path / "fid.csv").exists()
