"""What networks learn from: planes of real frames and of synthetic images, and their shares."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage.transform import resize

from cellcascade.config.settings import Cellpose
from cellcascade.core.choice import evenly_spaced
from cellcascade.core.errors import InputError
from cellcascade.data.ngff import write_image
from cellcascade.data.recording import Recording
from cellcascade.evaluation.cellpose.cutting import Source, cut_planes, list_planes, normalise
from cellcascade.evaluation.cellpose.planes import real_planes, synthetic_planes, training_set
from tests.partly import EDGE, partly
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


def all_planes(stacks: Iterable[tuple[np.ndarray, ...]], anisotropy: float, orientations: bool) -> Iterator:
    """Every plane of stacks (image, labels, whole image): cut at once, then thrown away; the plain way to do it."""
    for image, labels, whole in stacks:
        low, high = np.percentile(whole, (1, 99))
        image = ((image.astype(np.float32) - low) / max(high - low, 1e-3)).astype(np.float32)
        labels, flat = labels.astype(np.int32), image.ndim == 2
        turned = [(image[None], labels[None]) if flat else (image, labels)]
        if orientations and not flat:
            shape = (max(1, round(image.shape[0] * anisotropy)), *image.shape[1:])
            tall = resize(image, shape, order=1, mode="edge", anti_aliasing=False).astype(np.float32)
            rows = np.minimum(((np.arange(shape[0]) + 0.5) * image.shape[0] / shape[0]).astype(int), len(image) - 1)
            turned += [(np.moveaxis(tall, axis, 0), np.moveaxis(labels[rows], axis, 0)) for axis in (1, 2)]
        for planes in turned:
            yield from ((plane, cells) for plane, cells in zip(*planes) if cells.any())


def same(planes, expected: list) -> bool:
    """Whether planes are the expected pairs, to the bit and in their order."""
    made = list(zip(planes.images, planes.labels, strict=True))
    types = {array.dtype.name for pair in made for array in pair} == {"float32", "int32"}
    equal = (np.array_equal(a, b) for one, two in zip(made, expected, strict=True) for a, b in zip(one, two))
    return types and len(made) == len(expected) > 0 and all(equal)


STACKS = [blobs((7, 44, 40), seed) for seed in range(4)]


@pytest.mark.parametrize("most", [5, 37, 10_000])
@pytest.mark.parametrize(("anisotropy", "orientations"), [(2.7, True), (0.55, True), (11.1, True), (2.0, False)])
def test_planes_are_listed_and_chosen_before_they_are_cut(tmp_path, anisotropy, orientations, most):
    for index, (image, labels) in enumerate(STACKS):
        path = tmp_path / f"img-{index:05d}.ome.zarr"
        write_image(path, image, labels, voxel_size_um=(anisotropy, 1.0, 1.0), levels=1)
    for images in (2, 4):
        stacks = [(image, labels, image) for image, labels in evenly_spaced(STACKS, images)]
        expected = evenly_spaced(list(all_planes(stacks, anisotropy, orientations)), most)
        common = {"anisotropy": anisotropy, "orientations": orientations}
        assert same(synthetic_planes(tmp_path, **common, images=images, most=most), expected)


@pytest.mark.parametrize("most", [7, 10_000])
@pytest.mark.parametrize("kind", ["ST", "GT", "slices"])
def test_planes_of_real_stacks_and_slices_are_those_of_plain_cutting(tmp_path, kind, most):
    for frame, (image, labels) in enumerate(STACKS):
        files = {f"01/t{frame:03d}.tif": image, f"01_ST/SEG/man_seg{frame:03d}.tif": labels}
        files |= {f"01_GT/SEG/man_seg_{frame:03d}_{z:03d}.tif": labels[z] for z in (2, 3, 6)[: frame + 1]}
        for name, pixels in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(tmp_path / name, pixels, compression="zlib")
    annotated = {
        "ST": {frame: [None] for frame in range(4)},
        "GT": {frame: [2, 3, 6][: frame + 1] for frame in range(4)},
        "slices": {0: [1, 3, 5], 3: [1, 3, 5]},
    }[kind]
    chosen = ([0, 3], [1, 3, 5]) if kind == "slices" else ()
    recording = Recording(tmp_path, "01", "GT" if kind == "GT" else "ST", (2.2, 1.0, 1.0), *chosen)
    stacks = [
        (image, labels, image) if z is None else (image[z], labels[z], image)
        for frame, heights in annotated.items()
        for (image, labels), z in ((STACKS[frame], z) for z in heights)
    ]
    expected = evenly_spaced(list(all_planes(stacks, 2.2, True)), most)
    made = real_planes(recording, orientations=True, most=most)
    assert same(made, expected) and made.frames == len(annotated)


def test_an_image_is_read_once_for_all_planes_that_were_chosen_of_it():
    read = []

    def source(index: int, z: int | None = None) -> Source:
        image, labels = STACKS[index]
        return Source(
            Path(str(index)), lambda: read.append(index) or image, lambda: labels if z is None else labels[z], z
        )

    sources = [source(0), source(1), source(2, 2), source(2, 3), source(3)]
    listed = list_planes(sources, 2.0, orientations=True)
    assert not read and {tuple(row) for row in listed[listed[:, 0] == 2]} == {(2, 0, 0)}
    wanted = listed[(listed[:, 0] != 1)]
    assert len(list(cut_planes(sources, wanted, 2.0))) == len(wanted) and read == [0, 2, 3]


@pytest.mark.parametrize(
    ("regime", "kinds", "shares"),
    [
        ("none", ["real"], (1.0,)),
        ("real", ["real"], (1.0,)),
        ("copy_paste", ["real", "pasted"], (0.25, 0.75)),
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
    assert len(learned.files) == 7 and learned.files[-1] == data / "synthetic/cells.csv"


def test_a_folder_without_images_is_named(data):
    with pytest.raises(InputError, match="no composed images") as caught:
        training_set("synthetic", real(data), data / "D", Cellpose(), 4)
    assert caught.value.where == str(data / "D")


def test_what_nobody_annotated_is_shown_as_background(tmp_path):
    """Else a network would learn that the cells there are none."""
    found = real_planes(partly(tmp_path / "Mine"), orientations=False, most=10)
    for image, labels in zip(found.images, found.labels, strict=True):
        assert not labels[:, EDGE:].any() and np.ptp(image[:, EDGE:]) == 0
        assert image[:, EDGE:].max() < image[labels > 0].mean()
