import pytest
import torch

from cellcascade.core.errors import InputError
from cellcascade.learning.batches import fixed_batches, in_batches


def doubled(room, seen):
    """Work for a GPU with room for so many items; notes its batches."""

    def work(batch):
        seen.append(list(batch))
        if len(batch) > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nand more")
        return [2 * item for item in batch]

    return work


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7, 8])
def test_every_item_gets_its_own_result_in_batches_of_one_size(count):
    seen = []
    results = list(in_batches(doubled(9, seen), range(count), 4, what="cells", setting="x"))
    assert results == [(item, 2 * item) for item in range(count)]
    assert [len(batch) for batch in seen] == [4] * -(-count // 4)


@pytest.mark.parametrize("room", [1, 2, 3, 5])
def test_batches_halve_where_the_gpu_is_too_small_and_nothing_is_lost(room, caplog):
    seen = []
    results = list(in_batches(doubled(room, seen), list("abcdefghij"), 8, what="cells", setting="block.batch"))
    assert results == [(item, 2 * item) for item in "abcdefghij"]
    done = [len(batch) for batch in seen if len(batch) <= room]
    assert set(done) == {max(size for size in (1, 2, 4) if size <= room)}
    assert "the GPU is too small for 8 cells at once (block.batch): going on with 4" in caplog.text
    assert sum(len(batch) > room for batch in seen) == len(caplog.records) <= 3


def test_a_gpu_without_room_for_one_is_refused_with_what_it_said():
    with pytest.raises(InputError, match="The GPU is too small for cells") as caught:
        list(in_batches(doubled(0, []), [1, 2], 2, what="cells", setting="block.batch"))
    assert caught.value.where == "config: block.batch" and caught.value.found.startswith("CUDA out of memory")


def test_batches_all_have_one_size():
    batches = list(fixed_batches(list(range(7)), 3))
    assert [len(batch) for batch, _ in batches] == [3, 3, 3] and [count for _, count in batches] == [3, 3, 1]
    assert [item for batch, count in batches for item in batch[:count]] == list(range(7))
