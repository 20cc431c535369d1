"""Views to volumes (paper, section 2, multiview image to volume generation), shard by shard."""

import logging

import numpy as np
import torch
import zarr

from cellcascade.config.settings import Reconstruction, Shapes
from cellcascade.core.files import digest
from cellcascade.core.seeds import seed_for
from cellcascade.data.shards import check_invalid, open_shard, write_shard
from cellcascade.geometry.cameras import Cameras, hemisphere
from cellcascade.geometry.view_encoding import distance_images, front_and_back
from cellcascade.learning.batches import in_batches
from cellcascade.learning.device import pick_device
from cellcascade.reconstruction import METHODS
from cellcascade.reconstruction.base import Problem, reprojection_iou

logger = logging.getLogger(__name__)


def reconstruct(
    views: str | None,
    masks: str,
    *,
    settings: dict,
    shapes: dict,
    store: str,
    seed: int,
    device: str,
    dataset: str,
    max_invalid_fraction: float,
) -> None:
    """Reconstruct the volumes of a shard of cells.

    Args:
        views: A `views/2` shard; `None` for methods that need none.
        masks: The `masks/1` shard the views were made from.
        settings: The `reconstruction` block.
        shapes: The `shapes` block, for random shapes.
        store: The `volumes/1` shard to write: `sdf (n, z, y, x)` float16, positive inside, in half widths of the crop.
        seed: Seed of the run.
        device: auto, cpu or cuda.
        dataset: Name of the data set, part of each cell's seed.
        max_invalid_fraction: The job fails when a larger share of its cells cannot be made.

    Raises:
        InputError: Too many cells are invalid.
    """
    block, target = Reconstruction(**settings), pick_device(device)
    shard = open_shard(masks, "masks/1")
    predicted = open_shard(views, "views/2") if views else None
    ids, source = shard["cell_id"][:], shard if predicted is None else predicted
    images, depths, cameras = _views(predicted, shard["mask"][:], block.resolution)
    volumes = np.full((len(ids), *[block.resolution] * 3), -1, np.float32)
    agreement = np.zeros((len(ids), len(cameras)), np.float32)
    todo = np.flatnonzero(source["valid"][:])

    def fit(part: list[int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        problem = Problem(
            images=images[part].to(target),
            depths=None if depths is None else depths[part].to(target),
            cameras=cameras.to(target),
            cell_ids=ids[part],
            shapes=Shapes(**shapes),
            seed=seed_for(seed, dataset, "volumes"),
        )
        result = METHODS[block.method](problem, block)
        return list(zip(result.cpu(), reprojection_iou(result, problem).cpu()))

    size, setting = block.cells_at_once, "reconstruction.cells_at_once"
    for i, (volume, iou) in in_batches(fit, todo.tolist(), size, what="volumes", setting=setting):
        volumes[i], agreement[i] = volume.numpy(), iou.numpy()
    reasons = dict(source.attrs["reasons"]) | _failures(ids, volumes, agreement[:, 0], block, todo)
    check_invalid(reasons, len(ids), max_invalid_fraction, store)
    write_shard(
        store,
        schema="volumes/1",
        arrays={
            "sdf": np.nan_to_num(volumes, nan=-1).clip(-2, 2).astype(np.float16),
            "reprojection_iou": agreement,
            "section_iou": _section_iou(volumes, images[:, 0].numpy()),
            "valid": np.array([str(i) not in reasons for i in ids], np.uint8),
            "cell_id": ids,
        },
        attributes={
            "dataset": dataset,
            "seed": seed,
            "method": block.method,
            "reasons": reasons,
            "inputs": [digest(path) for path in (views, masks) if path],
        },
    )
    logger.info(
        "%d volumes, median IoU with the mask %.3f", len(todo), np.median(agreement[todo, 0]) if len(todo) else 0
    )


def _views(
    shard: zarr.Group | None, masks: np.ndarray, resolution: int
) -> tuple[torch.Tensor, torch.Tensor | None, Cameras]:
    """What the cells look like, at the volume's resolution, the exact input view first.

    Returns:
        Signed distances `(n, V + 1, y, x)`; front and back `(n, V + 1, 2, y, x)`, or `None`; the cameras.
    """
    edge = min(resolution, masks.shape[-1])
    exact = _enlarged(torch.from_numpy(distance_images(masks, edge))[:, None], resolution)
    if shard is None:
        return exact, None, hemisphere(0).with_input_view()
    cameras = Cameras(*(torch.from_numpy(shard[name][:]) for name in ("extrinsics", "intrinsics")))
    predicted = torch.from_numpy(shard["views"][:])
    n, v, channels = predicted.shape[:3]
    predicted = _enlarged(predicted.flatten(1, 2), resolution).unflatten(1, (v, channels))
    images = torch.cat([exact, predicted[:, :, 0]], 1)
    if channels == 1:
        return images, None, cameras.with_input_view()
    ends, known = front_and_back(predicted)
    unknown = torch.full((n, 1, 2, resolution, resolution), torch.nan)
    depths = torch.cat([unknown, ends.where(known[:, :, None], torch.nan)], 1)
    return images, depths, cameras.with_input_view()


def _enlarged(images: torch.Tensor, resolution: int) -> torch.Tensor:
    """Smooth images `(n, c, y, x)` at another resolution."""
    if images.shape[-1] == resolution:
        return images
    return torch.nn.functional.interpolate(images, size=(resolution, resolution), mode="bicubic")


def _failures(
    ids: np.ndarray, volumes: np.ndarray, iou: np.ndarray, settings: Reconstruction, todo: np.ndarray
) -> dict[str, str]:
    """Reasons why reconstructed cells cannot be used."""
    reasons = {}
    for i in todo:
        if not np.isfinite(volumes[i]).all():
            reasons[str(ids[i])] = "reconstruction diverged"
        elif not (volumes[i] > 0).any():
            reasons[str(ids[i])] = "reconstruction is empty"
        elif settings.method != "spharm" and iou[i] < settings.min_iou:
            reasons[str(ids[i])] = "reconstruction disagrees with its mask"
    return reasons


def _section_iou(volumes: np.ndarray, images: np.ndarray) -> np.ndarray:
    """IoU of the central section with the input mask `(n,)`."""
    half = volumes.shape[1] // 2
    section, wanted = volumes[:, half - 1 : half + 1].mean(1) > 0, images > 0
    union = (section | wanted).sum((1, 2))
    return ((section & wanted).sum((1, 2)) / np.maximum(union, 1)).astype(np.float32)
