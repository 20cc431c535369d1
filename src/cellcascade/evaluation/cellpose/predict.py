"""Segmentation of frames by a trained Cellpose, whatever its version."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from cellpose import models

from cellcascade.core.logs import progress
from cellcascade.data.ctc import AnnotatedFrame
from cellcascade.data.recording import Recording
from cellcascade.evaluation.cellpose.cutting import normalise
from cellcascade.evaluation.cellpose.record import NetworkRecord
from cellcascade.evaluation.cellpose.weights import library
from cellcascade.learning.device import pick_device


def segment_frames(
    weights: Path,
    network: NetworkRecord,
    recording: Recording,
    frames: Mapping[int, AnnotatedFrame],
    *,
    volumes: str,
    device: str,
) -> dict[int, np.ndarray]:
    """Segment frames as a whole.

    Args:
        weights: Weights of the network.
        network: Its record.
        recording: The sequence that the frames are of.
        frames: What is segmented, by number; of a frame that is annotated in several slices any of these.
        volumes: See `segment`.
        device: auto, cpu or cuda.

    Returns:
        Labels ([z,] y, x) by the number of their frame, in ascending order.
    """
    version = library(network.version)
    model = version.load(weights, pick_device(device))
    return {
        number: segment(
            model,
            recording.read_image(frames[number])[...],
            diameter=network.diameter,
            anisotropy=recording.anisotropy,
            volumes=volumes,
            options=version.EVAL_OPTIONS,
        )
        for number in progress(sorted(frames), total=len(frames), what="test frames")
    }


def segment(
    model: models.CellposeModel,
    image: np.ndarray,
    *,
    diameter: float,
    anisotropy: float,
    volumes: str,
    options: Mapping[str, Any],
) -> np.ndarray:
    """Segment a frame.

    Args:
        model: The network.
        image: Counts ([z,] y, x).
        diameter: Diameter of the cells that the network was trained on, pixels.
        anisotropy: Size of a voxel in z over that in x.
        volumes: 3D: `do_3D`, flows of the three orientations, or `stitch`, planes joined by overlap.
        options: The `EVAL_OPTIONS` of the network's version.

    Returns:
        Labels ([z,] y, x), uint16 or uint32.
    """
    how = dict(options)
    if image.ndim == 3:
        three = {"do_3D": True, "anisotropy": anisotropy, "stitch_threshold": 0.0}
        how |= {"z_axis": 0, **(three if volumes == "do_3D" else {"do_3D": False, "stitch_threshold": 0.25})}
    masks = np.asarray(model.eval(normalise(image), diameter=diameter, normalize=False, **how)[0])
    return masks.astype(np.uint16 if masks.max(initial=0) < 2**16 else np.uint32)
