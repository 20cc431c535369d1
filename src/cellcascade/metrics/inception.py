"""The Inception network of the Fréchet inception distance: grey images to 2048 features.

Szegedy et al., Rethinking the Inception Architecture for Computer Vision (2016), in the form that TensorFlow's
`inception-2015-12-05` graph has and to which published FID figures belong. It differs from the usual Inception v3:
average pools leave the padding out of the mean, and the last block pools by the maximum.
"""

import logging
import pickle
import socket
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cellcascade.core.errors import InputError
from cellcascade.core.files import atomic_path, digest
from cellcascade.core.logs import progress
from cellcascade.learning.device import pick_device

logger = logging.getLogger(__name__)

DIMS = 2048
EDGE = 299  # pixels of the network's input
BATCH = 32
TIMEOUT = 60  # seconds that a server may be silent
FILE = "pt_inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE}"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

Layer = tuple[str, int, tuple[int, int], int]  # name, channels out, kernel (y, x), stride
Branch = Sequence[Layer | tuple[Layer, ...]]  # layers in a row; a tuple of layers forks, which ends the branch


class _ConvNorm(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, channels: int, out: int, kernel: tuple[int, int], *, stride: int = 1, same: bool = True):
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if same else 0
        self.conv = nn.Conv2d(channels, out, kernel, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class _Mixed(nn.Module):
    """Branches side by side, joined along the channels in their order, the pooled branch last.

    Args:
        channels: Channels of the input.
        branches: The convolutions of each branch. Those of stride 2 are not padded.
        pool: What the last branch pools by.
        pooled: Channels to which a 1 x 1 convolution brings the pooled branch; `None`: as many as it has, without.
    """

    def __init__(self, channels: int, branches: Sequence[Branch], pool: nn.Module, pooled: int | None = None):
        super().__init__()
        self._branches: list[list[tuple[str, ...]]] = []
        for branch in branches:
            width, steps = channels, []
            for step in branch:
                fork = step if isinstance(step[0], tuple) else (step,)
                for name, out, kernel, stride in fork:
                    self.add_module(name, _ConvNorm(width, out, kernel, stride=stride, same=stride == 1))
                width = fork[-1][1]
                steps.append(tuple(name for name, *_ in fork))
            self._branches.append(steps)
        self._pool = pool
        if pooled is not None:
            self.branch_pool = _ConvNorm(channels, pooled, (1, 1))

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for steps in self._branches:
            parts = [x]
            for names in steps:
                parts = [self.get_submodule(name)(parts[0]) for name in names]
            outputs += parts
        pooled = self._pool(x)
        return torch.cat([*outputs, self.branch_pool(pooled) if hasattr(self, "branch_pool") else pooled], 1)


def _chain(name: str, *layers: tuple[int, tuple[int, int]], stride: int = 1) -> list[Layer]:
    """Layers `name_1`, `name_2`, ... given as (channels out, kernel); the stride is the last one's."""
    last = len(layers)
    return [(f"{name}_{i}", out, kernel, stride if i == last else 1) for i, (out, kernel) in enumerate(layers, 1)]


def _average() -> nn.Module:
    return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)


def _block_35(channels: int, pooled: int) -> _Mixed:
    """A block at 35 x 35 pixels."""
    branches = [
        [("branch1x1", 64, (1, 1), 1)],
        _chain("branch5x5", (48, (1, 1)), (64, (5, 5))),
        _chain("branch3x3dbl", (64, (1, 1)), (96, (3, 3)), (96, (3, 3))),
    ]
    return _Mixed(channels, branches, _average(), pooled)


def _shrink_to_17(channels: int) -> _Mixed:
    branches = [
        [("branch3x3", 384, (3, 3), 2)],
        _chain("branch3x3dbl", (64, (1, 1)), (96, (3, 3)), (96, (3, 3)), stride=2),
    ]
    return _Mixed(channels, branches, nn.MaxPool2d(3, stride=2))


def _block_17(channels: int, width: int) -> _Mixed:
    """A block at 17 x 17 pixels."""
    row, column = (1, 7), (7, 1)
    branches = [
        [("branch1x1", 192, (1, 1), 1)],
        _chain("branch7x7", (width, (1, 1)), (width, row), (192, column)),
        _chain("branch7x7dbl", (width, (1, 1)), (width, column), (width, row), (width, column), (192, row)),
    ]
    return _Mixed(channels, branches, _average(), 192)


def _shrink_to_8(channels: int) -> _Mixed:
    branches = [
        _chain("branch3x3", (192, (1, 1)), (320, (3, 3)), stride=2),
        _chain("branch7x7x3", (192, (1, 1)), (192, (1, 7)), (192, (7, 1)), (192, (3, 3)), stride=2),
    ]
    return _Mixed(channels, branches, nn.MaxPool2d(3, stride=2))


def _block_8(channels: int, pool: nn.Module) -> _Mixed:
    """A block at 8 x 8 pixels."""

    def fork(name: str) -> tuple[Layer, ...]:
        return (f"{name}a", 384, (1, 3), 1), (f"{name}b", 384, (3, 1), 1)

    branches: list[Branch] = [
        [("branch1x1", 320, (1, 1), 1)],
        [*_chain("branch3x3", (384, (1, 1))), fork("branch3x3_2")],
        [*_chain("branch3x3dbl", (448, (1, 1)), (384, (3, 3))), fork("branch3x3dbl_3")],
    ]
    return _Mixed(channels, branches, pool, 192)


class InceptionFID(nn.Module):
    """Inception as the FID uses it; parameters are named as in the published file of weights."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _ConvNorm(3, 32, (3, 3), stride=2, same=False)
        self.Conv2d_2a_3x3 = _ConvNorm(32, 32, (3, 3), same=False)
        self.Conv2d_2b_3x3 = _ConvNorm(32, 64, (3, 3))
        self.Conv2d_3b_1x1 = _ConvNorm(64, 80, (1, 1))
        self.Conv2d_4a_3x3 = _ConvNorm(80, 192, (3, 3), same=False)
        self.Mixed_5b = _block_35(192, pooled=32)
        self.Mixed_5c = _block_35(256, pooled=64)
        self.Mixed_5d = _block_35(288, pooled=64)
        self.Mixed_6a = _shrink_to_17(288)
        self.Mixed_6b = _block_17(768, width=128)
        self.Mixed_6c = _block_17(768, width=160)
        self.Mixed_6d = _block_17(768, width=160)
        self.Mixed_6e = _block_17(768, width=192)
        self.Mixed_7a = _shrink_to_8(768)
        self.Mixed_7b = _block_8(1280, _average())
        self.Mixed_7c = _block_8(2048, nn.MaxPool2d(3, stride=1, padding=1))
        self.fc = nn.Linear(DIMS, 1008)  # not run: the published file holds it, and so must a file that matches

    def forward(self, images: Tensor) -> Tensor:
        """The means of the last feature maps.

        Args:
            images: Grey images `(n, y, x)`, 0 to 1. Grey goes into all three colours; images are brought to 299
                pixels bilinearly, without smoothing, and to -1 .. 1.

        Returns:
            Features `(n, 2048)`.
        """
        x = images[:, None].expand(-1, 3, -1, -1)
        x = 2 * F.interpolate(x, size=(EDGE, EDGE), mode="bilinear", align_corners=False) - 1
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, stride=2)))
        x = F.max_pool2d(x, 3, stride=2)
        for name, block in self.named_children():
            if name.startswith("Mixed"):
                x = block(x)
        return x.mean((2, 3))


def load_inception(path: Path) -> InceptionFID:
    """Load the weights of the FID's Inception network.

    Args:
        path: The published file, `FILE`. Other weights of the same network are
            taken with a warning: their FID cannot be compared with published figures.

    Raises:
        InputError: The file is missing, is no whole file of weights, or holds those of another network.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise _bad_weights("are missing", path, "no such file") from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise _bad_weights("cannot be read", path, f"{path.stat().st_size} bytes: {lines[0]}") from error
    network = InceptionFID()
    if different := _differences(network, state):
        raise _bad_weights("belong to another network", path, different)
    network.load_state_dict(state, strict=False)
    if not SHA256.startswith(digest(path)):
        logger.warning("%s: not the published weights, so this FID is not comparable with published ones", path)
    return network.eval()


def inception_vectors(path: Path, *, device: str) -> Callable[[np.ndarray], np.ndarray]:
    """A function from images `(n, y, x)`, 0 to 1, to Inception features `(n, 2048)`, float32.

    Args:
        path: File of weights, see `load_inception`.
        device: `cpu`, `cuda` or `auto`.

    Raises:
        InputError: The weights cannot be used, or there is no such device.
    """
    chosen = pick_device(device)
    network = load_inception(path).to(chosen)

    @torch.inference_mode()
    def vectors(images: np.ndarray) -> np.ndarray:
        made = np.empty((len(images), DIMS), np.float32)
        starts = range(0, len(images), BATCH)
        for start in progress(starts, total=len(starts), what="Inception: batches"):
            batch = torch.from_numpy(np.ascontiguousarray(images[start : start + BATCH], np.float32))
            made[start : start + BATCH] = network(batch.to(chosen)).cpu().numpy()
        return made

    return vectors


def fetch_inception(*, weights: Path, url: str = URL, sha256: str = SHA256) -> None:
    """Stage `inception_weights`: fetch the published weights (95 MB).

    Args:
        weights: File to write, whole or not at all.
        url: Where it is.
        sha256: Its digest.

    Raises:
        InputError: It cannot be fetched, what came is something else, or the disk is full.
    """
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)  # torch's download sets none: it would wait for a silent server for ever
    try:
        with atomic_path(weights) as scratch:
            torch.hub.download_url_to_file(url, str(scratch), hash_prefix=sha256, progress=False)
    except RuntimeError as error:
        raise _bad_weights(
            "that came are not the published ones, or not all of them", weights, f"{url}: {error}"
        ) from error
    except (OSError, HTTPException) as error:
        raise _bad_weights("could not be fetched", weights, f"{url}: {error}") from error
    finally:
        socket.setdefaulttimeout(patience)


def _differences(network: nn.Module, state: object) -> str:
    """What keeps `state` from being the network's weights, or an empty text."""
    if not isinstance(state, dict):
        return f"a {type(state).__name__}"
    wanted = {k: v.shape for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    shapes = {k: tuple(getattr(v, "shape", ())) for k, v in state.items()}
    lists = {
        "missing": [k for k in wanted if k not in shapes],
        "of another shape": [k for k in wanted if k in shapes and shapes[k] != tuple(wanted[k])],
        "unknown": [k for k in shapes if k not in wanted and not str(k).endswith("num_batches_tracked")],
    }
    return "; ".join(f"{len(keys)} parameters {what}, first {keys[0]}" for what, keys in lists.items() if keys)


def _bad_weights(what: str, path: Path, found: str) -> InputError:
    return InputError(
        f"The Inception weights {what}",
        where=path,
        found=found,
        expected=f"{FILE}, 95 MB, SHA-256 {SHA256}",
        fix=f"where there is network set evaluation.inception to download; else fetch {URL} on a machine with network "
        "and set evaluation.inception to that file; null leaves FID by Inception out",
    )
