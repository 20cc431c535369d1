"""Memory of the stages that compare cells grows with what they keep of each, not with its pixels."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from cellcascade.data.stores import CROPS, MASKS, TEXTURES
from cellcascade.metrics.memorisation import compare_memorisation
from cellcascade.metrics.shape import compare_shapes
from cellcascade.metrics.texture import compare_textures
from tests.stores import write_store

EDGE = 64  # pixels
FEW, MANY = 260, 340  # cells, more than a chunk holds and than memorisation compares at once


def cells(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts and masks (n, y, x) of noisy ellipses."""
    rng = np.random.default_rng(seed)
    y, x = (axis - EDGE / 2 for axis in np.ogrid[:EDGE, :EDGE])
    height, width = rng.uniform(8, 24, (2, count, 1, 1))
    mask = (y / height) ** 2 + (x / width) ** 2 < 1
    return rng.poisson(10 + 90 * mask).astype(np.uint16), mask.astype(np.uint8)


def stores(folder: Path, count: int) -> dict[str, Path]:
    """As many real cells in crops of both sequences, and synthetic ones, with three slices."""
    for name, seed in {"crops": 0, "test_crops": 1}.items():
        image, mask = cells(count, seed)
        arrays = {"image": image, "mask": mask, "label": np.arange(count), "widest": np.ones(count)}
        write_store(CROPS, folder / f"{name}-{count}.zarr.zip", arrays)
    image, mask = cells(count, 2)
    write_store(MASKS, folder / f"masks-{count}.zarr.zip", {"mask": mask})
    slices = {name: np.repeat(array[:, None], 3, 1) for name, array in {"image": image, "mask": mask}.items()}
    write_store(TEXTURES, folder / f"textures-{count}.zarr.zip", {**slices, "n_slices": np.full(count, 3)})
    return {name: folder / f"{name}-{count}.zarr.zip" for name in ("crops", "test_crops", "masks", "textures")}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return {count: stores(tmp_path_factory.mktemp("cells"), count) for count in (FEW, MANY)}


def shapes(paths: dict[str, Path], out: Path) -> None:
    compare_shapes(crops=paths["crops"], masks=[paths["masks"]], table=out / "a.csv", cells=out / "b.csv")


def textures(paths: dict[str, Path], out: Path) -> None:
    compare_textures(crops=paths["crops"], textures=[paths["textures"]], table=out / "a.csv", cells=out / "b.csv")


def memorisation(paths: dict[str, Path], out: Path) -> None:
    of_both = {name: [paths[name]] for name in ("masks", "textures")}
    compare_memorisation(crops=paths["crops"], test_crops=paths["test_crops"], **of_both, table=out / "a.csv")


# Numbers of each cell are kept; memorisation keeps synthetic and test cells at 32 x 32 pixels as well.
@pytest.mark.parametrize(("stage", "kept"), [(shapes, 1000), (textures, 2000), (memorisation, 24_000)])
def test_more_cells_take_no_more_memory_than_what_is_kept_of_each(data, tmp_path, stage, kept):
    def peak(count: int) -> int:
        tracemalloc.start()
        stage(data[count], tmp_path)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    few, many = peak(FEW), peak(MANY)
    assert many - few < kept * (MANY - FEW)
