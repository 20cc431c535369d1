"""From a folder to a configuration: looked at, written, and what to do next."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from cellcascade.config.load import read_config
from cellcascade.core.errors import InputError
from cellcascade.core.files import atomic_path
from cellcascade.core.machine import this_machine
from cellcascade.intake.advice import advise
from cellcascade.intake.document import document, lines
from cellcascade.intake.looking import look

NAME = re.compile(r"[^A-Za-z0-9_-]+")


def start(
    path: Path,
    out: Path,
    voxel_size_um: Sequence[float] | None = None,
    channel: int | None = None,
    ignore_label: int | None = None,
) -> Iterator[str]:
    """Look at a folder and write a configuration that fits it; the data set is named after the file.

    Args:
        path: Folder of images and masks, or a zip archive of it.
        out: YAML file to write.
        voxel_size_um: Size of a pixel, ([z,] y, x), micrometres; `None`: as the files say, or else a guess.
        channel: Channel of the frames; `None`: the one in which cells and background differ most.
        ignore_label: Number in the annotations that marks what nobody annotated; `None` if all is.

    Yields:
        What was found and what to do next, line by line.

    Raises:
        InputError: The folder cannot be used, or the file is there already.
    """
    if out.exists():
        raise InputError(
            "The configuration is there already",
            where=out,
            found="a file of this name, perhaps with changes of yours",
            expected="a new file",
            fix="choose another name with --out, or delete the file",
        )
    name, machine = name_of(out), this_machine(out.absolute().parent)
    found = look(path, voxel_size_um, channel, ignore_label)
    dense = all(item.z is None for item in found.frames)
    advice = advise(found.cells, found.extent, dense=dense)
    yield from lines(found, advice, machine)
    _write(out, document(name, out, found, advice, machine))
    yield f"\n{out} is written. Next:"
    yield f"  cellcascade check {shlex.quote(str(out))}"
    yield f"  snakemake results/{name}/synthetic/ --configfile {shlex.quote(str(out))} --cores {machine.cores}"


def _write(out: Path, text: str) -> None:
    """Write a configuration that is sound, or nothing."""
    try:
        with atomic_path(out) as scratch:
            scratch.write_text(text, encoding="utf-8")
            read_config(scratch)
    except OSError as error:
        raise InputError(
            "The configuration cannot be written",
            where=out,
            found=error.strerror or type(error).__name__,
            expected="a new file in a folder that you may write to",
            fix="choose another place with --out",
        ) from error


def name_of(out: Path) -> str:
    """The name of the data set that a configuration file is named after."""
    name = NAME.sub("_", out.stem).strip("_-")
    return name or "mine"
