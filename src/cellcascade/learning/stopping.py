"""Fine-tuning that stops in time: as soon as the loss of held-out examples no longer falls."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cellcascade.config.values import FOLDS
from cellcascade.core.seeds import torch_generator
from cellcascade.learning.device import training_autocast
from cellcascade.learning.objective import Objective, in_parts

logger = logging.getLogger(__name__)

ENOUGH = 40  # examples, from which on a fifth of them is held out; fewer are cross-validated
FIFTHS = 5
WORTH = 0.005  # share by which a loss must be lower to be worth the steps


@dataclass
class HeldOut:
    """Examples that are not learned from, and what their losses have been so far.

    Attributes:
        objective: These examples; the same batches are drawn at every look.
        batches: Batches that are looked at.
        every: Steps between looks.
        patience: Looks without a new lowest loss after which training stops.
        seed: Seed of the batches.
        precision: As in training.
        losses: Step and loss of every look so far.
        best: Averaged weights at the lowest loss.
    """

    objective: Objective
    batches: int
    every: int
    patience: int
    seed: int
    precision: str
    losses: list[tuple[int, float]] = field(default_factory=list)
    best: list[Tensor] = field(default_factory=list)

    @property
    def best_step(self) -> int:
        """Steps after which the loss was lowest."""
        return min(self.losses, key=lambda look: look[1])[0]

    @property
    def over(self) -> bool:
        """Whether the loss no longer falls: by no more than `WORTH` in as many looks as there is patience for."""
        since, low = 0, float("inf")
        for _, loss in self.losses:
            since, low = (0, loss) if loss < (1 - WORTH) * low else (since + 1, low)
        return since >= self.patience

    def look(self, step: int, weights: Sequence[Tensor], device: torch.device) -> float:
        """Measure the loss with the weights that the model has now, and keep them if it is the lowest so far."""
        total = 0.0
        with torch.no_grad():
            for number in range(self.batches):
                batch = self.objective.draw(torch_generator(self.seed, "held out", number))
                for part, share in in_parts(batch, 1, device):
                    with training_autocast(device, self.precision):
                        total += float(self.objective.loss(part)) * share / self.batches
        self.losses.append((step, total))
        if self.best_step == step:
            self.best = [tensor.detach().cpu().clone() for tensor in weights]
        return total

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs."""
        return {"losses": self.losses, "best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.losses, self.best = [(int(step), float(loss)) for step, loss in state["losses"]], state["best"]


def folds(cells: np.ndarray, seed: int) -> list[np.ndarray]:
    """Which examples to hold out: once a fifth, or, of few examples, each third in turn.

    Args:
        cells: Number of the cell of each example `(n,)`; slices of one cell stay together.
        seed: Seed of the order.

    Returns:
        Masks `(n,)`, True for what is held out.
    """
    names = np.random.default_rng(seed).permutation(np.unique(cells))
    if len(names) < 2:
        return []
    if len(cells) >= ENOUGH and len(names) >= FIFTHS:
        return [np.isin(cells, names[::FIFTHS])]
    count = min(FOLDS, len(names))
    return [np.isin(cells, names[part::count]) for part in range(count)]
