"""Training of Cellpose in the regimes: what its versions 3 and 4 share.

Network, loss, augmentation and flows are Cellpose's own, and so is the file of weights that is written. The loop is
ours: Cellpose's orders its data by the epoch's number alone, so that trainings from the same weights would be one and
the same whatever their seed, and it cannot go on after a kill.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from cellcascade.config.settings import Cellpose, Training
from cellcascade.core.files import atomic_path, write_table
from cellcascade.core.stages import STAGE_VERSIONS
from cellcascade.data.annotated import count_slices
from cellcascade.data.recording import Recording
from cellcascade.evaluation.cellpose.compiled import dynamics
from cellcascade.evaluation.cellpose.planes import Planes, Sample, TrainingSet, training_set
from cellcascade.evaluation.cellpose.record import NetworkRecord, Regime
from cellcascade.evaluation.cellpose.weights import library
from cellcascade.learning import training
from cellcascade.learning.device import pick_device
from cellcascade.learning.normalisation import refit_batch_norm
from cellcascade.learning.objective import Batch, Objective

CPU = torch.device("cpu")
LOG = ["step", "loss", "learning_rate", "seconds"]


def train_cellpose(
    *,
    regime: Regime,
    recording: Recording,
    synthetic: Path | None,
    start: Path | None,
    settings: Cellpose,
    train: Training,
    weights: Path,
    record: Path,
    table: Path,
    checkpoints: str,
    seed: int,
    device: str,
) -> None:
    """Stage `train_cellpose`: train Cellpose on real images, synthetic or pasted ones, or both kinds.

    All regimes take equal steps, and trainings of one seed start from the same weights in all regimes. Regime `none`
    takes no step: it gives the weights it starts from the training set's diameter.

    Args:
        regime: none, real, copy_paste, synthetic or both.
        recording: The annotated frames that the generative models learned from.
        synthetic: Folder of synthetic or, for copy_paste, of pasted images; needed for all regimes but none and real.
        start: Weights to start from; `None` for random ones.
        settings: The `evaluation.cellpose` block.
        train: How the network is trained.
        weights: The weights to write, a file that Cellpose loads.
        record: JSON to write: what the network was trained on, a `NetworkRecord`.
        table: Training log to write, CSV.
        checkpoints: Prefix of the checkpoint folder, which also carries a fingerprint.
        seed: Seed of this training.
        device: auto, cpu or cuda.

    Raises:
        InputError: The images or the weights to start from cannot be used, or another version of Cellpose is installed.
    """
    version, target = library(settings.version), pick_device(device)
    learned = training_set(regime, recording, synthetic, settings, train.batch_size)
    net = version.network(start, settings, seed).to(target)
    net.diam_labels.data.fill_(learned.diameter)
    log = pd.DataFrame(columns=LOG)
    if regime != "none":
        state = _checkpoint(checkpoints, learned, recording, start=start, settings=settings, train=train, seed=seed)
        log = _fit(net, learned, settings, train, checkpoint=state, seed=seed)
    with atomic_path(weights) as scratch:
        net.cpu().save_model(scratch)
    _record(learned, start, settings, net, steps=train.steps if len(log) else 0).write(record)
    write_table(table, log)


def _checkpoint(
    prefix: str,
    learned: TrainingSet,
    recording: Recording,
    *,
    start: Path | None,
    settings: Cellpose,
    train: Training,
    seed: int,
) -> Path:
    """The file of a training's running state, in a folder named by what is trained."""
    about = {**settings.model_dump(mode="json"), "train": train.model_dump(mode="json")}
    about |= {"regime": learned.regime, "seed": seed}
    # Equal files may be read in other ways: other frames of a film, other slices of a stack.
    about["annotated"] = {name: value for name, value in asdict(recording).items() if name != "folder"}
    inputs = [*learned.files, *([start] if start else [])]
    return Path(f"{prefix}-{training.fingerprint(about, inputs, STAGE_VERSIONS['train_cellpose'])}") / "state.pt"


def _fit(
    net: nn.Module, learned: TrainingSet, settings: Cellpose, train: Training, *, checkpoint: Path, seed: int
) -> pd.DataFrame:
    """Train a network in place; gives the training log."""
    version, device = library(settings.version), next(net.parameters()).device
    samples = [_samples(planes, device) for planes in learned.planes.values()]
    patches = {"zoom": learned.diameter / _network_diameter(net), "patch": settings.patch_pixels}
    counts = learned.counts(train.batch_size)
    objective = _objective(net, samples, counts, lambda chosen: version.augment(chosen, **patches, device=CPU))
    log = training.train(
        net,
        objective,
        train,
        checkpoint=checkpoint,
        seed=seed,
        device=device,
        what=f"Cellpose {learned.regime} training",
        weight_decay=version.WEIGHT_DECAY,
    )
    refit_batch_norm(net, objective, steps=train.steps, seed=seed, device=device)
    return log


def _record(
    learned: TrainingSet, start: Path | None, settings: Cellpose, net: nn.Module, *, steps: int
) -> NetworkRecord:
    shares = {"none": None, "real": 1.0, "synthetic": 0.0}
    return NetworkRecord(
        regime=learned.regime,
        version=settings.version,
        start=start.name if start else "scratch",
        diameter=learned.diameter,
        network_diameter=_network_diameter(net),
        steps=steps,
        real_share=shares.get(learned.regime, learned.shares[0]),
        planes={kind: len(planes.images) for kind, planes in learned.planes.items()},
        images={kind: planes.frames for kind, planes in learned.planes.items()},
        train_frames=len({item.frame for item in learned.frames}),
        train_slices=count_slices(learned.frames) if learned.stacks else None,
        train_cells=learned.cells,
    )


def _network_diameter(net: nn.Module) -> float:
    """The diameter that a network scales cells to, pixels."""
    return net.get_parameter("diam_mean").item()


def _samples(planes: Planes, device: torch.device) -> list[Sample]:
    """Planes with the targets that Cellpose learns: cell or not, and flows towards the cells' centres."""
    flows = dynamics.labels_to_flows([labels.copy() for labels in planes.labels], device=device)
    return [(image[None], flow[1:].astype(np.float32)) for image, flow in zip(planes.images, flows)]


def _objective(
    net: nn.Module,
    samples: Sequence[list[Sample]],
    counts: Sequence[int],
    augment: Callable[[list[Sample]], tuple[Tensor, Tensor]],
) -> Objective:
    """Learning from `counts` patches of each kind of samples by the loss of Cellpose: flows and cell probability."""

    def draw(generator: torch.Generator) -> Batch:
        chosen = []
        for kind, count in zip(samples, counts):
            picks = torch.randint(len(kind), (count,), generator=generator)
            chosen += [kind[index] for index in picks]
        # The augmentation takes its numbers from numpy's global state, layers that drop out theirs from torch's.
        np.random.seed(torch.randint(2**31, (1,), generator=generator).item())  # noqa: NPY002
        seeds = torch.randint(2**31, (len(chosen),), generator=generator)
        return *augment(chosen), seeds

    def loss(batch: Batch) -> Tensor:
        patches, wanted, seeds = batch
        torch.manual_seed(int(seeds[0]))  # a part of a batch drops layers of its own
        made = net(patches)[0]
        flows = functional.mse_loss(made[:, :2], 5 * wanted[:, 1:]) / 2
        return flows + functional.binary_cross_entropy_with_logits(made[:, -1], (wanted[:, 0] > 0.5).float())

    return Objective(draw, loss)
