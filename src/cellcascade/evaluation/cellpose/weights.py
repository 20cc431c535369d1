"""Files of Cellpose weights: of which version they are, which Cellpose is installed, where generalists come from.

Free of torch and of Cellpose, because the workflow looks at files while it plans. Versions 3 and 4 of Cellpose share a
name, but no network and no files of weights.
"""

import importlib
import os
import sys
import zipfile
from importlib import metadata
from pathlib import Path
from types import ModuleType

from cellcascade.config.cellpose_versions import ENVIRONMENTS, GENERALISTS_4, RELEASES, generalist_version
from cellcascade.config.settings import Cellpose
from cellcascade.core.errors import InputError

TENSORS = {3: b"downsample.down.res_down_0", 4: b"encoder.patch_embed.proj.weight"}  # each is in one network alone
HEAD = 1 << 20  # bytes in which files of old versions of torch, which are no zip archives, name their tensors
MADE_HERE = ("resources", "results")  # folders whose files the workflow makes: they may be still to come


def version_in_file(path: Path) -> int:
    """The version of Cellpose that a file of weights is of, by the names of the tensors in it.

    Returns:
        3 or 4.

    Raises:
        InputError: The file is missing, damaged, or no Cellpose network.
    """
    try:
        names = _tensor_names(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise _unusable(path, f"{type(error).__name__}: {error}") from error
    for version, tensor in TENSORS.items():
        if tensor in names:
            return version
    raise _unusable(path, "no network of Cellpose in it, or only a part of the file")


def check_start(network: Cellpose) -> None:
    """Make sure that weights given as a file are of the configured version of Cellpose, before anything runs.

    Generalists given by their name are fetched by the workflow, and the configuration knows their versions; files in
    the workflow's own folders may be still to be made.

    Args:
        network: The `evaluation.cellpose` block.

    Raises:
        InputError: The file is missing, damaged, no Cellpose network, or one of the other version.
    """
    start, version = network.start, network.version
    if not is_file(start):
        return
    path = Path(start)
    if not path.exists() and path.parts[0] in MADE_HERE:
        return
    found = version_in_file(path)
    if found != version:
        raise InputError(
            "The weights to start from are of another version of Cellpose",
            where=f"evaluation.cellpose.start: {start}",
            found=f"a network of Cellpose {found}",
            expected=f"Cellpose {version}, as evaluation.cellpose.version says",
            fix=f"set evaluation.cellpose.version: {found}, or name weights of Cellpose {version}",
        )


def is_file(start: str) -> bool:
    """Whether `evaluation.cellpose.start` is a path; else it is `scratch` or the name of a generalist."""
    return bool(os.path.dirname(start))


def library(version: int) -> ModuleType:
    """The module that makes, loads and runs the network of a version of Cellpose: `v3` or `v4`.

    Raises:
        InputError: The Cellpose of that version is not the one that is installed.
    """
    check_installed(version)
    return importlib.import_module(f"cellcascade.evaluation.cellpose.v{version}")


def check_installed(version: int) -> None:
    """Make sure that the Cellpose of this environment is of a version.

    Raises:
        InputError: It is another one, or there is none.
    """
    found, wanted = installed(), RELEASES[version]
    if found is None or not f"{found}.".startswith(f"{wanted}."):
        raise InputError(
            f"This network needs Cellpose {version}",
            where=f"evaluation.cellpose.version, in the environment {sys.prefix}",
            found=f"cellpose {found}" if found else "no cellpose",
            expected=f"cellpose {wanted}, as in envs/{ENVIRONMENTS[version]}.yaml",
            fix="run snakemake with --sdm conda, which makes an environment for each rule; Cellpose 3 and 4 cannot "
            "share one. Or run it in an environment with the packages of that file, cellcascade and snakemake",
        )


def installed() -> str | None:
    """Version of the Cellpose that is installed; `None` without one."""
    try:
        return metadata.version("cellpose")
    except metadata.PackageNotFoundError:
        return None


def fetch_generalist(*, name: str, weights: Path) -> None:
    """Stage `cellpose_weights`: fetch the weights of a Cellpose generalist by the library's own download.

    Args:
        name: Name of the generalist, e.g. `cyto3`.
        weights: File to write.

    Raises:
        InputError: There is no generalist of this name, another version of Cellpose is installed, or the weights
            cannot be fetched.
    """
    version = generalist_version(name)
    check_installed(version)
    os.environ["CELLPOSE_LOCAL_MODELS_PATH"] = str(weights.parent.absolute())  # read when Cellpose is imported
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
        raise _not_fetched(name, weights, function, error) from error
    if fetched != weights.absolute():
        os.replace(fetched, weights)


def _tensor_names(path: Path) -> bytes:
    """The part of a file of torch that names its tensors."""
    with open(path, "rb") as file:
        head = file.read(HEAD)
    if not head.startswith(b"PK"):
        return head
    with zipfile.ZipFile(path) as archive:  # fails if the end of the file is missing
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        return b"".join(archive.read(name) for name in pickles)


def _unusable(path: Path, found: str) -> InputError:
    return InputError(
        "Cellpose weights cannot be used",
        where=f"evaluation.cellpose.start: {path}",
        found=found,
        expected="a whole file of weights that Cellpose or its training wrote",
        fix="correct the path or copy the file again; or set start to `scratch` or the name of a generalist",
    )


def _not_fetched(name: str, weights: Path, function: str, error: OSError) -> InputError:
    return InputError(
        f"The Cellpose weights {name} could not be fetched",
        where="evaluation.cellpose.start",
        found=str(error).strip().splitlines()[0],
        expected=f"a network, or the file {weights}",
        fix=f"on a machine with network run `from cellpose.models import {function}; print({function}({name!r}))` in "
        f"Python, copy the file it names to {weights.absolute()}; or set start: scratch",
    )
