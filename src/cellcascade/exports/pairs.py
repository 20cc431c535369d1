"""Pairs: an image and its labels, under names that can be chosen, for Omnipose, InstanSeg, micro-SAM and others.

Images that have a twin without noise are written with it: pairs for denoisers.
"""

from pathlib import Path

from cellcascade.config.formats import PairsFormat
from cellcascade.data.synthetic import SyntheticSet
from cellcascade.exports.base import Exported, empty_images
from cellcascade.exports.tiffs import write_counts, write_labels


def write(source: SyntheticSet, folder: Path, settings: PairsFormat) -> Exported:
    """Write images, labels and twins as they are, 2D or 3D.

    Raises:
        InputError: An image cannot be read.
    """
    for image in source.images:
        write_counts(folder / settings.image.format(name=image.name), image.counts(), source.voxel_size_um)
        write_labels(folder / settings.mask.format(name=image.name), image.labels(), source.voxel_size_um)
        if twin := image.twin:
            write_counts(folder / settings.clean.format(name=image.name), twin.counts(), source.voxel_size_um)
    what = f"{len(source.images)} pairs, {settings.image} and {settings.mask}"
    what += f", and without noise {settings.clean}" if source.has_twins else ""
    return Exported(what, empty_images(source), _commands(settings))


def _commands(settings: PairsFormat) -> list[str]:
    if settings != PairsFormat():
        return []
    return ["omnipose --train --use_gpu --dir . --mask_filter _masks --diameter 0 --pretrained_model None  # Omnipose"]
