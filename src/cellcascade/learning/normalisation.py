"""Statistics of batch normalisation that fit averaged weights."""

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from cellcascade.core.seeds import torch_generator
from cellcascade.learning.objective import Objective, to_device

MOST_BATCHES = 50


def refit_batch_norm(model: nn.Module, objective: Objective, *, steps: int, seed: int, device: torch.device) -> None:
    """Measure a model's batch statistics again, over batches of its training, in single precision.

    The moving average of weights, which a training leaves, is not what the layers of batch normalisation followed while
    it ran: their means and variances are those of the last weights, and lag behind them. Models without such layers
    stay as they are.

    Args:
        model: The trained model; it stays in the mode it is in.
        objective: What it was trained on; the model takes the first tensor of a batch.
        steps: Steps of the training, of which as many batches are drawn, but at most `MOST_BATCHES`.
        seed: Seed of the training.
        device: Where the model is.
    """
    drawn = (objective.draw(torch_generator(seed, "batch_norm", index)) for index in range(min(steps, MOST_BATCHES)))
    update_bn((to_device(batch[:1], device) for batch in drawn), model)
