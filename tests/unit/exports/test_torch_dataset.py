import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from cellcascade.core.errors import InputError
from cellcascade.exports.torch_dataset import SyntheticCrops


@pytest.mark.parametrize("ndim", (2, 3))
def test_crops_are_parts_of_image_and_labels(flat, stacks, ndim):
    source, crop = (flat, (40, 48)) if ndim == 2 else (stacks, (4, 24, 32))
    data = SyntheticCrops(source.folder, crop, crops_per_image=2)
    assert len(data) == 2 * len(source.images)
    torch.manual_seed(1)
    image, labels = data[5]
    assert image.shape == (1, *crop) and image.dtype == torch.float32 and labels.dtype == torch.int64
    whole = np.lib.stride_tricks.sliding_window_view(source.images[2].counts(), crop)
    where = np.argwhere((whole == image[0].numpy()).all(tuple(range(ndim, 2 * ndim))))
    assert len(where) == 1
    here = tuple(slice(start, start + size) for start, size in zip(where[0], crop))
    assert np.array_equal(source.images[2].labels()[here], labels)


def test_twins_are_cropped_as_their_images(flat, twinned):
    crop = (40, 48) if twinned.ndim == 2 else (4, 24, 32)
    image, labels, twin = SyntheticCrops(twinned.folder, crop, twins=True)[1]
    assert twin.shape == image.shape == (1, *crop) and twin.dtype == torch.float32
    cells = labels.flatten()
    for label in cells.unique():
        assert len(twin.flatten()[cells == label].unique()) == 1  # as `write_set` makes twins
    with pytest.raises(InputError, match=r"population\.twins"):
        SyntheticCrops(flat.folder, (32, 32), twins=True)


def test_workers_load_batches_and_epochs_differ(flat):
    loader = DataLoader(SyntheticCrops(flat.folder, (32, 32)), batch_size=3, num_workers=1)
    first, second = ([batch[0] for batch in loader] for _ in range(2))
    assert [batch.shape for batch in first] == [(3, 1, 32, 32)] * 2
    assert not torch.equal(first[0], second[0])


def test_crops_larger_than_the_images_are_refused(flat):
    for crop in ((40, 113), (40,), (1, 40, 40)):
        with pytest.raises(InputError, match="do not fit"):
            SyntheticCrops(flat.folder, crop)
