"""The settings of the texture model: what it starts from, how it is trained and sampled. Free of torch."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from cellcascade.config.values import (
    Conflict,
    Count,
    FineTuning,
    Fraction,
    NotNegative,
    Positive,
    Settings,
    Tuning,
    attention,
)


class TextureTraining(FineTuning):
    """How the texture model is trained; what is null depends on `texture.base`."""

    batch_size: Count | None = Field(  # type: ignore[assignment]
        None, description="examples per batch; null: 16, from a base 4"
    )
    learning_rate: Positive | None = Field(  # type: ignore[assignment]
        None, description="peak learning rate of AdamW (one cycle: warm-up, cosine decay); null: 1e-4, from a base 5e-5"
    )
    accumulation: Count | None = Field(  # type: ignore[assignment]
        None, description="batches whose gradients add up to one step; saves memory; null: 1, from a base 4"
    )
    gradient_checkpointing: bool | None = Field(  # type: ignore[assignment]
        None,
        description="compute activations again instead of keeping them: less memory, more time; null: only from a base",
    )

    def resolved(self, defaults: FineTuning) -> FineTuning:
        """The same without nulls, as the training loop takes it: values of `defaults` in their place."""
        return FineTuning(**dict(defaults) | {name: value for name, value in self if value is not None})


FROM_SCRATCH = FineTuning(batch_size=16, learning_rate=1e-4)
# As Stable Diffusion is fine-tuned: what it knows is soon overwritten at higher rates, and large batches do not fit.
FROM_BASE = FineTuning(batch_size=4, accumulation=4, learning_rate=5e-5, gradient_checkpointing=True)
BASE_RATE = 0.1  # of a pretrained UNet, relative to its ControlNet's: within 2e-6 to 1e-5, as is usual


class Texture(Settings):
    """Mask-conditioned texture model (paper, section 2, cell texture generation)."""

    base: str = Field(
        "nuclei",
        description="nuclei: the package's own prior; scratch: without pretraining; a folder that `prior` made; or a "
        "Stable Diffusion 1.x/2.x folder or hub id",
    )
    space: Literal["latent", "pixel"] = Field(
        "pixel", description="latent: that of an autoencoder; pixel: space-to-depth, lossless"
    )
    autoencoder: str | None = Field(
        None, description="latent: folder or hub id of an autoencoder; null: the base's own, scratch has none"
    )
    trainable: Literal["controlnet", "controlnet+decoder", "all"] = Field(
        "all",
        description="what is fine-tuned: ControlNet only, + UNet decoder (paper's code), everything (paper's text)",
    )
    unet_rate: Positive | None = Field(
        None, description="learning rate of the UNet, as a share of the ControlNet's; null: 1, from a base 0.1"
    )
    block: Literal[1, 2, 4, 8] = Field(
        4, description="edge of the pixel block that becomes channels (pixel space) or one latent (scratch)"
    )
    channels: tuple[Count, ...] = Field(
        (128, 256, 256),
        min_length=1,
        description="scratch: channels of the UNet's levels, each 2x coarser; the last at least 8",
    )
    layers: Count = Field(2, description="scratch: residual blocks per level")
    timesteps: Annotated[int, Field(ge=25)] = Field(1000, description="scratch: diffusion time steps T")
    condition_dropout: Fraction = Field(
        0.0, description="share of the training examples whose outline is hidden; guidance needs some, e.g. 0.1"
    )
    sampler: Literal["ddim", "dpm++"] = Field(
        "ddim", description="ddim: DDIM with eta = 0; dpm++: DPM-Solver++ of second order, which needs fewer steps"
    )
    sampling_steps: Count = Field(50, description="denoising steps when sampling, at most timesteps")
    sampling_batch: Count = Field(16, description="slices sampled at once, of one cell or several")
    guidance: NotNegative = Field(1.0, description="classifier-free guidance scale on the outline; 1 is none")
    rho: NotNegative | Literal["from_data"] = Field(
        "from_data",
        description="strength of texture consistency between slices (Eq. 2), e.g. 1; from_data: neighbouring slices "
        "are as alike as real ones, or 1 where no stack shows any",
    )
    correlation: Literal["coarse", "eq2", "ar1"] = Field(
        "coarse",
        description="what slices share: coarse: light and coarse structure, not the grain, the less the further apart; "
        "eq2: of all structure alike, any two slices the same (paper); ar1: of all alike, the less the further apart",
    )
    max_redraws: Count = Field(
        5, description="tries for a texture that follows its outline before the cell is marked invalid"
    )
    train: TextureTraining = TextureTraining()
    tuning: Tuning = Field(
        Tuning(steps=2000, batch_size=16, learning_rate=3e-4, warmup=0.01, ema_decay=0.995),
        description="Takes the place of train where a prior is the base.",
    )

    @property
    def pretrained(self) -> bool:
        """Whether there is a base."""
        return self.base != "scratch"

    @property
    def training(self) -> FineTuning:
        """How the model is trained: what `train` leaves open, as suits the base."""
        return self.train.resolved(FROM_BASE if self.pretrained else FROM_SCRATCH)

    @property
    def rates(self) -> dict[str, float]:
        """Learning rates of the model's parts, as shares of `train.learning_rate`; 1 where a part is not named."""
        return {"unet": self.unet_rate or (BASE_RATE if self.pretrained else 1.0)}

    def conflicts(self) -> Iterator[Conflict]:
        """See `Settings`."""
        if self.guidance != 1 and not self.condition_dropout:
            yield Conflict(
                ("guidance", "condition_dropout"),
                f"guidance {self.guidance} needs a model that also learned without outlines: set condition_dropout, "
                "e.g. to 0.1, or guidance: 1",
            )
        if not self.pretrained:  # a base brings its own levels
            yield from attention(self.channels)
