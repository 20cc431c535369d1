"""Held-out examples: which they are, and how they stop a training."""

import numpy as np
import pytest
import torch
from torch import nn

from cellcascade.config.values import Tuning
from cellcascade.learning import training
from cellcascade.learning.fine_tuning import FineTune
from cellcascade.learning.objective import Objective
from cellcascade.learning.stopping import HeldOut, folds

CPU = torch.device("cpu")
SETTINGS = Tuning(steps=400, batch_size=8, learning_rate=0.02, ema_decay=0.5, check_every=5, patience=3)
WEIGHTS = np.linspace(-1, 1, 6).astype(np.float32)


def line():
    """A model of six weights that are zero."""
    model = nn.Linear(6, 1, bias=False)
    nn.init.zeros_(model.weight)
    return model


def noisy_sums(model, chosen, data):
    """Learning the weights from some of noisy examples; few of them cannot tell weights from noise for long."""
    x, y = (torch.from_numpy(each[chosen]) for each in data)

    def draw(generator):
        rows = torch.randint(len(x), (8,), generator=generator)
        return x[rows], y[rows]

    return Objective(draw, lambda batch: (model(batch[0]) - batch[1]).square().mean())


@pytest.fixture
def data():
    generator = np.random.default_rng(1)
    x = generator.normal(size=(50, 6)).astype(np.float32)
    return x, (x @ WEIGHTS[:, None] + generator.normal(0, 1.5, (50, 1))).astype(np.float32)


def test_of_many_cells_a_fifth_is_held_out_and_slices_stay_together():
    cells = np.repeat(np.arange(20), 3)
    (hidden,) = folds(cells, 0)
    assert hidden.sum() == 12 and all(len(set(hidden[cells == cell])) == 1 for cell in range(20))


def test_of_few_cells_each_is_held_out_once():
    parts = folds(np.arange(16), 0)
    assert len(parts) == 3 and (np.sum(parts, 0) == 1).all()
    assert folds(np.zeros(5, int), 0) == []


def test_training_stops_when_held_out_loss_no_longer_falls_and_keeps_the_best(tmp_path, data):
    seen = np.arange(50) < 10
    model = line()
    held_out = HeldOut(noisy_sums(model, ~seen, data), 8, every=5, patience=3, seed=0, precision="fp32")
    how = {"checkpoint": tmp_path / "s.pt", "seed": 0, "device": CPU, "what": "test"}
    log = training.train(model, noisy_sums(model, seen, data), SETTINGS, held_out=held_out, **how)
    assert 20 <= log["step"].max() < 400 and held_out.over
    best = log.set_index("step")["held_out"]
    assert best.idxmin() == held_out.best_step
    again = HeldOut(held_out.objective, 8, every=5, patience=3, seed=0, precision="fp32")
    assert again.look(1, list(model.parameters()), CPU) == pytest.approx(best.min(), abs=1e-7)


@pytest.mark.parametrize(
    ("losses", "over"),
    [
        ([1.0, 0.9, 0.8, 0.7], False),
        ([1.0, 0.9, 0.95, 0.91], False),
        ([1.0, 0.9, 0.95, 0.91, 0.9], True),
        ([1.0, 0.9, 0.899, 0.898, 0.897], True),  # falls, but is not worth the steps
        ([1.0, 0.9, 0.898, 0.896, 0.894], False),  # in three looks by more than half a percent
        ([], False),
    ],
)
def test_a_loss_that_falls_by_less_than_half_a_percent_falls_no_longer(losses, over):
    nothing = Objective(lambda generator: (), lambda batch: torch.zeros(()))
    held_out = HeldOut(nothing, 1, every=1, patience=3, seed=0, precision="fp32")
    held_out.losses = list(enumerate(losses, 1))
    assert held_out.over == over


class Killed(Exception):
    pass


def test_a_killed_fine_tuning_goes_on_to_the_same_weights(tmp_path, data):
    settings = SETTINGS.model_copy(update={"checkpoint_every": 4})

    def run(folder, dies_at=None):
        calls = []

        def learn(model, chosen):
            objective = noisy_sums(model, chosen, data)

            def loss(batch):
                calls.append(1)
                if len(calls) == dies_at:
                    raise Killed
                return objective.loss(batch)

            return Objective(objective.draw, loss)

        how = {"checkpoint": folder / "state.pt", "seed": 0, "device": CPU, "what": "test"}
        return FineTune(line, learn, settings, **how).run(np.arange(50))

    whole, log = run(tmp_path / "a")
    with pytest.raises(Killed):
        run(tmp_path / "b", dies_at=60)
    resumed, log_resumed = run(tmp_path / "b")
    assert torch.equal(whole.weight, resumed.weight)
    np.testing.assert_array_equal(log["held_out"], log_resumed["held_out"])


def test_few_examples_are_cross_validated_and_then_all_learned_from(tmp_path, data):
    few, said = tuple(each[:16] for each in data), []

    def learn(model, chosen):
        said.append(int(chosen.sum()))
        return noisy_sums(model, chosen, few)

    how = {"checkpoint": tmp_path / "state.pt", "seed": 0, "device": CPU, "what": "test"}
    model, log = FineTune(line, learn, SETTINGS, **how).run(np.arange(16))
    assert sorted(said) == sorted([5, 11, 5, 11, 6, 10, 16]) and "held_out" not in log
    assert log["step"].max() < 400 and model.weight.abs().sum() > 0
