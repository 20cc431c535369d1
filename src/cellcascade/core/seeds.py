"""Random numbers that depend on what is made, never on how the work is split.

Every random draw belongs to a path of keys such as `(seed, "GOWT1", "masks", cell)`. Two jobs that
make the same cell draw the same numbers, whatever shard or batch the cell is in.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def seed_for(seed: int, *keys: str | int) -> int:
    """A 63-bit seed for a path of keys below the run's `seed`."""
    text = "/".join(str(key) for key in (seed, *keys))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(seed: int, *keys: str | int) -> np.random.Generator:
    """A numpy generator for a path of keys below the run's `seed`."""
    return np.random.default_rng(seed_for(seed, *keys))


def torch_generator(seed: int, *keys: str | int) -> "torch.Generator":
    """A torch generator on the CPU for a path of keys: noise is drawn there so that devices agree."""
    import torch

    return torch.Generator().manual_seed(seed_for(seed, *keys))
