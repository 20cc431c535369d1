import numpy as np
import pytest

from cellcascade.geometry.planes import nearest_slices, planes_with_cells, slab, stretched_counts, stretched_labels


def test_slices_fill_rows_of_equal_size():
    assert nearest_slices(3, 2.0).tolist() == [0, 0, 1, 1, 2, 2]
    assert nearest_slices(4, 0.5).tolist() == [1, 3]
    assert len(nearest_slices(5, 4.95)) == 25


@pytest.mark.parametrize("axis, shape", ((0, (5, 6)), (1, (8, 6)), (2, (8, 5))))
def test_planes_have_square_pixels(axis, shape):
    stack = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    plane = slab(stack, axis, 2)
    labels = stretched_labels(plane, axis, 2.0)
    counts = stretched_counts(plane.astype(np.float32), axis, 2.0)
    assert labels.shape == counts.shape == shape and counts.dtype == np.float32
    assert np.isin(labels, stack.take(2, axis)).all()
    assert np.abs(counts - labels).max() <= (7.5 if axis else 0)  # a quarter of the step from slice to slice


def test_planes_that_show_a_cell_are_listed_in_all_orientations():
    cells = np.zeros((3, 7, 8), bool)
    cells[1, 2:4, 5] = True
    listed = planes_with_cells(cells, 2.0, orientations=True)
    assert [indices.tolist() for indices in listed] == [[1], [2, 3], [5]]
    assert len(planes_with_cells(cells, 2.0, orientations=False)) == 1
    assert planes_with_cells(cells[1], 1.0, orientations=True)[0].tolist() == [0]
