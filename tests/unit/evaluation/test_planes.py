"""What networks learn from: planes of real frames and of synthetic images, and their shares."""

import numpy as np
import pytest

from cellcascade.config.settings import Cellpose
from cellcascade.core.errors import InputError
from cellcascade.data.ngff import write_image
from cellcascade.evaluation.cellpose.planes import normalise, real_planes, synthetic_planes, training_set
from tests.segmentation_data import SETTINGS, blobs, make_data, real


@pytest.fixture
def data(tmp_path):
    """Real frames and synthetic images."""
    return make_data(tmp_path)


def test_real_planes_are_those_of_the_chosen_frames_alone(data):
    common = {"orientations": True, "most": 10}
    every = real_planes(real(data), **common)
    one = real_planes(real(data, chosen_frames=1), **common)
    named = real_planes(real(data, chosen_frames=[2]), **common)
    assert (every.frames, one.frames, named.frames) == (3, 1, 1) and len(one.images) == 1
    assert np.array_equal(one.images[0], every.images[1]) and np.array_equal(named.images[0], every.images[2])
    assert every.diameter == pytest.approx(16, abs=0.5)
    with pytest.raises(InputError, match="fewer annotated frames"):
        real_planes(real(data, chosen_frames=4), **common)
    with pytest.raises(InputError, match="frames 7 among them"):
        real_planes(real(data, chosen_frames=[1, 7]), **common)


def test_planes_of_stacks_show_the_three_orientations_with_square_pixels(tmp_path):
    image, labels = blobs((6, 48, 40), 0)
    write_image(tmp_path / "img-00000.ome.zarr", image, labels, voxel_size_um=(2.0, 1.0, 1.0), levels=1)
    options = {"anisotropy": 2.0, "images": 5}
    flat = synthetic_planes(tmp_path, orientations=False, most=100, **options)
    assert {plane.shape for plane in flat.images} == {(48, 40)} and all(plane.any() for plane in flat.labels)
    every = synthetic_planes(tmp_path, orientations=True, most=1000, **options)
    assert {plane.shape for plane in every.images} == {(48, 40), (12, 40), (12, 48)}
    few = synthetic_planes(tmp_path, orientations=True, most=30, **options)
    assert len(few.images) == 30 and {plane.shape for plane in few.images} == {plane.shape for plane in every.images}
    assert np.array_equal(every.images[0], normalise(image)[np.flatnonzero(labels.any((1, 2)))[0]])


@pytest.mark.parametrize(
    ("regime", "kinds", "shares"),
    [
        ("none", ["real"], (1.0,)),
        ("real", ["real"], (1.0,)),
        ("synthetic", ["synthetic"], (1.0,)),
        ("both", ["real", "synthetic"], (0.25, 0.75)),
    ],
)
def test_a_batch_has_whole_planes_of_each_kind_of_its_regime(data, regime, kinds, shares):
    settings = Cellpose(**SETTINGS | {"real_share": 0.3})
    learned = training_set(regime, real(data), data / "synthetic", settings, 4)
    assert list(learned.planes) == kinds and learned.shares == shares and sum(learned.counts(4)) == 4
    diameters = [planes.diameter for planes in learned.planes.values()]
    assert learned.diameter == pytest.approx(np.dot(diameters, shares))
    assert [item.frame for item in learned.frames] == [0, 1, 2] and not learned.stacks
    assert len(learned.files) == 7 and learned.files[-1] == data / "synthetic/dataset.json"


def test_images_without_cells_are_named_with_their_folder(data):
    with pytest.raises(InputError, match="nothing to train") as caught:
        training_set("synthetic", real(data), data / "D", Cellpose(), 4)
    assert caught.value.where == str(data / "D") and "0 images" in caught.value.found
