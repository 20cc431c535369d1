"""What was dropped, and why."""

from cellcascade.report.sources import open_sources
from cellcascade.report.summary import dropped_cells, dropped_objects, group_reasons


def test_reasons_that_differ_in_numbers_count_together():
    reasons = ["IoU 0.71 < 0.8", "empty", "IoU 0.5 < 0.8", "2 pieces"]
    assert group_reasons(reasons) == [("IoU … < …", 2), ("empty", 1), ("2 pieces", 1)]


def test_a_lost_cell_counts_where_it_first_became_invalid(written, ndim):
    found = {row.stage: row for row in dropped_cells(open_sources(written[1]["cells"]))}
    assert (found["masks"].valid, found["masks"].new, found["masks"].why) == (5, 1, [("3 pieces", 1)])
    assert found["masks"].redraws == 8 and found["textures"].new == found["textures"].redraws == 0
    if ndim == 3:
        assert (found["volumes"].valid, found["volumes"].new, found["slices"].new) == (4, 1, 0)
        assert found["volumes"].why == [("reprojection IoU 0.61 is below 0.8", 1)]


def test_outcomes_of_objects_add_up(written):
    outcomes = dropped_objects(open_sources(written[1]["cells"]).objects)
    assert outcomes == [("kept", 3, 0.5), ("touches border", 2, 2 / 6), ("too small", 1, 1 / 6)]
