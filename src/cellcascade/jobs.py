"""The frame of every job: its log file, and an end that says what went wrong without a wall of traceback."""

import sys
from collections.abc import Callable
from typing import Any

from cellcascade import __version__
from cellcascade.errors import InputError
from cellcascade.logs import start_log


def run_job(main: Callable[..., None], snakemake: Any, **more: Any) -> None:
    """Run a script's `main(inputs, outputs, **parameters)` as a Snakemake job.

    The stage's version, which is a parameter so that raising it remakes the outputs, goes to the log alone.

    Args:
        main: What the script does.
        snakemake: The job's description that Snakemake puts into the script.
        more: Parameters that are no reason to remake the outputs when they change.

    Raises:
        SystemExit: The job failed. An `InputError` is logged as its message alone, a fault of the program with
            its traceback.
    """
    parameters = dict(snakemake.params.items())
    logger = start_log(snakemake.log[0])
    logger.info("%s (cellcascade %s, stage version %s)", snakemake.rule, __version__, parameters.pop("version", "-"))
    try:
        main(snakemake.input, snakemake.output, **parameters, **more)
    except InputError as error:
        logger.error("%s", error)
        sys.exit(1)
    except Exception:
        logger.exception("This is a fault of the program: please report it with this log")
        sys.exit(1)
