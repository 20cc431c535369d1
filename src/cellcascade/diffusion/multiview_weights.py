"""Files of a trained multiview model, checked without torch: the workflow looks at them while it plans."""

from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError, safe_open

from cellcascade.config.settings import Count, Multiview
from cellcascade.core.errors import InputError
from cellcascade.core.stages import STAGE_VERSIONS

VERSION = STAGE_VERSIONS["train_multiview"]


class Record(BaseModel):
    """What config.json tells of the weights beside it."""

    version: int
    resolution: Count
    settings: dict


def check_weights(weights: str) -> tuple[Path, Multiview, int]:
    """Check that the files of a model are there, whole and of this version.

    Args:
        weights: `bundled`, or a folder that `diffusion.multiview.train` wrote.

    Returns:
        The folder, the settings the model was trained with, and the edge of its images, pixels.

    Raises:
        InputError: A file is missing or damaged, or was made by another version.
    """
    folder = Path(str(resources.files("cellcascade") / "weights/multiview")) if weights == "bundled" else Path(weights)
    try:
        record = Record.model_validate_json((folder / "config.json").read_bytes())
        if record.version != VERSION:
            raise refusal(weights, folder, f"weights of version {record.version}")
        settings = Multiview.model_validate(record.settings)
        with safe_open(folder / "model.safetensors", framework="numpy"):
            pass  # its header is compared with the length of the file
    except ValidationError as error:
        first = error.errors()[0]
        found = ": ".join(["config.json", *map(str, first["loc"]), first["msg"]])
        raise refusal(weights, folder, found) from error
    except OSError as error:
        raise refusal(weights, folder, error) from error
    except SafetensorError as error:
        raise refusal(weights, folder, f"model.safetensors is truncated or damaged: {error}") from error
    return folder, settings, record.resolution


def refusal(weights: str, folder: Path, found: object) -> InputError:
    """The error that says why a model cannot be used."""
    others = "set multiview.weights to bundled, to train, or to a folder with both files of one training"
    return InputError(
        "The multiview model cannot be loaded",
        where=f"multiview.weights: {folder}",
        found=found,
        expected=f"model.safetensors and config.json of version {VERSION}, this package's",
        fix="install cellcascade again" if weights == "bundled" else others,
    )
