"""The configuration as typed models: every key with its type, range and meaning. Free of torch.

`load_config` takes the merged dictionary that Snakemake read and gives a `Config` in which every data
set carries its own complete set of stage settings: `defaults`, overlaid with the entry it inherits
from, overlaid with its own keys.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from cellcascade.config.settings import Count, Fraction, Multiview, Positive, Settings, Shapes, Stages
from cellcascade.core.errors import InputError

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
