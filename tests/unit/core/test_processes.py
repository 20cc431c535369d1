"""Work on many items in several processes."""

import os

import pytest

from cellcascade.core.errors import InputError
from cellcascade.core.processes import in_order


def doubled(number: int) -> tuple[int, int]:
    if number == 99:
        raise InputError("Too large", where="here", found=99, expected="less", fix="take less")
    return 2 * number, os.getpid()


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_results_come_in_the_order_of_the_items(processes):
    results = list(in_order(doubled, range(20), processes))
    assert [result for result, _ in results] == list(range(0, 40, 2))
    workers = {worker for _, worker in results}
    assert len(workers) <= processes and (os.getpid() in workers) == (processes == 1)


def test_what_one_process_cannot_do_is_raised_here():
    with pytest.raises(InputError, match="Too large") as caught:
        list(in_order(doubled, [1, 99, *range(50)], 2))
    assert caught.value.fix == "take less"
