"""Data sets and the whole configuration as typed models: every key with its type, range and meaning. Free of torch."""

import os
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, field_validator

from cellcascade.config.prior import Prior
from cellcascade.config.settings import MaskDDPM, Multiview, Shapes, Stages, Texture, halved
from cellcascade.config.values import (
    BUNDLED,
    BUNDLED_GRID,
    BUNDLED_STEP,
    Conflict,
    Count,
    CountOrZero,
    Fraction,
    Positive,
    Settings,
)

Layout = Literal["auto", "ctc", "folders", "suffixes", "nnunet", "ome-zarr"]

TEST_SHARE = 0.2  # of frames without a second sequence that are kept for tests
RESERVED = {"shared", "overview", "learning_curve", "ablations"}  # folders of results/ that are no data set's


def too_many_steps(name: str, block: MaskDDPM | Multiview | Texture) -> Iterator[Conflict]:
    """A conflict if a model takes more steps to sample than it has; jobs that train know nothing of sampling."""
    if block.sampling_steps > block.timesteps:
        keys = (f"{name}.sampling_steps", f"{name}.timesteps")
        yield Conflict(keys, f"{keys[0]} {block.sampling_steps} must not be more than {keys[1]} {block.timesteps}")


class Dataset(Stages):
    """A data set: where its frames are, its physical scale, and its stage settings."""

    folder: str = Field(description="folder or zip archive below data_root, e.g. Fluo-N2DH-GOWT1")
    layout: Layout = Field(
        "auto",
        description="how its files are laid out: auto: found out by looking; ctc: Cell Tracking Challenge; folders: "
        "images/ and masks/; suffixes: x.tif and x_masks.tif; nnunet: imagesTr/ and labelsTr/; ome-zarr: with labels",
    )
    channel: CountOrZero | None = Field(None, description="channel of the frames, where they have several, from 0")
    labels: str | None = Field(None, description="ome-zarr: name of the labels, where images have several")
    train_sequence: str = Field("01", description="ctc: sequence the models learn from")
    test_sequence: str | None = Field(
        "02", description="ctc: sequence kept for tests; null: none, in any layout, and no evaluation on it"
    )
    test_share: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None,
        description="share of the annotated frames kept for tests where there is no second sequence; 0: none; null: "
        "0.2, and 0 where test_sequence is null",
    )
    voxel_size_um: tuple[Positive, ...] = Field(
        min_length=2, max_length=3, description="(y, x) or (z, y, x) size of a pixel, micrometres"
    )
    train_frames: Annotated[int, Field(ge=1)] | Annotated[list[int], Field(min_length=1)] | None = Field(
        None, description="annotated frames learned from: their count, evenly spread, or their numbers; null: all"
    )
    train_slices: Annotated[int, Field(ge=1)] | Annotated[list[int], Field(min_length=1)] | None = Field(
        None,
        description="3D: annotated slices of each stack learned from: their count, evenly spread, or their numbers",
    )
    train_patch: Count | None = Field(
        None, description="edge of the square in each frame's middle that is all they learn from; null: all"
    )
    archive: str | None = Field(None, description="address or path of the folder's zip archive, for `download_ctc`")
    archive_sha256: Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")] | None = Field(
        None, description="its SHA-256, to be checked; null: not known"
    )
    ignore_label: int | None = Field(
        None,
        description="number in the annotations that marks what nobody annotated, e.g. -1 or 255: nothing is learned "
        "from there, and nothing is scored; null: all is annotated",
    )
    split_labels: bool = Field(
        False,
        description="each connected piece of a label is a cell of its own: for foreground masks, and for one number "
        "for several cells; cells of one number that touch stay one",
    )
    accept: tuple[str, ...] = Field(
        (), description="errors of the check that are known and do not stop the run, by their names on its page"
    )
    background_from: str | None = Field(
        None, description="data set whose frames the background is learned from, where one's own show none"
    )
    models_from: str | None = Field(None, description="reuse crops and trained models of this data set")
    inherits: str | None = Field(
        None, description="data set from whose entry this one takes what it does not set itself"
    )

    @property
    def ndim(self) -> int:
        """2 or 3."""
        return len(self.voxel_size_um)

    @property
    def kept_share(self) -> float:
        """Share of the annotated frames that are kept for tests where there is no second sequence."""
        if self.test_share is not None:
            return self.test_share
        return TEST_SHARE if self.test_sequence else 0.0

    @property
    def has_tests(self) -> bool:
        """Whether something is kept for tests; whether it is there, its files say."""
        return self.kept_share > 0

    @property
    def has_views(self) -> bool:
        """Whether its cells are reconstructed from predicted views."""
        return self.ndim == 3 and self.reconstruction.method != "spharm"

    @property
    def annotated(self) -> tuple[int | list[int] | None, ...]:
        """Which annotations the models learn from: frames, slices and the edge of a patch; `None` for all."""
        return self.train_frames, self.train_slices, self.train_patch

    def conflicts(self) -> Iterator[Conflict]:
        """See `Settings`."""
        if self.mask_ddpm.base == "scratch":  # a prior or a base brings its own number of time steps
            yield from too_many_steps("mask_ddpm", self.mask_ddpm)
        if not self.texture.pretrained:
            yield from too_many_steps("texture", self.texture)
        yield from self._masks()
        yield from self._textures()
        yield from self._frames()

    def _masks(self) -> Iterator[Conflict]:
        masks, crop = self.mask_ddpm, self.crops.size
        if masks.base != "scratch":
            if masks.base == BUNDLED and crop % BUNDLED_GRID:
                yield Conflict(
                    ("crops.size", "mask_ddpm.base"),
                    f"mask_ddpm.base {BUNDLED} needs crops.size to be a multiple of {BUNDLED_GRID}, it is {crop}; "
                    "mask_ddpm.base scratch takes others",
                )
            return
        if masks.representation == "binary":
            for conflict in halved(("crops.size",), crop, masks.channels):
                yield Conflict(("crops.size", "mask_ddpm.channels"), f"of binary masks, {conflict.message}")
        elif crop % masks.grid:
            yield Conflict(
                ("mask_ddpm.grid", "crops.size"), f"mask_ddpm.grid {masks.grid} must divide crops.size {crop}"
            )

    def _textures(self) -> Iterator[Conflict]:
        texture, crop, scratch = self.texture, self.crops.size, not self.texture.pretrained
        if texture.space == "latent" and scratch and texture.autoencoder is None:
            yield Conflict(
                ("texture.space", "texture.base", "texture.autoencoder"),
                "texture.space latent needs a texture.base or a texture.autoencoder; scratch alone needs space pixel",
            )
        if texture.base == BUNDLED:
            yield from self._bundled_texture()
        if not scratch:  # what fits another base, its files tell
            return
        step = texture.block * 2 ** (len(texture.channels) - 1)
        if crop % step:
            keys = "texture.block", "texture.channels"
            yield Conflict(
                ("crops.size", *keys),
                f"{' and '.join(keys)} need crops.size to be a multiple of {step}, it is {crop}",
            )

    def _bundled_texture(self) -> Iterator[Conflict]:
        crop = self.crops.size
        if self.texture.space == "latent":
            yield Conflict(
                ("texture.space", "texture.base"),
                f"texture.base {BUNDLED} works in space pixel; latent needs another texture.base",
            )
        if crop % BUNDLED_STEP:
            yield Conflict(
                ("crops.size", "texture.base"),
                f"texture.base {BUNDLED} needs crops.size to be a multiple of {BUNDLED_STEP}, it is {crop}; texture."
                "base scratch takes others",
            )

    def _frames(self) -> Iterator[Conflict]:
        size_um, shape = self.voxel_size_um, self.population.frame_shape
        if self.ignore_label == 0:
            yield Conflict(("ignore_label",), "ignore_label 0: 0 is background; mark what nobody annotated otherwise")
        if self.train_slices and self.ndim == 2:
            yield Conflict(
                ("train_slices", "voxel_size_um"),
                f"train_slices {self.train_slices} is for stacks, voxel_size_um says 2D: use train_frames",
            )
        if shape and len(shape) != self.ndim:
            yield Conflict(
                ("population.frame_shape", "voxel_size_um"),
                f"population.frame_shape {shape} must have as many axes as voxel_size_um {size_um}",
            )
        if self.train_sequence == self.test_sequence:
            yield Conflict(
                ("test_sequence", "train_sequence"),
                f"train_sequence and test_sequence are both {self.test_sequence!r}: the test would know its answers; "
                "set another test_sequence, or null",
            )
        if abs(size_um[-1] - size_um[-2]) > 1e-6 * size_um[-1]:
            yield Conflict(
                ("voxel_size_um",), f"y and x pixel sizes differ: {size_um}; resample the frames to square pixels"
            )


def _how_many(chosen: int | list[int] | None) -> int | None:
    """How many frames or slices a choice of them names, or the edge of a patch."""
    return len(chosen) if isinstance(chosen, list) else chosen


class Shards(Settings):
    """How many items one job makes."""

    cells: Count = Field(1000, description="cells per job: a minute to half an hour on a GPU; without one, 25")
    images: Count = Field(500, description="images per job: 4 to 50 minutes on one core; less keeps more cores busy")
    shapes: Count = Field(5000, description="spherical-harmonic shapes per job")


class Config(Settings):
    """The whole configuration."""

    data_root: str = Field("data", description="folder that holds the data sets' folders; ~ and $VARIABLES count")
    seed: CountOrZero = Field(0, description="seed of the whole run")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="auto: a GPU if the job sees one, else the CPU, but on a cluster only a GPU; Apple's "
        "(mps) are not supported",
    )
    threads: Count = Field(
        4, description="CPU threads of a job that trains, samples or cuts crops; without a GPU, 1 is the fastest"
    )
    run: list[str] | None = Field(
        None,
        description="data sets that `all` makes; null: every one but variants, which inherit and share data",
    )
    max_invalid_fraction: Fraction = Field(0.2, description="a job fails when more of its cells than this are invalid")
    shards: Shards = Shards()
    shapes: Shapes = Shapes()
    multiview: Multiview = Multiview()
    prior: Prior = Prior()
    defaults: Stages = Stages()
    datasets: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")], Dataset] = Field(min_length=1)

    @field_validator("data_root")
    @classmethod
    def _expanded(cls, path: str) -> str:
        return os.path.expanduser(os.path.expandvars(path))

    def conflicts(self) -> Iterator[Conflict]:
        """See `Settings`."""
        if self.multiview.weights == "train":  # other weights bring their own number of time steps
            yield from too_many_steps("multiview", self.multiview)
        for name in self.run or []:
            if name not in self.datasets:
                yield Conflict(("run",), f"run names {name!r}, but datasets holds {sorted(self.datasets)}")
        for name in sorted(RESERVED & self.datasets.keys()):
            yield Conflict(
                (f"datasets.{name}",), f"results/{name} holds something else; give the data set another name"
            )
        for name in self.prior.data:
            if name not in self.datasets or self.datasets[name].models_from:
                expected = f"one of {sorted(other for other, entry in self.datasets.items() if not entry.models_from)}"
                yield Conflict(("prior.data",), f"prior.data names {name!r}, which has no crops of its own: {expected}")
        yield from self._reused_models()
        yield from self._borrowed_backgrounds()

    def _borrowed_backgrounds(self) -> Iterator[Conflict]:
        for name, dataset in self.datasets.items():
            source = self.datasets.get(dataset.background_from or "")
            if dataset.background_from and (source is None or source is dataset or source.ndim != dataset.ndim):
                yield Conflict(
                    (f"datasets.{name}.background_from",),
                    f"{dataset.background_from!r} must name another data set, of frames with as many axes",
                )

    def _reused_models(self) -> Iterator[Conflict]:
        for name, dataset in self.datasets.items():
            source = dataset.models_from
            if not source:
                continue
            key = f"datasets.{name}.models_from"
            if source not in self.datasets or self.datasets[source].models_from or source == name:
                yield Conflict((key,), f"{source!r} must name another data set that trains its own models")
            elif self.datasets[source].annotated != dataset.annotated:
                yield Conflict(
                    (key,),
                    f"the models of {source!r} learned from other train_frames, train_slices or train_patch; leave "
                    "models_from out, so that this data set trains its own",
                )

    def all_conflicts(self) -> Iterator[Conflict]:
        """Those of the whole configuration; `defaults` need not fit together before a data set completes them."""
        yield from self.conflicts()
        for name, dataset in self.datasets.items():
            yield from (conflict.below(f"datasets.{name}") for conflict in dataset.all_conflicts())

    @property
    def selected(self) -> list[str]:
        """Names of the data sets that `all` makes."""
        return list(self.run or (name for name in self.datasets if not self.parent_of(name)))

    def parent_of(self, name: str) -> str | None:
        """The data set that `name` is a variant of: the one it inherits from, if both learn from the same sequence."""
        entry = self.datasets[name]
        parent = self.datasets.get(entry.inherits or "")
        same = parent and (parent.folder, parent.train_sequence) == (entry.folder, entry.train_sequence)
        return entry.inherits if same else None

    @property
    def learning_curves(self) -> list[list[str]]:
        """Names of data sets that differ in what is annotated: each list is one curve, its last the data set itself."""
        curves: dict[str, list[str]] = {}
        for parent, name in self._variants(other_annotations=True):
            curves.setdefault(parent, []).append(name)
        return [[*names, parent] for parent, names in curves.items()]

    @property
    def replicates(self) -> list[list[str]]:
        """Names of data sets of one learning curve that learn from as much each, but from other frames or slices."""
        groups: dict[tuple, list[str]] = {}
        for parent, name in self._variants(other_annotations=True):
            groups.setdefault((parent, *map(_how_many, self.datasets[name].annotated)), []).append(name)
        return [names for names in groups.values() if len(names) > 1]

    @property
    def ablations(self) -> list[tuple[str, str]]:
        """Pairs of a data set and a variant of it that learns from the same annotations."""
        return self._variants(other_annotations=False)

    def _variants(self, other_annotations: bool) -> list[tuple[str, str]]:
        """Pairs of a parent and a variant, of the data sets that `run` selects."""
        found = []
        for name, entry in self.datasets.items():
            parent = self.parent_of(name)
            differs = parent and entry.annotated != self.datasets[parent].annotated
            if parent and differs == other_annotations and self._root_of(parent) in self.selected:
                found.append((parent, name))
        return found

    def _root_of(self, name: str) -> str:
        """The data set at the end of a chain of variants: one that is no variant itself."""
        parent = self.parent_of(name)
        return self._root_of(parent) if parent else name

    def models_of(self, dataset: str) -> str:
        """Name of the data set whose crops and models `dataset` uses."""
        return self.datasets[dataset].models_from or dataset
