"""Fetch the weights of a Cellpose generalist by the library's own download."""

import os
from pathlib import Path

from cellcascade.config.cellpose_versions import GENERALISTS_4, check_installed, version_of
from cellcascade.core.errors import InputError
from cellcascade.core.jobs import run_job


def main(inputs, outputs, *, name):
    version, folder = version_of(name), Path(outputs.weights).parent.absolute()
    check_installed(version)
    os.environ["CELLPOSE_LOCAL_MODELS_PATH"] = str(folder)  # read when Cellpose is imported
    from cellpose import models

    if version == 3 and name not in models.MODEL_NAMES:
        raise InputError(
            "Cellpose has no generalist of this name",
            where="evaluation.cellpose.start",
            found=name,
            expected=f"scratch, a file of weights, or one of {', '.join((*models.MODEL_NAMES, *GENERALISTS_4))}",
            fix="correct the name; a file is given with its path, such as ./weights/mine",
        )
    function = {3: "model_path", 4: "cache_model_path"}[version]
    try:
        fetched = Path(getattr(models, function)(name))
    except OSError as error:
        raise InputError(
            f"The Cellpose weights {name} could not be fetched",
            where="evaluation.cellpose.start",
            found=str(error).strip().splitlines()[0],
            expected=f"a network, or the file {outputs.weights}",
            fix=f"on a machine with network run `from cellpose.models import {function}; print({function}("
            f"{name!r}))` in Python, copy the file it names to {Path(outputs.weights).absolute()}; "
            "or set start: scratch",
        ) from error
    if fetched != Path(outputs.weights).absolute():
        os.replace(fetched, outputs.weights)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
