import contextlib

import pytest
import torch

from cellcascade.core.errors import InputError
from cellcascade.learning import device
from cellcascade.learning.device import autocast, has_bf16, machine, pick_device, precision_on, training_autocast

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")


@without_gpu
def test_asking_for_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="No GPU is visible"):
        pick_device("cuda")


@without_gpu
def test_without_a_gpu_the_cpu_is_taken_in_single_precision():
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")
    assert isinstance(autocast(torch.device("cpu"), "fp16"), contextlib.nullcontext)


def test_apple_s_gpus_are_refused_with_the_reason():
    with pytest.raises(InputError, match="Apple's GPUs are not supported") as caught:
        pick_device("mps")
    assert "tested" in caught.value.expected and caught.value.fix == "set device: cpu"


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
def test_a_cpu_computes_in_single_precision(precision):
    assert precision_on(torch.device("cpu"), precision) == "fp32" and not has_bf16(torch.device("cpu"))


@pytest.mark.parametrize("able", [True, False])
def test_a_cpu_with_amx_trains_in_bf16_where_it_may(monkeypatch, able):
    monkeypatch.setattr(device, "has_amx", lambda: able)
    layer, given = torch.nn.Linear(3, 2), torch.ones(4, 3)
    for precision, made in (("bf16", torch.bfloat16 if able else torch.float32), ("fp32", torch.float32)):
        with training_autocast(torch.device("cpu"), precision):
            assert layer(given).dtype == made


@pytest.mark.parametrize("able", [True, False])
def test_on_a_card_without_bf16_fp16_takes_its_place_and_the_log_says_so_once(monkeypatch, caplog, able):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: able or including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    precision_on.cache_clear()
    gpu = torch.device("cuda")
    assert [precision_on(gpu, asked) for asked in ("bf16", "bf16", "fp16", "fp32")] == (
        ["bf16", "bf16", "fp16", "fp32"] if able else ["fp16", "fp16", "fp16", "fp32"]
    )
    precision_on.cache_clear()
    said = [record.getMessage() for record in caplog.records]
    assert said == ([] if able else ["Tesla T4 has no bf16: fp16 is used instead (train.precision)"])


def test_the_machine_is_named():
    assert "CPU threads" in machine(torch.device("cpu")) and torch.__version__ in machine(torch.device("cpu"))
