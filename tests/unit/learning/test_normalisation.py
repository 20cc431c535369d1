import torch
from torch import nn

from cellcascade.learning.normalisation import MOST_BATCHES, refit_batch_norm
from cellcascade.learning.objective import Objective

CPU = torch.device("cpu")


def test_statistics_are_those_of_the_training_s_batches_and_the_mode_stays():
    model, drawn = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1)).eval(), []

    def draw(generator):
        drawn.append(torch.randn(16, 3, generator=generator) * 2 + torch.tensor([0.0, 1.0, 5.0]))
        return drawn[-1], torch.zeros(16)

    model[0].running_mean.fill_(99)
    refit_batch_norm(model, Objective(draw, lambda batch: batch[0].mean()), steps=99, seed=0, device=CPU)
    assert len(drawn) == MOST_BATCHES and not model.training and model[0].momentum == 0.1
    torch.testing.assert_close(model[0].running_mean, torch.cat(drawn).mean(0))
    torch.testing.assert_close(model[0].running_var, torch.stack([batch.var(0) for batch in drawn]).mean(0))


def test_a_model_without_batch_normalisation_stays_as_it_is():
    def draw(generator):
        raise AssertionError("nothing is to be measured")

    refit_batch_norm(nn.Linear(2, 1), Objective(draw, lambda batch: batch[0].mean()), steps=99, seed=0, device=CPU)
