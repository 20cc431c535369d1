"""Real cells take the form of synthetic ones, whole, and images are composed of them."""

import numpy as np
import pytest
import tifffile

from cellcascade.config.settings import CropSettings, Slicing
from cellcascade.data.crops import make_crops
from cellcascade.data.recording import Recording
from cellcascade.data.stores import TEXTURES
from cellcascade.population.cell_library import CellLibrary
from cellcascade.population.real_cells import ellipsoid, make_real_cells
from tests.segmentation_data import blobs

SETTINGS = CropSettings(size=48, min_area=20, margin=1)


def written(folder, image, labels, name="man_seg000.tif"):
    """A CTC folder of one frame."""
    for path, pixels in {"01/t000.tif": image, f"01_ST/SEG/{name}": labels}.items():
        (folder / path).parent.mkdir(parents=True)
        tifffile.imwrite(folder / path, pixels)
    return folder


def real_cells(folder, voxel_size_um, height_ratio=None):
    recording = Recording(folder, "01", "ST", voxel_size_um)
    crops, store = folder / "crops.zarr.zip", folder / "cells.zarr.zip"
    facts = {"recording": recording, "dataset": "toy", "settings": SETTINGS}
    make_crops(**facts, store=crops, table=folder / "crops.csv")
    make_real_cells(**facts, seeded_as="toy", slicing=Slicing(height_ratio=height_ratio), crops=crops, store=store)
    return store


def test_cells_of_a_stack_have_all_their_slices(tmp_path):
    image, labels = blobs((14, 150, 160), 0)
    store = real_cells(written(tmp_path, image, labels), (2.0, 1.0, 1.0))
    cells = TEXTURES.open(store)
    whole = {int((labels == label).sum()) for label in np.unique(labels)[1:]}
    sizes = cells["mask"].sum((1, 2, 3)).tolist()
    assert len(sizes) > 3 and set(sizes) <= whole
    counts = cells["n_slices"]
    assert counts.max() == cells["mask"].shape[1] and counts.min() > 1
    assert all((mask[:count].any((1, 2))).all() for mask, count in zip(cells["mask"], counts))
    library = CellLibrary([store], rim=4)
    assert len(library) == len(sizes) and library.load(0).mask.sum() == sizes[0]


def test_cells_of_a_plane_are_the_crops(tmp_path):
    image, labels = (array[7] for array in blobs((14, 150, 160), 0))
    store = TEXTURES.open(real_cells(written(tmp_path, image, labels), (1.0, 1.0)))
    inside = store["image"][store["mask"] > 0]
    assert store["mask"].shape[1] == 1 and np.isin(inside, image[labels > 0]).all()


def test_sections_of_single_slices_become_bodies_as_tall_as_asked_for(tmp_path):
    image, labels = blobs((14, 150, 160), 0)
    written(tmp_path, image, labels[7], "man_seg_000_007.tif")
    cells = TEXTURES.open(real_cells(tmp_path, (2.0, 1.0, 1.0), height_ratio=1.5))
    sections = {int(area) for area in np.bincount(labels[7].ravel())[1:]}
    areas = cells["mask"].sum((2, 3))
    assert len(areas) > 3 and set(areas.max(1).tolist()) <= sections
    for area, count in zip(areas, cells["n_slices"]):
        width = 2 * np.sqrt(area.max() / np.pi)
        assert area[:count].all() and not area[count:].any()
        assert area.sum() * 2.0 == pytest.approx(1.5 * np.pi / 6 * width**3, rel=0.15)


def test_slices_of_a_body_are_its_section_smaller_towards_both_ends():
    y, x = np.mgrid[:48, :48]
    mask = ((y - 20) / 12) ** 2 + ((x - 25) / 8) ** 2 < 1
    image = np.where(mask, 100 + x, 10).astype(np.uint16)
    body = ellipsoid(image, mask.astype(np.uint8), ratio=1.0, spacing=1.0)
    middle = len(body.z) // 2
    assert (body.mask[middle] == mask).all() and (body.image[middle] == image).all()
    areas = body.mask.sum((1, 2)).astype(int)
    assert (areas == areas[::-1]).all() and (np.diff(areas[middle:]) <= 0).all()
    for plane, inside in zip(body.image, body.mask > 0):
        assert np.argwhere(inside).mean(0) == pytest.approx([20, 25], abs=0.5)
        assert plane[inside].mean() == pytest.approx(image[mask].mean(), rel=0.1)
        assert (plane[~inside] < 140).all() and np.median(plane[~inside]) == 10
