"""Warnings for cells that priors do not know."""

import logging

import numpy as np
import pytest

from cellcascade.config.settings import MaskDDPM
from cellcascade.config.values import BUNDLED, Tuning
from cellcascade.data.crops import read_crops
from cellcascade.data.stores import CROPS
from cellcascade.diffusion import mask_ddpm
from cellcascade.diffusion.mask_prior import SIZE
from cellcascade.diffusion.prior_range import SHARES, WIDTHS, median_width, warn_of_masks, warn_of_textures
from cellcascade.diffusion.texture.domains import SIZES
from tests.stores import write_store


def discs(width, size, count=3):
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.stack([np.hypot(y, x) < width / 2] * count).astype(np.uint8)


def crops_of(folder, masks, light=100.0, background=10.0):
    n = len(masks)
    arrays = {"mask": masks, "image": np.where(masks > 0, light, background), "widest": np.ones(n)}
    arrays |= {"brightness": np.full(n, light), "background": np.full(n, background), "label": np.arange(n)}
    return read_crops(write_store(CROPS, folder / "crops.zarr.zip", arrays))


def test_the_width_is_that_of_a_circle():
    assert median_width(discs(40, 64)) == pytest.approx(40, abs=0.5)


def test_known_cells_are_not_warned_of(tmp_path, caplog):
    for width, size in ((17, 32), (33, 64), (90, 128)):
        warn_of_textures(crops_of(tmp_path, discs(width, size)), BUNDLED)
        warn_of_masks(discs(width, size))
    assert not caplog.records


@pytest.mark.parametrize(("width", "size"), [(5, 32), (300, 512)])
def test_cells_of_other_sizes_are_warned_of(tmp_path, caplog, width, size):
    for base in (BUNDLED, "lab/prior"):
        caplog.clear()
        warn_of_textures(crops_of(tmp_path, discs(width, size)), base)
        (record,) = caplog.records
        said = record.getMessage()
        assert record.levelno == logging.WARNING and "12 to 90 pixels" in said and "base: scratch" in said
        assert any(f"these are {about} pixels wide" in said for about in range(width - 1, width + 2))


def test_dark_cells_on_a_bright_background_are_warned_of(tmp_path, caplog):
    crops = crops_of(tmp_path, discs(30, 64), light=50, background=180)
    warn_of_textures(crops, "lab/prior")  # which may know such cells
    assert not caplog.records
    warn_of_textures(crops, BUNDLED)
    assert "100% of these are darker than their background" in caplog.text and "bright on a dark" in caplog.text


def test_the_job_that_fine_tunes_masks_warns_of_those_too_small_for_their_crops(tmp_path, caplog):
    quick = MaskDDPM(tuning=Tuning(steps=1, batch_size=1, check_every=1))
    made = {"weights": tmp_path / "w.safetensors", "config": tmp_path / "c.json", "table": tmp_path / "t.csv"}
    how = {"checkpoints": str(tmp_path / "ck"), "seed": 0, "device": "cpu"}
    small = crops_of(tmp_path, discs(5, 32)).store.path
    mask_ddpm.train_mask_ddpm(crops=small, settings=quick, **made, **how)
    assert "5 pixels wide in crops of 32" in caplog.text and "crops.size" in caplog.text


def test_what_is_said_to_be_known_is_what_priors_learn_from():
    low, high = zip(*SIZES.values())
    assert min(low) <= WIDTHS[0] and max(high) >= WIDTHS[1] and SHARES[1] * SIZE >= WIDTHS[1]
