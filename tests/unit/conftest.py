"""Small inputs that several tests of the diffusion models share."""

import numpy as np
import pytest

from cellcascade.data.shards import write_shard


@pytest.fixture(scope="session")
def crops(tmp_path_factory):
    """A crops store with 24 discs of 32 x 32 pixels."""
    path = tmp_path_factory.mktemp("crops") / "crops.zarr.zip"
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32] - 15.5
    radius = generator.uniform(6, 11, 24)[:, None, None]
    mask = (np.hypot(x, y) < radius).astype(np.uint8)
    brightness = generator.uniform(60, 160, 24).astype(np.float32)
    image = generator.poisson(10 + mask * brightness[:, None, None]).astype(np.uint16)
    ones = np.ones(24)
    arrays = {"image": image, "mask": mask, "frame": ones.astype(np.int32), "label": np.arange(1, 25, dtype=np.int32)}
    arrays |= {"z": -ones.astype(np.int32), "widest": ones.astype(np.uint8), "area_ratio": ones.astype(np.float32)}
    arrays |= {"brightness": brightness, "background": 10 * ones.astype(np.float32)}
    attributes = {"dataset": "discs", "voxel_size_um": [1, 1], "window": [5, 220], "frame_shape": [64, 64]}
    attributes |= {"frame_dtype": "uint8", "cells_per_frame": [3], "sequence": "01", "frames": [1]}
    write_shard(path, schema="crops/1", arrays=arrays, attributes=attributes)
    return str(path)
