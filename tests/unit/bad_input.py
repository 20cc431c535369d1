"""Kinds of bad input: what is done to sound data, the command that a user gives, and what is said then."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
from PIL import Image

from tests.ctc_data import write_tiff
from tests.unit.data.layouts.writing import ome_zarr, scenes, seg_npy, write

MINE = Path("Mine")
IMAGE, MASK = MINE / "images/1.tif", MINE / "masks/1.tif"
INIT = ("init", "Mine", "--out", "new.yaml")
CHECK = ("check", "mine.yaml")
ENTRY = "folder: Mine, voxel_size_um: [0.5, 0.5], crops: {size: 64}"


class Bad(NamedTuple):
    """A kind of bad input: what is wrong, what is done to the data, the command, and a part of what it says."""

    what: str
    spoil: Callable[[], object]
    command: tuple[str, ...]
    said: str


def sound() -> None:
    """Four frames with masks in two folders, and a configuration for them."""
    images, labels = scenes(4)
    for number, (image, mask) in enumerate(zip(images, labels)):
        write(MINE / f"images/{number}.tif", image)
        write(MINE / f"masks/{number}.tif", mask)
    configure(ENTRY)


def configure(entry: str, rest: str = "") -> None:
    Path("mine.yaml").write_text(f"data_root: .\n{rest}\ndatasets: {{mine: {{{entry}}}}}\n")


def text(content: str | bytes) -> Callable[[], object]:
    raw = content.encode() if isinstance(content, str) else content
    return lambda: Path("mine.yaml").write_bytes(raw)


def nothing() -> None:
    """Nothing is done to the data: the command itself is wrong."""


def anew(make: Callable[[], object]) -> Callable[[], None]:
    """Something else in place of the data."""

    def spoil() -> None:
        shutil.rmtree(MINE)
        make()

    return spoil


def image(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[], None]:
    return lambda: write(IMAGE, change(tifffile.imread(IMAGE)))


def mask(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[], None]:
    return lambda: write(MASK, change(tifffile.imread(MASK)))


def images(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[], None]:
    """All of them."""
    return _all_of(IMAGE.parent, change)


def masks(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[], None]:
    """All of them."""
    return _all_of(MASK.parent, change)


def _all_of(folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[], None]:
    def spoil() -> None:
        for path in folder.iterdir():
            write(path, change(tifffile.imread(path)))

    return spoil


def cut(path: Path, keep: float = 0.5) -> Callable[[], object]:
    return lambda: path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


def renamed(old: Path, new: Path) -> Callable[[], object]:
    return lambda: old.rename(new)


def file(name: str, content: bytes = b"no image") -> Callable[[], None]:
    def make() -> None:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content)

    return make


def colour_mask() -> None:
    Image.fromarray(np.zeros((96, 112, 3), np.uint8)).save(MINE / "masks/1.png")
    MASK.unlink()


def films(masks_of: int) -> Callable[[], None]:
    def make() -> None:
        frames, labels = scenes(4)
        write(MINE / "film.tif", np.stack(frames), imagej=True, metadata={"axes": "TYX"})
        write(MINE / "film_masks.tif", np.stack(labels)[:masks_of], imagej=True, metadata={"axes": "TYX"})

    return make


def challenge() -> None:
    """The layout of the Cell Tracking Challenge."""
    for number, (frame, labels) in enumerate(zip(*scenes(3))):
        write_tiff(MINE / f"01/t{number:03d}.tif", frame)
        write_tiff(MINE / f"01_GT/SEG/man_seg{number:03d}.tif", labels)


def and_then(make: Callable[[], object], *spoils: Callable[[], object]) -> Callable[[], None]:
    def spoil() -> None:
        shutil.rmtree(MINE)
        for each in (make, *spoils):
            each()

    return spoil


def zarrs() -> None:
    ome_zarr("0.4")(MINE, *scenes(2))


def cellpose() -> None:
    seg_npy(MINE, *scenes(2))


def nnunet_of(suffix: str) -> Callable[[], None]:
    def make() -> None:
        for name in (f"imagesTr/a_0000{suffix}", f"labelsTr/a{suffix}"):
            file(str(MINE / name))()

    return make


def archive(*names: str, damage: int = 0) -> Callable[[], None]:
    """A zip archive of these members in place of the folder; of a damaged one, bytes in the middle are others."""

    def make() -> None:
        with zipfile.ZipFile("Mine.zip", "w", zipfile.ZIP_DEFLATED) as opened:
            for name in names:
                opened.writestr(name, bytes(range(256)) * 40)
        raw = bytearray(Path("Mine.zip").read_bytes())
        for place in range(60, 60 + damage):
            raw[place] ^= 0xFF
        Path("Mine.zip").write_bytes(raw)

    return make


def entry(more: str, rest: str = "") -> Callable[[], None]:
    """Other settings; keys that are named again take the place of those of the sound entry."""
    return lambda: configure(more if "voxel_size_um" in more or "folder" in more else f"{ENTRY}, {more}", rest)


def product(name: str = "manifest.csv", content: str = "path\n") -> Callable[[], None]:
    """A folder that looks like synthetic images and is none."""
    return file(f"images/{name}", content.encode())


def spacing(value: object) -> Callable[[], None]:
    def make() -> None:
        nnunet_of(".tif")()
        (frames, labels) = scenes(1)
        write(MINE / "imagesTr/a_0000.tif", frames[0])
        write(MINE / "labelsTr/a.tif", labels[0])
        (MINE / "imagesTr/a.json").write_text(json.dumps({"spacing": value}))

    return make
