"""The settings of every stage as typed models: each key with its type, range and meaning. Free of torch."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from cellcascade.config.cellpose_versions import version_named
from cellcascade.config.formats import Formats
from cellcascade.config.hardness import Hardness
from cellcascade.config.texture import Texture
from cellcascade.config.values import (
    Conflict,
    Count,
    CountOrZero,
    Eights,
    Even,
    Fraction,
    NotNegative,
    Percentile,
    Positive,
    Range,
    Settings,
    Training,
    Tuning,
    attention,
)

CELLPOSE_PATCHES, CELLPOSE_DIAMETERS = {3: 224, 4: 256}, {3: 30.0, 4: 30.0}  # pixels, by version


def halved(keys: tuple[str, ...], edge: int, channels: tuple[int, ...]) -> Iterator[Conflict]:
    """A conflict if an edge cannot be halved from level to level of a UNet; `keys[0]` says which edge."""
    times = len(channels) - 1
    if edge % 2**times:
        yield Conflict(
            (*keys, "channels"),
            f"{keys[0]} {edge} cannot be halved {times} times: use fewer channels entries or a multiple of {2**times}",
        )


class CropSettings(Settings):
    """Single cells cut from annotated frames (paper, section 3, data sets)."""

    size: Count = Field(128, description="edge of the square crop, pixels")
    min_area: Count = Field(50, description="smaller cells are left out, pixels")
    margin: CountOrZero = Field(2, description="free pixels wanted between a cell and the crop's edge")
    slices_per_cell: Count = Field(
        1,
        description="3D: slices taken of each densely annotated cell, spread over its height, the widest among them",
    )
    window_percentiles: Range[Percentile] = Field(
        (0.1, 99.9), description="percentiles of the counts that become black and white, one window per data set"
    )

    def conflicts(self) -> Iterator[Conflict]:
        """See `Settings`."""
        if self.size <= 2 * self.margin:
            yield Conflict(("margin", "size"), f"margin {self.margin} leaves no room for a cell in size {self.size}")


class MaskDDPM(Settings):
    """The unconditional mask model (paper, section 2, mask synthesis in 2D)."""

    base: str = Field(
        "nuclei",
        description="nuclei: the package's own prior; scratch: without pretraining; or a folder that `prior` made",
    )
    representation: Literal["sdf", "binary"] = Field(
        "sdf",
        description="scratch: sdf: signed distance on a coarse grid; binary: the mask at full resolution (paper)",
    )
    grid: Count = Field(
        32, description="scratch, sdf: edge of the signed distance grid, grid points; must divide crops.size"
    )
    truncation: Positive = Field(
        0.125, description="scratch, sdf: distance that becomes 1 in model space, as a share of crops.size"
    )
    channels: tuple[Count, ...] = Field(
        (64, 128, 128),
        min_length=1,
        description="scratch: channels of the UNet's levels, each 2x coarser; the last at least 8",
    )
    layers: Count = Field(2, description="scratch: residual blocks per level")
    timesteps: Annotated[int, Field(ge=2)] = Field(1000, description="scratch: diffusion time steps T")
    sampling_steps: Count = Field(50, description="denoising steps when sampling, at most timesteps")
    eta: Fraction = Field(0.0, description="DDIM stochasticity when sampling: 0 keeps rare shapes, 1 as DDPM")
    sampling_batch: Count = Field(32, description="masks sampled at once")
    max_redraws: Count = Field(20, description="tries for one mask before the cell is marked invalid")
    train: Training = Training()
    tuning: Tuning = Field(
        Tuning(steps=2000, batch_size=32, learning_rate=3e-4, warmup=0.01, ema_decay=0.995),
        description="Takes the place of train where a prior is the base.",
    )

    def conflicts(self) -> Iterator[Conflict]:
        """See `Settings`."""
        if self.base != "scratch":  # a prior brings its own architecture
            return
        yield from attention(self.channels)
        if self.representation == "sdf":
            yield from halved(("grid",), self.grid, self.channels)


class Shapes(Settings):
    """Random spherical-harmonic cells that train the multiview model (paper, section 2, multiview masks)."""

    count: Count = Field(5000, description="number of shapes")
    degree: Annotated[int, Field(ge=2, le=44)] = Field(12, description="highest spherical-harmonic degree")
    power: Annotated[float, Field(gt=1)] = Field(
        4.0, description="power of degree l falls as l^-power; larger is smoother"
    )
    roughness: Range[Positive] = Field(
        (0.04, 0.16), description="range of the radius' standard deviation relative to its mean"
    )
    elongation: Range[Positive] = Field((0.65, 1.35), description="range of each half axis' stretch, relative")
    fill: Range[Fraction] = Field((0.4, 0.8), description="range of the silhouette's width as a share of the crop")
    resolution: Even = Field(32, description="edge of the surface images, pixels")


class Multiview(Settings):
    """The SyncDreamer-type multiview model (paper, section 2, Eq. 1)."""

    weights: str = Field(
        "bundled",
        description="bundled: the package's own; train: on shapes, by the keys below; or a folder with weights",
    )
    views: Count = Field(8, description="number N of views predicted jointly")
    cameras: Literal["hemisphere", "syncdreamer"] = Field(
        "hemisphere", description="hemisphere: orthographic, all around; syncdreamer: its ring of perspective ones"
    )
    surface: Literal["silhouette", "depth"] = Field(
        "depth", description="what views show: the silhouette alone, or also the front's and the back's depth"
    )
    channels: Eights = Field(32, description="channels of the per-view network at full resolution")
    volume_channels: Eights = Field(32, description="channels of the common feature volume")
    timesteps: Annotated[int, Field(ge=2)] = Field(1000, description="diffusion time steps T")
    sampling_steps: Count = Field(25, description="denoising steps when sampling, at most timesteps")
    guidance: NotNegative = Field(1.0, description="classifier-free guidance scale on the mask; 1 is none")
    sampling_batch: Count = Field(8, description="cells sampled at once on a GPU; one on a CPU")
    train: Training = Training(batch_size=8)

    @property
    def folder(self) -> str | None:
        """Folder of the user's own weights; `None` for those of the package and those to be trained."""
        return None if self.weights in ("bundled", "train") else self.weights


class Reconstruction(Settings):
    """Views to volume (paper, section 2, multiview image to volume generation)."""

    method: Literal["neus", "visual_hull", "spharm"] = Field(
        "neus", description="neus (paper); visual_hull; spharm: random shapes instead (ablation w/o SyncDreamer)"
    )
    field: Literal["mlp", "grid"] = Field(
        "grid", description="signed distance field of NeuS: multi-layer perceptron or dense grid"
    )
    resolution: Count = Field(64, description="edge of the volume, voxels; it is as wide as the crop")
    steps: Count = Field(120, description="optimiser steps of NeuS, at most")
    tolerance: NotNegative = Field(
        0.1, description="a cell is done when its surface moves less than this in 20 steps, voxels"
    )
    rays: Count = Field(512, description="rays per cell and step")
    samples: Annotated[int, Field(ge=2)] = Field(
        32, description="samples per ray, a quarter of them close to the surface"
    )
    learning_rate: Positive = Field(
        0.01, description="Adam's learning rate for the grid; the perceptron uses a quarter of it"
    )
    mask_weight: Positive = Field(1.0, description="weight of the silhouette loss")
    eikonal_weight: Positive = Field(0.1, description="weight of the eikonal loss (|grad SDF| = 1)")
    smoothness: NotNegative = Field(
        1.0, description="weight of the grid's bending; raise it if views disagree and cells show pits"
    )
    depth_weight: NotNegative = Field(
        0.5, description="weight of lying on the right side of the surfaces that views with depth show"
    )
    section_weight: NotNegative = Field(
        1.0, description="weight of agreement between the central slice and the input mask"
    )
    cells_at_once: Count = Field(
        32, description="cells fitted at once; with 1, results on a CPU do not depend on the shards, to the last bit"
    )
    min_iou: Fraction = Field(0.8, description="a cell whose reprojection agrees less with its mask is marked invalid")


class Slicing(Settings):
    """Volume to slices (paper, section 2, slicing the synthetic masks)."""

    spacing_um: Positive | None = Field(
        None, description="distance of slices, micrometres; null: the data set's z spacing"
    )
    height_ratio: Positive | None = Field(
        None,
        description="height of the cells over their width; null: as of real cells; of too few, as reconstructed, 1",
    )


class Randomise(Settings):
    """Exposure, focus and noise that differ from the annotated frames', drawn for each image; off as they stand."""

    contrast: Range[Positive] = Field(
        (1.0, 1.0), description="range of how many times as bright above the background, e.g. [0.5, 2]"
    )
    blur: Range[NotNegative] = Field(
        (0.0, 0.0), description="range of the width of a Gaussian blur, pixels, e.g. [0, 1.5]"
    )
    noise: Range[Annotated[float, Field(ge=1)]] = Field(
        (1.0, 1.0), description="range of how many times the noise of the background, e.g. [1, 2]"
    )


class Population(Settings):
    """Single cells to full images (paper, section 2, cell population synthesis)."""

    clustering: Fraction | Literal["from_data"] = Field(
        "from_data",
        description="from_data: as many cells touch, and as far apart, as in the annotated frames; else: probability p "
        "that a cell is put near earlier ones",
    )
    reach: Count | Literal["from_data"] = Field(
        "from_data", description="how near, pixels; from_data: as near as three quarters of the annotated cells are"
    )
    gap: CountOrZero | Literal["from_data"] = Field(
        "from_data", description="least background between two cells, pixels; from_data: as in the annotated frames"
    )
    distractors: bool = Field(
        True,
        description="paste bright things that annotators left unlabelled, as many as in densely annotated frames",
    )
    rim: Count = Field(6, description="background of the crop pasted around a cell, pixels; hides the seam")
    cells_per_image: Range[CountOrZero] | None = Field(
        None, description="range of the number of cells; null: numbers drawn from the annotated frames, times density"
    )
    density: Range[Positive] = Field(
        (1.0, 1.0), description="range of how many times as many cells as a frame, up to 70 % of the image covered"
    )
    frame_shape: tuple[Count, ...] | None = Field(
        None, description="(z, y, x) or (y, x) of the images, pixels; null: as the real frames"
    )
    focus: NotNegative = Field(
        0.0,
        description="how much more often cells are drawn that a network is likely, but not sure, to miss, e.g. 2: up "
        "to three times as often; 0: all alike, and no network is trained for it",
    )
    randomise: Randomise = Randomise()
    twins: bool = Field(
        False,
        description="keep beside each image, in clean/, its twin without camera noise, for denoisers; the noise of "
        "cells is then drawn anew, so that the twin is the image's mean",
    )

    def conflicts(self) -> Iterator[Conflict]:
        """See `Settings`."""
        if self.cells_per_image and not self.cells_per_image[1]:
            yield Conflict(("cells_per_image",), "cells_per_image [0, 0] makes images without cells: raise the second")


class Export(Settings):
    """How the synthetic images are written."""

    ngff_version: Literal["0.5", "0.4"] = Field("0.5", description="OME-Zarr version")
    levels: Count | None = Field(
        None,
        description="resolution levels, each 2x coarser in y and x; null: as many as bring these down to 4096 pixels",
    )


class Cellpose(Settings):
    """The segmentation network that is trained with and without the synthetic images (paper, section 3, evaluation)."""

    version: Literal[3, 4] = Field(
        3, description="3; or 4: Cellpose-SAM, fine-tuned from cpsam, better with a GPU, in an environment of its own"
    )
    start: str = Field(
        "scratch",
        description="scratch (3), a generalist of version 3 (cyto3, nuclei, ...) or 4 (cpsam), fetched once, or a path",
    )
    network_diameter: Positive | None = Field(
        None,
        description="scratch: diameter to which cells are scaled, pixels, e.g. 17 as in nuclei (faster); null: 30; "
        "weights to start from bring their own",
    )
    patch: Annotated[int, Field(ge=32, multiple_of=8)] | None = Field(
        None, description="edge of the training patches, after scaling, pixels; null: 224 (3), 256 (4)"
    )
    real_share: Fraction = Field(0.5, description="regimes both, copy_paste: share of real images in every batch")
    max_images: Count = Field(200, description="real and synthetic images (planes in 3D) learned from, at most, each")
    volumes: Literal["do_3D", "stitch"] = Field(
        "do_3D", description="3D: do_3D: flows of the three orientations; stitch: planes, joined by overlap"
    )
    train: Training = Training(steps=3000, batch_size=8, learning_rate=0.002, warmup=0.1, ema_decay=0.98)

    @property
    def diameter_pixels(self) -> float:
        """Diameter to which the network scales cells: `network_diameter`, or the version's own."""
        return self.network_diameter or CELLPOSE_DIAMETERS[self.version]

    @property
    def patch_pixels(self) -> int:
        """Edge of the training patches: `patch`, or the version's own."""
        return self.patch or CELLPOSE_PATCHES[self.version]

    def conflicts(self) -> Iterator[Conflict]:
        """See `Settings`."""
        if version_named(self.start) not in (None, self.version):
            other = {3: 4, 4: 3}[self.version]
            fix = "use cpsam or a path" if self.start == "scratch" else f"set version: {other}, or another start"
            nothing = ", which is never trained from nothing" if self.start == "scratch" else ""
            yield Conflict(
                ("start", "version"),
                f"start {self.start!r} belongs to Cellpose {other}, not to version {self.version}{nothing}: {fix}",
            )
        fixed = {"patch": CELLPOSE_PATCHES[4], "network_diameter": CELLPOSE_DIAMETERS[4]} if self.version == 4 else {}
        for key, only in fixed.items():
            if getattr(self, key) not in (None, only):
                yield Conflict(
                    (key, "version"),
                    f"{key} {getattr(self, key)} cannot be chosen in version 4, it is {only:g}: leave it out, or set "
                    f"{key}: null",
                )


class Evaluation(Settings):
    """The proof: Cellpose trained on real, synthetic and both kinds of images, scored on the test sequence."""

    regimes: tuple[Literal["real", "copy_paste", "synthetic", "both"], ...] = Field(
        ("real", "copy_paste", "synthetic", "both"),
        description="what Cellpose is trained on; []: no training; copy_paste: real images and real cells pasted "
        "into images like the synthetic ones, the fair comparison for both; weights to start from are scored as `none`",
    )
    seeds: Count = Field(3, description="trainings of each regime, paired by their seed")
    max_test_frames: Count | None = Field(None, description="annotated test frames scored, evenly spread; null: all")
    inception: str | None = Field(
        None, description="FID and KID by Inception: a file of its weights, `download`, or null: without"
    )
    cellpose: Cellpose = Cellpose()
    cellpose4: Training = Field(
        Training(steps=2000, batch_size=2, learning_rate=1e-5, warmup=0.1, ema_decay=0.98),
        description="Takes the place of cellpose.train where cellpose.version is 4.",
    )

    @property
    def training(self) -> Training:
        """How Cellpose is trained: the block of its version."""
        return self.cellpose.train if self.cellpose.version == 3 else self.cellpose4

    def conflicts(self) -> Iterator[Conflict]:
        """See `Settings`."""
        share, batch = self.cellpose.real_share, self.training.batch_size
        if {"both", "copy_paste"} & set(self.regimes) and not 0 < round(share * batch) < batch:
            block = "cellpose.train" if self.cellpose.version == 3 else "cellpose4"
            yield Conflict(
                ("cellpose.real_share", f"{block}.batch_size"),
                f"cellpose.real_share {share} of {block}.batch_size {batch} is not a mixture: regimes both and "
                "copy_paste need at least one image of each kind",
            )
        if len(set(self.regimes)) < len(self.regimes) or (self.regimes and "real" not in self.regimes):
            yield Conflict(
                ("regimes",),
                f"regimes {list(self.regimes)} must differ, and hold real: it is what others are compared with",
            )


class Stages(Settings):
    """The settings of every stage of one data set, and how much it makes."""

    cells: Count = Field(1000, description="synthetic cells")
    images: Count = Field(1000, description="synthetic images")
    annotations: Literal["ST", "GT"] = Field("ST", description="annotation folder: ST silver truth, GT gold truth")
    crops: CropSettings = CropSettings()
    mask_ddpm: MaskDDPM = MaskDDPM()
    reconstruction: Reconstruction = Reconstruction()
    slicing: Slicing = Slicing()
    texture: Texture = Texture()
    population: Population = Population()
    hardness: Hardness = Hardness()
    export: Export = Export()
    formats: Formats = Formats()
    evaluation: Evaluation = Evaluation()
