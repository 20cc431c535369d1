"""What `results/DATASET/export/FORMAT/` holds: a block of settings for each format. Free of torch."""

from collections.abc import Iterator
from itertools import combinations
from string import Formatter
from typing import Annotated, Literal

from pydantic import Field

from cellcascade.config.values import Conflict, Count, Positive, Settings

Held = Annotated[float, Field(ge=0, lt=1)]
HELD = "share of the images kept for validation"


def _wrong(pattern: str) -> str:
    """Why a pattern cannot name files; empty if it can."""
    try:
        fields = [field for _, field, _, _ in Formatter().parse(pattern) if field is not None]
    except ValueError as error:
        return f"is no pattern: {error}"
    if fields != ["name"]:
        return "must hold {name} once, and nothing else in braces"
    if pattern.startswith("/") or ".." in pattern.split("/"):
        return "must be a path within the export"
    return "" if pattern.endswith((".tif", ".tiff")) else "must end in .tif or .tiff"


class CellposeFormat(Settings):
    """Cellpose: x.tif and x_masks.tif; of stacks, planes with square pixels."""

    validation: Held = Field(0.1, description=HELD)
    min_masks: Count = Field(5, description="fewest masks of an image; Cellpose drops images with fewer")
    few_masks: Literal["leave_out", "join"] = Field(
        "leave_out", description="images with fewer masks: left out, or joined side by side until they have enough"
    )
    orientations: bool = Field(True, description="3D: XZ and YZ planes beside the XY planes")
    memory_gb: Positive = Field(
        8.0,
        description="memory that the set may take in Cellpose's training, which holds all of it, gigabytes",
    )


class StarDistFormat(Settings):
    """StarDist, 2D and 3D: folders of images and labels, and the configuration that the cells ask for."""

    validation: Held = Field(0.15, description=HELD)


class NnunetFormat(Settings):
    """nnU-Net v2: a raw data set whose classes are the core and the border of the cells."""

    number: Annotated[int, Field(ge=1, le=999)] = Field(1, description="number of the data set: DatasetNNN_NAME")
    border: Count = Field(1, description="width of the border class, pixels along x")


class CtcFormat(Settings):
    """Cell Tracking Challenge: 01/tTTT.tif and 01_GT/SEG/man_segTTT.tif."""

    sequence: Annotated[str, Field(pattern=r"^\d\d$")] = Field("01", description="number of the sequence, two digits")


class HubFormat(Settings):
    """A data set for the Hugging Face hub: an image folder with its table and card; of stacks, their slices."""

    validation: Held = Field(0.1, description=HELD)
    license: str = Field("unknown", description="licence of the source frames, as the hub names it, e.g. cc0-1.0")
    source: str = Field("not stated", description="where the source frames are from, for the card")


class PairsFormat(Settings):
    """Pairs of an image and its labels, for Omnipose, InstanSeg, micro-SAM and others."""

    image: str = Field("{name}.tif", description="path of an image, e.g. images/{name}.tif")
    mask: str = Field("{name}_masks.tif", description="path of its labels, e.g. masks/{name}.tif")
    clean: str = Field("clean/{name}.tif", description="path of its twin without noise, with population.twins")

    def conflicts(self) -> Iterator[Conflict]:
        """See `Settings`."""
        names = {"image": self.image, "mask": self.mask, "clean": self.clean}
        for key, name in names.items():
            if problem := _wrong(name):
                yield Conflict((key,), f"{key} {name!r} {problem}")
        for first, second in combinations(names, 2):
            if names[first] == names[second]:
                yield Conflict((second,), f"{second} {names[second]!r} is the name of the {first} too")


class CocoFormat(Settings):
    """COCO: 8-bit images and run-length encoded instances, for Detectron2 and others; of stacks, their slices."""

    validation: Held = Field(0.1, description=HELD)


class Formats(Settings):
    """What results/DATASET/export/FORMAT/ holds; nothing of it is made unless it is asked for."""

    cellpose: CellposeFormat = CellposeFormat()
    stardist: StarDistFormat = StarDistFormat()
    nnunet: NnunetFormat = NnunetFormat()
    ctc: CtcFormat = CtcFormat()
    hub: HubFormat = HubFormat()
    pairs: PairsFormat = PairsFormat()
    coco: CocoFormat = CocoFormat()
