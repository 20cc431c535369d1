"""The record beside a trained network: what it learned from. Free of torch."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from cellcascade.core.errors import InputError
from cellcascade.core.files import write_json

Regime = Literal["none", "real", "copy_paste", "synthetic", "both"]


class NetworkRecord(BaseModel):
    """What a network was trained on.

    Attributes:
        regime: What it learned from; `none` is a network as it was.
        version: Version of Cellpose.
        start: Name of the weights it was trained from, or `scratch`.
        diameter: Median diameter of the cells it learned from, pixels.
        network_diameter: Diameter to which it scales cells, pixels.
        steps: Steps of its training.
        real_share: Share of real images in a batch; `None` without a training.
        planes: Planes learned from, by their kind.
        images: Frames or synthetic images that these are from, by their kind.
        train_frames: Annotated frames of the training sequence.
        train_slices: Annotated slices of its stacks; `None` in 2D.
        train_cells: Annotated cells in these.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    regime: Regime
    version: Literal[3, 4]
    start: str
    diameter: float
    network_diameter: float
    steps: int
    real_share: float | None
    planes: dict[str, int]
    images: dict[str, int]
    train_frames: int
    train_slices: int | None
    train_cells: int

    def write(self, path: Path) -> None:
        """Write the record as JSON."""
        write_json(path, self.model_dump(mode="json"))


def read_record(path: Path) -> NetworkRecord:
    """Read the record of a network.

    Raises:
        InputError: The file is missing or is no such record.
    """
    try:
        return NetworkRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(
            "The record of a network cannot be read",
            where=path,
            found=str(error).splitlines()[0],
            expected="what its training wrote: regime, version, diameter and others",
            fix=f"delete {path} and rerun snakemake, which trains the network again",
        ) from error
