"""Priors: trained models of masks and of textures from which those of a data set start. Free of torch.

The workflow looks at their files while it plans: one that is missing, truncated, or of another version or architecture
is reported before a job waits for a GPU.
"""

import json
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError, safe_open

from cellcascade.config.settings import MaskDDPM
from cellcascade.config.texture import Texture
from cellcascade.config.values import BUNDLED
from cellcascade.core.errors import InputError
from cellcascade.core.stages import STAGE_VERSIONS

Kind = Literal["texture", "mask_ddpm"]

WEIGHTS = {"texture": ("unet.safetensors", "controlnet.safetensors"), "mask_ddpm": ("model.safetensors",)}
SETTINGS: dict[Kind, type[Texture] | type[MaskDDPM]] = {"texture": Texture, "mask_ddpm": MaskDDPM}


class Record(BaseModel):
    """What config.json tells of the weights beside it."""

    prior: int
    settings: dict


def prior_folder(base: str, kind: Kind) -> Path | None:
    """Folder of the prior that `texture.base` or `mask_ddpm.base` names; `None` where it names none.

    Args:
        base: `nuclei` for the package's own, `scratch`, a folder, or for textures a Stable Diffusion model.
        kind: What it is a prior of.
    """
    if base == BUNDLED:
        return Path(str(resources.files("cellcascade") / "weights" / BUNDLED / kind))
    folder = Path(base)
    if base == "scratch" or (kind == "texture" and not any((folder / name).exists() for name in files_of(kind))):
        return None
    return folder


def files_of(kind: Kind) -> tuple[str, ...]:
    """Names of a prior's files."""
    return ("config.json", *WEIGHTS[kind])


def check_prior(folder: Path, kind: Kind) -> dict:
    """Check that the files of a prior are there, whole and of this version.

    Returns:
        Its record.

    Raises:
        InputError: A file is missing or damaged, or was made by another version.
    """
    version = STAGE_VERSIONS[f"train_{kind}_prior"]
    try:
        text = (folder / "config.json").read_bytes()
        record = Record.model_validate_json(text)
        if record.prior != version:
            raise refusal(folder, kind, f"a prior of version {record.prior}")
        SETTINGS[kind].model_validate(record.settings)
        for name in WEIGHTS[kind]:
            with safe_open(folder / name, framework="numpy"):
                pass  # its header is compared with the length of the file
    except ValidationError as error:
        first = error.errors()[0]
        found = ": ".join(["config.json", *map(str, first["loc"]), first["msg"]])
        raise refusal(folder, kind, found) from error
    except SafetensorError as error:
        raise refusal(folder, kind, f"{name} is truncated or damaged: {error}") from error
    except OSError as error:
        raise refusal(folder, kind, error) from error
    return json.loads(text)


def refusal(folder: Path, kind: Kind, found: object) -> InputError:
    """The error that says why a prior cannot be used."""
    own = resources.files("cellcascade") / "weights"
    inside = folder.is_relative_to(str(own))
    return InputError(
        f"The prior of {'textures' if kind == 'texture' else 'masks'} cannot be loaded",
        where=f"{kind}.base: {folder}",
        found=found,
        expected=f"{', '.join(files_of(kind))} of one training, of version {STAGE_VERSIONS[f'train_{kind}_prior']}",
        fix="install cellcascade again"
        if inside
        else f"set {kind}.base to {BUNDLED}, to scratch, or to a folder that `snakemake prior` of this version made",
    )
