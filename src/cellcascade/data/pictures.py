"""PNG, JPEG 2000 and JPEG files: headers, read without pixels, and pixels."""

import struct
from pathlib import Path

import numpy as np
from PIL import Image

from cellcascade.data.header import Header, Index, unreadable

EXPECTED = "an undamaged grey image of 8 or 16 bit"
SUFFIXES = (".png", ".jp2", ".j2k", ".jpg", ".jpeg", ".bmp")
READ_ERRORS = (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError)
TYPES = {"1": "bool", "L": "uint8", "P": "uint8", "I": "int32", "F": "float32"}
COLOURS = {"LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "YCbCr": 3}


def read_header(path: Path) -> Header:
    """Shape, type and axes of a picture, without reading pixels.

    Raises:
        InputError: The file is damaged, or its pixels are of a kind that cannot be read without loss.
    """
    try:
        with Image.open(path) as picture:
            shape = picture.size[::-1]
            if picture.mode in COLOURS:
                if any(";16" in str(tile) for tile in picture.tile):
                    raise ValueError("colour samples of 16 bit, which would lose half of them; write a TIFF instead")
                return Header((*shape, COLOURS[picture.mode]), np.dtype(np.uint8), "YXS")
            known = "uint16" if picture.mode.startswith("I;16") else TYPES[picture.mode]
            return Header(shape, np.dtype(known), "YX")
    except (*READ_ERRORS, KeyError) as error:
        raise unreadable("A picture", path, error, EXPECTED) from error


def read_part(path: Path, part: Index) -> np.ndarray:
    """Read a part of the pixels; the file is decoded as a whole.

    Raises:
        InputError: The file is damaged.
    """
    try:
        with Image.open(path) as picture:
            return np.array(np.asarray(picture)[part])
    except READ_ERRORS as error:
        raise unreadable("A picture", path, error, EXPECTED) from error
