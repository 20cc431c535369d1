import contextlib

import pytest
import torch

from cellcascade.core.errors import InputError
from cellcascade.learning.device import autocast, machine, pick_device

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")


@without_gpu
def test_asking_for_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="No GPU is visible"):
        pick_device("cuda")


@without_gpu
def test_without_a_gpu_the_cpu_is_taken_in_single_precision():
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")
    assert isinstance(autocast(torch.device("cpu"), "fp16"), contextlib.nullcontext)


def test_the_machine_is_named():
    assert "CPU threads" in machine(torch.device("cpu")) and torch.__version__ in machine(torch.device("cpu"))
