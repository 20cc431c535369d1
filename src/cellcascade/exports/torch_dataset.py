"""Synthetic images as a data set of PyTorch: random crops, of which no more than their chunks is read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from cellcascade.core.errors import InputError
from cellcascade.data.ngff import AnnotatedImage
from cellcascade.data.synthetic import open_synthetic


class SyntheticCrops(Dataset[tuple[Tensor, Tensor]]):
    """Random crops of a folder of synthetic images, for training loops of one's own.

    An item is an image, float32 counts (1, [z,] y, x), and its labels, int64 ([z,] y, x); 0 is background. Where a crop
    lies is drawn from PyTorch's random numbers, which a `DataLoader` seeds anew for every epoch and worker. Cells keep
    the labels that they have in the whole image.
    """

    def __init__(self, folder: str | Path, crop: Sequence[int], *, crops_per_image: int = 1):
        """Open the folder.

        Args:
            folder: `results/DATASET/synthetic`.
            crop: Size of the crops, ([z,] y, x), pixels.
            crops_per_image: Crops of each image in an epoch.

        Raises:
            InputError: The folder cannot be used, or the crop is larger than the images.
        """
        self.source, self.crop, self.crops_per_image = open_synthetic(folder), tuple(crop), crops_per_image
        self._opened: dict[int, AnnotatedImage] = {}
        shape = self._open(0).image[0].shape
        if len(shape) != len(self.crop) or any(most < size for most, size in zip(shape, self.crop)):
            raise InputError(
                "The crops do not fit into the images",
                where=folder,
                found=f"crops {self.crop}",
                expected=f"a size up to {shape}, one number per axis",
                fix="ask for smaller crops",
            )

    def __len__(self) -> int:
        """Number of crops in an epoch."""
        return len(self.source.images) * self.crops_per_image

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """A random crop of image `index // crops_per_image`."""
        opened = self._open(index // self.crops_per_image)
        room = [most - size + 1 for most, size in zip(opened.image[0].shape, self.crop, strict=True)]
        starts = [int(torch.randint(free, ())) for free in room]
        here = tuple(slice(start, start + size) for start, size in zip(starts, self.crop))
        counts, labels = (levels[0][here].compute(scheduler="synchronous") for levels in (opened.image, opened.labels))
        return torch.from_numpy(counts.astype(np.float32))[None], torch.from_numpy(labels.astype(np.int64))

    def _open(self, number: int) -> AnnotatedImage:
        if number not in self._opened:
            self._opened[number] = self.source.images[number].open()
        return self._opened[number]
