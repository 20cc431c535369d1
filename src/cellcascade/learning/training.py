"""One training loop for every model: AdamW, one-cycle learning rate, EMA, checkpoints, exact resume, TensorBoard.

Everything random in a step comes from a generator that depends on the step's number, so a resumed run
sees the same batches and noise as an uninterrupted one; on a CPU its weights are bit-identical.
"""

import contextlib
import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from diffusers.training_utils import EMAModel
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from cellcascade.config.values import FineTuning, Settings, Training
from cellcascade.core.errors import InputError
from cellcascade.core.files import atomic_path, digest
from cellcascade.core.logs import progress
from cellcascade.core.seeds import torch_generator
from cellcascade.learning.device import precision_on, training_autocast
from cellcascade.learning.objective import Objective, in_parts
from cellcascade.learning.stopping import HeldOut

logger = logging.getLogger(__name__)

WEIGHT_DECAY = 1e-4
SAME_RESULT = ("checkpoint_every", "sample_every", "gradient_checkpointing")  # keys of `train`


def checkpoint_file(prefix: str, settings: Settings, inputs: Iterable[str | Path], version: int) -> Path:
    """The file of a training's running state, in a folder named by what is trained.

    Args:
        prefix: Beginning of the folder's path, e.g. `checkpoints/CE/texture`.
        settings: The stage's block; of it only the keys that were given and change the result count.
        inputs: Files that are learned from; their contents count.
        version: Version of the stage.
    """
    return Path(
        f"{prefix}-{fingerprint(settings.model_dump(mode='json', exclude_unset=True), inputs, version)}/state.pt"
    )


def fingerprint(settings: Mapping[str, Any], inputs: Iterable[str | Path], version: int) -> str:
    """Name of what is trained: settings that change the result, contents of the inputs, version of the stage."""
    train = {key: value for key, value in settings.get("train", {}).items() if key not in SAME_RESULT}
    if train.get("precision") == "bf16":  # as trainings are whose settings do not say it
        del train["precision"]
    text = json.dumps([{**settings, "train": train}, [digest(path) for path in inputs], version], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def save_weights(path: Path, model: nn.Module, beside: Mapping[str, Tensor] | None = None) -> None:
    """Write a model's weights as safetensors, with tensors `beside` them if any, whole or not at all."""
    with atomic_path(path) as scratch:
        save_file(model.state_dict() | dict(beside or {}), scratch)


def learning_rate(step: int, settings: Training) -> float:
    """One cycle: linear warm-up, then half a cosine down to 2 % of the peak."""
    warmup = max(1, round(settings.warmup * settings.steps))
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, settings.steps - warmup)
    return settings.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


class _State:
    """Everything that a training goes on from: weights, optimiser, moving average, gradient scale, log."""

    PARTS = ("optimizer", "average", "scaler")

    def __init__(
        self,
        model: nn.Module,
        settings: FineTuning,
        device: torch.device,
        weight_decay: float,
        rates: Mapping[str, float] | None = None,
        held_out: HeldOut | None = None,
    ):
        self.model, self.held_out = model, held_out
        self.rows: list[dict[str, float]] = []
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
        self.optimizer = _optimizer(parameter_groups(model, rates or {}), settings, weight_decay)
        self.average = EMAModel(self.parameters, decay=settings.ema_decay)
        half = precision_on(device, settings.precision) == "fp16"
        self.scaler = torch.amp.GradScaler(device.type, enabled=half)  # small gradients vanish in fp16

    def gradients(self, losses: Iterable[Tensor]) -> Tensor:
        """Leave the gradient of the sum of some losses in the parameters; gives that sum."""
        self.optimizer.zero_grad(set_to_none=True)
        parts = []
        for value in losses:
            self.scaler.scale(value).backward()
            parts.append(value.detach())
        return sum(parts[1:], parts[0])

    def step(self) -> None:
        """One step of the optimiser along the gradient."""
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.average.step(self.parameters)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """The model with the moving average of its weights, as it will be saved."""
        self.average.store(self.parameters)
        self.average.copy_to(self.parameters)
        self.model.eval()
        try:
            yield
        finally:
            self.average.restore(self.parameters)
            self.model.train()

    def finish(self) -> None:
        """Leave the averaged weights in the model, ready for use: those of the lowest held-out loss, else the last."""
        self.model.eval()
        if self.held_out and self.held_out.best:
            for parameter, best in zip(self.parameters, self.held_out.best):
                parameter.data.copy_(best)
        else:
            self.average.copy_to(self.parameters)

    def save(self, path: Path) -> None:
        """Write the state; weights that are not trained are left out."""
        weights = {name: value for name, value in self.model.state_dict().items() if name not in self.frozen}
        parts = {name: getattr(self, name).state_dict() for name in self.PARTS}
        if self.held_out:
            parts["held_out"] = self.held_out.state_dict()
        with atomic_path(path) as scratch, open(scratch, "wb") as file:
            # Given a path, torch hides that a disk is full.
            torch.save({"model": weights, "rows": self.rows, **parts}, file)

    def resume(self, path: Path) -> int:
        """Go on from a saved state if there is one, and be ready to train; gives the steps done."""
        self.model.train()
        if not path.exists():
            return 0
        # On the CPU: each part moves its tensors to the model's device itself, and so nothing lies there twice; and the
        # optimiser's count of steps stays on the CPU, where it is read at each step without waiting for a GPU.
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.model.load_state_dict(state["model"], strict=False)
        for name in self.PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.average.to(next(self.model.parameters()).device)
        if self.held_out:
            self.held_out.load_state_dict(state["held_out"])
        self.rows.extend(state["rows"])
        done = int(self.rows[-1]["step"])
        logger.info("resuming from %s at step %d", path, done)
        return done


def train(
    model: nn.Module,
    objective: Objective,
    settings: Training,
    *,
    checkpoint: Path,
    seed: int,
    device: torch.device,
    what: str,
    weight_decay: float = WEIGHT_DECAY,
    rates: Mapping[str, float] | None = None,
    look: Callable[[SummaryWriter, int], dict[str, float]] | None = None,
    held_out: HeldOut | None = None,
) -> pd.DataFrame:
    """Train `model` in place and leave the moving average of its weights in it.

    Args:
        model: Module whose parameters with `requires_grad` are trained.
        objective: What it learns from. A batch that does not fit the GPU's memory is halved until it does, and the
            gradients of its parts are added up: the same steps but for rounding and for batch normalisation.
        settings: Steps, learning rate, EMA, checkpoint interval.
        checkpoint: File of the running state, from which training goes on; `tensorboard` lies beside it.
        seed: Seed of this training.
        device: Where the model is.
        what: Name for messages.
        weight_decay: Weight decay of AdamW.
        rates: Learning rates of the model's parts by their names, as shares of that in `settings`; 1 for others.
        look: Called every `sample_every` steps and at the end, while the model has its averaged weights; may add
            pictures of a step to TensorBoard, and gives values that are logged. Must leave the model as it is.
        held_out: Examples by whose loss the training stops; the model gets the weights of its lowest value.

    Returns:
        The training log: columns step, loss (mean since the last row), learning_rate, seconds (since the start),
        those of `look`, and `held_out`, the loss of held-out examples.

    Raises:
        InputError: The loss is not finite, the GPU is too small, or the optimiser is not installed.
    """
    settings = settings if isinstance(settings, FineTuning) else FineTuning(**dict(settings))
    state = _State(model, settings, device, weight_decay, rates, held_out)
    start, end = state.resume(checkpoint), settings.steps
    with SummaryWriter(checkpoint.parent / "tensorboard", purge_step=start + 1) as board:
        run = _Run(state, objective, settings, seed=seed, device=device, what=what)
        for step in progress(range(start, end), total=end, what=f"{what} steps", start=start):
            if run.over(step):
                break
            run.step(step)
            run.note(step, board, look, checkpoint)
    state.finish()
    return pd.DataFrame(state.rows)


class _Run:
    """The steps of a training from where it began or goes on, and the rows of its log."""

    def __init__(
        self, state: _State, objective: Objective, settings: FineTuning, *, seed: int, device: torch.device, what: str
    ):
        self.state, self.objective, self.settings = state, objective, settings
        self.seed, self.device, self.what = seed, device, what
        self.parts = 1  # that a batch is learned from in
        self.began = time.monotonic() - (state.rows[-1]["seconds"] if state.rows else 0)
        self.recent: list[Tensor] = []

    def over(self, step: int) -> bool:
        """Whether the held-out loss no longer falls before this step; says so."""
        held_out = self.state.held_out
        if held_out is None or not held_out.over:
            return False
        logger.info("%s stopped at step %d: held-out loss no longer falls", self.what, step)
        return True

    def step(self, step: int) -> None:
        """Do one step of the optimiser."""
        for group in self.state.optimizer.param_groups:
            group["lr"] = learning_rate(step, self.settings) * group["rate"]
        mean = None
        while mean is None:
            mean = self._gradients(step)
        self.recent.append(mean)
        try:
            self.state.step()
        except torch.OutOfMemoryError as error:
            raise self._too_small(step, error) from error

    def _gradients(self, step: int) -> Tensor | None:
        """The gradients of a step; gives its mean loss, or `None` if the GPU is too small for as many examples."""
        try:
            return self.state.gradients(self._losses(step))
        except torch.OutOfMemoryError as error:
            if self.parts >= self.settings.batch_size:
                raise self._too_small(step, error) from error
            said = _said(error)
        # Only here, when the error has let go of what it holds, can the memory be given back.
        self.state.optimizer.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        self.parts = min(2 * self.parts, self.settings.batch_size)
        logger.warning(
            "the GPU is too small for %s with this batch (%s): going on with %d examples at once, whose gradients add "
            "up to the same steps (train.batch_size %d in %d parts)",
            *(self.what, said, -(-self.settings.batch_size // self.parts), self.settings.batch_size, self.parts),
        )
        return None

    def _losses(self, step: int) -> Iterator[Tensor]:
        """What adds up to the mean loss of a step's batches; the first of them is what a single one would be."""
        for index in range(self.settings.accumulation):
            batch = self.objective.draw(torch_generator(self.seed, "step", step, *([index] if index else [])))
            for part, share in in_parts(batch, self.parts, self.device):
                with training_autocast(self.device, self.settings.precision):
                    value = self.objective.loss(part)
                yield value * share / self.settings.accumulation

    def _too_small(self, step: int, error: torch.OutOfMemoryError) -> InputError:
        return InputError(
            f"The GPU is too small for {self.what}",
            where=f"step {step + 1}, train.batch_size {self.settings.batch_size}, one example at a time",
            found=_said(error),
            expected="enough memory for one example, its activations and the optimiser",
            fix="for textures, set train.gradient_checkpointing: true, train less of the model by trainable: "
            "controlnet, or keep less of the optimiser by train.optimizer: adamw8bit; take a GPU with more memory, or "
            "set device: cpu; the last checkpoint is kept",
        )

    def note(
        self,
        step: int,
        board: SummaryWriter,
        look: Callable[[SummaryWriter, int], dict[str, float]] | None,
        checkpoint: Path,
    ) -> None:
        """Add a row to the log and write a checkpoint, after the steps for which that is due."""
        settings, done, held_out = self.settings, step + 1, self.state.held_out
        last = done == settings.steps
        due = look if last or done % settings.sample_every == 0 else None
        check = held_out if held_out and (last or done % held_out.every == 0) else None
        save = last or due is not None or done % settings.checkpoint_every == 0
        if not save and check is None:
            return
        mean = _finite_mean(self.recent, self.what, done)
        row = {"step": done, "loss": mean, "learning_rate": learning_rate(step, settings)}
        row["seconds"], self.recent = time.monotonic() - self.began, []
        if due is not None or check is not None:
            with self.state.averaged():
                row |= due(board, done) if due else {}
                row |= {"held_out": check.look(done, self.state.parameters, self.device)} if check else {}
        of_others = f", of held-out examples {row['held_out']:.4f}" if check else ""
        logger.info("%s step %d: loss %.4f%s", self.what, done, mean, of_others)
        self.state.rows.append(row)
        for name in row.keys() - {"step", "seconds"}:
            board.add_scalar(name, row[name], done)
        if save:
            self.state.save(checkpoint)


def _said(error: torch.OutOfMemoryError) -> str:
    return str(error).splitlines()[0]


def parameter_groups(model: nn.Module, rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """The trained parameters in groups of one learning rate each, which is a share (`rate`) of the common one.

    Args:
        model: The model.
        rates: That share by the names of the model's parts; 1 for parts that are not named.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(rates.get(name.split(".")[0], 1.0), []).append(parameter)
    return [{"params": parameters, "rate": rate} for rate, parameters in groups.items()]


def _optimizer(groups: list[dict[str, Any]], settings: FineTuning, weight_decay: float) -> torch.optim.Optimizer:
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=weight_decay)
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise InputError(
            "The 8-bit optimiser is not installed",
            where="config: train.optimizer: adamw8bit",
            found=str(error),
            expected="the package bitsandbytes in the environment of the job",
            fix="run `.venv/bin/pip install bitsandbytes`, or add it to envs/diffusion.yaml if jobs run in conda "
            "environments; or set optimizer: adamw",
        ) from error
    return AdamW8bit(groups, lr=settings.learning_rate, weight_decay=weight_decay)


def _finite_mean(losses: list[Tensor], what: str, step: int) -> float:
    mean = torch.stack(losses).mean().item()
    if not math.isfinite(mean):
        raise InputError(
            f"Training of {what} diverged",
            where=f"step {step}",
            found=f"loss {mean}",
            expected="a finite loss",
            fix="lower train.learning_rate; the last good checkpoint is kept",
        )
    return mean
