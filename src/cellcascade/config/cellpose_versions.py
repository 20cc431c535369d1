"""Which version of Cellpose a network needs. Free of torch.

Versions 3 and 4 share a name, but no network and no files of weights; and as their packages exclude each other, they
have environments of their own.
"""

import importlib
import os
import sys
import zipfile
from importlib import metadata
from pathlib import Path
from types import ModuleType

from cellcascade.core.errors import InputError

GENERALISTS_4 = ("cpsam", "cpsam_v2")  # by name, as their files may not be there yet
RELEASES = {3: "3.1", 4: "4.2"}
ENVIRONMENTS = {3: "segmentation", 4: "cellpose4"}


def version_named(start: str) -> int | None:
    """The version of Cellpose that the name of a start belongs to; no file is looked at.

    Args:
        start: `scratch`, a generalist's name, or a path.

    Returns:
        3 or 4; `None` for a path, whose file alone can tell.
    """
    if Path(start).name in GENERALISTS_4:
        return 4
    return None if os.path.dirname(start) else 3


def version_of(weights: str | Path | None) -> int:
    """The version of Cellpose that weights are of, by their name or by what their file holds.

    Args:
        weights: A generalist's name, or a file; `None`, `scratch`, and a file that is missing or no network, are
            left to version 3, which makes networks from nothing.

    Returns:
        3 or 4.
    """
    if weights is None:
        return 3
    if Path(weights).name in GENERALISTS_4:
        return 4
    try:
        with zipfile.ZipFile(weights) as archive:  # a file of torch: its pickle, which is small, names the tensors
            names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            return 4 if any(b"encoder.patch_embed.proj.weight" in archive.read(name) for name in names) else 3
    except (OSError, zipfile.BadZipFile):
        return 3


def check_installed(version: int) -> None:
    """Make sure that the Cellpose of this environment is of the version that a network needs.

    Raises:
        InputError: It is another one, or there is none.
    """
    found, wanted = installed(), RELEASES[version]
    if found is None or not f"{found}.".startswith(f"{wanted}."):
        raise InputError(
            f"This network needs Cellpose {version}",
            where=f"evaluation.cellpose.start, in the environment {sys.prefix}",
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


def library(weights: str | Path | None) -> ModuleType:
    """The module that makes, loads and runs the network of some weights: `cellpose3` or `cellpose4`.

    Args:
        weights: See `version_of`.

    Raises:
        InputError: The Cellpose that it needs is not the one that is installed.
    """
    version = version_of(weights)
    check_installed(version)
    return importlib.import_module(f"cellcascade.evaluation.cellpose.v{version}")
