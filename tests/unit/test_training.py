import numpy as np
import pytest
import torch
from torch import nn

from cellcascade import training
from cellcascade.errors import InputError
from cellcascade.settings import Training

SETTINGS = Training(steps=12, batch_size=4, learning_rate=0.01, ema_decay=0.9, checkpoint_every=4)


class Killed(Exception):
    pass


def run(path, *, stop_at=None, settings=SETTINGS):
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    calls = []

    def loss(generator):
        calls.append(1)
        if stop_at is not None and len(calls) > stop_at:
            raise Killed
        x = torch.randn(settings.batch_size, 3, generator=generator)
        return (model(x) - x.sum(1, keepdim=True)).square().mean()

    table = training.train(model, loss, settings, checkpoint=path, seed=5, device=torch.device("cpu"), what="test")
    return model, table, len(calls)


def test_resumed_training_ends_with_identical_weights_and_log(tmp_path):
    whole, table, _ = run(tmp_path / "a" / "state.pt")
    with pytest.raises(Killed):
        run(tmp_path / "b" / "state.pt", stop_at=6)
    resumed, table_resumed, steps = run(tmp_path / "b" / "state.pt")
    assert steps == 8  # steps 5 to 12: the checkpoint after step 4 was used
    for a, b in zip(whole.parameters(), resumed.parameters()):
        assert torch.equal(a, b)
    np.testing.assert_array_equal(table[["step", "loss"]], table_resumed[["step", "loss"]])


def test_result_is_the_average_and_not_the_last_weights(tmp_path):
    averaged, _, _ = run(tmp_path / "state.pt")
    last = torch.load(tmp_path / "state.pt", weights_only=True)["model"]
    assert not torch.equal(last["0.weight"], averaged[0].weight)


def test_diverging_training_says_so_and_keeps_the_last_good_checkpoint(tmp_path):
    model, count = nn.Linear(1, 1), []

    def loss(generator):
        count.append(1)
        return model(torch.ones(1, 1)).sum() * (float("nan") if len(count) > 6 else 1.0)

    with pytest.raises(InputError, match="diverged"):
        training.train(
            model, loss, SETTINGS, checkpoint=tmp_path / "s.pt", seed=0, device=torch.device("cpu"), what="test"
        )
    assert torch.load(tmp_path / "s.pt", weights_only=True)["rows"][-1]["step"] == 4


def test_fingerprint_follows_settings_and_inputs_but_not_the_checkpoint_interval(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("a")
    second.write_text("b")
    settings = {"grid": 4, "train": {"steps": 5, "checkpoint_every": 1}}
    base = training.fingerprint(settings, [first], 1)
    assert base == training.fingerprint({"grid": 4, "train": {"steps": 5, "checkpoint_every": 2}}, [first], 1)
    others = [
        training.fingerprint({**settings, "grid": 5}, [first], 1),
        training.fingerprint(settings, [second], 1),
        training.fingerprint(settings, [first], 2),
    ]
    assert len({base, *others}) == 4


def test_learning_rate_rises_and_falls():
    rates = [training.learning_rate(step, Training(steps=100, warmup=0.1, learning_rate=1.0)) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0) and np.argmax(rates) in (9, 10)
    assert rates[-1] < 0.03 and np.all(np.diff(rates[10:]) <= 0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_asking_for_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="No GPU is visible"):
        training.pick_device("cuda")
