"""Single cells read from stores: real ones grouped by their cell, synthetic ones that are valid."""

import numpy as np
import pytest

from cellcascade.core.errors import InputError
from cellcascade.data.cells import real_masks, real_stacks, synthetic_masks, synthetic_stacks
from cellcascade.data.crops import read_crops
from cellcascade.data.stores import CROPS, MASKS, TEXTURES
from tests.stores import write_store

SIZE = (8, 8)


def planes(*widths):
    """Masks `(n, 8, 8)` with so many columns inside."""
    return np.stack([np.broadcast_to(np.arange(8) < width, SIZE) for width in widths]).astype(np.uint8)


def stacked(*widths):
    """Arrays of cells of one slice."""
    masks = planes(*widths)[:, None]
    return {"image": masks * 10, "mask": masks, "n_slices": np.ones(len(masks))}


def test_crops_of_a_cell_are_joined_in_the_order_of_z(tmp_path):
    masks = planes(1, 2, 3, 4, 5)
    arrays = {"image": masks * 10, "mask": masks, "frame": [1, 0, 0, 0, 1], "label": [7, 7, 9, 7, 7]}
    crops = write_store(CROPS, tmp_path / "c.zarr.zip", {**arrays, "z": [2, 4, 1, 3, 1]})
    stacks = list(real_stacks(read_crops(crops)))
    assert [stack.z.tolist() for stack in stacks] == [[3, 4], [1], [1, 2]]
    assert [stack.mask[:, 0].sum(1).tolist() for stack in stacks] == [[4, 2], [3], [5, 1]]
    assert [stack.widest for stack in stacks] == [0, 0, 0]
    assert all(np.array_equal(stack.image, stack.mask * 10) for stack in stacks)


def test_synthetic_cells_are_the_valid_ones_without_the_slices_that_fill_up(tmp_path):
    masks = np.stack([planes(2, 4, 0), planes(3, 0, 0), planes(5, 6, 7)])
    arrays = {"image": masks * 10, "mask": masks, "n_slices": [2, 1, 3]}
    shards = [
        write_store(TEXTURES, tmp_path / "a.zarr.zip", {**arrays, "valid": [1, 0, 1]}),
        write_store(TEXTURES, tmp_path / "b.zarr.zip", {**arrays, "valid": [0, 1, 0]}),
    ]
    stacks = list(synthetic_stacks(shards, SIZE))
    assert [len(stack.image) for stack in stacks] == [2, 3, 1]
    assert [stack.widest for stack in stacks] == [1, 2, 0]
    assert [stack.z.tolist() for stack in stacks] == [[0, 1], [0, 1, 2], [0]]


def test_masks_are_the_widest_real_and_the_valid_synthetic_ones(tmp_path):
    crops = write_store(CROPS, tmp_path / "c.zarr.zip", {"mask": planes(1, 2, 3), "widest": [1, 0, 1]})
    assert [mask[0].sum() for mask in real_masks(crops)] == [1, 3]
    shards = [
        write_store(MASKS, tmp_path / "a.zarr.zip", {"mask": planes(4, 0), "valid": [1, 0]}),
        write_store(MASKS, tmp_path / "b.zarr.zip", {"mask": planes(5)}),
    ]
    assert [mask[0].sum() for mask in synthetic_masks(shards, SIZE)] == [4, 5]


def test_empty_valid_cells_name_their_store_and_how_to_get_it_anew(tmp_path):
    masks = write_store(MASKS, tmp_path / "m.zarr.zip", {"mask": planes(1, 0)})
    textures = write_store(TEXTURES, tmp_path / "t.zarr.zip", stacked(1, 0))
    for read, path, found in (
        (synthetic_masks, masks, "valid mask 1 is empty"),
        (synthetic_stacks, textures, "valid cell 1 is empty"),
    ):
        with pytest.raises(InputError, match=found) as caught:
            list(read([path], SIZE))
        assert caught.value.where == str(path) and f"delete {path}" in caught.value.fix


def test_cells_of_another_size_than_the_crops_name_their_store(tmp_path):
    masks = write_store(MASKS, tmp_path / "m.zarr.zip", {"mask": planes(1)})
    textures = write_store(TEXTURES, tmp_path / "t.zarr.zip", stacked(1))
    for read, path in ((synthetic_masks, masks), (synthetic_stacks, textures)):
        with pytest.raises(InputError, match="differ in size") as caught:
            list(read([path], (8, 9)))
        assert caught.value.where == str(path) and "(8, 9)" in caught.value.expected


def test_without_a_cell_there_is_nothing_to_compare(tmp_path):
    masks = write_store(MASKS, tmp_path / "m.zarr.zip", {"mask": planes(1), "valid": [0]})
    crops = write_store(CROPS, tmp_path / "c.zarr.zip", {"mask": planes(1), "widest": [0]})
    with pytest.raises(InputError, match="no valid synthetic cell"):
        list(synthetic_masks([masks], SIZE))
    with pytest.raises(InputError, match="no real cell"):
        list(real_masks(crops))
    with pytest.raises(InputError, match="no shards"):
        list(synthetic_stacks([], SIZE))
