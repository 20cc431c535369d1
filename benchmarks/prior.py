"""What the prior of textures is worth: the loss of unseen cells after few steps, from the prior and from nothing.

    python benchmarks/prior.py DATA OUT [--seeds 3] [--plot loss.png]

DATA holds `Fluo-N2DH-GOWT1` and `2D-DSB2018-40x` in the layout of the Cell Tracking Challenge. A model learns from one
annotated frame of sequence 01. Its loss is measured on cells of sequence 02, which it never sees, with the same noise
for every model. With and without the prior, the network, the space, the noise schedule and the batches' size are the
same; learning rate and moving average are those that each is used with: the defaults of `texture.tuning`, and those of
presets/ablation-prior.yaml for models from scratch.

Every value is written to OUT/loss.csv as soon as it is there. What is there is not measured again, and a training that
was interrupted goes on from its last checkpoint.
"""

import argparse
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cellcascade.config.settings import CropSettings
from cellcascade.config.texture import Texture, TextureTraining
from cellcascade.config.values import FineTuning, Tuning
from cellcascade.core.files import atomic_path, write_table
from cellcascade.data.crops import Crops, make_crops, read_crops, to_unit
from cellcascade.data.recording import Recording
from cellcascade.diffusion.priors import prior_folder
from cellcascade.diffusion.texture.domains import Gallery
from cellcascade.diffusion.texture.examples import crop_objective
from cellcascade.diffusion.texture.hints import CellHints
from cellcascade.diffusion.texture.model import TextureModel, build, load
from cellcascade.diffusion.texture.tuning import examples_of, objective_of, of_prior
from cellcascade.learning import training
from cellcascade.learning.objective import Objective
from cellcascade.learning.stopping import HeldOut

STEPS = (0, 20, 50, 100, 150, 700)  # after which the loss is measured
EVERY = 10  # divides all of these
SOON, LONG = 150, STEPS[-1]  # the prior's curve is flat after SOON steps: the rest of it is trained last
LOSSES = (0.4, 0.5, 0.6, 0.8, 1.0, 1.2)  # that the picture names
BATCHES = 12  # of unseen cells, of 16
UNSEEN_FRAMES = 6
CPU = torch.device("cpu")
NETWORK = {"channels": (64, 96, 96), "layers": 1}  # that of the prior
OF_SCRATCH = TextureTraining(steps=LONG, batch_size=16, learning_rate=8e-4, ema_decay=0.99)
SETTINGS = {"prior": Texture(), "scratch": Texture(base="scratch", train=OF_SCRATCH, **NETWORK)}
COLUMNS = ["data", "start", "seed", "step", "loss", "seconds"]


class Data(NamedTuple):
    """A data set: its annotations and the size of its pixels, micrometres."""

    annotations: str
    pixel_um: float


DATA = {"Fluo-N2DH-GOWT1": Data("ST", 0.24), "2D-DSB2018-40x": Data("GT", 0.25)}


class Run(NamedTuple):
    """A training until a step."""

    data: str
    start: str
    seed: int
    until: int


def runs(seeds: int) -> Iterator[Run]:
    """The trainings, the most telling ones first."""
    chosen = list(product(range(seeds), DATA))
    for seed, data in chosen:
        yield Run(data, "prior", seed, SOON)
        yield Run(data, "scratch", seed, LONG)
    for seed, data in chosen:
        yield Run(data, "prior", seed, LONG)


@dataclass
class Losses:
    """The table of losses, a row per training and step, in a file that is whole at any time."""

    path: Path
    rows: list[dict] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.path.exists():
            self.rows = pd.read_csv(self.path).to_dict("records")

    def has(self, run: Run, step: int) -> bool:
        """Whether the loss of a training after a step is known."""
        return any((row["data"], row["start"], row["seed"], row["step"]) == (*run[:3], step) for row in self.rows)

    def add(self, run: Run, step: int, loss: float, seconds: float) -> None:
        """Add a row, unless it is there."""
        if not self.has(run, step):
            self.rows.append(dict(zip(COLUMNS, (*run[:3], step, loss, seconds))))
            write_table(self.path, pd.DataFrame(self.rows, columns=COLUMNS), float_format="%.6g")


@dataclass(kw_only=True)
class Looks(HeldOut):
    """Looks at unseen cells after the steps of the table; it ends the training at the last step that is wanted."""

    run: Run
    table: Losses

    @property
    def over(self) -> bool:
        """Whether the training has come to the step that is wanted."""
        return bool(self.losses) and self.losses[-1][0] >= self.run.until

    def look(self, step: int, weights: Sequence[Tensor], device: torch.device) -> float:
        """Measure the loss where it is wanted; the model that is left is the last one, not the best."""
        if step not in STEPS:
            self.losses.append((step, float("nan")))
            return float("nan")
        loss = super().look(step, weights, device)
        self.best = []
        self.table.add(self.run, step, loss, float("nan"))
        print(*self.run, step, f"{loss:.4f}", flush=True)
        return loss


def crops_of(folder: Path, data: str, out: Path) -> tuple[Crops, Crops]:
    """Crops of one frame of sequence 01, and crops of sequence 02 that are seen through the window of the first."""
    stores = []
    for sequence, frames in (("01", 1), ("02", UNSEEN_FRAMES)):
        store = out / f"{data}-{sequence}.zarr.zip"
        if not store.exists():
            about = DATA[data]
            recording = Recording(folder / data, sequence, about.annotations, (about.pixel_um,) * 2, frames)
            table = store.with_name(f"{data}-{sequence}.csv")
            make_crops(recording=recording, dataset=data, settings=CropSettings(), store=store, table=table)
        stores.append(read_crops(store))
    seen, unseen = stores
    record = unseen.record.model_copy(update={"window": seen.record.window})
    return seen, Crops(replace(unseen.store, record=record))


def gallery(crops: Crops) -> Gallery:
    """Crops as a texture model learns from them, as they are."""
    unit = to_unit(crops.image, crops.record.window).astype(np.float16)
    return Gallery(unit, CellHints.of_crops(crops), np.arange(len(unit)))


def start(run: Run, crops: Crops, scratch: Path) -> tuple[TextureModel, Objective, FineTuning]:
    """The model before its training, what it learns from, and how."""
    settings, hints = SETTINGS[run.start], CellHints.of_crops(crops)
    torch.manual_seed(run.seed)
    if prior := prior_folder(settings.base, "texture"):
        settings = of_prior(settings, prior)
        files = {name: prior / f"{name}.safetensors" for name in ("unet", "controlnet")}
        model = load(CPU, **files, config=prior / "config.json", size=crops.image.shape[-1])
        model.space.fit(torch.from_numpy(to_unit(crops.image, crops.record.window))[:, None] * 2 - 1)
        examples = examples_of(crops, hints, run.seed)
        how: FineTuning = Tuning(**dict(settings.tuning) | {"steps": LONG, "checkpoint_every": 50})
        return model, objective_of(model, examples, np.ones(len(hints), bool), settings), how
    model = build(settings, crops.image.shape[-1])
    how = FineTuning(**dict(settings.training) | {"checkpoint_every": 50})
    return model, crop_objective(model, crops, hints, settings, scratch), how


def train(run: Run, seen: Crops, unseen: Gallery, table: Losses, out: Path) -> None:
    """Train until the step that is wanted, and note the losses on the way."""
    checkpoint = out / "checkpoints" / "-".join(map(str, run[:3])) / "state.pt"
    model, learn, how = start(run, seen, checkpoint.with_name("latents.npy"))
    everything = np.ones(len(unseen.source), bool)
    looks = Looks(
        objective_of(model, unseen, everything, Texture()),
        BATCHES,
        EVERY,
        patience=0,
        seed=0,
        precision=how.precision,
        run=run,
        table=table,
    )
    if not table.has(run, 0):
        looks.look(0, [], CPU)
        looks.losses.clear()
    log = training.train(
        model, learn, how, checkpoint=checkpoint, seed=run.seed, device=CPU, what=f"{run.data} {run.start}",
        held_out=looks,
    )  # fmt: skip
    for row in table.rows:
        if (row["data"], row["start"], row["seed"]) == run[:3] and np.isnan(row["seconds"]):
            row["seconds"] = float(np.interp(row["step"], [0, *log["step"]], [0, *log["seconds"]]))
    write_table(table.path, pd.DataFrame(table.rows, columns=COLUMNS), float_format="%.6g")


def markdown(rows: pd.DataFrame) -> str:
    """The losses as a table: mean, standard deviation over the seeds, and number of seeds; empty if not measured."""
    lines = ["| data | start | " + " | ".join(f"{step} steps" for step in STEPS) + " |"]
    lines.append("|---" * (2 + len(STEPS)) + "|")
    for (data, begun), group in rows.groupby(["data", "start"], sort=False):
        cells = []
        for step in STEPS:
            losses = group.loc[group["step"] == step, "loss"]
            spread = f" ± {losses.std(ddof=0):.4f} ({len(losses)})" if len(losses) > 1 else " (1)"
            cells.append(f"{losses.mean():.4f}{spread}" if len(losses) else "")
        lines.append(f"| {data} | {begun} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(rows: pd.DataFrame, path: Path) -> None:
    """Draw the losses over the steps, a line per seed."""
    figure, axes = plt.subplots(1, len(DATA), figsize=(8, 3), sharey=True, layout="constrained", squeeze=False)
    for axis, data in zip(axes[0], DATA):
        for begun, colour in (("prior", "C0"), ("scratch", "C1")):
            lines = rows[(rows["data"] == data) & (rows["start"] == begun)].groupby("seed")
            for seed, line in lines:
                line = line.sort_values("step")
                axis.plot(line["step"], line["loss"], "o-", ms=3, lw=1, color=colour, label=None if seed else begun)
        axis.set(title=data, xlabel="training steps", yscale="log")
        axis.set_xscale("symlog", linthresh=20)
        axis.set_xticks(STEPS, [str(step) if step != 100 else "" for step in STEPS])  # 100 and 150 would overlap
        axis.set_xlim(-2, 1.2 * LONG)
        axis.set_yticks(LOSSES, map(str, LOSSES))
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("loss of unseen cells")
    axes[0, 0].legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the data sets")
    parser.add_argument("out", type=Path, help="folder of table, crops and checkpoints")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each kind (default: 3)")
    parser.add_argument("--plot", type=Path, help="picture to draw of what was measured so far; trains nothing")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    table = Losses(given.out / "loss.csv")
    if given.plot:
        plot(pd.DataFrame(table.rows, columns=COLUMNS), given.plot)
    else:
        sets = {data: crops_of(given.data, data, given.out) for data in DATA}
        galleries = {data: gallery(unseen) for data, (_, unseen) in sets.items()}
        for run in runs(given.seeds):
            if not table.has(run, run.until):
                train(run, sets[run.data][0], galleries[run.data], table, given.out)
    print(markdown(pd.DataFrame(table.rows, columns=COLUMNS)))


if __name__ == "__main__":
    main()
