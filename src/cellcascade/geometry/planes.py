"""Planes of stacks in three orientations, z stretched to the pixels of y and x. Free of torch.

The orientations are the axes across the planes: 0 gives XY planes, 1 XZ planes, 2 YZ planes.
"""

import numpy as np
from skimage.transform import resize

ORIENTATIONS = ("xy", "xz", "yz")  # by the axis across the planes


def nearest_slices(depth: int, anisotropy: float) -> np.ndarray:
    """The slice nearest to each row of a stack whose z is stretched to the pixels of y and x.

    Args:
        depth: Number of slices.
        anisotropy: Distance of slices over the size of a pixel.

    Returns:
        Indices of slices, (row,).
    """
    tall = max(1, round(depth * anisotropy))
    return np.minimum(((np.arange(tall) + 0.5) * depth / tall).astype(int), depth - 1)


def slab(stack: np.ndarray, axis: int, at: int) -> np.ndarray:
    """A plane of a stack (z, y, x) as a stack of thickness one along `axis`."""
    return stack[tuple([slice(None)] * axis + [slice(at, at + 1)])]


def stretched_counts(plane: np.ndarray, axis: int, anisotropy: float) -> np.ndarray:
    """A slab of counts as a plane with square pixels, interpolated linearly along z.

    Args:
        plane: What `slab` gives, float32.
        axis: Axis across the plane.
        anisotropy: Distance of slices over the size of a pixel.

    Returns:
        The plane (y, x), float32; z takes the place of y where the plane has a z axis.
    """
    if axis:
        rows = len(nearest_slices(len(plane), anisotropy))
        plane = resize(plane, (rows, *plane.shape[1:]), order=1, mode="edge", anti_aliasing=False)
    return np.ascontiguousarray(plane.squeeze(axis), np.float32)


def stretched_labels(plane: np.ndarray, axis: int, anisotropy: float) -> np.ndarray:
    """A slab of labels as a plane with square pixels, each the label of the nearest slice.

    Args:
        plane: What `slab` gives.
        axis: Axis across the plane.
        anisotropy: Distance of slices over the size of a pixel.

    Returns:
        The plane (y, x), of the slab's type.
    """
    rows = nearest_slices(len(plane), anisotropy) if axis else slice(None)
    return np.ascontiguousarray(plane[rows].squeeze(axis))


def planes_with_cells(cells: np.ndarray, anisotropy: float, *, orientations: bool) -> list[np.ndarray]:
    """Where an image shows a cell.

    Args:
        cells: True in cells, ([z,] y, x).
        anisotropy: Distance of slices over the size of a pixel.
        orientations: Of stacks, XZ and YZ planes beside the XY planes.

    Returns:
        Indices of the planes that show a cell, for each orientation; of a 2D image, 0 if it shows one.
    """
    if cells.ndim == 2:
        return [np.arange(int(cells.any()))]
    rows = nearest_slices(len(cells), anisotropy)
    across = [cells.any(other)[rows].any(0) for other in (2, 1)] if orientations else []
    return [np.flatnonzero(shown) for shown in (cells.any((1, 2)), *across)]
