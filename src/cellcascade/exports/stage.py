"""A folder of synthetic images written in another format, whole or not at all, with a note on how to train."""

import fcntl
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cellcascade.core.errors import InputError
from cellcascade.core.files import atomic_path
from cellcascade.data.synthetic import open_synthetic
from cellcascade.exports.base import Exported
from cellcascade.exports.registry import Format, find_format

logger = logging.getLogger(__name__)

HOW_TO = "TRAIN.md"
LOCK = "at-work.lock"


def export_images(*, images: Path, form: str, settings: dict[str, Any], folder: Path) -> None:
    """Stage `export`: write the synthetic images in a format.

    Args:
        images: `results/DATASET/synthetic`.
        form: Name of the format.
        settings: Its block of the configuration; which model it is depends on the format.
        folder: The new folder, complete or absent.

    Raises:
        InputError: The images cannot be used, or not in this format.
    """
    for line in described(export(images, find_format(form, settings), folder), folder):
        logger.info("%s", line)


def export(images: Path, form: Format, folder: Path) -> Exported:
    """Write a folder of synthetic images in a format; an image at a time is in memory.

    Args:
        images: A folder of synthetic images.
        form: The format.
        folder: The new folder; it may be there, if it is empty.

    Raises:
        InputError: The images cannot be used, or not in this format; or the folder is not empty, or no place to write.
    """
    source = open_synthetic(images)
    check_free(folder, images)
    try:
        with atomic_path(folder) as scratch, _at_work(scratch.parent):
            scratch.mkdir()
            done = form.write(source, scratch)
            (scratch / HOW_TO).write_text(_how_to(form, source.record.dataset, done), encoding="utf-8")
            check_free(folder, images)  # nothing that has come there meanwhile is replaced
    except (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError) as error:
        raise InputError(
            "The export cannot be written",
            where=folder,
            found=error.strerror or repr(error),
            expected="a place where new folders can be made",
            fix="choose another folder, or correct the permissions",
        ) from error
    return done


def check_free(folder: Path, images: Path) -> None:
    """Refuse a place for an export that holds something, or lies within the images.

    Raises:
        InputError: It does.
    """
    if folder.resolve().is_relative_to(images.resolve()):
        found = "a place within the folder of the images, which holds nothing but them"
    elif folder.is_dir() and any(folder.iterdir()):
        found = "a folder that is not empty"
    elif folder.exists() and not folder.is_dir():
        found = "a file"
    else:
        return
    raise InputError(
        "The export would overwrite something",
        where=folder,
        found=found,
        expected="a new or an empty folder",
        fix="choose another folder, or delete this one if it may go",
    )


def leftovers(folder: Path) -> list[Path]:
    """What earlier exports to a folder left beside it when they were killed, and what others are at work on."""
    return sorted(folder.parent.glob(f".{folder.name}.????????")) if folder.parent.is_dir() else []


def clear_leftovers(folder: Path) -> list[Path]:
    """Delete what earlier exports to a folder left beside it when they were killed.

    Returns:
        What was left alone: an export is at work on it, or nothing tells that none is.
    """
    kept = []
    for path in leftovers(folder):
        try:
            with (path / LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
        except OSError:
            kept.append(path)
    return kept


@contextmanager
def _at_work(scratch: Path) -> Iterator[None]:
    """Hold a lock in an unfinished folder: the system lets go of it when the process ends, however that ends."""
    with (scratch / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def described(done: Exported, folder: Path) -> list[str]:
    """What was written and what to run next, in lines."""
    lines = [f"{folder}: {done.what}", *(f"note: {note}" for note in done.notes)]
    return lines + ([f"Run in {folder}:", *(f"  {command}" for command in done.commands)] if done.commands else [])


def _how_to(form: Format, dataset: str, done: Exported) -> str:
    """The same, as the file that lies in the folder."""
    notes = "".join(f"- {note}\n" for note in (done.what, *done.notes))
    settings = "".join(f"- {key}: {value}\n" for key, value in form.settings.model_dump().items())
    text = f"# {dataset}, written for {form.name}\n\n{notes}\nSettings:\n\n{settings}"
    if done.commands:
        text += "\nRun in this folder:\n\n```bash\n" + "\n".join(done.commands) + "\n```\n"
    return text
