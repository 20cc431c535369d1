"""Folders whose names Snakemake takes for patterns, reached by another name. Free of torch."""

import hashlib
import os
import re
import tempfile
from pathlib import Path

LINKED = Path("resources/linked")  # below the folder of the run


def plain_name(name: str) -> str:
    """A name without what has a meaning in patterns of paths."""
    return re.sub(r"[{}]+", "_", name)


def without_braces(folder: Path) -> Path:
    """The folder, or if there are braces in its path, a link to it: `{1}` would be taken for a wildcard."""
    if plain_name(str(folder)) == str(folder):
        return folder
    target = os.path.abspath(folder)
    link = LINKED / f"{plain_name(folder.name)}-{hashlib.sha256(target.encode()).hexdigest()[:12]}"
    if not link.is_symlink():
        LINKED.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=LINKED) as scratch:
            os.symlink(target, Path(scratch, "link"))
            os.replace(Path(scratch, "link"), link)
    return link
