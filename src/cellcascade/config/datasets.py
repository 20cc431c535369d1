"""The configuration as typed models: every key with its type, range and meaning. Free of torch.

`load_config` takes the merged dictionary that Snakemake read and gives a `Config` in which every data
set carries its own complete set of stage settings: `defaults`, overlaid with the entry it inherits
from, overlaid with its own keys.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cellcascade.config.settings import Count, Fraction, Multiview, Positive, Settings, Shapes, Stages

RESERVED = {"shared", "overview", "learning_curve", "ablations"}  # folders of results/ that are no data set's


class Dataset(Stages):
    """A data set: where its frames are, its physical scale, and its stage settings."""

    folder: str = Field(description="CTC folder below data_root, e.g. Fluo-N2DH-GOWT1")
    train_sequence: str = Field("01", description="sequence the models learn from")
    test_sequence: str | None = Field("02", description="sequence kept for tests; null: none, and no evaluation on it")
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
    models_from: str | None = Field(None, description="reuse crops and trained models of this data set")
    inherits: str | None = Field(None, description="data set whose entry this one is laid over")

    @property
    def ndim(self) -> int:
        """2 or 3."""
        return len(self.voxel_size_um)

    @property
    def has_views(self) -> bool:
        """Whether its cells are reconstructed from predicted views."""
        return self.ndim == 3 and self.reconstruction.method != "spharm"

    @property
    def annotated(self) -> dict[str, int | list[int] | None]:
        """Which annotations the models learn from, as `ctc.annotated_frames` takes them; `None` for all."""
        return {"frames": self.train_frames, "slices": self.train_slices}

    @model_validator(mode="after")
    def _sizes_fit(self) -> "Dataset":
        crop = self.crops.size
        if self.mask_ddpm.representation == "sdf" and crop % self.mask_ddpm.grid:
            raise ValueError(f"mask_ddpm.grid {self.mask_ddpm.grid} must divide crops.size {crop}")
        if self.texture.space == "latent" and self.texture.base == "scratch":
            raise ValueError("texture.space latent needs a texture.base with an autoencoder; scratch needs space pixel")
        if self.texture.space == "pixel" and self.texture.base != "scratch" and self.texture.block != 2:
            raise ValueError(
                f"texture.block {self.texture.block} does not fit texture.base {self.texture.base!r}: Stable Diffusion "
                "has 4 channels, which is block 2 in space pixel"
            )
        if self.texture.space == "pixel":
            step = self.texture.block * 2 ** (len(self.texture.channels) - 1)
            if crop % step:
                raise ValueError(
                    f"texture.block and texture.channels need crops.size to be a multiple of {step}, it is {crop}"
                )
        if self.train_slices and self.ndim == 2:
            raise ValueError(f"train_slices {self.train_slices} is for stacks, voxel_size_um says 2D: use train_frames")
        shape = self.population.frame_shape
        if shape and len(shape) != self.ndim:
            raise ValueError(
                f"population.frame_shape {shape} must have as many axes as voxel_size_um {self.voxel_size_um}"
            )
        if self.train_sequence == self.test_sequence:
            raise ValueError(
                f"train_sequence and test_sequence are both {self.test_sequence!r}: the test would know its answers"
            )
        if abs(self.voxel_size_um[-1] - self.voxel_size_um[-2]) > 1e-6 * self.voxel_size_um[-1]:
            raise ValueError(f"y and x pixel sizes differ: {self.voxel_size_um}; resample the frames to square pixels")
        return self


class Shards(Settings):
    """How many items one job makes."""

    cells: Count = Field(25, description="cells a job")
    images: Count = Field(50, description="images a job")
    shapes: Count = Field(500, description="spherical-harmonic shapes a job")


class Config(Settings):
    """The whole configuration."""

    data_root: str = Field("data", description="folder that holds the CTC folders")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="seed of the whole run")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto: a GPU if the job sees one, else the CPU, but on a cluster only a GPU"
    )
    run: list[str] | None = Field(
        None,
        description="data sets that `all` makes; null: every one but variants, which inherit and share data",
    )
    max_invalid_fraction: Fraction = Field(0.2, description="a job fails when more of its cells than this are invalid")
    shards: Shards = Shards()
    shapes: Shapes = Shapes()
    multiview: Multiview = Multiview()
    defaults: Stages = Stages()
    datasets: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")], Dataset] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_exist(self) -> "Config":
        for name in self.run or []:
            if name not in self.datasets:
                raise ValueError(f"run names {name!r}, but datasets holds {sorted(self.datasets)}")
        for name in RESERVED & self.datasets.keys():
            raise ValueError(f"datasets.{name}: results/{name} holds something else; give the data set another name")
        for name, dataset in self.datasets.items():
            source = dataset.models_from
            if source and (source not in self.datasets or self.datasets[source].models_from or source == name):
                raise ValueError(
                    f"datasets.{name}.models_from {source!r} must name another data set that trains its own models"
                )
            if source and self.datasets[source].annotated != dataset.annotated:
                raise ValueError(
                    f"datasets.{name}.models_from {source!r}: its models learned from other train_frames or "
                    "train_slices; leave models_from out, so that this data set trains its own"
                )
        return self

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
    def ablations(self) -> list[tuple[str, str]]:
        """Pairs of a data set and a variant of it that learns from the same annotations."""
        return self._variants(other_annotations=False)

    def _variants(self, other_annotations: bool) -> list[tuple[str, str]]:
        """Pairs of a parent and a variant, of the data sets that `run` selects."""
        found = []
        for name, entry in self.datasets.items():
            parent = root = self.parent_of(name)
            while root and self.parent_of(root):
                root = self.parent_of(root)
            differs = parent and entry.annotated != self.datasets[parent].annotated
            if parent and differs == other_annotations and root in self.selected:
                found.append((parent, name))
        return found

    def models_of(self, dataset: str) -> str:
        """Name of the data set whose crops and models `dataset` uses."""
        return self.datasets[dataset].models_from or dataset
