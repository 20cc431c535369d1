import dask.array as da
import numpy as np
import ome_zarr_models.v04
import ome_zarr_models.v05
import pytest
import zarr

from cellcascade.data.ngff import CHUNK, read_image, write_image

MODELS = {"0.4": ome_zarr_models.v04, "0.5": ome_zarr_models.v05}
SHAPES = {2: ((50, 61), (0.24, 0.24)), 3: ((5, 50, 61), (1.0, 0.2, 0.2))}


def pixels(shape):
    rng = np.random.default_rng(0)
    labels = np.zeros(shape, np.uint16)
    labels[..., 10:30, 12:40] = 3
    labels[..., 35:45, 2:9] = 700
    return rng.poisson(50, shape).astype(np.uint16), labels


@pytest.mark.parametrize("ndim", (2, 3))
@pytest.mark.parametrize("version", ("0.4", "0.5"))
def test_image_and_labels_satisfy_the_specification(tmp_path, version, ndim):
    shape, size_um = SHAPES[ndim]
    image, labels = pixels(shape)
    path = tmp_path / "img-00000.ome.zarr"
    write_image(path, image, labels, voxel_size_um=size_um, attributes={"seed": 7}, version=version)
    group, models = zarr.open_group(path, mode="r"), MODELS[version]
    assert group.metadata.zarr_format == {"0.4": 2, "0.5": 3}[version]
    models.Image.from_zarr(group)
    models.Labels.from_zarr(group["labels"])
    models.ImageLabel.from_zarr(group["labels/cells"])
    facts = dict(group["labels"].attrs)
    assert (facts if version == "0.4" else facts["ome"])["labels"] == ["cells"]
    if version == "0.5":
        assert facts["ome"]["version"] == "0.5"


@pytest.mark.parametrize("version", ("0.4", "0.5"))
def test_pixels_scales_and_attributes_come_back_lazily(tmp_path, version):
    shape, size_um = SHAPES[3]
    image, labels = pixels(shape)
    path = tmp_path / "img-00000.ome.zarr"
    write_image(path, image, labels, voxel_size_um=size_um, attributes={"seed": 7}, version=version)
    back = read_image(path)
    assert all(isinstance(level, da.Array) for level in (*back.image, *back.labels))
    assert np.array_equal(back.image[0].compute(), image)
    assert np.array_equal(back.labels[0].compute(), labels)
    assert back.labels[0].dtype == np.uint16
    assert back.voxel_size_um == size_um
    assert back.attributes == {"seed": 7}


def test_levels_are_coarser_in_y_and_x_alone_and_labels_are_not_mixed(tmp_path):
    shape, size_um = SHAPES[3]
    image, labels = pixels(shape)
    path = tmp_path / "img-00000.ome.zarr"
    write_image(path, image, labels, voxel_size_um=size_um, levels=3)
    back = read_image(path)
    assert [level.shape for level in back.image] == [(5, 50, 61), (5, 25, 31), (5, 13, 16)]
    assert [level.shape for level in back.labels] == [level.shape for level in back.image]
    assert set(np.unique(back.labels[2].compute())) == {0, 3, 700}
    assert back.image[1][0, 3, 4].compute() == np.rint(image[0, 6:8, 8:10].mean())
    ome = zarr.open_group(path, mode="r").attrs["ome"]["multiscales"][0]
    scales = [item["coordinateTransformations"][0]["scale"] for item in ome["datasets"]]
    assert scales == [[1.0, 0.2, 0.2], [1.0, 0.4, 0.4], [1.0, 0.8, 0.8]]
    assert [axis["unit"] for axis in ome["axes"]] == ["micrometer"] * 3


@pytest.mark.parametrize("shape, count", (((40, 4100), 11), ((40, 4096), 7), ((20, 600, 30), 7)))
def test_an_image_is_few_files_whatever_its_chunks(tmp_path, shape, count):
    image, labels = pixels(shape)
    path = tmp_path / "img-00000.ome.zarr"
    write_image(path, image, labels, voxel_size_um=(1.0,) * len(shape))
    assert len([item for item in path.rglob("*") if item.is_file()]) == count
    group = zarr.open_group(path, mode="r")
    for array, expected in ((group["s0"], image), (group["labels/cells/s0"], labels)):
        assert array.chunks == tuple(min(n, chunk) for n, chunk in zip(shape, CHUNK[-len(shape) :])) != shape
        assert np.array_equal(array[:], expected)
    assert np.array_equal(read_image(path).labels[0][..., 5:9].compute(), labels[..., 5:9])


@pytest.mark.parametrize("edge, count", ((64, 1), (4096, 1), (4097, 2), (16384, 3)))
def test_large_images_alone_have_coarser_levels(tmp_path, edge, count):
    image, labels = pixels((48, edge))
    write_image(tmp_path / "img-00000.ome.zarr", image, labels, voxel_size_um=(1.0, 1.0))
    back = read_image(tmp_path / "img-00000.ome.zarr")
    assert len(back.image) == len(back.labels) == count and max(back.image[-1].shape) <= 4096


def test_levels_of_fractions_of_counts_are_means(tmp_path):
    image = np.random.default_rng(0).uniform(0, 9, (9, 13)).astype(np.float32)
    write_image(tmp_path / "a.ome.zarr", image, np.ones((9, 13), np.uint16), voxel_size_um=(1, 1), levels=2)
    levels = [level.compute() for level in read_image(tmp_path / "a.ome.zarr").image]
    assert levels[1].dtype == np.float32 and np.array_equal(levels[0], image)
    np.testing.assert_allclose(levels[1][:4, :6], image[:8, :12].reshape(4, 2, 6, 2).mean((1, 3)), rtol=1e-6)


def test_labels_above_65535_keep_32_bits(tmp_path):
    image, labels = pixels((48, 64))
    large = np.where(labels, labels.astype(np.uint32) + 70000, 0).astype(np.uint32)
    write_image(tmp_path / "img-00000.ome.zarr", image, large, voxel_size_um=(1.0, 1.0))
    back = read_image(tmp_path / "img-00000.ome.zarr").labels[0].compute()
    assert back.dtype == np.uint32 and np.array_equal(back, large)
