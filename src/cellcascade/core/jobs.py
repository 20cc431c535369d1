"""The frame of every job: its log file, its GPU, and an end that says what went wrong without a wall of traceback."""

import logging
import os
import platform
import re
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cellcascade import __version__
from cellcascade.core.errors import InputError
from cellcascade.core.gpus import require_gpu, take_free_gpu
from cellcascade.core.logs import package_versions, start_log

logger = logging.getLogger(__name__)


def run_job(main: Callable[..., None], snakemake: Any, **more: Any) -> None:
    """Run a script's `main(inputs, outputs, **parameters)` as a Snakemake job.

    The stage's version, which is a parameter so that raising it remakes the outputs, goes to the log alone. A job that
    asks for a GPU gets one of its own here, unless the configuration says `device: cpu`.

    Args:
        main: What the script does.
        snakemake: The job's description that Snakemake puts into the script.
        more: Parameters that are no reason to remake the outputs when they change.

    Raises:
        SystemExit: The job failed or was cancelled. An `InputError` is logged as its message alone, a fault of the
            program with its traceback.
    """
    signal.signal(signal.SIGTERM, _cancelled)
    parameters = dict(snakemake.params.items())
    start_log(snakemake.log[0])
    _describe(snakemake, parameters)
    try:
        if asks_for_gpu(snakemake.resources) and more["device"] != "cpu":
            take_free_gpu()
            if snakemake.config["on_cluster"]:
                require_gpu()
        main(snakemake.input, snakemake.output, **parameters, **more)
    except InputError as error:
        logger.error("%s", error)
        sys.exit(1)
    except Exception:
        logger.exception("This is a fault of the program: please report it with this log")
        sys.exit(1)
    finally:
        logger.info("peak memory: %s", peak_memory())


def asks_for_gpu(resources: Any) -> bool:
    """Whether a job's resources hold a GPU, as `gpu: 1` or as the generic resource of some clusters, `gres: gpu:1`."""
    return bool(resources.get("gpu")) or "gpu" in str(resources.get("gres", ""))


def peak_memory() -> str:
    """The most memory that this process had so far, and the most that PyTorch had on the GPU."""
    # getrusage starts with the peak of the process that started this one: it is asked only where Linux says no more.
    status = Path("/proc/self/status")
    high = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    kilobytes = int(high[1]) if high else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    text = f"{kilobytes / 1024:.0f} MB"
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_initialized():
        text += f", {torch.cuda.max_memory_allocated() / 2**20:.0f} MB on the GPU"
    return text


def _describe(snakemake: Any, parameters: dict) -> None:
    version = parameters.pop("version", "-")
    logger.info("%s (cellcascade %s, stage version %s)", snakemake.rule, __version__, version)
    given = f"a GPU (CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES', '')})"
    gpu = given if asks_for_gpu(snakemake.resources) else "no GPU"
    logger.info(
        "seed %s, %d threads and %s, node %s", parameters.get("seed", "-"), snakemake.threads, gpu, platform.node()
    )
    logger.info("packages: %s", ", ".join(f"{name} {version}" for name, version in package_versions().items()))


def _cancelled(*_: Any) -> None:
    # What SLURM sends some seconds before it kills, at a time limit as well: an exit lets unfinished files be removed.
    logger.error("Cancelled from outside (SIGTERM): by a user, or because the time asked for was over")
    sys.exit(128 + signal.SIGTERM)
