"""The network of Cellpose 3: from random weights or a generalist's; and its style vectors."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from cellpose import models
from cellpose.resnet_torch import CPnet
from cellpose.transforms import random_rotate_and_resize
from torch import Tensor
from torch.nn import functional

from cellcascade.config.settings import Cellpose
from cellcascade.core.errors import InputError
from cellcascade.core.seeds import seed_for
from cellcascade.evaluation.cellpose.train import SCALE_RANGE, Sample
from cellcascade.learning import training
from cellcascade.learning.device import pick_device

WEIGHT_DECAY = training.WEIGHT_DECAY
EVAL_OPTIONS = {"channels": [0, 0]}  # grey


def load(weights: str | Path, device: torch.device) -> models.CellposeModel:
    """A Cellpose 3 network from a file of weights, its own or a trained one.

    Raises:
        InputError: The file is missing, damaged, or no Cellpose 3 network.
    """
    try:
        if not Path(weights).is_file():
            raise FileNotFoundError(f"no file {weights}")
        model = models.CellposeModel(gpu=False, device=device, pretrained_model=str(weights))
        if "diam_mean" not in torch.load(weights, map_location="cpu", weights_only=True):
            # The library's own files do not say to which diameter they scale cells: nuclei to 17 pixels, others to 30.
            model.diam_mean = 17.0 if Path(weights).name.startswith("nuclei") else 30.0
            model.net.diam_mean.data.fill_(model.diam_mean)
        return model
    except (OSError, RuntimeError, KeyError, AssertionError, EOFError, ValueError) as error:
        raise InputError(
            "Cellpose weights cannot be loaded",
            where=weights,
            found=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            expected="weights of Cellpose 3 (a file such as cyto3, or one that its training wrote)",
            fix="set evaluation.cellpose.start to `scratch`, a generalist's name or a sound file",
        ) from error
    except Exception as error:  # torch.load raises unpickling errors of several kinds
        raise InputError(
            "Cellpose weights cannot be loaded",
            where=weights,
            found=f"{type(error).__name__}",
            expected="weights of Cellpose 3",
            fix="delete the file; it is fetched or trained again",
        ) from error


def network(start: str | Path | None, block: Cellpose, seed: int) -> CPnet:
    """The network to train: from weights, or random ones that depend on the seed."""
    if start:
        net = load(start, torch.device("cpu")).net
        net.mkldnn = False
        return net
    torch.manual_seed(seed_for(seed, "cellpose"))
    return CPnet([2, 32, 64, 128, 256], 3, sz=3, mkldnn=False, max_pool=True, diam_mean=block.diameter_pixels)


def augment(samples: Sequence[Sample], *, zoom: float, patch: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Random patches of samples by Cellpose's own augmentation, which takes its numbers from numpy's global state.

    Args:
        samples: Planes and their targets.
        zoom: Diameter of the cells over the network's.
        patch: Edge of the patches, pixels.
        device: Where the patches go.

    Returns:
        What the network takes (n, 2, y, x) and its targets (n, 3, y, x): cell, dy, dx.
    """
    images, targets = random_rotate_and_resize(
        [image for image, _ in samples],
        Y=[flow for _, flow in samples],
        rescale=np.full(len(samples), zoom),
        scale_range=SCALE_RANGE,
        xy=(patch, patch),
    )[:2]
    batch = torch.from_numpy(images).to(device)
    return torch.cat([batch, torch.zeros_like(batch)], 1), torch.from_numpy(targets).to(device)


def style_vectors(weights: str | Path, *, device: str) -> Callable[[np.ndarray], np.ndarray]:
    """Features of images by a trained Cellpose: its style vector (256 values a network describes an image by).

    Args:
        weights: File of weights.
        device: auto, cpu or cuda.

    Returns:
        Function of images (n, y, x), scaled to 0..1, that gives features (n, 256); Cellpose's vectors have length 1,
        these have length 16, so that their values are of the order of 1, as those of Inception are.
    """
    target = pick_device(device)
    net = load(weights, target).net.eval()

    @torch.no_grad()
    def features(images: np.ndarray) -> np.ndarray:
        scale = net.diam_mean.item() / net.diam_labels.item()
        edge = max(16, round(images.shape[-1] * scale / 16) * 16)
        made = []
        for first in range(0, len(images), 32):
            batch = torch.from_numpy(np.asarray(images[first : first + 32], np.float32))[:, None]
            batch = functional.interpolate(batch, (edge, edge), mode="bilinear", antialias=True)
            made.append(net(torch.cat([batch, torch.zeros_like(batch)], 1).to(target))[1].float().cpu().numpy())
        return np.concatenate(made) * np.sqrt(made[0].shape[1])

    return features
