"""The device of a job, and the precision it computes in."""

import contextlib
import logging
import platform

import torch

from cellcascade.core.errors import InputError

logger = logging.getLogger(__name__)
PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


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
            fix="ask for a GPU (profile: gpu=1), or set device: cpu",
        )
    chosen = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    logger.info("running on %s", machine(chosen))
    return chosen


def machine(device: torch.device) -> str:
    """What a device is, in words, for logs and records of trainings."""
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    return f"{name}, {platform.machine()}, torch {torch.__version__}"


def autocast(device: torch.device, precision: str = "bf16") -> contextlib.AbstractContextManager:
    """Mixed precision (`bf16` or `fp16`) on a GPU; single precision on a CPU, or if it is `fp32`."""
    if device.type != "cuda" or precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast("cuda", PRECISIONS[precision])
