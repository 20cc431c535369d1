"""How alike slices are made: fitted to real slices, or as the settings say."""

import numpy as np
import pandas as pd
import pytest

from cellcascade.metrics.consistency import AS_IN_PAPER, Consistency, consistency_of, fitted_rho

RHOS = np.array([0, 0.7, 1.5, 4])


def table(real, *, gain=0.8, kind="eq2"):
    """Likeness of slices: .1 by chance, and so much of the share of the noise that they have in common."""
    made = 0.1 + gain * RHOS**2 / (1 + RHOS**2)
    return pd.DataFrame({"correlation": kind, "rho": RHOS, "synthetic": made, "real": real, "pairs": 24})


@pytest.mark.parametrize(("real", "rho"), [(0.5, 1.0), (0.74, 2.0), (0.05, 0.0), (0.99, 4.0)])
@pytest.mark.parametrize("kind", ["eq2", "ar1"])  # neighbours are as alike by both
def test_the_rho_that_fits_is_interpolated_between_those_measured(real, rho, kind):
    assert fitted_rho(table(real), kind) == pytest.approx(rho)


def test_the_same_coarse_structure_makes_slices_more_alike_than_the_same_share_of_all():
    both = pd.concat([table(0.34), table(0.34, gain=1.2, kind="coarse")])
    assert fitted_rho(both, "eq2") == pytest.approx((0.3 / 0.7) ** 0.5)
    assert fitted_rho(both, "coarse") == pytest.approx(0.5)


def test_settings_go_before_what_fits_and_the_paper_comes_last():
    measured = table(0.5)
    assert consistency_of(measured, "from_data", "eq2") == Consistency(pytest.approx(1), "eq2")
    assert consistency_of(measured, 0.7, "ar1") == Consistency(0.7, "ar1")
    for nothing in (measured[:0], pd.DataFrame(), table(np.nan), table(0.3).assign(pairs=3)):
        assert consistency_of(nothing, "from_data", "eq2") == AS_IN_PAPER == Consistency(1.0, "eq2")
        assert consistency_of(nothing, "from_data", "coarse") == Consistency(1.0, "coarse")
