"""The settings of priors of one's own: what they learn from, and how. Free of torch."""

from pydantic import Field

from cellcascade.config.settings import MaskDDPM
from cellcascade.config.texture import Texture, TextureTraining
from cellcascade.config.values import Count, Settings, Training


class Prior(Settings):
    """Priors of one's own, which `snakemake prior` trains and `base` of `texture` and `mask_ddpm` names."""

    data: tuple[str, ...] = Field((), description="data sets whose crops they learn from")
    domains: Count = Field(1250, description="imaginary data sets that the prior of textures learns from")
    outlines: Count = Field(14000, description="turned and scaled outlines that the prior of masks learns from")
    texture: Texture = Texture(
        base="scratch",
        channels=(64, 96, 96),
        layers=1,
        condition_dropout=0.1,
        train=TextureTraining(steps=16000, batch_size=16, learning_rate=8e-4, warmup=0.03, ema_decay=0.999),
    )
    mask_ddpm: MaskDDPM = MaskDDPM(
        base="scratch",
        channels=(32, 64, 80),
        layers=1,
        train=Training(steps=4000, batch_size=32, learning_rate=1e-3, warmup=0.03, ema_decay=0.999),
    )
