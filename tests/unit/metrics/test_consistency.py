"""How alike slices are made: fitted to real slices, or as the settings say."""

import numpy as np
import pandas as pd
import pytest

from cellcascade.metrics.consistency import AS_IN_PAPER, Consistency, consistency_of, fit_consistency

RHOS = np.array([0, 0.7, 1.5, 4])


def table(real, *, apart=1, rhos=RHOS, chance=0.1):
    """Likeness of slices so far apart: chance, and 0.8 times the correlation of the noise."""
    made = chance + 0.8 * rhos**2 / (1 + rhos**2)
    return pd.DataFrame({"apart": apart, "rho": rhos, "synthetic": made, "real": real, "pairs": 24})


def far(real, apart, chance=0.1):
    return table(real, apart=apart, rhos=RHOS[:1], chance=chance)


@pytest.mark.parametrize(("real", "rho"), [(0.5, 1.0), (0.74, 2.0), (0.05, 0.0), (0.99, 4.0)])
def test_the_rho_that_fits_is_interpolated_between_those_measured(real, rho):
    assert fit_consistency(table(real)).rho == pytest.approx(rho)
    earlier = fit_consistency(table(real).drop(columns="apart"))
    assert earlier == Consistency(pytest.approx(rho), "eq2")


@pytest.mark.parametrize(
    ("two", "three", "kind"),
    [(0.5, 0.5, "eq2"), (0.3, 0.2, "ar1"), (0.42, 0.4, "eq2"), (0.1, np.nan, "ar1"), (np.nan, np.nan, "eq2")],
)
def test_real_slices_further_apart_tell_the_kind(two, three, kind):
    """Neighbours correlate by .5, of which .1 is chance: so would those further apart by eq2; by ar1 by .3 and .2."""
    measured = pd.concat([table(0.5), far(two, 2), far(three, 3)])
    assert fit_consistency(measured) == Consistency(pytest.approx(1), kind)


def test_what_slices_have_in_common_by_their_outlines_counts_for_neither_kind():
    measured = pd.concat([table(0.5), far(0.55, 2, chance=0.35), far(0.5, 3, chance=0.4)])
    assert fit_consistency(measured).kind == "ar1"


def test_settings_go_before_what_fits_and_the_paper_comes_last():
    measured = pd.concat([table(0.5), far(0.3, 2)])
    assert consistency_of(measured, "from_data", "from_data") == Consistency(pytest.approx(1), "ar1")
    assert consistency_of(measured, 0.7, "eq2") == Consistency(0.7, "eq2")
    assert consistency_of(measured, 0.7, "from_data") == Consistency(0.7, "ar1")
    nothing = measured[:0]
    assert consistency_of(nothing, "from_data", "from_data") == AS_IN_PAPER == Consistency(1.0, "eq2")
    assert consistency_of(nothing.drop(columns="apart"), "from_data", "ar1") == Consistency(1.0, "ar1")
    assert consistency_of(table(np.nan), "from_data", "from_data") == AS_IN_PAPER
    assert consistency_of(table(0.3).assign(pairs=3), "from_data", "from_data") == AS_IN_PAPER
