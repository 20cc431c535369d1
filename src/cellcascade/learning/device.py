"""The device of a job, and the precision it computes in."""

import contextlib
import functools
import logging
import platform

import torch

from cellcascade.core.errors import InputError

logger = logging.getLogger(__name__)
PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(device: str) -> torch.device:
    """The device of a job: `cpu`, `cuda`, or `auto` for a GPU if the job sees one.

    Raises:
        InputError: `cuda` was asked for and the job sees no GPU; or `mps`, which is not supported.
    """
    if device == "mps":
        raise InputError(
            "Apple's GPUs are not supported",
            where="config: device",
            found="device: mps",
            expected="auto, cpu or cuda: no part of the cascade was ever run or tested on mps",
            fix="set device: cpu",
        )
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "No GPU is visible to this job",
            where="config: device",
            found=f"device: cuda, torch {torch.__version__} sees none",
            expected="a CUDA device (nvidia-smi lists it)",
            fix="ask for a GPU (profile: gpu=1), or set device: cpu",
        )
    chosen = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    logger.info("running on %s", machine(chosen))
    return chosen


def machine(device: torch.device) -> str:
    """What a device is, in words, for logs and records of trainings."""
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    return f"{name}, {platform.machine()}, torch {torch.__version__}"


def has_bf16(device: torch.device) -> bool:
    """Whether a device is a GPU that computes in bf16 itself; others are slow at it."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


@functools.cache  # so that it is logged once
def precision_on(device: torch.device, precision: str) -> str:
    """The precision that a device computes in if asked for one: on a CPU fp32, on a GPU without bf16 fp16 instead."""
    if device.type != "cuda":
        return "fp32"
    if precision == "bf16" and not has_bf16(device):
        logger.warning("%s has no bf16: fp16 is used instead (train.precision)", torch.cuda.get_device_name(device))
        return "fp16"
    return precision


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """Mixed precision in bf16 or fp16, or single precision, as `precision_on` says."""
    used = precision_on(device, precision)
    return contextlib.nullcontext() if used == "fp32" else torch.autocast("cuda", PRECISIONS[used])


def training_autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """Precision of a training: as `autocast`, and bf16 on CPUs that multiply matrices in it (AMX), twice as fast.

    Sampling stays in single precision on every CPU: one cell at a time, it would not be faster.
    """
    if device.type == "cpu" and precision == "bf16" and has_amx():
        return torch.autocast("cpu", torch.bfloat16)
    return autocast(device, precision)


def has_amx() -> bool:
    """Whether the CPU has units that multiply matrices in bf16."""
    return torch.cpu._is_amx_tile_supported()  # PyTorch has no public name for it
