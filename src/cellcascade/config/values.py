"""What the stages' blocks are made of: base class, types of values, how networks are trained. Free of torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator

Number = TypeVar("Number", int, float)


def rising(bounds: tuple[Number, Number]) -> tuple[Number, Number]:
    """Refuse a range whose first value is larger than its second."""
    if bounds[0] > bounds[1]:
        raise ValueError(f"{list(bounds)} must be in rising order: [{bounds[1]}, {bounds[0]}]")
    return bounds


Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Percentile = Annotated[float, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]
Even = Annotated[int, Field(ge=2, multiple_of=2)]
Eights = Annotated[int, Field(ge=8, multiple_of=8)]
Range = Annotated[tuple[Number, Number], AfterValidator(rising)]

ATTENTION = 8  # channels that a head of attention needs, which the lowest level of the UNets has

EACH_BY_ITSELF = {"conflicts": False}  # context of a validation that leaves out whether values fit together


@dataclass(frozen=True)
class Conflict:
    """Values that are allowed each by itself, but not together.

    Attributes:
        keys: Dotted paths of the keys, from the block on that says so; the first is the one to change.
        message: What is wrong with their values, and what would be right.
    """

    keys: tuple[str, ...]
    message: str

    def below(self, path: str) -> "Conflict":
        """The same, seen from the block above; `path` leads from there to the block that said so."""
        return Conflict(tuple(f"{path}.{key}" for key in self.keys), self.message)


class Settings(BaseModel):
    """Base of all configuration blocks: unknown keys are errors, values do not change, and they fit together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def conflicts(self) -> Iterator[Conflict]:
        """Values of this block that do not fit together, or not with those of the blocks below it."""
        yield from ()

    def all_conflicts(self) -> Iterator[Conflict]:
        """Those of this block and of all blocks below it."""
        yield from self.conflicts()
        for name in type(self).model_fields:
            if isinstance(block := getattr(self, name), Settings):
                yield from (conflict.below(name) for conflict in block.all_conflicts())

    @model_validator(mode="after")
    def _fits_together(self, info: ValidationInfo) -> Self:
        found = [] if info.context == EACH_BY_ITSELF else [conflict.message for conflict in self.conflicts()]
        if found:
            raise ValueError("; ".join(found))
        return self


def attention(channels: tuple[int, ...]) -> Iterator[Conflict]:
    """A conflict if the lowest level of a UNet, which has attention, is too narrow for it."""
    if channels[-1] < ATTENTION:
        message = f"channels {list(channels)}: the last must be at least {ATTENTION}, for the lowest level's attention"
        yield Conflict(("channels",), message)


class Training(Settings):
    """How the network is trained."""

    steps: Count = Field(20000, description="optimiser steps")
    batch_size: Count = Field(32, description="examples per step")
    learning_rate: Positive = Field(1e-4, description="peak learning rate of AdamW (one cycle: warm-up, cosine decay)")
    warmup: Fraction = Field(0.05, description="share of the steps in which the learning rate rises")
    ema_decay: Fraction = Field(0.9995, description="decay of the weights' moving average, which is what is saved")
    checkpoint_every: Count = Field(500, description="steps between checkpoints; a killed job loses at most these")
    precision: Literal["bf16", "fp16", "fp32"] = Field(
        "bf16",
        description="numbers of training and sampling on a GPU: bf16 (without it, fp16), fp16 or fp32; bf16 also of "
        "training on CPUs with AMX",
    )


class FineTuning(Training):
    """How the network is trained, with ways to save memory."""

    accumulation: Count = Field(1, description="batches whose gradients add up to one step; saves memory")
    gradient_checkpointing: bool = Field(
        False, description="compute activations again instead of keeping them: less memory, more time"
    )
    optimizer: Literal["adamw", "adamw8bit"] = Field(
        "adamw", description="adamw8bit: 8-bit AdamW, less memory; needs the package bitsandbytes"
    )
    sample_every: Count = Field(
        2500, description="steps between samples with real outlines, shown in TensorBoard: is the outline followed?"
    )


BUNDLED = "nuclei"  # name of the priors that come with the package
BUNDLED_STEP, BUNDLED_GRID = 16, 32  # what crops must be a multiple of, pixels, for their textures and masks
FOLDS = 3  # parts that are held out in turn where few cells are fine-tuned on


class Tuning(FineTuning):
    """How a network is trained that starts from a prior: until the loss of held-out cells no longer falls."""

    check_every: Count = Field(20, description="steps between looks at the loss of held-out cells")
    patience: Count = Field(5, description="looks without a loss that is 0.5 % lower after which training stops")
