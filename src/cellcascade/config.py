"""The configuration as typed models: every key with its type, range and meaning. Free of torch.

`load_config` takes the merged dictionary that Snakemake read and gives a `Config` in which every data
set carries its own complete set of stage settings: `defaults`, overlaid with the entry it inherits
from, overlaid with its own keys.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cellcascade.errors import InputError

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
RESERVED = {"shared", "overview", "learning_curve", "ablations"}  # folders of results/ that are no data set's


class Settings(BaseModel):
    """Base of all configuration blocks: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Training(Settings):
    """How a diffusion model is trained."""

    steps: Count = Field(20000, description="optimiser steps")
    batch_size: Count = Field(32, description="examples a step")
    learning_rate: Positive = Field(1e-4, description="peak learning rate of AdamW (one cycle: warm-up, cosine decay)")
    warmup: Fraction = Field(0.05, description="share of the steps in which the learning rate rises")
    ema_decay: Fraction = Field(0.9995, description="decay of the weights' moving average, which is what is saved")
    checkpoint_every: Count = Field(500, description="steps between checkpoints; a killed job loses at most these")


class Crops(Settings):
    """Single cells cut from annotated frames (paper, section 3, data sets)."""

    size: Count = Field(128, description="edge of the square crop, pixels")
    min_area: Count = Field(50, description="smaller cells are left out, pixels")
    margin: Annotated[int, Field(ge=0)] = Field(2, description="free pixels wanted between a cell and the crop's edge")
    slices_per_cell: Count = Field(
        1,
        description="3D: slices taken of each densely annotated cell, spread over its height, the widest among them",
    )
    window_percentiles: tuple[float, float] = Field(
        (0.1, 99.9), description="percentiles of the counts that become black and white, one window a data set"
    )


class MaskDDPM(Settings):
    """The unconditional mask model (paper, section 2, mask synthesis in 2D)."""

    representation: Literal["sdf", "binary"] = Field(
        "sdf", description="sdf: signed distance on a coarse grid; binary: the mask itself at full resolution (paper)"
    )
    grid: Count = Field(32, description="edge of the signed distance grid, cells; must divide crops.size")
    truncation: Positive = Field(0.125, description="distance that becomes 1 in model space, as a share of crops.size")
    channels: tuple[Count, ...] = Field((64, 128, 128), description="channels of the UNet's levels, each 2x coarser")
    layers: Count = Field(2, description="residual blocks a level")
    timesteps: Count = Field(1000, description="diffusion time steps T")
    sampling_steps: Count = Field(50, description="denoising steps when sampling")
    eta: Fraction = Field(0.0, description="DDIM stochasticity when sampling: 0 keeps rare shapes, 1 as DDPM")
    sampling_batch: Count = Field(32, description="masks sampled at once")
    max_redraws: Count = Field(20, description="tries for one mask before the cell is marked invalid")
    train: Training = Training()

    @model_validator(mode="after")
    def _levels(self) -> "MaskDDPM":
        if self.grid % 2 ** (len(self.channels) - 1):
            raise ValueError(
                f"grid {self.grid} cannot be halved {len(self.channels) - 1} times: use fewer channels entries"
            )
        return self


class Shapes(Settings):
    """Random spherical-harmonic cells that train the multiview model (paper, section 2, multiview masks)."""

    count: Count = Field(5000, description="number of shapes")
    degree: Annotated[int, Field(ge=2)] = Field(12, description="highest spherical-harmonic degree")
    power: Annotated[float, Field(gt=1)] = Field(
        4.0, description="power of degree l falls as l^-power; larger is smoother"
    )
    roughness: tuple[Positive, Positive] = Field(
        (0.04, 0.16), description="range of the radius' standard deviation relative to its mean"
    )
    elongation: tuple[Positive, Positive] = Field(
        (0.65, 1.35), description="range of each half axis' stretch, relative"
    )
    fill: tuple[Fraction, Fraction] = Field(
        (0.4, 0.8), description="range of the silhouette's width as a share of the crop"
    )
    resolution: Count = Field(32, description="edge of the surface images, pixels")


class Multiview(Settings):
    """The SyncDreamer-type multiview model (paper, section 2, Eq. 1)."""

    weights: str = Field(
        "bundled", description="bundled: the package's own; train: on shapes; or a folder with weights"
    )
    views: Count = Field(8, description="number N of views predicted jointly")
    channels: Count = Field(32, description="channels of the per-view network at full resolution")
    volume_channels: Count = Field(32, description="channels of the common feature volume")
    timesteps: Count = Field(1000, description="diffusion time steps T")
    sampling_steps: Count = Field(25, description="denoising steps when sampling")
    guidance: Annotated[float, Field(ge=0)] = Field(
        1.0, description="classifier-free guidance scale on the mask; 1 is none"
    )
    sampling_batch: Count = Field(8, description="cells sampled at once")
    train: Training = Training(batch_size=8)


class Reconstruction(Settings):
    """Views to volume (paper, section 2, multiview image to volume generation)."""

    method: Literal["neus", "visual_hull", "spharm"] = Field(
        "neus", description="neus (paper); visual_hull; spharm: random shapes instead (ablation w/o SyncDreamer)"
    )
    field: Literal["mlp", "grid"] = Field(
        "grid", description="signed distance field of NeuS: multi-layer perceptron or dense grid"
    )
    resolution: Count = Field(64, description="edge of the volume, voxels; the crop's width is its width")
    steps: Count = Field(300, description="optimiser steps of NeuS")
    rays: Count = Field(1024, description="rays a cell and step")
    samples: Count = Field(64, description="samples a ray")
    learning_rate: Positive = Field(
        0.01, description="Adam's learning rate for the grid; the perceptron uses a quarter"
    )
    mask_weight: Positive = Field(1.0, description="weight of the silhouette loss")
    eikonal_weight: Positive = Field(0.1, description="weight of the eikonal loss (|grad SDF| = 1)")
    section_weight: Annotated[float, Field(ge=0)] = Field(
        1.0, description="weight of agreement between the central slice and the input mask"
    )
    cells_at_once: Count = Field(32, description="cells fitted at once; 1 on a CPU: shards then agree to the bit")
    min_iou: Fraction = Field(0.8, description="a cell whose reprojection agrees less with its mask is marked invalid")


class Slicing(Settings):
    """Volume to slices (paper, section 2, slicing the synthetic masks)."""

    spacing_um: Positive | None = Field(
        None, description="distance of slices, micrometres; null: the data set's z spacing"
    )


class Texture(Settings):
    """Mask-conditioned texture model (paper, section 2, cell texture generation)."""

    base: str = Field("scratch", description="Stable Diffusion 1.x/2.x folder or hub id; scratch: without pretraining")
    space: Literal["latent", "pixel"] = Field(
        "pixel", description="latent: the base's VAE; pixel: space-to-depth, lossless"
    )
    trainable: Literal["controlnet", "controlnet+decoder", "all"] = Field(
        "all",
        description="what is fine-tuned: ControlNet only, + UNet decoder (paper's code), everything (paper's text)",
    )
    block: Literal[1, 2, 4, 8] = Field(4, description="pixel space: edge of the pixel block that becomes channels")
    channels: tuple[Count, ...] = Field((128, 256, 256), description="scratch: channels of the UNet's levels")
    layers: Count = Field(2, description="scratch: residual blocks a level")
    timesteps: Count = Field(1000, description="scratch: diffusion time steps T")
    sampling_steps: Count = Field(50, description="DDIM steps (eta = 0)")
    sampling_batch: Count = Field(16, description="slices sampled at once")
    rho: Annotated[float, Field(ge=0)] = Field(
        1.0, description="strength of texture consistency between slices (Eq. 2)"
    )
    train: Training = Training(batch_size=16, learning_rate=1e-4)


class Population(Settings):
    """Single cells to full images (paper, section 2, cell population synthesis)."""

    clustering: Fraction = Field(0.5, description="probability p that a cell is put near earlier ones")
    reach: Count = Field(10, description="how near, pixels")
    gap: Annotated[int, Field(ge=0)] = Field(1, description="least background between two cells, pixels")
    rim: Count = Field(6, description="background of the crop pasted around a cell, pixels; hides the seam")
    cells_per_image: tuple[Annotated[int, Field(ge=0)], Count] | None = Field(
        None, description="range of the number of cells; null: numbers drawn from the annotated frames"
    )
    frame_shape: tuple[Count, ...] | None = Field(
        None, description="(z, y, x) or (y, x) of the images, pixels; null: as the real frames"
    )
    tries: Count = Field(3000, description="random positions tried for a cell before it is reported as not placed")


class Export(Settings):
    """How the synthetic images are written."""

    ngff_version: Literal["0.5", "0.4"] = Field("0.5", description="OME-Zarr version")
    levels: Count = Field(3, description="resolution levels, each 2x coarser in y and x")


class Cellpose(Settings):
    """The segmentation network that is trained with and without the synthetic images (paper, section 3, evaluation)."""

    start: str = Field(
        "scratch",
        description="scratch, a Cellpose 3 generalist (cyto3, nuclei, ...; fetched once), or a path to weights",
    )
    network_diameter: Positive = Field(
        30.0, description="diameter to which cells are scaled, pixels: 30 as in cyto3, 17 as in nuclei (faster)"
    )
    patch: Annotated[int, Field(ge=32)] = Field(224, description="edge of the training patches, after scaling, pixels")
    real_share: Fraction = Field(0.5, description="regime both: share of real images in every batch")
    max_images: Count = Field(200, description="real and synthetic images (planes in 3D) learned from, at most, each")
    volumes: Literal["do_3D", "stitch"] = Field(
        "do_3D", description="3D: do_3D: flows of the three orientations; stitch: planes, joined by overlap"
    )
    train: Training = Training(steps=3000, batch_size=8, learning_rate=0.002, warmup=0.1, ema_decay=0.98)

    @model_validator(mode="after")
    def _mixes(self) -> "Cellpose":
        real = round(self.real_share * self.train.batch_size)
        if not 0 < real < self.train.batch_size:
            raise ValueError(
                f"real_share {self.real_share} of train.batch_size {self.train.batch_size} is not a mixture"
            )
        return self


class Evaluation(Settings):
    """The proof: Cellpose trained on real, synthetic and both kinds of images, scored on the test sequence."""

    regimes: tuple[Literal["real", "synthetic", "both"], ...] = Field(
        ("real", "synthetic", "both"),
        description="what Cellpose is trained on; []: no training; weights to start from are scored as `none`",
    )
    seeds: Count = Field(3, description="trainings of each regime, paired by their seed")
    max_test_frames: Count | None = Field(None, description="annotated test frames scored, evenly spread; null: all")
    inception: str | None = Field(
        None, description="FID and KID by Inception: a file of its weights, `download`, or null: without"
    )
    cellpose: Cellpose = Cellpose()

    @model_validator(mode="after")
    def _comparable(self) -> "Evaluation":
        if len(set(self.regimes)) < len(self.regimes) or (self.regimes and "real" not in self.regimes):
            raise ValueError(
                f"regimes {list(self.regimes)} must differ, and hold real: it is what others are compared with"
            )
        return self


class Stages(Settings):
    """The settings of every stage of one data set, and how much it makes."""

    cells: Count = Field(1000, description="synthetic cells")
    images: Count = Field(1000, description="synthetic images")
    annotations: Literal["ST", "GT"] = Field("ST", description="annotation folder: ST silver truth, GT gold truth")
    crops: Crops = Crops()
    mask_ddpm: MaskDDPM = MaskDDPM()
    reconstruction: Reconstruction = Reconstruction()
    slicing: Slicing = Slicing()
    texture: Texture = Texture()
    population: Population = Population()
    export: Export = Export()
    evaluation: Evaluation = Evaluation()


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
    models_from: str | None = Field(None, description="reuse crops and trained models of this data set")
    inherits: str | None = Field(None, description="data set whose entry this one is laid over")

    @property
    def ndim(self) -> int:
        """2 or 3."""
        return len(self.voxel_size_um)

    @model_validator(mode="after")
    def _sizes_fit(self) -> "Dataset":
        crop = self.crops.size
        if self.mask_ddpm.representation == "sdf" and crop % self.mask_ddpm.grid:
            raise ValueError(f"mask_ddpm.grid {self.mask_ddpm.grid} must divide crops.size {crop}")
        if self.texture.space == "pixel":
            step = self.texture.block * 2 ** (len(self.texture.channels) - 1)
            if crop % step:
                raise ValueError(
                    f"texture.block and texture.channels need crops.size to be a multiple of {step}, it is {crop}"
                )
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
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: a GPU if the job sees one, else the CPU")
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
            if source and self.datasets[source].train_frames != dataset.train_frames:
                raise ValueError(
                    f"datasets.{name}.models_from {source!r}: its models learned from other train_frames; "
                    "leave models_from out, so that this data set trains its own"
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
        """Names of data sets that differ in `train_frames`: each list is one curve, its last the data set itself."""
        curves: dict[str, list[str]] = {}
        for parent, name in self._variants(other_frames=True):
            curves.setdefault(parent, []).append(name)
        return [[*names, parent] for parent, names in curves.items()]

    @property
    def ablations(self) -> list[tuple[str, str]]:
        """Pairs of a data set and a variant of it that learns from the same frames."""
        return self._variants(other_frames=False)

    def _variants(self, other_frames: bool) -> list[tuple[str, str]]:
        """Pairs of a parent and a variant, of the data sets that `run` selects."""
        found = []
        for name, entry in self.datasets.items():
            parent = root = self.parent_of(name)
            while root and self.parent_of(root):
                root = self.parent_of(root)
            differs = parent and (entry.train_frames != self.datasets[parent].train_frames)
            if parent and differs == other_frames and root in self.selected:
                found.append((parent, name))
        return found

    def models_of(self, dataset: str) -> str:
        """Name of the data set whose crops and models `dataset` uses."""
        return self.datasets[dataset].models_from or dataset


def overlay(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two nested dictionaries; values of `top` win, blocks are merged key by key."""
    merged = dict(base)
    for key, value in top.items():
        both_blocks = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = overlay(merged[key], value) if both_blocks else value
    return merged


def load_config(raw: Mapping[str, Any], where: str = "config.yaml") -> Config:
    """Check a raw configuration and complete every data set.

    Args:
        raw: The merged configuration as Snakemake read it.
        where: Name of the file(s), for messages.

    Raises:
        InputError: With every problem at once, each with its dotted path.
    """
    problems: list[str] = []
    datasets = raw.get("datasets")
    defaults = _complete(Stages(), raw.get("defaults"))
    entries = datasets
    if isinstance(datasets, Mapping):
        found = {name: _inherit(name, datasets, problems) for name, entry in datasets.items() if entry is not None}
        base = defaults if isinstance(defaults, Mapping) else {}
        entries = {name: overlay(base, entry) for name, entry in found.items() if entry is not None}
    multiview = _complete(Multiview(), raw.get("multiview"))
    try:
        config = Config.model_validate({**raw, "defaults": defaults, "multiview": multiview, "datasets": entries})
    except ValidationError as error:
        follow_on = ((), ("datasets",)) if problems else ()
        problems += [_describe(item, datasets) for item in error.errors() if item["loc"] not in follow_on]
    if problems:
        problems = list(dict.fromkeys(problems))
        raise InputError(
            f"The configuration has {len(problems)} problem{'s' * (len(problems) > 1)}",
            where=where,
            found="\n      - " + "\n      - ".join(problems),
            expected="the keys, types and ranges of workflow/schemas/config.schema.json",
            mend="edit the keys above; docs/configuration.md explains each",
        )
    return config


def _complete(block: Settings, given: Any) -> Any:
    """A block with the keys that were given laid over its defaults, at any depth."""
    return overlay(block.model_dump(), given or {}) if isinstance(given, Mapping | None) else given


def _inherit(
    name: str, datasets: Mapping[str, Any], problems: list[str], seen: tuple[str, ...] = ()
) -> dict[str, Any] | None:
    """A data set's entry laid over those it inherits from; `None`, and a problem, where that cannot be."""
    entry = datasets.get(name) if isinstance(name, str) else None
    if name in seen or (seen and entry is None):
        what = "the data sets inherit from each other in a circle" if name in seen else "there is no such data set"
        problems.append(f"datasets.{seen[-1]}.inherits: {what} (found {name!r}, of {sorted(datasets)})")
        return None
    if not isinstance(entry, Mapping):
        problems.append(f"datasets.{name}: must be a block of keys such as folder and voxel_size_um (found {entry!r})")
        return None
    if entry.get("inherits") is None:
        return dict(entry)
    parent = _inherit(entry["inherits"], datasets, problems, (*seen, name))
    return None if parent is None else overlay(parent, entry)


def _describe(item: Mapping[str, Any], datasets: Any) -> str:
    """One validation error as a line that names the block in which the value stands."""
    parts = [str(part) for part in item["loc"]]
    if parts[:1] == ["datasets"] and len(parts) > 2 and item["type"] != "missing":
        parts = [*_origin(parts[1], parts[2:], datasets), *parts[2:]]
    message = {
        "extra_forbidden": "unknown key",
        "missing": "required key is missing",
        "string_type": "must be text; put it in quotes",
    }.get(item["type"], item["msg"])
    message = message.removeprefix("Value error, ")
    found = "" if item["type"] in ("missing", "value_error") else f" (found {item['input']!r})"
    return f"{'.'.join(parts) or 'top level'}: {message}{found}"


def _origin(name: str, path: list[str], datasets: Mapping[str, Any]) -> list[str]:
    """Where a data set has a key from: its own entry, one it inherits from, or `defaults`."""
    while name in datasets:
        value = datasets[name]
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else value
        if value is not None:
            return ["datasets", name]
        name = datasets[name].get("inherits")
    return ["defaults"]


def read_config(*paths: str | Path) -> Config:
    """Read YAML files, later ones laid over earlier ones, and check the result."""
    import yaml

    raw: dict[str, Any] = {}
    for path in paths:
        raw = overlay(raw, yaml.safe_load(Path(path).read_text()) or {})
    return load_config(raw, ", ".join(str(path) for path in paths))
