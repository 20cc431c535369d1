import importlib.util
import itertools
import sys
import time

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from cellcascade.config.settings import MaskDDPM
from cellcascade.config.values import FineTuning, Training
from cellcascade.core.errors import InputError
from cellcascade.learning import training
from cellcascade.learning.objective import Objective

HOW = {"seed": 5, "device": torch.device("cpu"), "what": "test"}
SETTINGS = Training(steps=12, batch_size=4, learning_rate=0.01, ema_decay=0.9, checkpoint_every=4)


class Killed(Exception):
    pass


def run(path, *, stop_at=None, room=None, settings=SETTINGS):
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    calls = []

    def loss(batch):
        calls.append(len(batch[0]))
        if stop_at is not None and len(calls) > stop_at:
            raise Killed
        if room is not None and len(batch[0]) > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB\nmore")
        return (model(batch[0]) - batch[1]).square().mean()

    table = training.train(model, Objective(sums(settings), loss), settings, checkpoint=path, **HOW)
    return model, table, calls


def sums(settings):
    """Draws numbers and their sums."""

    def draw(generator):
        x = torch.randn(settings.batch_size, 3, generator=generator)
        return x, x.sum(1, keepdim=True)

    return draw


def ones(loss):
    """An objective that learns from the number one alone."""
    return Objective(lambda generator: (torch.ones(1, 1),), loss)


def scalars(folder):
    """What TensorBoard shows: values by name and step."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


@pytest.mark.parametrize("parts", [1, 3])
def test_resumed_training_ends_with_identical_weights_and_log(tmp_path, parts):
    settings = FineTuning(**dict(SETTINGS), accumulation=parts)
    whole, table, _ = run(tmp_path / "a" / "state.pt", settings=settings)
    with pytest.raises(Killed):
        run(tmp_path / "b" / "state.pt", stop_at=6 * parts + parts // 2, settings=settings)
    time.sleep(1.1)  # TensorBoard orders its files by the second in which they begin
    resumed, table_resumed, calls = run(tmp_path / "b" / "state.pt", settings=settings)
    assert len(calls) == 8 * parts  # steps 5 to 12: the checkpoint after step 4 was used
    for a, b in zip(whole.parameters(), resumed.parameters()):
        assert torch.equal(a, b)
    np.testing.assert_array_equal(table[["step", "loss"]], table_resumed[["step", "loss"]])
    shown = scalars(tmp_path / "b" / "tensorboard")
    assert shown == scalars(tmp_path / "a" / "tensorboard") and set(shown) == {"loss", "learning_rate"}
    assert [step for step, _ in shown["loss"]] == [4, 8, 12]


def test_accumulated_gradients_are_those_of_one_large_batch(tmp_path):
    trained = []
    for parts in (1, 2):
        model = nn.Linear(1, 1)
        nn.init.ones_(model.weight)

        batches = itertools.cycle(torch.tensor([[1.0], [3.0]]).chunk(parts))

        def draw(generator, batches=batches):
            return (next(batches),)

        def loss(batch, model=model):
            return model(batch[0]).square().mean()

        settings = FineTuning(**dict(SETTINGS), accumulation=parts)
        training.train(model, Objective(draw, loss), settings, checkpoint=tmp_path / f"{parts}.pt", **HOW)
        trained.append(model.weight.item())
    assert trained[0] == pytest.approx(trained[1], abs=1e-4) and trained[0] < 0.98


def test_a_look_sees_the_averaged_weights_and_is_logged(tmp_path):
    model, seen = nn.Linear(3, 1), {}

    def look(board, step):
        seen[step] = model.weight.detach().clone(), model.training
        return {"answer": 42.0 + step}

    def loss(batch):
        assert model.training
        return (model(torch.ones(1, 3)) - batch[0]).square().sum()

    settings = FineTuning(**dict(SETTINGS), sample_every=6)
    table = training.train(model, ones(loss), settings, checkpoint=tmp_path / "s.pt", look=look, **HOW)
    assert table["step"].tolist() == [4, 6, 8, 12] and table["answer"].dropna().tolist() == [48, 54]
    assert torch.equal(seen[12][0], model.weight) and not seen[12][1]
    assert not torch.equal(torch.load(tmp_path / "s.pt", weights_only=True)["model"]["weight"], model.weight)
    assert scalars(tmp_path / "tensorboard")["answer"] == [(6, 48), (12, 54)]


def test_8_bit_adam_trains_if_it_is_installed_and_else_says_how_to_get_it(tmp_path, monkeypatch):
    settings = FineTuning(**dict(SETTINGS), optimizer="adamw8bit")
    if importlib.util.find_spec("bitsandbytes"):
        model, _, _ = run(tmp_path / "a" / "state.pt", settings=settings)
        assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    monkeypatch.delitem(sys.modules, "bitsandbytes.optim", raising=False)
    with pytest.raises(InputError, match="pip install bitsandbytes"):
        run(tmp_path / "b" / "state.pt", settings=settings)


def test_result_is_the_average_and_not_the_last_weights(tmp_path):
    averaged, _, _ = run(tmp_path / "state.pt")
    last = torch.load(tmp_path / "state.pt", weights_only=True)["model"]
    assert not torch.equal(last["0.weight"], averaged[0].weight)


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
def test_a_resumed_state_lies_on_the_models_device_but_for_the_count_of_steps(tmp_path):
    run(tmp_path / "state.pt")
    with torch.device("meta"):  # stands for a GPU
        model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    state = training._State(model, FineTuning(**dict(SETTINGS)), torch.device("meta"), 0.0)
    assert state.resume(tmp_path / "state.pt") == SETTINGS.steps
    for kept in state.optimizer.state.values():
        assert kept["step"].device.type == "cpu" and kept["step"] == SETTINGS.steps
        assert kept["exp_avg"].device.type == kept["exp_avg_sq"].device.type == "meta"
    assert {weights.device.type for weights in state.average.shadow_params} == {"meta"}


def test_diverging_training_says_so_and_keeps_the_last_good_checkpoint(tmp_path):
    model, count = nn.Linear(1, 1), []

    def loss(batch):
        count.append(1)
        return model(batch[0]).sum() * (float("nan") if len(count) > 6 else 1.0)

    with pytest.raises(InputError, match="diverged"):
        training.train(model, ones(loss), SETTINGS, checkpoint=tmp_path / "s.pt", **HOW)
    assert torch.load(tmp_path / "s.pt", weights_only=True)["rows"][-1]["step"] == 4


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize(("batch_size", "room"), [(4, 3), (4, 1), (6, 2), (7, 3)])
def test_batches_that_are_too_large_are_learned_from_in_parts_with_the_same_result(
    tmp_path, caplog, batch_size, room, accumulation
):
    exact = {"batch_size": batch_size, "precision": "fp32"}
    settings = FineTuning(**dict(SETTINGS) | exact, accumulation=accumulation)
    whole, table, _ = run(tmp_path / "a" / "state.pt", settings=settings)
    assert not caplog.records
    halved, table_halved, calls = run(tmp_path / "b" / "state.pt", settings=settings, room=room)
    for a, b in zip(whole.parameters(), halved.parameters()):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)
    np.testing.assert_allclose(table["loss"], table_halved["loss"], rtol=1e-5)
    failed = [number for number, size in enumerate(calls) if size > room]
    assert sum(calls[failed[-1] + 1 :]) == batch_size * accumulation * settings.steps  # all of them in the first step
    assert len(caplog.records) == len(failed) <= 3
    assert f"batch_size {batch_size} in" in caplog.text and "Tried to allocate 20 GiB)" in caplog.text


def test_a_gpu_without_room_for_one_example_is_named_with_what_to_change_and_the_last_checkpoint_stays(tmp_path):
    model, count = nn.Linear(1, 1), []

    def loss(batch):
        count.append(1)
        if len(count) > 6:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB\nmore")
        return model(batch[0]).sum()

    with pytest.raises(InputError, match="too small for texture training") as caught:
        training.train(model, ones(loss), SETTINGS, checkpoint=tmp_path / "s.pt", **HOW | {"what": "texture training"})
    assert "step 7" in caught.value.where and caught.value.found == "CUDA out of memory. Tried to allocate 20 GiB"
    assert all(key in caught.value.fix for key in ("trainable", "gradient_checkpointing", "device: cpu"))
    assert torch.load(tmp_path / "s.pt", weights_only=True)["rows"][-1]["step"] == 4


def test_an_optimiser_that_does_not_fit_is_not_tried_again(tmp_path, monkeypatch):
    def full(*arguments, **named):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr(torch.optim.AdamW, "step", full)
    with pytest.raises(InputError, match="The GPU is too small for test"):
        run(tmp_path / "state.pt")


def test_checkpoints_are_named_by_what_was_set(tmp_path):
    (tmp_path / "a").write_text("a")
    files = [
        training.checkpoint_file("ck/x", settings, [tmp_path / "a"], 1)
        for settings in (MaskDDPM(grid=8), MaskDDPM(grid=8, train=Training(checkpoint_every=3)), MaskDDPM(grid=16))
    ]
    assert files[0] == files[1] != files[2] and files[0].name == "state.pt" and str(files[0]).startswith("ck/x-")


def test_fingerprint_follows_settings_and_inputs_but_not_the_checkpoint_interval(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("a")
    second.write_text("b")
    settings = {"grid": 4, "train": {"steps": 5, "checkpoint_every": 1}}
    base = training.fingerprint(settings, [first], 1)
    for change in ({"checkpoint_every": 2}, {"sample_every": 7}, {"gradient_checkpointing": True}):
        assert base == training.fingerprint({"grid": 4, "train": {"steps": 5, **change}}, [first], 1)
    assert base == training.fingerprint({"grid": 4, "train": {"steps": 5, "precision": "bf16"}}, [first], 1)
    others = [
        training.fingerprint({**settings, "grid": 5}, [first], 1),
        training.fingerprint({"grid": 4, "train": {"steps": 5, "precision": "fp32"}}, [first], 1),
        training.fingerprint(settings, [second], 1),
        training.fingerprint(settings, [first], 2),
    ]
    assert len({base, *others}) == 5


def test_learning_rate_rises_and_falls():
    rates = [training.learning_rate(step, Training(steps=100, warmup=0.1, learning_rate=1.0)) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0) and np.argmax(rates) in (9, 10)
    assert rates[-1] < 0.03 and np.all(np.diff(rates[10:]) <= 0)
