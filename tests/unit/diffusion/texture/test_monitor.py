"""What is looked at while a texture model trains."""

import logging

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from cellcascade.core.errors import InputError
from cellcascade.data.crops import read_crops
from cellcascade.data.stores import CROPS
from cellcascade.diffusion.process import noise_schedule
from cellcascade.diffusion.texture import monitor
from cellcascade.diffusion.texture.hints import CellHints
from cellcascade.diffusion.texture.spaces import PixelSpace
from cellcascade.metrics.consistency import fitted_rho
from tests.stores import write_store
from tests.unit.diffusion.texture.quick import TEXTURE, fine_tune, loaded, settings


class Drawing(torch.nn.Module):
    """Stands in for a trained network: draws the hint's disc, or the same one whatever the hint, with some noise."""

    schedule, profile = noise_schedule(1000), None

    def __init__(self, follows):
        super().__init__()
        self.space, self.weight, self.follows = PixelSpace(32, 2), torch.nn.Parameter(torch.zeros(1)), follows
        self.space.fit(torch.rand(8, 1, 32, 32))
        self.space.hint = lambda hint: hint

    def guided(self, hint, blind=None, scale=1.0):
        seen = hint[:, :1] if self.follows else hint[:1, :1].roll(9, -1).expand(len(hint), -1, -1, -1)
        clean = self.space.encode(torch.where(seen > 0, 0.6, -0.6))

        def predict(noisy, steps):
            alpha = self.schedule.alphas_cumprod[steps.flatten()[0]]
            return (alpha.sqrt() * noisy - clean) / (1 - alpha).sqrt()

        return predict


@pytest.mark.parametrize("follows", [True, False])
def test_a_model_that_ignores_its_condition_is_warned_of(crops, tmp_path, caplog, follows):
    data = read_crops(crops)
    watch = monitor.Watch(Drawing(follows), TEXTURE, data, CellHints.of_crops(data), seed=0)
    with SummaryWriter(tmp_path) as board, caplog.at_level(logging.WARNING, "cellcascade"):
        iou = watch(board, 100)["mask_iou"]
    assert (iou > 0.9) == follows == (not caplog.records)
    assert follows or "do not follow their outlines" in caplog.text


def bars(tmp_path, *, alike=False):
    """A store of cells that differ, so that their outlines can be told apart, or of one cell many times."""
    masks = np.zeros((16, 32, 32), np.uint8)
    masks[::2, 13:19, 4:28], masks[1::2, 4:28, 13:19] = 1, 1
    masks = masks[[0] * 16] if alike else masks
    image = np.random.default_rng(0).poisson(10 + 100 * masks).astype(np.uint16)
    ones = np.ones(16)
    arrays = {"image": image, "mask": masks, "label": np.arange(16), "frame": ones, "z": -ones, "widest": ones}
    arrays |= {"area_ratio": ones, "brightness": 110 * ones, "background": 10 * ones}
    return read_crops(write_store(CROPS, tmp_path / "bars.zarr.zip", arrays, dataset="bars", window=(5, 150)))


@pytest.mark.parametrize(
    ("follows", "step", "steps", "stops"),
    [(False, 9_999, 20_000, False), (False, 10_000, 20_000, True), (False, 4_000, 4_000, True)]
    + [(False, 3_999, 3_999, False), (True, 20_000, 20_000, False)],
)
def test_outlines_that_are_ignored_for_good_stop_the_training(tmp_path, follows, step, steps, stops):
    data = bars(tmp_path)
    block = settings(block=2, train={"steps": steps})
    watch = monitor.Watch(Drawing(follows), block, data, CellHints.of_crops(data), seed=0)
    with SummaryWriter(tmp_path) as board:
        if not stops:
            watch(board, step)
            return
        with pytest.raises(InputError, match="ignores the outlines") as error:
            watch(board, step)
    assert "texture.trainable" in str(error.value)


def test_cells_that_are_all_alike_never_stop_a_training(tmp_path):
    alike = bars(tmp_path, alike=True)
    watch = monitor.Watch(Drawing(False), settings(train={"steps": 1}), alike, CellHints.of_crops(alike), seed=0)
    with SummaryWriter(tmp_path) as board:
        assert watch(board, 20_000)["mask_iou"] < 0.9


def test_likeness_of_neighbouring_slices_grows_with_rho(crops, tmp_path):
    data, generator = read_crops(crops), np.random.default_rng(0)
    mask = np.repeat(data.mask[:6], 3, 0)
    common = np.repeat(generator.normal(100, 20, (6, 32, 32)), 3, 0)
    image = np.where(mask, common + generator.normal(0, 20, mask.shape), 10).clip(0, 255).astype(np.uint16)
    places, ones = np.arange(18), np.ones(18)
    arrays = {"image": image, "mask": mask, "frame": ones, "label": places // 3, "z": places % 3}
    arrays |= {"widest": places % 3 == 1, "area_ratio": ones, "brightness": 100 * ones, "background": 10 * ones}
    store = write_store(CROPS, tmp_path / "c.zarr.zip", arrays, dataset="discs", window=data.record.window)
    model = fine_tune(store, tmp_path, settings())
    table = pd.read_csv(model / "rho.csv")
    for kind, group in table.groupby("correlation"):
        assert group["rho"].tolist() == list(monitor.RHOS) and set(group["pairs"]) == {12}, kind
        made, real = group["synthetic"], group["real"].iloc[0]
        assert made.is_monotonic_increasing and made.iloc[0] < real - 0.1 < real + 0.3 < made.iloc[-1], kind
        assert real == pytest.approx(0.5, abs=0.1)
        assert 0.3 < fitted_rho(table, kind) < 1.5
    assert set(table["correlation"]) == {"coarse", "eq2"}


def test_of_single_slices_the_stack_tells_how_alike_they_are(crops, tmp_path):
    data = read_crops(crops)
    arrays = {name: getattr(data, name) for name in CROPS.arrays}
    facts = {"dataset": "discs", "window": data.record.window, "slice_likeness": 0.5}
    store = write_store(CROPS, tmp_path / "c.zarr.zip", arrays, **facts)
    table = pd.read_csv(fine_tune(store, tmp_path, settings()) / "rho.csv")
    for kind, group in table.groupby("correlation"):
        assert group["rho"].tolist() == list(monitor.RHOS) and set(group["real"]) == {0.5}, kind
        assert group["synthetic"].is_monotonic_increasing and group["synthetic"].iloc[-1] > 0.7, kind
        assert 0 < fitted_rho(table, kind) < 4, kind


def test_the_profile_does_not_depend_on_how_many_slices_are_sampled_at_once(crops, tmp_path):
    """That setting is no reason to train again, so it must not show in a trained model."""
    model, data = loaded(fine_tune(crops, tmp_path, settings())), read_crops(crops)
    model.profile = None
    given = data, CellHints.of_crops(data), 0
    one, other = (monitor.measure_profile(model, settings(sampling_batch=size), *given) for size in (1, 7))
    np.testing.assert_array_equal(one.drawn, other.drawn)
