"""FID and KID of features with known answers, and the table of a data set."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from cellcascade.config.settings import CropSettings
from cellcascade.core.errors import InputError
from cellcascade.data.crops import make_crops, read_crops, to_unit
from cellcascade.data.recording import Recording
from cellcascade.data.stores import CROPS, TEXTURES
from cellcascade.metrics import fid as module
from cellcascade.metrics.fid import CellRows, cell_distances, feature_distances, frechet_distance, kernel_distance
from tests.stores import write_store

ROOT = Path(__file__).resolve().parents[3]
COLUMNS = ["dataset", "features", "metric", "pair", "value", "low", "high", "n", "warning"]


def normal(seed: int, n: int, d: int, *, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    mixing = np.random.default_rng(99).normal(size=(d, d)) / np.sqrt(d)
    return np.random.default_rng(seed).normal(size=(n, d)) @ mixing * scale + shift


class Given(torch.nn.Module):
    """Takes features for images."""

    def __init__(self, dims: int):
        super().__init__()
        self.num_features = dims

    def forward(self, images):
        return images.flatten(1)


def by_torchmetrics(metric, a: np.ndarray, b: np.ndarray) -> float:
    metric = metric.set_dtype(torch.float64)
    metric.update(torch.from_numpy(a)[:, :, None, None], real=True)
    metric.update(torch.from_numpy(b)[:, :, None, None], real=False)
    result = metric.compute()
    return float(result[0] if isinstance(result, tuple) else result)


@pytest.mark.parametrize(("n", "m", "d"), [(300, 200, 24), (40, 60, 50), (30, 25, 200)])
def test_distances_are_those_of_torchmetrics(n, m, d):
    a, b = normal(0, n, d), normal(1, m, d, shift=0.3, scale=1.2)
    expected = by_torchmetrics(
        FrechetInceptionDistance(feature=Given(d), normalize=True, input_img_size=(d, 1, 1)), a, b
    )
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    fewer = min(n, m)  # torchmetrics draws subsets of one size from both
    kernel = KernelInceptionDistance(feature=Given(d), subsets=1, subset_size=fewer, normalize=True)
    expected = by_torchmetrics(kernel, a[:fewer], b[:fewer])
    assert kernel_distance(a[:fewer], b[:fewer]) == pytest.approx(expected, rel=1e-6)


def test_fid_of_two_normal_distributions_is_the_closed_form():
    """Independent coordinates: the squared differences of means and of standard deviations."""
    n = 200_000
    a, b = np.random.default_rng(0).normal(size=(2, n, 2)) * [[[1, 2]], [[3, 2]]] + [[[0, 0]], [[0, 5]]]
    assert frechet_distance(a, b) == pytest.approx((3 - 1) ** 2 + 5**2, rel=0.01)


@pytest.mark.parametrize(("n", "d"), [(200, 16), (20, 300)])
def test_fid_of_a_set_with_itself_is_zero(n, d):
    features = normal(0, n, d, shift=3)
    spread = features.var(0).sum()
    assert frechet_distance(features, features[::-1]) == pytest.approx(0, abs=1e-9 * spread)
    assert frechet_distance(features, 1.01 * features) > 1e-6 * spread


def test_kid_of_one_distribution_is_zero_on_average_and_fid_is_not():
    draws = [(normal(2 * i, 25, 12), normal(2 * i + 1, 25, 12)) for i in range(300)]
    kid, fid = (np.array([distance(*draw) for draw in draws]) for distance in (kernel_distance, frechet_distance))
    assert abs(kid.mean()) < 2 * kid.std(ddof=1) / np.sqrt(len(kid))
    assert fid.min() > 0.5
    apart = [kernel_distance(normal(2 * i, 25, 12), normal(2 * i + 1, 25, 12, shift=0.5)) for i in range(300)]
    assert np.mean(apart) > 5 * kid.std(ddof=1) / np.sqrt(len(kid))


def rows_of(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_index(["metric", "pair"])


def compared(real, synthetic, *, seed=0, real_cells=None, synthetic_cells=None, **more) -> pd.DataFrame:
    """The table by metric and pair; without cells, every row is one."""
    sides = ((real, real_cells), (synthetic, synthetic_cells))
    rows = [CellRows(values, np.arange(len(values)) if cells is None else cells) for values, cells in sides]
    return rows_of(feature_distances(*rows, generator=np.random.default_rng(seed), **more))


def test_equal_distributions_are_as_far_apart_as_halves_of_one():
    found = compared(normal(0, 400, 8), normal(1, 300, 8))
    assert (found.n == 200).all()
    real, made = found.loc[("FID", "real-real")], found.loc[("FID", "real-synthetic")]
    assert real.low < made.value < real.high
    assert made.low < real.value < made.high
    for pair in ("real-real", "real-synthetic"):
        assert found.loc[("KID", pair)].low < 0 < found.loc[("KID", pair)].high


def test_another_distribution_is_farther_than_halves_of_the_real_one():
    found = compared(normal(0, 400, 8), normal(1, 300, 8, shift=1))
    for metric in ("FID", "KID"):
        assert found.loc[(metric, "real-synthetic")].low > found.loc[(metric, "real-real")].high


@pytest.mark.parametrize("shift", [0.0, 0.6])
def test_intervals_hold_the_figure_of_fresh_draws(shift):
    """The figure expected at this n, from many fresh draws, lies in 95 % of the intervals or a little more."""
    n, d, tables = 50, 4, 40
    for metric, distance in module.METRICS.items():
        draws = [distance(normal(2 * i, n, d), normal(2 * i + 1, n, d, shift=shift)) for i in range(5000, 5500)]
        expected, hits, width = np.mean(draws), 0, []
        for i in range(tables):
            found = compared(normal(3 * i, 2 * n, d), normal(3 * i + 1, n, d, shift=shift), seed=i, resamples=50)
            row = found.loc[(metric, "real-synthetic")]
            hits += row.low <= expected <= row.high
            width.append(row.high - row.low)
        assert hits >= 0.85 * tables
        assert np.median(width) < 3 * np.subtract(*np.quantile(draws, [0.975, 0.025]))


def watched(monkeypatch) -> list[tuple[np.ndarray, np.ndarray]]:
    """What is compared with what, in order."""
    seen = []
    watch = {"FID": lambda a, b: seen.append((a[:, 0], b[:, 0])) or 0.0}
    monkeypatch.setattr(module, "METRICS", watch)
    return seen


def test_halves_share_no_cell_and_half_samples_no_row(monkeypatch):
    """Rows are numbered; those of a cell follow each other."""
    seen = watched(monkeypatch)
    cells = np.repeat([30, 10, 20, 70, 60, 50, 40], [5, 1, 3, 5, 4, 2, 6])
    rows = np.stack([np.arange(len(cells)), np.zeros(len(cells))], 1)
    found = compared(rows, rows + 1000, real_cells=cells, synthetic_cells=cells, resamples=40)
    assert (found.n == (26 - 6 + 1) // 2).all()
    assert {len(a) for a, _ in seen} == {10, 5}
    for a, b in seen:
        assert len(np.unique(a)) == len(a) == len(b) == len(np.unique(b))
        if b.max() < 1000:
            assert not set(cells[a.astype(int)]) & set(cells[b.astype(int)])
    assert len({tuple(sorted(a)) for a, _ in seen}) > 20


def test_the_smaller_synthetic_set_sets_the_number_for_both_pairs(monkeypatch):
    seen = watched(monkeypatch)
    found = compared(normal(0, 100, 3), normal(1, 13, 3))
    assert list(found.n) == [13, 13]
    assert {len(x) for pair in seen for x in pair} == {13, 6}


def test_with_training_images_both_pairs_share_the_real_side(monkeypatch):
    """Rows are numbered: test below 1000, synthetic below 2000, training above."""
    seen = watched(monkeypatch)
    rows = [
        CellRows(np.arange(first, first + n)[:, None], np.arange(n)) for first, n in ((0, 9), (1000, 30), (2000, 8))
    ]
    found = feature_distances(rows[0], rows[1], training=rows[2], generator=np.random.default_rng(0), resamples=10)
    assert (found.n == 8).all()
    assert all(a.max() < 1000 <= b.min() for a, b in seen)
    assert {len(a) for a, _ in seen} == {8, 4} and any(b.min() >= 2000 for _, b in seen)


def test_cells_of_the_test_sequence_are_the_real_side_through_the_window_of_training(tmp_path):
    generator = np.random.default_rng(0)
    sets = [generator.integers(0, 200, (n, 8, 8)) for n in (30, 12)]
    crops, test = (write_crops(tmp_path / f"{name}.zarr.zip", images) for name, images in zip("ab", sets))
    shard = write_textures(tmp_path / "0.zarr.zip", generator.integers(0, 200, (20, 1, 8, 8)))
    seen = []
    watch = {"seen": lambda images: seen.append(images) or flat(images)}
    table = cell_distances(crops, [shard], watch, dataset="toy", seed=0, test_crops=test)
    assert set(table.n) == {12}
    np.testing.assert_array_equal(seen[2], to_unit(sets[1], [0, 100]))
    small = write_crops(tmp_path / "c.zarr.zip", sets[1][:, :4, :4])
    with pytest.raises(InputError, match=r"c\.zarr\.zip"):
        cell_distances(crops, [shard], watch, dataset="toy", seed=0, test_crops=small)


def test_warnings_name_what_is_too_few():
    found = compared(normal(0, 60, 16), normal(1, 60, 16))
    assert "30 images in 16 dimensions is biased" in found.loc[("FID", "real-real")].warning
    assert not compared(normal(0, 64, 16), normal(1, 60, 16)).warning.any()
    assert not found.loc["KID"].warning.any()
    few = compared(normal(0, 7, 16), normal(1, 60, 16))
    assert few[["value", "low", "high"]].isna().all(axis=None)
    assert few.warning.str.contains("too few").all()
    assert compared(normal(0, 0, 16), normal(1, 0, 16)).value.isna().all()


def write_textures(path: Path, images: np.ndarray, **arrays) -> Path:
    """A shard of cells (n, S, y, x), whole in all their slices."""
    known = {"mask": np.ones(images.shape), "n_slices": np.full(len(images), images.shape[1])}
    return write_store(TEXTURES, path, {"image": images.astype("u2"), **known, **arrays})


def write_crops(path: Path, images: np.ndarray, *, ndim: int = 2, **arrays) -> Path:
    """Crops (m, y, x) of one frame, whose window is 0 to 100 counts; every crop is a cell."""
    known = {"mask": np.ones(images.shape), "label": np.arange(len(images)), "widest": np.ones(len(images))}
    facts = {"window": (0, 100), "voxel_size_um": (1.0,) * ndim}
    return write_store(CROPS, path, {"image": images.astype("u2"), **known, **arrays}, **facts)


def run(crops, textures, *, seed=0, **features) -> pd.DataFrame:
    return cell_distances(crops, textures, features, dataset="toy", seed=seed)


def flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    """Crops of nuclei of some of the demo's frames, 64 x 64 pixels."""
    folder = tmp_path_factory.mktemp("demo")
    data = ROOT / "demo" / "data" / "DSB2018-20x"
    chosen = [item.frame for item in Recording(data, "01", "GT", (0.5, 0.5)).frames()[::4]]
    make_crops(
        recording=Recording(data, "01", "GT", (0.5, 0.5), chosen_frames=chosen),
        dataset="nuclei",
        settings=CropSettings(size=64),
        store=folder / "crops.zarr.zip",
        table=folder / "crops.csv",
    )
    return folder / "crops.zarr.zip"


def edges(images: np.ndarray) -> np.ndarray:
    """Means and slopes in squares of 16 x 16 pixels."""
    n, y, x = images.shape
    slope = np.hypot(*np.gradient(images, axis=(1, 2)))
    blocks = np.stack([images, 10 * slope]).reshape(2, n, y // 16, 16, x // 16, 16).mean((3, 5))
    return np.concatenate([flat(kind) for kind in blocks], 1)


def test_blurred_nuclei_are_farther_from_real_ones_than_real_ones_are_and_copies_are_not(demo, tmp_path):
    images = read_crops(demo).image
    blurred = np.stack([ndimage.gaussian_filter(image.astype(float), 2) for image in images])
    near = run(demo, [write_textures(tmp_path / "a.zarr.zip", images[:, None])], edges=edges)
    far = run(demo, [write_textures(tmp_path / "b.zarr.zip", blurred[:, None])], edges=edges)
    assert list(far.columns) == COLUMNS
    assert far.loc[0, "n"] == len(images) // 2 > 100
    assert set(far.dataset) == {"toy"} and set(far.features) == {"edges"}
    near, far = rows_of(near), rows_of(far)
    for metric in ("FID", "KID"):
        assert far.loc[(metric, "real-real")].high < far.loc[(metric, "real-synthetic")].low
        assert near.loc[(metric, "real-synthetic")].value < near.loc[(metric, "real-real")].high


def test_valid_cells_alone_are_used_through_the_window_of_the_crops(tmp_path):
    generator = np.random.default_rng(0)
    real = generator.integers(0, 200, (30, 8, 8))
    made = generator.integers(0, 200, (12, 1, 8, 8))
    valid = np.arange(12) % 3 > 0
    crops = write_crops(tmp_path / "crops.zarr.zip", real)
    shards = [
        write_textures(tmp_path / "0.zarr.zip", made[:7], valid=valid[:7]),
        write_textures(tmp_path / "1.zarr.zip", made[7:], valid=valid[7:]),
    ]
    seen = []
    table = run(crops, shards, seen=lambda images: seen.append(images) or flat(images))
    np.testing.assert_array_equal(seen[0], to_unit(real, [0, 100]))
    np.testing.assert_array_equal(seen[1], to_unit(made[valid, 0], [0, 100]))
    assert seen[1].max() == 1
    assert set(table.n) == {8}
    again = run(crops, shards, seen=flat)
    other = run(crops, shards, seed=1, seen=flat)
    pd.testing.assert_frame_equal(table, again)
    assert (table.value != other.value).all()


def test_slices_are_images_in_3d(tmp_path):
    real = np.random.default_rng(0).integers(0, 100, (40, 8, 8))
    made = np.random.default_rng(1).integers(0, 100, (6, 4, 8, 8))
    widest = np.arange(40) % 4 == 0
    crops = write_crops(tmp_path / "c.zarr.zip", real, label=np.arange(40) // 4, widest=widest.astype("u1"), ndim=3)
    shard = write_textures(tmp_path / "t.zarr.zip", made, n_slices=[4, 3, 2, 1, 4, 4], valid=[1, 1, 1, 1, 1, 0])
    seen = []
    table = run(crops, [shard], seen=lambda images: seen.append(images) or flat(images))
    assert set(table.features) == {"seen, per slice"}
    assert [len(images) for images in seen] == [40, 14]
    assert set(table.n) == {14}
    np.testing.assert_array_equal(seen[1][7:9], to_unit(made[2, :2], [0, 100]))


def test_widest_slices_are_compared_with_widest_slices(tmp_path):
    made = np.random.default_rng(1).integers(0, 100, (6, 4, 8, 8))
    mask = np.zeros(made.shape, "u1")
    mask[:, :, 3] = 1
    mask[:3, 1] = 1
    mask[3:, 2] = 1
    crops = write_crops(tmp_path / "c.zarr.zip", np.random.default_rng(0).integers(0, 100, (20, 8, 8)), ndim=3)
    seen = []
    table = run(
        crops,
        [write_textures(tmp_path / "t.zarr.zip", made, mask=mask)],
        seen=lambda images: seen.append(images) or flat(images),
    )
    assert set(table.features) == {"seen, widest slices"}
    np.testing.assert_array_equal(seen[1], to_unit(made[np.arange(6), [1, 1, 1, 2, 2, 2]], [0, 100]))


def test_very_many_images_are_thinned(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_IMAGES", 20)
    images = np.arange(50)[:, None, None] * np.ones((8, 8))
    seen = []
    run(
        write_crops(tmp_path / "c.zarr.zip", images),
        [write_textures(tmp_path / "t.zarr.zip", images[:15, None])],
        seen=lambda images: seen.append(images) or flat(images),
    )
    assert [len(images) for images in seen] == [20, 15]
    assert len(np.unique(seen[0][:, 0, 0])) == 20


def test_what_cannot_be_compared_says_why(tmp_path):
    images = np.random.default_rng(0).integers(0, 100, (20, 8, 8))
    crops = write_crops(tmp_path / "c.zarr.zip", images)
    shard = write_textures(tmp_path / "t.zarr.zip", images[:, None])
    with pytest.raises(InputError, match="features of images cannot be compared"):
        run(crops, [shard], broken=lambda images: flat(images) * np.nan)
    small = write_textures(tmp_path / "s.zarr.zip", images[:, None, :4, :4])
    with pytest.raises(InputError, match="differ in size"):
        run(crops, [small], flat=flat)
