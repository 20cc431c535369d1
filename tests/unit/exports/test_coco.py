import json

import numpy as np
import pytest
from PIL import Image

from cellcascade.exports.coco import rle


def decoded(segmentation: dict) -> np.ndarray:
    """A mask from its run lengths, as the format is described: down the columns, background first."""
    values = np.arange(len(segmentation["counts"])) % 2
    height, width = segmentation["size"]
    return np.repeat(values, segmentation["counts"]).reshape(width, height).T


def labels_from(folder, part) -> dict[str, np.ndarray]:
    """The labels of all images of a part, by the names of their files."""
    content = json.loads((folder / f"instances_{part}.json").read_text())
    names = {item["id"]: item["file_name"] for item in content["images"]}
    found = {item["file_name"]: np.zeros((item["height"], item["width"]), int) for item in content["images"]}
    for item in content["annotations"]:
        mask = decoded(item["segmentation"])
        assert item["area"] == mask.sum() and item["category_id"] == 1
        left, top, width, height = item["bbox"]
        assert mask[top : top + height, left : left + width].sum() == mask.sum()
        found[names[item["image_id"]]] += item["label"] * mask
    return found


@pytest.mark.parametrize("ndim", (2, 3))
def test_instances_are_the_labels_to_the_pixel(flat, stacks, exported, ndim):
    source = flat if ndim == 2 else stacks
    folder, _ = exported("coco", source)
    read = labels_from(folder, "train") | labels_from(folder, "val")
    expected = {}
    for image in source.images:
        labels = image.labels()
        expected |= (
            {f"{image.name}.png": labels}
            if ndim == 2
            else {f"{image.name}_z{z:04d}.png": plane for z, plane in enumerate(labels)}
        )
    assert set(read) == set(expected)
    assert all(np.array_equal(read[name], labels) for name, labels in expected.items())


def test_images_are_grey_of_8_bits_over_their_whole_range(flat, exported):
    folder, _ = exported("coco", flat, validation=0)
    pixels = np.asarray(Image.open(folder / "train/img-00002.png"))
    assert pixels.dtype == np.uint8 and pixels.min() == 0 and pixels.max() == 255
    assert np.corrcoef(pixels.ravel(), flat.images[2].counts().ravel())[0, 1] > 0.99


def test_runs_that_go_on_in_the_next_column_are_one():
    mask = np.zeros((4, 5), bool)
    mask[2:, 1], mask[:3, 2] = True, True
    box = (slice(0, 4), slice(1, 3))
    assert rle(mask[box], box, mask.shape) == [6, 5, 9]
    mask[:] = True
    assert rle(mask, (slice(0, 4), slice(0, 5)), mask.shape) == [0, 20, 0]
