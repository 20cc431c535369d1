"""Data sets of nnU-Net whose labels are instances: `imagesTr/x_0000.tif` with `labelsTr/x.tif`, `…Ts` for tests."""

import json
import re
from pathlib import Path

from cellcascade.core.errors import InputError
from cellcascade.data.layouts.pairs import Pair, Part, Wanted, images_in, stem, visible

CHANNEL = re.compile(r"(.+)_(\d{4})")
FOLDERS: dict[Part, str] = {"train": "Tr", "test": "Ts"}


def find(folder: Path, wanted: Wanted) -> list[Pair]:
    """Pairs of a folder of this layout; none if it is of another.

    Raises:
        InputError: Its files cannot be read, or there are several channels and none was chosen.
    """
    if not ((folder / "imagesTr").is_dir() and (folder / "labelsTr").is_dir()):
        return []
    found = [pair for part, end in FOLDERS.items() for pair in _find(folder, part, end, wanted.channel)]
    if not found:
        raise _nothing_readable(folder)
    return found


def spacing_um(image: Path) -> dict[str, float]:
    """Size of a frame's pixels by axis, as the file beside it says; its unit is taken for micrometres."""
    named = CHANNEL.fullmatch(stem(image))
    try:
        sizes = json.loads(image.with_name(f"{named[1] if named else stem(image)}.json").read_text())["spacing"]
        return {axis: float(size) for axis, size in zip("ZYX", sizes, strict=True)}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _find(folder: Path, part: Part, end: str, channel: int | None) -> list[Pair]:
    images: dict[str, dict[int, Path]] = {}
    for path in images_in(folder / f"images{end}"):
        if named := CHANNEL.fullmatch(stem(path)):
            images.setdefault(named[1], {})[int(named[2])] = path
    labels = {stem(path): path for path in images_in(folder / f"labels{end}")}
    return [
        Pair(_channel_of(channels, channel), labels[name], part, one_channel=True)
        for name, channels in images.items()
        if name in labels
    ]


def _channel_of(channels: dict[int, Path], channel: int | None) -> Path:
    if channel is None and len(channels) == 1:
        return next(iter(channels.values()))
    if channel not in channels:
        raise InputError(
            "A frame has several channels"
            if channel is None
            else "A frame does not have the channel that is asked for",
            where=next(iter(channels.values())),
            found=f"channels {', '.join(map(str, sorted(channels)))}",
            expected="one channel" if channel is None else f"channel {channel}",
            fix="choose one in the data set's entry, e.g. `channel: 0`",
        )
    return channels[channel]


def _nothing_readable(folder: Path) -> InputError:
    names = [path.name for path in visible(folder / "imagesTr")]
    return InputError(
        "No frame of nnU-Net's layout can be read",
        where=folder,
        found=f"{len(names)} files in imagesTr: {', '.join(names[:3])}{', ...' * (len(names) > 3)}",
        expected="TIFF or PNG files imagesTr/NAME_0000.tif, with labelsTr/NAME.tif",
        fix="convert frames and labels to TIFF; formats of medical images (.nii.gz, .mha) are not read",
    )
