"""Training of Cellpose in the regimes, and its predictions: what its versions 3 and 4 share.

Network, loss, augmentation and flows are Cellpose's own, and so is the file of weights that is written. The loop is
ours: Cellpose's orders its data by the epoch's number alone, so that trainings from the same weights would be one and
the same whatever their seed, and it cannot go on after a kill.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from cellpose import dynamics, models
from torch import Tensor, nn
from torch.nn import functional

from cellcascade.config.cellpose_versions import library
from cellcascade.config.settings import Cellpose
from cellcascade.core.files import atomic_path, write_json, write_table
from cellcascade.core.stages import STAGE_VERSIONS
from cellcascade.data.ctc import annotated_frames, count_slices
from cellcascade.evaluation.cellpose.planes import Planes, normalise, real_planes, synthetic_planes
from cellcascade.learning import training
from cellcascade.learning.device import pick_device

logger = logging.getLogger(__name__)

SCALE_RANGE = 0.5  # as in Cellpose's own training: cells are scaled by 0.75 to 1.25
Sample = tuple[np.ndarray, np.ndarray]  # a plane (1, y, x) and its targets (cell, dy, dx; y, x)


def train(
    *,
    regime: str,
    real: Mapping,
    synthetic: str | Path | None,
    start: str | Path | None,
    settings: Mapping,
    weights: str | Path,
    record: str | Path,
    table: str | Path,
    checkpoints: str,
    seed: int,
    device: str,
) -> None:
    """Train Cellpose on real images, synthetic ones, or both; every regime takes equally many steps.

    Trainings of one seed start from the same weights in all regimes. Regime `none` takes no step: it gives the weights
    it starts from the training set's diameter. The weights to start from say which version of Cellpose is trained.

    Args:
        regime: none, real, synthetic or both.
        real: The real training frames: folder, sequence, annotations, voxel_size_um and annotated.
        synthetic: Folder of the synthetic images; needed for synthetic and both.
        start: Weights to start from; `None` for random ones.
        settings: The `evaluation.cellpose` block.
        weights: Gets the weights, a file that Cellpose loads.
        record: Gets what the network was trained on, JSON.
        table: Gets the training log, CSV.
        checkpoints: Prefix of the checkpoint folder, which also carries a fingerprint.
        seed: Seed of this training.
        device: auto, cpu or cuda.

    Raises:
        InputError: The images or the weights to start from cannot be used, or need another version of Cellpose.
    """
    version, block, target = library(start), Cellpose.model_validate(settings), pick_device(device)
    sources, share = _sources(regime, real, synthetic, block)
    diameter = float(np.average([source.diameter for source in sources], weights=share))
    net = version.network(start, block, seed).to(target)
    net.diam_labels.data.fill_(diameter)
    frames = annotated_frames(real["folder"], real["sequence"], real["annotations"], **real["annotated"])
    log = pd.DataFrame(columns=["step", "loss", "learning_rate", "seconds"])
    if regime != "none":
        samples = [_samples(source, target) for source in sources]
        counts = [round(part * block.train.batch_size) for part in share]
        patches = {"zoom": diameter / net.diam_mean.item(), "patch": block.patch_pixels, "device": target}
        loss = _loss(net, samples, counts, lambda chosen: version.augment(chosen, **patches))
        inputs = [path for item in frames for path in (item.image, item.labels)]
        inputs += [Path(synthetic) / "dataset.json"] if synthetic else []
        inputs += [start] if start else []
        about = {**block.model_dump(mode="json"), "regime": regime, "seed": seed}
        name = training.fingerprint(about, inputs, STAGE_VERSIONS["train_cellpose"])
        checkpoint = Path(f"{checkpoints}-{name}") / "state.pt"
        log = training.train(
            net,
            loss,
            block.train,
            checkpoint=checkpoint,
            seed=seed,
            device=target,
            what=f"Cellpose {regime} training",
            weight_decay=version.WEIGHT_DECAY,
        )
    with atomic_path(weights) as scratch:
        net.cpu().save_model(scratch)
    write_json(
        Path(record),
        {
            "regime": regime,
            "start": Path(start).name if start else "scratch",
            "diameter": diameter,
            "network_diameter": net.diam_mean.item(),
            "steps": block.train.steps if len(log) else 0,
            "real_share": {"none": None, "real": 1.0, "synthetic": 0.0, "both": share[0]}[regime],
            "planes": {name: len(s.images) for name, s in zip(_kinds(regime), sources)},
            "images": {name: s.frames for name, s in zip(_kinds(regime), sources)},
            "train_frames": len({item.frame for item in frames}),
            "train_slices": count_slices(frames) if len(real["voxel_size_um"]) == 3 else None,
        },
    )
    write_table(Path(table), log)


def segment(
    model: models.CellposeModel,
    image: np.ndarray,
    *,
    diameter: float,
    anisotropy: float,
    volumes: str,
    options: Mapping,
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
    masks = model.eval(normalise(image), diameter=diameter, normalize=False, **how)[0]
    masks = np.asarray(masks)
    return masks.astype(np.uint16 if masks.max(initial=0) < 2**16 else np.uint32)


def _kinds(regime: str) -> list[str]:
    return ["real", "synthetic"] if regime == "both" else ["synthetic" if regime == "synthetic" else "real"]


def _sources(
    regime: str, real: Mapping, synthetic: str | Path | None, block: Cellpose
) -> tuple[list[Planes], list[float]]:
    """The planes of a regime, and the share of each kind in a batch."""
    common = {"orientations": block.volumes == "do_3D", "most": block.max_images}
    kinds, sources = _kinds(regime), []
    for kind in kinds:
        if kind == "real":
            sources.append(real_planes(**real, **common))
        else:
            size_um = real["voxel_size_um"]
            sources.append(synthetic_planes(synthetic, voxel_size_um=size_um, images=block.max_images, **common))
        logger.info("%d %s planes, median diameter %.1f", len(sources[-1].images), kind, sources[-1].diameter)
    real_part = round(block.real_share * block.train.batch_size) / block.train.batch_size
    return sources, [real_part, 1 - real_part] if len(kinds) == 2 else [1.0]


def _samples(planes: Planes, device: torch.device) -> list[Sample]:
    """Planes with the targets that Cellpose learns: cell or not, and flows towards the cells' centres."""
    flows = dynamics.labels_to_flows([labels.copy() for labels in planes.labels], device=device)
    return [(image[None], flow[1:].astype(np.float32)) for image, flow in zip(planes.images, flows)]


def _loss(
    net: nn.Module,
    samples: Sequence[list[Sample]],
    counts: Sequence[int],
    augment: Callable[[list[Sample]], tuple[Tensor, Tensor]],
) -> Callable[[torch.Generator], Tensor]:
    """Loss of a batch with `counts` patches of each kind of samples (loss of Cellpose: flows and cell probability)."""

    def loss(generator: torch.Generator) -> Tensor:
        chosen = []
        for kind, count in zip(samples, counts):
            picks = torch.randint(len(kind), (count,), generator=generator)
            chosen += [kind[index] for index in picks]
        # The augmentation takes its numbers from numpy's global state, layers that drop out theirs from torch's.
        np.random.seed(torch.randint(2**31, (1,), generator=generator).item())  # noqa: NPY002
        torch.manual_seed(torch.randint(2**31, (1,), generator=generator).item())
        batch, wanted = augment(chosen)
        made = net(batch)[0]
        flows = functional.mse_loss(made[:, :2], 5 * wanted[:, 1:]) / 2
        return flows + functional.binary_cross_entropy_with_logits(made[:, -1], (wanted[:, 0] > 0.5).float())

    return loss
