"""The network of Cellpose 4 (Cellpose-SAM): a vision transformer that is fine-tuned, never trained from nothing."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from cellpose import models
from cellpose.transforms import random_rotate_and_resize
from cellpose.vit import CPSAM
from torch import Tensor

from cellcascade.config.settings import Cellpose
from cellcascade.core.errors import InputError
from cellcascade.evaluation.cellpose.planes import SCALE_RANGE, Sample
from cellcascade.learning.device import has_bf16

WEIGHT_DECAY = 0.1  # as in Cellpose's own training
EVAL_OPTIONS: dict = {}
DIAMETER = 30.0  # to which Cellpose 4 scales cells, whatever a file of weights says


def load(weights: Path, device: torch.device) -> models.CellposeModel:
    """A Cellpose-SAM network from a file of weights: its own, or a trained one.

    Weights are half precision (bfloat16) on a GPU that has it, as in Cellpose's own programs, else single precision.

    Raises:
        InputError: The file is missing, damaged, or no Cellpose-SAM network.
    """
    try:
        if not weights.is_file():  # the library would fetch its default instead
            raise FileNotFoundError(f"no file {weights}")
        state = torch.load(weights, map_location="cpu", weights_only=True, mmap=True)
        model = models.CellposeModel(device=device, pretrained_model=str(weights), use_bfloat16=has_bf16(device))
        # The library passes over missing tensors without a word.
        missing = [name for name, value in model.net.named_parameters() if value.requires_grad and name not in state]
        if missing:
            raise ValueError(f"{len(missing)} tensors are missing, {missing[0]} among them")
        model.net.diam_mean.data.fill_(DIAMETER)
        return model
    except Exception as error:  # torch.load raises errors of many kinds, and the library a NameError for DINO networks
        raise InputError(
            "Cellpose weights cannot be loaded",
            where=weights,
            found=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            expected="weights of Cellpose 4's cpsam or cpsam_v2, or of a network trained from them",
            fix="set evaluation.cellpose.start to one of these names or a sound file; "
            "a file below resources/ or results/ may be deleted, and is made again",
        ) from error


def network(start: Path, settings: Cellpose, seed: int) -> CPSAM:
    """The network to train, in single precision; all seeds start from the same weights."""
    return load(start, torch.device("cpu")).net


def augment(samples: Sequence[Sample], *, zoom: float, patch: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Random patches of samples by Cellpose's own augmentation, which takes its numbers from numpy's global state.

    Args:
        samples: Planes and their targets.
        zoom: Diameter of the cells over the network's.
        patch: Edge of the patches, pixels; the network's positions are those of 256.
        device: Where the patches are made.

    Returns:
        What the network takes (n, 1, y, x), where absent channels are zero, and its targets (n, 3, y, x): cell, dy, dx.
    """
    return random_rotate_and_resize(
        [image for image, _ in samples],
        lbls=[flow for _, flow in samples],
        rescale=np.full(len(samples), zoom, np.float32),
        scale_range=SCALE_RANGE,
        bsize=patch,
        device=device,
    )[:2]
