"""Segmentation of frames by a trained Cellpose, whatever its version."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from cellcascade.core.logs import progress
from cellcascade.core.stages import STAGE_VERSIONS
from cellcascade.data.annotated import AnnotatedFrame
from cellcascade.data.recording import Recording
from cellcascade.data.stores import PredictionsRecord
from cellcascade.evaluation.cellpose.compiled import models
from cellcascade.evaluation.cellpose.cutting import normalise
from cellcascade.evaluation.cellpose.record import NetworkRecord
from cellcascade.evaluation.cellpose.weights import library
from cellcascade.evaluation.predictions import Segmented, write_frame
from cellcascade.learning import training
from cellcascade.learning.device import pick_device

logger = logging.getLogger(__name__)


def segment_frames(
    weights: Path,
    network: NetworkRecord,
    recording: Recording,
    frames: Mapping[int, AnnotatedFrame],
    *,
    volumes: str,
    device: str,
    folder: Path,
    record: PredictionsRecord,
) -> dict[int, Path]:
    """Segment frames as a whole, those that an earlier run has not segmented yet.

    Args:
        weights: Weights of the network.
        network: Its record.
        recording: The sequence that the frames are of.
        frames: What is segmented, by number; of a frame that is annotated in several slices any of these.
        volumes: See `segment`.
        device: auto, cpu or cuda.
        folder: Where each frame gets a store of its own, see `predictions_folder`.
        record: Record of these stores.

    Returns:
        The stores by the numbers of their frames, in ascending order.
    """
    parts = {number: folder / f"t{number:04d}.zarr.zip" for number in sorted(frames)}
    missing = [number for number, part in parts.items() if not part.exists()]
    if not missing:
        return parts
    done = len(parts) - len(missing)
    if done:
        logger.info("resuming from %s: %d of %d frames are segmented", folder, done, len(parts))
    version = library(network.version)
    model = version.load(weights, pick_device(device))
    shape = {"diameter": network.diameter, "anisotropy": recording.anisotropy}
    for number in progress(missing, total=len(parts), what="test frames", start=done):
        image = recording.read_image(frames[number])[...]
        made = segment(model, image, **shape, volumes=volumes, options=version.EVAL_OPTIONS)
        write_frame(parts[number], number, made, record)
    return parts


def predictions_folder(
    prefix: str, weights: Path, record: Path, recording: Recording, frames: Mapping[int, AnnotatedFrame], volumes: str
) -> Path:
    """The folder of the frames that were segmented so far, named by what they depend on.

    Args:
        prefix: Beginning of its path, e.g. `checkpoints/CE/predictions-real-0`.
        weights: Weights of the network.
        record: Its record.
        recording: The sequence that the frames are of.
        frames: What is segmented, by number.
        volumes: See `segment`.
    """
    inputs = [weights, record, *(file for number in sorted(frames) for file in frames[number].image_files)]
    settings = {"volumes": volumes, "voxel_size_um": recording.voxel_size_um}
    return Path(f"{prefix}-{training.fingerprint(settings, inputs, STAGE_VERSIONS['predict_cellpose'])}")


def segment(
    model: models.CellposeModel,
    image: np.ndarray,
    *,
    diameter: float,
    anisotropy: float,
    volumes: str,
    options: Mapping[str, Any],
) -> Segmented:
    """Segment a frame.

    Args:
        model: The network.
        image: Counts ([z,] y, x).
        diameter: Diameter of the cells that the network was trained on, pixels.
        anisotropy: Size of a voxel in z over that in x.
        volumes: 3D: `do_3D`, flows of the three orientations, or `stitch`, planes joined by overlap.
        options: The `EVAL_OPTIONS` of the network's version.

    Returns:
        The segmented frame.
    """
    how = dict(options)
    if image.ndim == 3:
        three = {"do_3D": True, "anisotropy": anisotropy, "stitch_threshold": 0.0}
        how |= {"z_axis": 0, **(three if volumes == "do_3D" else {"do_3D": False, "stitch_threshold": 0.25})}
    masks, flows, _ = model.eval(normalise(image), diameter=diameter, normalize=False, **how)
    labels = np.asarray(masks).reshape(image.shape)
    probability = np.rint(255 * expit(np.asarray(flows[2], np.float32))).astype(np.uint8).reshape(image.shape)
    return Segmented(labels.astype(np.uint16 if labels.max(initial=0) < 2**16 else np.uint32), probability)
