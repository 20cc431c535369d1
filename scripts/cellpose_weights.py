"""Fetch the weights of a Cellpose 3 generalist by the library's own download."""

import os
from pathlib import Path

from cellcascade.errors import InputError
from cellcascade.jobs import run_job


def main(inputs, outputs, *, name):
    folder = Path(outputs.weights).parent.absolute()
    os.environ["CELLPOSE_LOCAL_MODELS_PATH"] = str(folder)  # read when Cellpose is imported
    from cellpose import models

    if name not in models.MODEL_NAMES:
        raise InputError(
            "Cellpose 3 has no generalist of this name",
            where="evaluation.cellpose.start",
            found=name,
            expected=f"scratch, a file of weights, or one of {', '.join(models.MODEL_NAMES)}",
            mend="correct the name; a file is given with its path, such as ./weights/mine",
        )
    try:
        fetched = Path(models.model_path(name))
    except OSError as error:
        raise InputError(
            f"The Cellpose weights {name} could not be fetched",
            where="evaluation.cellpose.start",
            found=str(error).strip().splitlines()[0],
            expected=f"a network, or the file {outputs.weights}",
            mend="on a machine with network run `from cellpose.models import model_path; print(model_path("
            f"{name!r}))` in Python, copy the file it names to {Path(outputs.weights).absolute()}; "
            "or set start: scratch",
        ) from error
    if fetched != Path(outputs.weights).absolute():
        os.replace(fetched, outputs.weights)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
