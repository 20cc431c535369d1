"""The formats by their names. A new one is a module with `write`, a block in `config/formats.py`, and a line here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cellcascade.config.formats import Formats
from cellcascade.config.values import Settings
from cellcascade.core.errors import InputError
from cellcascade.data.synthetic import SyntheticSet
from cellcascade.exports import cellpose, coco, ctc, hub, nnunet, pairs, stardist
from cellcascade.exports.base import Exported

WRITERS: Mapping[str, Callable[[SyntheticSet, Path, Any], Exported]] = {
    "cellpose": cellpose.write,
    "stardist": stardist.write,
    "nnunet": nnunet.write,
    "ctc": ctc.write,
    "hub": hub.write,
    "pairs": pairs.write,
    "coco": coco.write,
}


@dataclass(frozen=True)
class Format:
    """A format with its settings.

    Attributes:
        name: Its name.
        settings: Its block of the configuration.
    """

    name: str
    settings: Settings

    def write(self, source: SyntheticSet, folder: Path) -> Exported:
        """Write a set of images in this format into a folder that exists."""
        return WRITERS[self.name](source, folder, self.settings)


def find_format(name: str, given: Mapping[str, Any]) -> Format:
    """A format with the settings that were given, and defaults for the others.

    Args:
        name: Its name.
        given: Some of the keys of its block.

    Raises:
        InputError: There is no such format, or a setting is unknown or wrong.
    """
    if name not in WRITERS:
        raise InputError(
            "There is no such format",
            where=name,
            found=name,
            expected=f"one of {', '.join(WRITERS)}",
            fix="choose one of these; docs/exports.md says which program reads which",
        )
    model = type(getattr(Formats(), name))
    try:
        return Format(name, model.model_validate(dict(given)))
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, item['loc'])) or name}: {item['msg']}" for item in error.errors()]
        raise InputError(
            f"The settings of the format {name} cannot be used",
            where=f"formats.{name}",
            found="; ".join(wrong),
            expected=f"some of {', '.join(model.model_fields)}",
            fix="correct them; docs/configuration.md says what each may be",
        ) from error
