"""The two versions of Cellpose by names: generalists, releases, environments. Free of torch; opens no file.

Versions 3 and 4 share a name, but no network and no files of weights; and as their packages exclude each other, they
have environments of their own.
"""

import os
from pathlib import Path

GENERALISTS_4 = ("cpsam", "cpsam_v2")
RELEASES = {3: "3.1", 4: "4.2"}
ENVIRONMENTS = {3: "segmentation", 4: "cellpose4"}


def version_named(start: str) -> int | None:
    """The version of Cellpose that the name of a start belongs to; no file is looked at.

    Args:
        start: `scratch`, a generalist's name, or a path.

    Returns:
        3 or 4; `None` for a path, whose file alone can tell.
    """
    version = generalist_version(Path(start).name)
    return None if version == 3 and os.path.dirname(start) else version


def generalist_version(name: str) -> int:
    """The version of Cellpose that has a generalist of this name, 3 or 4."""
    return 4 if name in GENERALISTS_4 else 3
