import torch

from cellcascade.learning.objective import in_parts, to_device

CPU = torch.device("cpu")


def test_parts_hold_all_examples_once_with_their_shares():
    batch = torch.arange(7), torch.arange(14).reshape(7, 2)
    parts = list(in_parts(batch, 3, CPU))
    assert [len(part[0]) for part, _ in parts] == [3, 2, 2] and [share * 7 for _, share in parts] == [3, 2, 2]
    for index, tensor in enumerate(batch):
        assert torch.equal(torch.cat([part[index] for part, _ in parts]), tensor)


def test_a_whole_batch_is_handed_on_as_it_is():
    batch = torch.arange(3), torch.zeros(3, 2)
    ((whole, share),) = in_parts(batch, 1, CPU)
    assert share == 1 and all(a.data_ptr() == b.data_ptr() for a, b in zip(batch, whole))
    assert to_device(batch, CPU) is batch


def test_no_part_is_empty():
    assert [len(part[0]) for part, _ in in_parts((torch.zeros(2),), 8, CPU)] == [1, 1]
