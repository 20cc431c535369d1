"""Charts hold what was measured."""

import numpy as np
from matplotlib.figure import Figure

from cellcascade.report import charts
from tests.unit.report.reading import pixels_of
from tests.unit.report.tables import SEEDS, seg_table


def points(figure: Figure, panel: int = 0):
    """Heights of the points drawn in a panel."""
    return sorted(y for drawn in figure.axes[panel].collections for _, y in np.asarray(drawn.get_offsets()))


def test_strips_draw_every_training_and_mark_what_lies_below():
    figure = charts.strips(seg_table(), ["silver"])
    assert points(figure) == sorted([0.47, *SEEDS["real"], *SEEDS["synthetic"], *SEEDS["both"]])
    assert figure.axes[0].get_ylim()[0] > 0.7
    assert any("far below" in text.get_text() for text in figure.axes[0].texts)
    assert pixels_of(charts.figure_uri(figure)).shape[1] == 1665


def test_far_distances_stay_on_the_chart():
    figure = charts.lollipops([("shape", "area", 0.2), ("population", "background mean", 30.0)])
    assert figure.axes[0].get_xlim()[1] < 4
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.20", "30.00"]
