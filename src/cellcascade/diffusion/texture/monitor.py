"""What is looked at while and after a texture model trains: does it follow outlines, and how alike are slices?"""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from cellcascade.config.texture import Texture
from cellcascade.core.choice import evenly_spaced
from cellcascade.core.errors import InputError
from cellcascade.core.seeds import torch_generator
from cellcascade.data.cells import CellStack
from cellcascade.data.crops import Crops, to_counts, to_unit
from cellcascade.data.slice_likeness import inner_of
from cellcascade.diffusion.texture.edges import Profile, fit_profile
from cellcascade.diffusion.texture.hints import CellHints
from cellcascade.diffusion.texture.model import TextureModel
from cellcascade.diffusion.texture.sampling import correlated_noise, draw
from cellcascade.metrics.consistency import Consistency, Kind
from cellcascade.metrics.texture import measure_textures, slice_correlations

logger = logging.getLogger(__name__)

CELLS, COLUMNS, STEPS = 16, 8, 25  # real outlines that are textured; pictures in a row; denoising steps
FOLLOWED = 0.5  # of the way from a chance overlap of outline and bright pixels to that of real cells
# Models that will follow their outlines do so after 4000 to 6000 steps; a shorter training is not judged by its end.
HOPELESS, LATE = 10_000, 4000  # steps at which outlines that are ignored stop a training: at any look, at its end
TOLD_APART = 0.1  # IoU by which real cells must agree better with their own outlines than with others', to judge by it
RHOS, PAIRS = (0.0, 0.3, 0.7, 1.5, 4.0), 16
MEASURED = 128  # real outlines that show the light across edges; of fewer crops, some several times
# Slices at once on a CPU, whatever `texture.sampling_batch` says: the size of a batch changes a sample's last bits,
# and so the profile and all textures, while that setting is no reason to train again. On a GPU it holds.
AT_ONCE = 16


class Watch:
    """Textures a few real outlines now and then, for TensorBoard and for an early warning.

    A ControlNet may ignore its hint for thousands of steps, or for good. Outlines count as ignored as long as the
    bright pixels of the samples overlap with their own outlines hardly better than with those of other cells.

    Args:
        model: The model in training.
        settings: The `texture` block.
        crops: The crops it is trained on.
        hints: Hints of these crops.
        seed: Seed of the noise.
    """

    def __init__(self, model: TextureModel, settings: Texture, crops: Crops, hints: CellHints, seed: int):
        chosen = np.array(evenly_spaced(list(np.flatnonzero(crops.widest)), CELLS))
        self.model, self.settings, self.crops = model, settings, crops
        self.hints, self.masks, self.real = hints[chosen], crops.mask[chosen], crops.image[chosen]
        self.noise = [
            torch.randn(model.space.noise_shape, generator=torch_generator(seed, "watch", int(i))) for i in chosen
        ]

    def __call__(self, board: SummaryWriter, step: int) -> dict[str, float]:
        """Look at a step: pictures to TensorBoard, a warning to the log.

        Returns:
            `mask_iou`: median IoU of the outlines with an Otsu threshold of their samples.

        Raises:
            InputError: Outlines are ignored so late that they will not be followed any more.
        """
        drawn = _textured(self.model, self.settings, self.crops, self.hints, self.noise)
        board.add_image("real above samples", self._sheet(drawn), step, dataformats="HW")
        own, real = (_iou(images, self.masks) for images in (drawn, self.real))
        others = np.roll(self.masks, 1, axis=0)
        chance, told_apart = _iou(drawn, others), real - _iou(self.real, others) > TOLD_APART
        logger.info("samples overlap with their outlines by %.2f, real cells by %.2f (IoU)", own, real)
        if own - chance < FOLLOWED * (real - chance):
            last = step == self.settings.train.steps
            if told_apart and (step >= HOPELESS or (last and step >= LATE)):
                raise _ignored(step, own, chance)
            logger.warning(
                "step %d: the samples do not follow their outlines yet (IoU %.2f, %.2f with those of other cells). "
                "Fine-tuned models often begin to between 4000 and 6000 steps; later, raise train.learning_rate, or "
                "train more of the model (trainable)",
                step,
                own,
                chance,
            )
        return {"mask_iou": own}

    def _sheet(self, drawn: np.ndarray) -> np.ndarray:
        """Rows of real cells, each above a row of the samples with the same outlines, 0 to 1."""
        rows = []
        for first in range(0, len(drawn), COLUMNS):
            for images in (self.real, drawn):
                row = np.concatenate(list(to_unit(images[first : first + COLUMNS], self.crops.record.window)), 1)
                rows.append(np.pad(row, ((0, 0), (0, COLUMNS * drawn.shape[-1] - row.shape[1]))))
        return np.concatenate(rows)


def _ignored(step: int, own: float, chance: float) -> InputError:
    return InputError(
        "The texture model ignores the outlines",
        where=f"texture training, step {step}",
        found=f"its samples overlap with their own outlines by {own:.2f}, with those of other cells by {chance:.2f}",
        expected="samples that follow their outlines, as models that learn to do after 4000 to 6000 steps",
        fix="train more of the model (texture.trainable: all) or faster (texture.train.learning_rate, texture."
        "unet_rate), learn from more or better annotated cells, or set texture.base: scratch and space: pixel, which "
        "follows outlines soonest; the last checkpoint is kept",
    )


def measure_profile(model: TextureModel, settings: Texture, crops: Crops, hints: CellHints, seed: int) -> Profile:
    """Texture real outlines and compare the light across their edges with that of the real cells.

    Args:
        model: The trained model, without a profile.
        settings: The `texture` block; on a GPU, how many slices are sampled at once.
        crops: The crops it was trained on.
        hints: Hints of these crops.
        seed: Seed of the noise.
    """
    chosen = np.resize(np.array(evenly_spaced(list(range(len(crops.image))), MEASURED)), MEASURED)
    shape = model.space.noise_shape
    noise = [torch.randn(shape, generator=torch_generator(seed, "profile", place)) for place in range(MEASURED)]
    drawn = _textured(model, settings, crops, hints[chosen], noise)
    real, drawn = (to_unit(counts, crops.record.window) ** 2 for counts in (crops.image[chosen], drawn))
    return fit_profile(real, drawn, hints[chosen], chosen)


def likeness_by_rho(model: TextureModel, settings: Texture, crops: Crops, hints: CellHints, seed: int) -> pd.DataFrame:
    """How alike neighbouring slices come out at several strengths of consistency, beside the real ones.

    Pairs of slices of real cells are textured anew with their own outlines and brightness, so that real and synthetic
    pairs differ in their texture alone.

    Args:
        model: The trained model.
        settings: The `texture` block; on a GPU, how many slices are sampled at once.
        crops: The crops it was trained on.
        hints: Hints of these crops.
        seed: Seed of the noise.

    Returns:
        Columns correlation (coarse or eq2, what slices share), rho, synthetic, real (mean correlation of counts where
        both slices show the cell) and pairs; no rows if the crops do not tell how alike real slices are.
    """
    pairs, masks, real = _measured_pairs(crops)
    rows = []
    for alike in _measured_kinds() if pairs else ():
        seeds = [torch_generator(seed, "likeness", number, *map(int, pair)) for number, pair in enumerate(pairs)]
        noise = [one for each in seeds for one in correlated_noise(model.space, 2, alike, each)]
        counts = _textured(model, settings, crops, hints[np.ravel(pairs)], noise)
        made = _likeness(counts.reshape(masks.shape), masks)
        rows.append((alike.kind, alike.rho, made, real, len(pairs)))
        logger.info("%s, rho %g: neighbouring slices correlate by %.2f, real ones by %.2f", *rows[-1][:4])
    return pd.DataFrame(rows, columns=["correlation", "rho", "synthetic", "real", "pairs"])


def _measured_kinds() -> list[Consistency]:
    """What is measured: of neighbours alone, `ar1` is the same as `eq2`."""
    kinds: tuple[Kind, ...] = ("coarse", "eq2")
    return [Consistency(rho, kind) for kind in kinds for rho in RHOS]


def _textured(
    model: TextureModel, settings: Texture, crops: Crops, hints: CellHints, noise: Sequence[Tensor]
) -> np.ndarray:
    """Counts `(n, y, x)` of slices textured for a look: by plain DDIM in few steps."""
    size = settings.sampling_batch if next(model.parameters()).is_cuda else AT_ONCE
    how = {"sampler": "ddim", "sampling_steps": STEPS, "sampling_batch": size, "guidance": 1.0}
    plain = settings.model_copy(update=how)
    unit = np.stack(list(draw(model, hints, noise, plain)))
    return to_counts(unit, crops.record.window, crops.record.largest)


def _iou(images: np.ndarray, masks: np.ndarray) -> float:
    return float(measure_textures(images, masks)["otsu_iou"].median())


def _measured_pairs(crops: Crops) -> tuple[list[tuple[int, int]], np.ndarray, float]:
    """Pairs of crops `(n, 2)` that are textured, where they are compared `(n, 2, y, x)`, and how alike real ones are.

    Where cells have no crops of neighbouring slices, their widest slices stand for both: the stack itself has told how
    alike slices are within these.
    """
    if pairs := evenly_spaced(_pairs(crops), PAIRS):
        masks = crops.mask[np.array(pairs)]
        return pairs, masks, _likeness(crops.image[np.array(pairs)], masks)
    if (told := crops.record.slice_likeness) is None:
        return [], np.zeros((0, 2, *crops.size), bool), float("nan")
    widest = evenly_spaced(list(np.flatnonzero(crops.widest)), PAIRS)
    pairs = [(int(i), int(i)) for i in np.resize(widest, PAIRS)]
    return pairs, inner_of(crops.mask[np.array(pairs)]), told


def _pairs(crops: Crops) -> list[tuple[int, int]]:
    """Crops of neighbouring slices of one cell; none in 2D."""
    places = {key: i for i, key in enumerate(zip(crops.frame.tolist(), crops.label.tolist(), crops.z.tolist()))}
    above = ((i, places.get((frame, label, z + 1))) for (frame, label, z), i in places.items())
    return [(i, j) for i, j in above if j is not None]


def _likeness(images: np.ndarray, masks: np.ndarray) -> float:
    """Mean correlation of pairs of slices `(n, 2, y, x)` where both masks say."""
    stacks = [CellStack(image, mask, np.arange(2)) for image, mask in zip(images, masks)]
    return float(slice_correlations(stacks, 1).mean())
