"""Fine-tuning from a prior on few examples: held-out ones, or cross-validation, tell how many steps are enough."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd
import torch
from torch import nn

from cellcascade.config.values import Tuning
from cellcascade.learning import training
from cellcascade.learning.objective import Objective
from cellcascade.learning.stopping import HeldOut, folds

logger = logging.getLogger(__name__)

Model = TypeVar("Model", bound=nn.Module)

HELD_OUT_BATCHES = 4


@dataclass(frozen=True)
class FineTune(Generic[Model]):
    """A fine-tuning of a prior until held-out examples no longer improve; `run` does it.

    Attributes:
        start: Gives the model as its prior left it, on its device.
        learn: Gives what a model learns from the examples of a mask `(n,)`, bool.
        settings: The block `tuning`.
        checkpoint: File of the running state; those of the parts that are held out in turn lie beside it.
        seed: Seed of this training.
        device: Where the model is.
        what: Name for messages.
    """

    start: Callable[[], Model]
    learn: Callable[[Model, np.ndarray], Objective]
    settings: Tuning
    checkpoint: Path
    seed: int
    device: torch.device
    what: str

    def run(self, cells: np.ndarray) -> tuple[Model, pd.DataFrame]:
        """Train.

        From 40 examples on, a fifth of the cells is held out, and the model is the one of the lowest held-out loss. Of
        fewer examples each third is held out in turn; the model then learns from all of them, for the median of the
        steps that were best.

        Args:
            cells: Number of the cell of each example `(n,)`; slices of one cell are held out together.

        Returns:
            The fine-tuned model and its training log, see `training.train`.
        """
        parts = folds(cells, self.seed)
        if len(parts) == 1:
            model, log, best = self._with(parts[0], self.what, self.checkpoint)
            logger.info("%s: held-out loss was lowest, %.4f, after %d steps", self.what, log["held_out"].min(), best)
            return model, log
        steps = []
        for number, hidden in enumerate(parts, 1):
            name = f"{self.what}, part {number} of {len(parts)} held out"
            steps.append(self._with(hidden, name, self.checkpoint.with_name(f"part-{number}.pt"))[2])
        until = int(np.median(steps)) if steps else self.settings.check_every
        logger.info(
            "%s: held-out loss was lowest after %s steps: all are learned from, %d steps", self.what, steps, until
        )
        shorter = replace(self, settings=self.settings.model_copy(update={"steps": until}))
        return shorter._train(self.start(), np.ones(len(cells), bool), self.what, self.checkpoint)

    def _with(self, hidden: np.ndarray, what: str, checkpoint: Path) -> tuple[Model, pd.DataFrame, int]:
        """Train without the examples that are hidden; gives the steps after which their loss was lowest, too."""
        model, settings = self.start(), self.settings
        held_out = HeldOut(
            self.learn(model, hidden),
            HELD_OUT_BATCHES,
            settings.check_every,
            settings.patience,
            seed=self.seed,
            precision=settings.precision,
        )
        model, log = self._train(model, ~hidden, what, checkpoint, held_out)
        return model, log, held_out.best_step

    def _train(
        self, model: Model, seen: np.ndarray, what: str, checkpoint: Path, held_out: HeldOut | None = None
    ) -> tuple[Model, pd.DataFrame]:
        how: dict[str, Any] = {"checkpoint": checkpoint, "seed": self.seed, "device": self.device, "what": what}
        log = training.train(model, self.learn(model, seen), self.settings, held_out=held_out, **how)
        return model, log
