"""The training loop on a GPU: where its tensors lie, what it resumes from, and what it does when memory ends."""

import numpy as np
import pytest
import torch
from torch import nn

from cellcascade.config.values import FineTuning
from cellcascade.core.errors import InputError
from cellcascade.learning import training
from cellcascade.learning.device import has_bf16, precision_on
from cellcascade.learning.objective import Objective, to_device

DEVICE = torch.device("cuda")
SETTINGS = FineTuning(steps=12, batch_size=8, learning_rate=0.01, ema_decay=0.9, checkpoint_every=4, precision="fp32")
HOW = {"seed": 5, "device": DEVICE, "what": "a test"}
WIDTH = 128

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")


class Killed(Exception):
    pass


def network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 1)).to(DEVICE)


def draw(generator):
    x = torch.randn(SETTINGS.batch_size, WIDTH, generator=generator)
    return x, x.sum(1, keepdim=True) / WIDTH**0.5


def run(path, *, stop_at=None, use=0, **changes):
    """Train a small network; `use` bytes of the GPU's memory are taken for each example at once."""
    model, sizes = network(), []

    def loss(batch):
        sizes.append(len(batch[0]))
        if len(sizes) == stop_at:
            raise Killed
        assert all(tensor.device.type == "cuda" for tensor in batch)
        torch.empty(len(batch[0]) * use, dtype=torch.uint8, device=DEVICE)
        return (model(batch[0]).float() - batch[1]).square().mean()

    settings = SETTINGS.model_copy(update=changes)
    table = training.train(model, Objective(draw, loss), settings, checkpoint=path, **HOW)
    return model, table, sizes


def assert_close(one, other):
    for a, b in zip(one.parameters(), other.parameters()):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


def resumed(path, make, **changes):
    """A killed training, resumed, and its state."""
    with pytest.raises(Killed):
        run(path, stop_at=7, **changes)
    state = training._State(make(), SETTINGS.model_copy(update=changes), DEVICE, 0.0)
    assert state.resume(path) == 4
    return run(path, **changes), state


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
def test_a_killed_training_resumes_to_the_same_weights(tmp_path, precision):
    whole, table, _ = run(tmp_path / "a" / "state.pt", precision=precision)
    (again, table_again, sizes), state = resumed(tmp_path / "b" / "state.pt", network, precision=precision)
    assert_close(whole, again)
    np.testing.assert_allclose(table["loss"], table_again["loss"], rtol=1e-2)
    assert len(sizes) == 8 and state.scaler.is_enabled() == (precision_on(DEVICE, precision) == "fp16")


def test_a_resumed_state_lies_on_the_gpu_but_for_the_count_of_steps(tmp_path):
    _, state = resumed(tmp_path / "state.pt", network)
    for kept in state.optimizer.state.values():
        assert kept["step"].device.type == "cpu"
        assert kept["exp_avg"].device.type == kept["exp_avg_sq"].device.type == "cuda"
    assert {weights.device.type for weights in state.average.shadow_params} == {"cuda"}


def test_resuming_takes_no_more_memory_than_what_is_resumed(tmp_path):
    def large():
        return nn.Sequential(*(nn.Linear(1024, 1024) for _ in range(8))).to(DEVICE)

    state = training._State(large(), SETTINGS, DEVICE, 0.0)
    state.gradients([state.model(torch.ones(1, 1024, device=DEVICE)).mean()])
    state.step()
    state.rows.append({"step": 1})
    state.save(tmp_path / "state.pt")
    del state
    state = training._State(large(), SETTINGS, DEVICE, 0.0)
    torch.cuda.reset_peak_memory_stats()
    state.resume(tmp_path / "state.pt")
    layer = 4 * 1024**2
    assert torch.cuda.max_memory_allocated() <= torch.cuda.memory_allocated() + 2 * layer


def test_8_bit_adam_trains_and_resumes(tmp_path):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    whole, table, _ = run(tmp_path / "a" / "state.pt", optimizer="adamw8bit")
    (again, _, _), state = resumed(tmp_path / "b" / "state.pt", network, optimizer="adamw8bit")
    assert table["loss"].iloc[-1] < table["loss"].iloc[0]
    assert_close(whole, again)
    kept = state.optimizer.state[state.parameters[0]]  # smaller tensors keep 32 bits
    assert kept["state1"].dtype == torch.uint8 and kept["state1"].device.type == "cuda"


def test_a_batch_that_does_not_fit_is_learned_from_in_parts_with_the_same_result(tmp_path, caplog):
    whole, table, _ = run(tmp_path / "a" / "state.pt")
    torch.cuda.empty_cache()
    third = torch.cuda.mem_get_info()[0] // 3  # of the memory that is free, for each example: two fit
    halved, table_halved, sizes = run(tmp_path / "b" / "state.pt", use=third)
    assert sizes[:2] == [8, 4] and set(sizes[2:]) == {2} and len(sizes) == 2 + 4 * SETTINGS.steps
    assert "going on with 2 examples at once" in caplog.text and len(caplog.records) == 2
    assert_close(whole, halved)
    np.testing.assert_allclose(table["loss"], table_halved["loss"], rtol=1e-3)


def test_a_gpu_without_room_for_one_example_is_reported(tmp_path):
    with pytest.raises(InputError, match="The GPU is too small for a test"):
        run(tmp_path / "state.pt", use=2 * torch.cuda.get_device_properties(DEVICE).total_memory)


def test_batches_are_copied_as_they_are():
    batch = draw(torch.Generator().manual_seed(0))
    assert all(torch.equal(there.cpu(), here) for there, here in zip(to_device(batch, DEVICE), batch))


def test_bf16_is_used_where_the_card_has_it():
    assert precision_on(DEVICE, "bf16") == ("bf16" if has_bf16(DEVICE) else "fp16")
