"""The frame of every job: its log file, its GPU, and an end that says what went wrong without a wall of traceback."""

import inspect
import logging
import os
import platform
import re
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from cellcascade import __version__
from cellcascade.core.errors import InputError
from cellcascade.core.gpus import require_gpu, take_free_gpu
from cellcascade.core.logs import package_versions, start_log

logger = logging.getLogger(__name__)

# Params that no stage takes: they are there to remake the outputs when they change.
REASONS = {"version", "annotated"}


def run_job(stage: Callable[..., None], snakemake: Any) -> None:
    """Run a stage's function as a Snakemake job.

    Its keyword parameters are bound by their names to the job's params, outputs and inputs, and to the settings that
    are shared by all jobs; see `bound`. A job that asks for a GPU gets one of its own here, unless the configuration
    says `device: cpu`.

    Args:
        stage: The function; all its parameters are keywords with annotations.
        snakemake: The job's description that Snakemake puts into the script.

    Raises:
        SystemExit: The job failed or was cancelled. An `InputError` is logged as its message alone, a fault of the
            program with its traceback.
    """
    signal.signal(signal.SIGTERM, _cancelled)
    start_log(snakemake.log[0])
    _describe(snakemake)
    try:
        arguments = bound(stage, snakemake)
        if asks_for_gpu(snakemake.resources) and snakemake.config["shared"]["device"] != "cpu":
            take_free_gpu()
            if snakemake.config["on_cluster"]:
                require_gpu()
        stage(**arguments)
    except InputError as error:
        logger.error("%s", error)
        sys.exit(1)
    except Exception:
        logger.exception("This is a fault of the program: please report it with this log")
        sys.exit(1)
    finally:
        logger.info("peak memory: %s", peak_memory())


def bound(stage: Callable[..., None], snakemake: Any) -> dict[str, Any]:
    """The arguments of a stage's function, each made what its annotation says: paths, models, typed values.

    Inputs that the function does not name are there for Snakemake alone; so are the parameters `version`, which remakes
    the outputs when the stage's version is raised, and `annotated`, how the frames are read, wherever they lie. An
    empty input (a file that this data set has not) becomes `None` where the annotation allows that.

    Args:
        stage: The function.
        snakemake: The job's description; `config["shared"]` holds the settings that are no reason to remake outputs,
            and neither are `threads`.

    Raises:
        TypeError: The function and its rule do not fit together: a fault of the program.
    """
    params = {name: value for name, value in snakemake.params.items() if name not in REASONS}
    given = {**snakemake.config["shared"], "threads": snakemake.threads}
    given |= {**dict(snakemake.input.items()), **dict(snakemake.output.items()), **params}
    hints, arguments = get_type_hints(stage, include_extras=True), {}
    for name, parameter in inspect.signature(stage).parameters.items():
        if name in given:
            try:
                arguments[name] = _as(hints[name], given[name])
            except ValidationError as error:
                raise TypeError(f"rule {snakemake.rule} gives a wrong {name}: {error}") from error
        elif parameter.default is parameter.empty:
            raise TypeError(f"rule {snakemake.rule} gives no {name}, which {stage.__qualname__} needs")
    if unused := params.keys() - arguments.keys():
        raise TypeError(f"rule {snakemake.rule} has params that {stage.__qualname__} does not take: {sorted(unused)}")
    return arguments


def _as(hint: Any, value: Any) -> Any:
    """A value as its annotation says, e.g. a block of settings as its model."""
    value = list(value) if isinstance(value, list) else value  # Snakemake's lists are of a type of their own
    if value == [] and type(None) in get_args(hint):
        return None
    return TypeAdapter(hint).validate_python(value)


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


def _describe(snakemake: Any) -> None:
    params = snakemake.params
    version = params.get("version", "-")
    logger.info("%s (cellcascade %s, stage version %s)", snakemake.rule, __version__, version)
    given = f"a GPU (CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES', '')})"
    gpu = given if asks_for_gpu(snakemake.resources) else "no GPU"
    logger.info("seed %s, %d threads and %s, node %s", params.get("seed", "-"), snakemake.threads, gpu, platform.node())
    logger.info("packages: %s", ", ".join(f"{name} {version}" for name, version in package_versions().items()))


def _cancelled(*_: Any) -> None:
    # What SLURM sends some seconds before it kills, at a time limit as well: an exit lets unfinished files be removed.
    logger.error("Cancelled from outside (SIGTERM): by a user, or because the time asked for was over")
    sys.exit(128 + signal.SIGTERM)
