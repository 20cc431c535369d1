"""What the header of an image file says, whatever its format."""

from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType

import numpy as np

from cellcascade.core.errors import InputError

Index = int | slice | EllipsisType | tuple[int | slice, ...]


@dataclass(frozen=True)
class Header:
    """What the header of an image file says.

    Attributes:
        shape: Shape of all that is in the file.
        dtype: Type of its pixels.
        axes: A letter per axis: T, Z, C, Y, X, S (colour samples); others where the file does not say.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    axes: str

    @property
    def colour(self) -> bool:
        """Whether one of the axes is colour."""
        return "S" in self.axes


def unreadable(kind: str, path: Path, error: Exception, expected: str) -> InputError:
    """The error for a file that its reader refuses.

    Args:
        kind: What it should be, e.g. `A TIFF file`.
        path: The file.
        error: What the reader says.
        expected: What an undamaged one holds.
    """
    return InputError(
        f"{kind} cannot be read",
        where=path,
        found=f"{type(error).__name__}: {error}",
        expected=expected,
        fix="download or copy the file again",
    )
