"""The settings of every stage as typed models: each key with its type, range and meaning. Free of torch."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]


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


class FineTuning(Training):
    """How a model is trained that may be as large as Stable Diffusion."""

    accumulation: Count = Field(1, description="batches whose gradients add up to one step; saves memory")
    gradient_checkpointing: bool = Field(
        False, description="compute activations again instead of keeping them: less memory, more time"
    )
    precision: Literal["bf16", "fp16", "fp32"] = Field(
        "bf16", description="numbers of training and sampling on a GPU: bf16; fp16 for cards without it; fp32"
    )
    optimizer: Literal["adamw", "adamw8bit"] = Field(
        "adamw", description="adamw8bit: 8-bit AdamW of bitsandbytes, a package to install besides; less memory"
    )
    sample_every: Count = Field(
        2500, description="steps between samples with real outlines, shown in TensorBoard: is the outline followed?"
    )


class CropSettings(Settings):
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
    channels: Count = Field(32, description="channels of the per-view network at full resolution")
    volume_channels: Count = Field(32, description="channels of the common feature volume")
    timesteps: Count = Field(1000, description="diffusion time steps T")
    sampling_steps: Count = Field(25, description="denoising steps when sampling")
    guidance: Annotated[float, Field(ge=0)] = Field(
        1.0, description="classifier-free guidance scale on the mask; 1 is none"
    )
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
    resolution: Count = Field(64, description="edge of the volume, voxels; the crop's width is its width")
    steps: Count = Field(120, description="optimiser steps of NeuS, at most")
    tolerance: Annotated[float, Field(ge=0)] = Field(
        0.1, description="a cell is done when its surface moves less in 20 steps, voxels"
    )
    rays: Count = Field(512, description="rays a cell and step")
    samples: Count = Field(32, description="samples a ray, a quarter of them close to the surface")
    learning_rate: Positive = Field(
        0.01, description="Adam's learning rate for the grid; the perceptron uses a quarter"
    )
    mask_weight: Positive = Field(1.0, description="weight of the silhouette loss")
    eikonal_weight: Positive = Field(0.1, description="weight of the eikonal loss (|grad SDF| = 1)")
    smoothness: Annotated[float, Field(ge=0)] = Field(
        1.0, description="weight of the grid's bending; the more views disagree, the more of it keeps cells from pits"
    )
    depth_weight: Annotated[float, Field(ge=0)] = Field(
        0.5, description="weight of lying on the right side of the surfaces that views with depth show"
    )
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
    condition_dropout: Fraction = Field(
        0.0, description="share of the training examples whose outline is hidden; guidance needs some, 0.1 say"
    )
    sampler: Literal["ddim", "dpm++"] = Field(
        "ddim", description="ddim: DDIM with eta = 0; dpm++: DPM-Solver++ of second order, which needs fewer steps"
    )
    sampling_steps: Count = Field(50, description="denoising steps when sampling")
    sampling_batch: Count = Field(16, description="slices sampled at once, of one cell or several")
    guidance: Annotated[float, Field(ge=0)] = Field(
        1.0, description="classifier-free guidance scale on the outline; 1 is none"
    )
    rho: Annotated[float, Field(ge=0)] = Field(
        1.0, description="strength of texture consistency between slices (Eq. 2)"
    )
    correlation: Literal["eq2", "ar1"] = Field(
        "eq2", description="which slices are alike: eq2: all equally (paper); ar1: neighbours as much, others less"
    )
    train: FineTuning = FineTuning(batch_size=16, learning_rate=1e-4)

    @model_validator(mode="after")
    def _guidable(self) -> "Texture":
        if self.guidance != 1 and not self.condition_dropout:
            raise ValueError(
                f"guidance {self.guidance} needs a model that also learned without outlines: set condition_dropout, "
                "0.1 say, or guidance: 1"
            )
        return self


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
        description="scratch, a generalist of Cellpose 3 (cyto3, nuclei, ...) or 4 (cpsam), fetched once, or a path",
    )
    version: Literal[3, 4] = Field(3, description="version of Cellpose that start is of; 4 for cpsam")
    network_diameter: Positive = Field(
        30.0,
        description="diameter to which cells are scaled, pixels: 30 as in cyto3, 17 as in nuclei (faster); cpsam: 30",
    )
    patch: Annotated[int, Field(ge=32)] = Field(
        224, description="edge of the training patches, after scaling, pixels; cpsam: 256"
    )
    real_share: Fraction = Field(0.5, description="regime both: share of real images in every batch")
    max_images: Count = Field(200, description="real and synthetic images (planes in 3D) learned from, at most, each")
    volumes: Literal["do_3D", "stitch"] = Field(
        "do_3D", description="3D: do_3D: flows of the three orientations; stitch: planes, joined by overlap"
    )
    train: Training = Training(steps=3000, batch_size=8, learning_rate=0.002, warmup=0.1, ema_decay=0.98)

    @property
    def diameter_pixels(self) -> float:
        """Diameter to which the network scales cells; Cellpose 4 has its own."""
        return self.network_diameter if self.version == 3 else 30.0

    @property
    def patch_pixels(self) -> int:
        """Edge of the training patches; Cellpose 4 has its own."""
        return self.patch if self.version == 3 else 256


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
    cellpose4: Training = Training(steps=2000, batch_size=2, learning_rate=1e-5, warmup=0.1, ema_decay=0.98)

    @property
    def training(self) -> Training:
        """How the network is trained: `cellpose.train`, or `cellpose4` for Cellpose 4."""
        return self.cellpose.train if self.cellpose.version == 3 else self.cellpose4

    @model_validator(mode="after")
    def _comparable(self) -> "Evaluation":
        share, batch = self.cellpose.real_share, self.training.batch_size
        if not 0 < round(share * batch) < batch:
            where = "train" if self.cellpose.version == 3 else "evaluation.cellpose4"
            raise ValueError(f"real_share {share} of {where}.batch_size {batch} is not a mixture")
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
    crops: CropSettings = CropSettings()
    mask_ddpm: MaskDDPM = MaskDDPM()
    reconstruction: Reconstruction = Reconstruction()
    slicing: Slicing = Slicing()
    texture: Texture = Texture()
    population: Population = Population()
    export: Export = Export()
    evaluation: Evaluation = Evaluation()
