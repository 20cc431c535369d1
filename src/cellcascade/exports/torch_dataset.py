"""Synthetic images as a data set of PyTorch: random crops, of which no more than their chunks is read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from cellcascade.core.errors import InputError
from cellcascade.data.ngff import AnnotatedImage
from cellcascade.data.synthetic import CLEAN, ImageEntry, open_synthetic


class SyntheticCrops(Dataset[tuple[Tensor, ...]]):
    """Random crops of a folder of synthetic images, for training loops of one's own.

    An item is an image, float32 counts (1, [z,] y, x), and its labels, int64 ([z,] y, x); 0 is background. Where a crop
    lies is drawn from PyTorch's random numbers, which a `DataLoader` seeds anew for every epoch and worker. Cells keep
    the labels that they have in the whole image. With `twins`, a third part is the image without noise, as the first.
    """

    def __init__(self, folder: str | Path, crop: Sequence[int], *, crops_per_image: int = 1, twins: bool = False):
        """Open the folder.

        Args:
            folder: `results/DATASET/synthetic`.
            crop: Size of the crops, ([z,] y, x), pixels.
            crops_per_image: Crops of each image in an epoch.
            twins: Whether items have the image without noise, too.

        Raises:
            InputError: The folder cannot be used or has no twins, or the crop is larger than the images.
        """
        self.source, self.crop, self.crops_per_image = open_synthetic(folder), tuple(crop), crops_per_image
        self.twins, self._opened = twins, dict[Path, AnnotatedImage]()
        if twins and not self.source.has_twins:
            raise InputError(
                "The images have no twins without noise",
                where=folder,
                found=f"no folder {CLEAN}",
                expected=f"{CLEAN}/img-00000.ome.zarr, …",
                fix="set population.twins: true and run snakemake again, or leave twins out",
            )
        shape = self._open(self.source.images[0]).image[0].shape
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

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        """A random crop of image `index // crops_per_image`."""
        entry = self.source.images[index // self.crops_per_image]
        opened = self._open(entry)
        room = [most - size + 1 for most, size in zip(opened.image[0].shape, self.crop, strict=True)]
        starts = [int(torch.randint(free, ())) for free in room]
        here = tuple(slice(start, start + size) for start, size in zip(starts, self.crop))
        wanted = [(opened.image, np.float32), (opened.labels, np.int64)]
        if self.twins and (twin := entry.twin):
            wanted.append((self._open(twin).image, np.float32))
        parts = [levels[0][here].compute(scheduler="synchronous").astype(kind) for levels, kind in wanted]
        image, labels, *clean = map(torch.from_numpy, parts)
        return image[None], labels, *(part[None] for part in clean)

    def _open(self, image: ImageEntry) -> AnnotatedImage:
        if image.path not in self._opened:
            self._opened[image.path] = image.open()
        return self._opened[image.path]
