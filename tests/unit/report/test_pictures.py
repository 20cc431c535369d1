"""How counts are shown."""

import numpy as np

from cellcascade.report.pictures import Display


def test_dark_cells_are_shown_by_their_square_root():
    dark, bright = (Display.fitting((0.0, 100.0), np.full(5, value)) for value in (20, 60))
    assert (dark.power, bright.power) == (0.5, 1.0)
    assert dark.text == "square-root display, window 0 to 100 counts"
    assert dark.grey(np.array([25]))[0] == 128 and bright.grey(np.array([25]))[0] == 64
