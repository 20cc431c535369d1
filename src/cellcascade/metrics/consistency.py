"""How alike the slices of a cell are made, fitted to those of real cells (paper, section 2, Eq. 2). Free of torch."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

Kind = Literal["coarse", "eq2", "ar1"]
FEWEST = 4  # pairs of slices that tell anything


@dataclass(frozen=True)
class Consistency:
    """How alike the noise is that slices of a cell begin with.

    Attributes:
        rho: Strength; the noise of neighbouring slices has the share rho^2 / (1 + rho^2) of its variance in common.
        kind: What they share. coarse: the coarse structure, not the grain, the less the further apart; eq2: of all
            structure alike, any two slices the same (paper, Eq. 2); ar1: of all alike, the less the further apart.
    """

    rho: float
    kind: Kind

    @property
    def shared(self) -> float:
        """Share of the noise's variance that neighbouring slices have in common."""
        return self.rho**2 / (1 + self.rho**2)


AS_IN_PAPER = Consistency(1.0, "eq2")


def consistency_of(table: pd.DataFrame, rho: float | Literal["from_data"], kind: Kind) -> Consistency:
    """The consistency that the settings name; its strength, if they leave it to the data, or else the paper's.

    Args:
        table: `rho.csv` of the texture model; without rows where no real cell shows neighbouring slices.
        rho: `texture.rho`.
        kind: `texture.correlation`.
    """
    if rho == "from_data":
        rho = AS_IN_PAPER.rho if (fitted := fitted_rho(table, kind)) is None else fitted
    return Consistency(rho, kind)


def fitted_rho(table: pd.DataFrame, kind: Kind) -> float | None:
    """The strength by which neighbouring slices come out as alike as real ones; `None` if too little was measured.

    It is interpolated over the share of the noise in common. It is the smallest or the largest measured one where real
    slices are less or more alike than all synthetic ones.

    Args:
        table: Columns correlation, rho, synthetic, real and pairs, as `diffusion.texture.monitor` measures them.
        kind: What slices share.
    """
    if (rows := measured_of(table, kind)).empty:
        return None
    shared = [Consistency(rho, kind).shared for rho in rows["rho"]]
    best = float(np.interp(rows["real"].iloc[0], np.maximum.accumulate(rows["synthetic"]), shared))
    return (best / (1 - best)) ** 0.5


def measured_of(table: pd.DataFrame, kind: Kind) -> pd.DataFrame:
    """The rows of a kind that hold a measure of enough pairs. Neighbours are as alike by `ar1` as by `eq2`."""
    if table.empty:
        return table
    rows = table[table["correlation"] == ("coarse" if kind == "coarse" else "eq2")].dropna()
    return rows[rows["pairs"] >= FEWEST]
