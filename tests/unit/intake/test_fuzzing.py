"""Files that are damaged at random, in every format: always a look or a message, never another exception."""

import numpy as np
import pytest

from cellcascade.core.errors import InputError
from cellcascade.intake.looking import look
from tests.unit.data.layouts.writing import folders, hyperstack, nnunet, ome_zarr, scenes, seg_npy, zipped

FORMATS = {
    "TIFF": folders("images/{}.tif", "masks/{}.tif"),
    "PNG": folders("x{}.png", "x{}_mask.png"),
    "JPEG 2000": folders("images/{}.jp2", "masks/{}.png"),
    "_seg.npy": seg_npy,
    "ImageJ": hyperstack,
    "OME-Zarr 0.4": ome_zarr("0.4"),
    "OME-Zarr 0.5": ome_zarr("0.5"),
    "nnU-Net": nnunet,
    "zip": zipped(folders("images/{}.tif", "masks/{}.tif")),
}
TIMES = 15  # damages of each format


def damaged(content: bytes, random: np.random.Generator) -> bytes:
    """The same file cut short, with other bytes, with a part filled with zeros, or with another in its place."""
    changed, kind = bytearray(content), random.integers(4)
    start, end = sorted(random.integers(0, len(content) + 1, 2))
    if kind == 0:
        return content[:end]
    if kind == 1:
        for place in random.integers(len(content), size=6) if content else ():
            changed[place] = int(random.integers(256))
    elif kind == 2:
        changed[start:end] = bytes(end - start)
    else:
        changed[:16] = random.bytes(16)
    return bytes(changed)


@pytest.mark.parametrize("writer", FORMATS.values(), ids=FORMATS)
def test_damaged_files_are_messages(tmp_path, monkeypatch, writer):
    monkeypatch.chdir(tmp_path)
    writer(tmp_path / "Mine", *scenes(2))
    place = tmp_path / "Mine" if (tmp_path / "Mine").is_dir() else tmp_path / "Mine.zip"
    files = sorted(path for path in place.rglob("*") if path.is_file()) or [place]
    random, refused = np.random.default_rng(11), 0
    for _ in range(TIMES):
        path = files[int(random.integers(len(files)))]
        content = path.read_bytes()
        path.write_bytes(damaged(content, random))
        try:
            found = look(place)
            for item in found.frames:
                found.recording.read(item)
        except InputError as error:
            assert error.found and error.fix
            refused += 1
        path.write_bytes(content)
    assert refused and look(place).frames
