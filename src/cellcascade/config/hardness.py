"""How it is found out which cells a segmentation network misses. Free of torch."""

from typing import Annotated

from pydantic import Field

from cellcascade.config.values import Settings, Training


class Hardness(Settings):
    """Which annotated cells a network misses that learned from the others: for population.focus above 0."""

    steps_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.2, description="steps of each of the two networks, as a share of those of the evaluation's"
    )

    def training(self, full: Training) -> Training:
        """How these networks are trained, where those of the evaluation are trained in `full`."""
        return full.model_copy(update={"steps": max(1, round(self.steps_share * full.steps))})
