"""Views to volumes (paper, section 2, multiview image to volume generation), shard by shard."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cellcascade.config.settings import Reconstruction, Shapes
from cellcascade.core.seeds import seed_for
from cellcascade.data.shards import Store, check_invalid, digests_of
from cellcascade.data.stores import MASKS, VIEWS, VOLUMES, ViewsRecord, VolumesRecord
from cellcascade.geometry.cameras import Cameras, hemisphere
from cellcascade.geometry.masks import iou
from cellcascade.geometry.view_encoding import distance_images, front_and_back
from cellcascade.learning.batches import in_batches
from cellcascade.learning.device import pick_device
from cellcascade.reconstruction import METHODS
from cellcascade.reconstruction.base import Problem, reprojection_iou

logger = logging.getLogger(__name__)


def make_volumes(
    *,
    views: Path | None,
    masks: Path,
    settings: Reconstruction,
    shapes: Shapes,
    store: Path,
    dataset: str,
    seeded_as: str,
    seed: int,
    device: str,
    max_invalid_fraction: float,
) -> None:
    """Stage `volumes`: reconstruct the volumes of a shard of cells.

    Args:
        views: The shard of views, `VIEWS`; `None` for methods that need none.
        masks: The shard of masks that the views were made from, `MASKS`.
        settings: The `reconstruction` block.
        shapes: The `shapes` block, for random shapes.
        store: The shard to write, `VOLUMES`.
        dataset: Name of the data set.
        seeded_as: Name that the random numbers depend on: that of the data set whose models are used.
        seed: Seed of the run.
        device: auto, cpu or cuda.
        max_invalid_fraction: The job fails when a larger share of its cells is invalid.

    Raises:
        InputError: Too many cells are invalid.
    """
    sampled, predicted = MASKS.open(masks), VIEWS.open(views) if views else None
    source = sampled if predicted is None else predicted
    ids, todo = sampled["cell_id"], np.flatnonzero(source["valid"])
    images, depths, cameras = all_views(sampled["mask"], predicted, settings.resolution)
    problem = Problem(images, depths, cameras, ids, shapes, seed_for(seed, seeded_as, "volumes"))
    made = reconstruct(problem, settings, todo, pick_device(device))
    reasons = source.record.reasons | failures(made, settings, ids, todo)
    check_invalid(reasons, len(ids), max_invalid_fraction, store)
    arrays = {
        "sdf": np.nan_to_num(made.volumes, nan=-1).clip(-2, 2).astype(np.float16),
        "reprojection_iou": made.reprojection_iou,
        "section_iou": section_iou(made.volumes, images[:, 0].numpy()),
        "cell_id": ids,
        "valid": np.array([cell not in reasons for cell in ids], np.uint8),
    }
    about = {"dataset": dataset, "seed": seed, "digests": digests_of([views, masks])}
    VOLUMES.write(store, arrays, VolumesRecord(**about, reasons=reasons, method=settings.method))
    if len(todo):
        logger.info("%d volumes, median IoU with the mask %.3f", len(todo), np.median(made.reprojection_iou[todo, 0]))


def all_views(
    masks: np.ndarray, predicted: Store[ViewsRecord] | None, resolution: int
) -> tuple[Tensor, Tensor | None, Cameras]:
    """What the cells look like, at the volume's resolution, the exact input view first.

    Args:
        masks: The cells' masks `(n, y, x)`.
        predicted: Their views; `None` where there are none.
        resolution: Edge of the volumes, voxels.

    Returns:
        Signed distances `(n, V + 1, y, x)`; front and back `(n, V + 1, 2, y, x)`, or `None`; the cameras.
    """
    edge = min(resolution, masks.shape[-1])
    exact = _resized(torch.from_numpy(distance_images(masks, edge))[:, None], resolution)
    if predicted is None:
        return exact, None, hemisphere(0).with_input_view()
    cameras = Cameras(*(torch.from_numpy(predicted[name]) for name in ("extrinsics", "intrinsics")))
    views = torch.from_numpy(predicted["views"])
    n, v, channels = views.shape[:3]
    views = _resized(views.flatten(1, 2), resolution).unflatten(1, (v, channels))
    images = torch.cat([exact, views[:, :, 0]], 1)
    if channels == 1:
        return images, None, cameras.with_input_view()
    ends, known = front_and_back(views)
    unknown = torch.full((n, 1, 2, resolution, resolution), torch.nan)
    depths = torch.cat([unknown, ends.where(known[:, :, None], torch.nan)], 1)
    return images, depths, cameras.with_input_view()


@dataclass(frozen=True)
class Reconstructed:
    """The volumes of a shard of cells.

    Attributes:
        volumes: Signed distances `(n, z, y, x)`, positive inside, in half widths of the crop; -1 where no cell was
            made, not a number where a fit diverged.
        reprojection_iou: Agreement with all views, the input view first `(n, V + 1)`; 0 where no cell was made.
    """

    volumes: np.ndarray
    reprojection_iou: np.ndarray


def reconstruct(problem: Problem, settings: Reconstruction, todo: np.ndarray, device: torch.device) -> Reconstructed:
    """Reconstruct some cells of a problem, as many at once as the settings say.

    Args:
        problem: The cells of a shard.
        settings: The `reconstruction` block.
        todo: Positions of the cells to make.
        device: Where to make them.
    """
    n, edge = len(problem.cell_ids), settings.resolution
    made = Reconstructed(np.full((n, edge, edge, edge), -1, np.float32), np.zeros(problem.images.shape[:2], np.float32))

    def fit(part: list[int]) -> list[tuple[Tensor, Tensor]]:
        cells = problem.part(part).to(device)
        volumes = METHODS[settings.method](cells, settings)
        return list(zip(volumes.cpu(), reprojection_iou(volumes, cells).cpu()))

    size, setting = settings.cells_at_once, "reconstruction.cells_at_once"
    for i, (volume, agreement) in in_batches(fit, todo.tolist(), size, what="volumes", setting=setting):
        made.volumes[i], made.reprojection_iou[i] = volume.numpy(), agreement.numpy()
    return made


def failures(made: Reconstructed, settings: Reconstruction, ids: np.ndarray, todo: np.ndarray) -> dict[int, str]:
    """Why reconstructed cells cannot be used, by their numbers.

    Args:
        made: The volumes.
        settings: The `reconstruction` block.
        ids: Numbers of the cells `(n,)`.
        todo: Positions of the cells that were made.
    """
    reasons = {}
    for i in todo:
        if not np.isfinite(made.volumes[i]).all():
            reasons[int(ids[i])] = "reconstruction diverged"
        elif not (made.volumes[i] > 0).any():
            reasons[int(ids[i])] = "reconstruction is empty"
        elif settings.method != "spharm" and made.reprojection_iou[i, 0] < settings.min_iou:
            reasons[int(ids[i])] = "reconstruction disagrees with its mask"
    return reasons


def section_iou(volumes: np.ndarray, images: np.ndarray) -> np.ndarray:
    """IoU of the central section of volumes `(n, z, y, x)` with the input view `(n, y, x)`: `(n,)` float32."""
    half = volumes.shape[1] // 2
    return iou(volumes[:, half - 1 : half + 1].mean(1), images).astype(np.float32)


def _resized(images: Tensor, resolution: int) -> Tensor:
    """Smooth images `(n, c, y, x)` at another resolution."""
    if images.shape[-1] == resolution:
        return images
    return functional.interpolate(images, size=(resolution, resolution), mode="bicubic")
