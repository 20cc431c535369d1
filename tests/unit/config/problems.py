"""Two data sets for tests of the configuration, and the problems that a configuration has."""

from typing import Any

import pytest

from cellcascade.config.load import load_config
from cellcascade.core.errors import InputError

PLANE = {"folder": "Fluo-N2DH-GOWT1", "voxel_size_um": [0.24, 0.24]}
FROM_SCRATCH = {"mask_ddpm": {"base": "scratch"}, "texture": {"base": "scratch"}}  # priors bring their own architecture
STACK = {"folder": "Fluo-N3DH-CE", "voxel_size_um": [1.0, 0.09, 0.09]}


def problems(raw: dict[str, Any]) -> list[str]:
    """The lines of the one error that a configuration gives."""
    with pytest.raises(InputError) as caught:
        load_config(raw)
    return [line.strip(" -") for line in caught.value.found.splitlines() if line.strip()]


def problems_of(change: dict[str, Any]) -> list[str]:
    """The same of a configuration without priors, with the one data set A, in which some keys are set."""
    return problems({"datasets": {"A": {**PLANE, **change}}, "defaults": FROM_SCRATCH})
