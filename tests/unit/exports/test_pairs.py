import shutil

import numpy as np
import pytest
import tifffile

from cellcascade.core.errors import InputError
from cellcascade.exports.registry import find_format


@pytest.mark.parametrize("ndim", (2, 3))
def test_images_and_labels_lie_under_the_names_that_were_chosen(flat, stacks, exported, ndim):
    source = flat if ndim == 2 else stacks
    folder, done = exported("pairs", source, image="images/{name}.tif", mask="labels/{name}_cells.tif")
    for image in source.images:
        assert np.array_equal(tifffile.imread(folder / f"images/{image.name}.tif"), image.counts())
        assert np.array_equal(tifffile.imread(folder / f"labels/{image.name}_cells.tif"), image.labels())
    with tifffile.TiffFile(folder / "images/img-00000.tif") as file:
        pixels, centimetres = file.pages[0].tags["XResolution"].value
        assert centimetres / pixels * 1e4 == source.voxel_size_um[-1]
    assert not done.commands


def test_by_default_they_are_what_omnipose_reads(flat, exported):
    folder, done = exported("pairs", flat)
    assert (folder / "img-00000_masks.tif").exists() and done.commands[0].startswith("omnipose --train")


def test_twins_are_written_beside_images_that_have_them(flat, twinned, exported):
    for chosen in ({}, {"clean": "target/{name}_mean.tif"}):
        folder, done = exported("pairs", twinned, **chosen)
        for image in twinned.images:
            path = folder / chosen.get("clean", "clean/{name}.tif").format(name=image.name)
            counts = tifffile.imread(path)
            assert counts.dtype == np.float32 and np.array_equal(counts, image.twin.counts())
            assert np.array_equal(tifffile.imread(folder / f"{image.name}.tif"), image.counts())
        assert "without noise" in done.what
        shutil.rmtree(folder)
    folder, done = exported("pairs", flat)
    assert not (folder / "clean").exists() and "without noise" not in done.what


def test_other_formats_leave_twins_out(twinned, exported):
    folder, _ = exported("stardist", twinned)
    assert len([*folder.rglob("*.tif")]) == 2 * len(twinned.images)


@pytest.mark.parametrize(
    "image, said",
    (
        ("{name}", "must end in .tif"),
        ("all.tif", "must hold {name} once"),
        ("../{name}.tif", "within the export"),
        ("{name}_masks.tif", "the name of the image too"),
        ("clean/{name}.tif", "the name of the image too"),
        ("{name.tif", "is no pattern"),
        ("{name}{z}.tif", "must hold {name} once"),
    ),
)
def test_names_that_cannot_be_are_refused(image, said):
    with pytest.raises(InputError, match="settings of the format pairs") as caught:
        find_format("pairs", {"image": image})
    assert said in caught.value.found
