"""One training loop for every model: AdamW, one-cycle learning rate, EMA, checkpoints, exact resume.

Everything random in a step comes from a generator that hangs on the step's number, so a resumed run
sees the same batches and noise as an uninterrupted one; on a CPU its weights are bit-identical.
"""

import contextlib
import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd
import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from cellcascade.errors import InputError
from cellcascade.logs import progress
from cellcascade.seeds import torch_generator
from cellcascade.settings import Training
from cellcascade.shards import atomic_path, digest

logger = logging.getLogger(__name__)

WEIGHT_DECAY = 1e-4


def pick_device(device: str) -> torch.device:
    """The device of a job: `cpu`, `cuda`, or `auto` for a GPU if the job sees one.

    Raises:
        InputError: `cuda` was asked for and the job sees no GPU.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "No GPU is visible to this job",
            where="config: device",
            found=f"device: cuda, torch {torch.__version__} sees none",
            expected="a CUDA device (nvidia-smi lists it)",
            mend="ask for a GPU (profile: gpu=1), or set device: cpu",
        )
    chosen = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if chosen.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    logger.info("running on %s (torch %s)", name, torch.__version__)
    return chosen


def autocast(device: torch.device) -> contextlib.AbstractContextManager:
    """Mixed precision (bfloat16) on a GPU, single precision on a CPU."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else contextlib.nullcontext()


def fingerprint(settings: dict, inputs: Iterable[str | Path], version: int) -> str:
    """Name of what is trained: settings that change the result, contents of the inputs, code version."""
    settings = json.loads(json.dumps(settings))
    settings.get("train", {}).pop("checkpoint_every", None)
    text = json.dumps([settings, [digest(path) for path in inputs], version], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def learning_rate(step: int, settings: Training) -> float:
    """One cycle: linear warm-up, then half a cosine down to 2 % of the peak."""
    warmup = max(1, round(settings.warmup * settings.steps))
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, settings.steps - warmup)
    return settings.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def train(
    model: nn.Module,
    loss: Callable[[torch.Generator], Tensor],
    settings: Training,
    *,
    checkpoint: Path,
    seed: int,
    device: torch.device,
    what: str,
    weight_decay: float = WEIGHT_DECAY,
) -> pd.DataFrame:
    """Train `model` in place and leave the moving average of its weights in it.

    Args:
        model: Module whose parameters with `requires_grad` are trained.
        loss: Gives one batch's loss; all its randomness comes from the generator it is handed.
        settings: Steps, learning rate, EMA, checkpoint interval.
        checkpoint: File of the running state; when it is there, training goes on from it.
        seed: Seed of this training.
        device: Where the model is.
        what: Name for messages.
        weight_decay: Weight decay of AdamW.

    Returns:
        The training log: columns step, loss (mean since the last row), learning_rate, seconds (since the start).
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=weight_decay)
    average = EMAModel(parameters, decay=settings.ema_decay)
    rows: list[dict] = []
    start = _resume(checkpoint, model, optimizer, average, rows)
    began, recent = time.monotonic() - (rows[-1]["seconds"] if rows else 0), []
    model.train()
    for step in progress(range(start, settings.steps), total=settings.steps, what=f"{what} steps", start=start):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, settings)
        with autocast(device):
            value = loss(torch_generator(seed, "step", step))
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        average.step(parameters)
        recent.append(value.detach())
        done = step + 1
        if done % settings.checkpoint_every == 0 or done == settings.steps:
            mean = _finite_mean(recent, what, done)
            rows.append(
                {
                    "step": done,
                    "loss": mean,
                    "learning_rate": optimizer.param_groups[0]["lr"],
                    "seconds": time.monotonic() - began,
                }
            )
            logger.info("%s step %d: loss %.4f", what, done, mean)
            recent = []
            _save(checkpoint, model, optimizer, average, rows)
    average.copy_to(parameters)
    model.eval()
    return pd.DataFrame(rows)


def _finite_mean(losses: list[Tensor], what: str, step: int) -> float:
    mean = torch.stack(losses).mean().item()
    if not math.isfinite(mean):
        raise InputError(
            f"Training of {what} diverged",
            where=f"step {step}",
            found=f"loss {mean}",
            expected="a finite loss",
            mend="lower train.learning_rate; the last good checkpoint is kept",
        )
    return mean


def _save(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, average: EMAModel, rows: list[dict]) -> None:
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": average.state_dict(),
        "rows": rows,
    }
    with atomic_path(path) as scratch, open(scratch, "wb") as file:
        torch.save(state, file)  # given a path, it hides that a disk is full


def _resume(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, average: EMAModel, rows: list[dict]) -> int:
    if not path.exists():
        return 0
    device = next(model.parameters()).device
    state = torch.load(path, map_location=device, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    average.load_state_dict(state["average"])
    average.to(device)
    rows.extend(state["rows"])
    logger.info("resuming from %s at step %d", path, rows[-1]["step"])
    return rows[-1]["step"]


def write_json(path: Path, content: dict) -> None:
    """Write a JSON file whole or not at all."""
    with atomic_path(path) as scratch:
        scratch.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a CSV file whole or not at all."""
    with atomic_path(path) as scratch:
        table.to_csv(scratch, index=False)
