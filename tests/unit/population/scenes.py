"""Small texture shards, backgrounds and crops stores, and images composed of them."""

import numpy as np
from scipy import ndimage

from cellcascade.config.settings import Export, Population
from cellcascade.data.ngff import read_image
from cellcascade.data.stores import BACKGROUND, CROPS, TEXTURES
from cellcascade.population.compose import make_images
from cellcascade.population.noise import SCORES
from tests.stores import write_store

LEVEL, SPREAD, SIGNAL = 100.0, 6.0, 400.0  # of the background, of its noise, of cells above it, counts


def wedge(size, rng):
    """A strongly asymmetric mask: a comma of random size."""
    grid = np.indices((size, size)) - size / 2
    radius = rng.uniform(0.18, 0.3) * size
    mask = np.hypot(*grid) < radius
    mask &= ~((grid[0] > 0) & (grid[1] > 0))
    mask[size // 2, size // 2 : size - 4] = True
    return mask


def write_textures(folder, *, ndim=2, cells=10, size=32, level=LEVEL, shards=2):
    """Texture shards of cells on noise with a known level; cell 1 is invalid."""
    rng = np.random.default_rng(0)
    slices = 1 if ndim == 2 else 5
    masks = np.zeros((cells, slices, size, size), bool)
    for cell in masks:
        outline = wedge(size, rng)
        for z in range(slices):
            cell[z] = ndimage.binary_erosion(outline, iterations=abs(z - slices // 2)) if z != slices // 2 else outline
    images = np.rint(rng.normal(level, SPREAD, masks.shape) + SIGNAL * masks).clip(0).astype(np.uint16)
    paths = []
    for shard, rows in enumerate(np.array_split(np.arange(cells), shards)):
        arrays = {"image": images[rows], "mask": masks[rows], "cell_id": rows, "valid": rows != 1}
        arrays |= {"n_slices": np.full(len(rows), slices)}
        paths.append(write_store(TEXTURES, folder / f"textures-{shard}.zarr.zip", arrays, background=level))
    return paths


def write_inputs(
    folder,
    *,
    ndim=2,
    shape=(200, 240),
    cells_per_frame=(12,),
    per_slice=(),
    cut=True,
    haze=(),
    layout=None,
    dataset="test",
    **textures,
):
    """What images are made from: texture shards, a background model and a crops store."""
    lags = np.zeros((3,) * ndim, np.float32)
    lags[(1,) * ndim] = 1
    model = {
        "fields": np.full((1,) + (4,) * ndim, LEVEL, np.float32),
        "levels": np.array([LEVEL], np.float32),
        "residuals": (SPREAD * SCORES)[None],
        "correlation": lags,
    }
    z_decay = 0.0 if ndim == 2 else 0.5
    cell = np.pad(np.ones((1, 12, 12), np.uint8), [(0, 0), (10, 10), (10, 10)])
    background, crops = folder / "background.zarr.zip", folder / "crops.zarr.zip"
    facts = dict(zip(("haze_widths", "haze_weights"), haze))
    write_store(BACKGROUND, background, model, frame_shape=shape, largest=65535, z_decay=z_decay, **facts)
    write_store(
        CROPS,
        crops,
        {"image": cell, "mask": cell, "widest": [1], "brightness": [LEVEL + SIGNAL]},
        dataset=dataset,
        voxel_size_um=(0.5, 0.5) if ndim == 2 else (1.0, 0.5, 0.5),
        frame_shape=shape,
        frame_dtype="uint16",
        cells_per_frame=cells_per_frame,
        cells_per_slice=per_slice,
        cut_by_border=(cut,) * ndim,
        layout=layout,
    )
    return {"textures": write_textures(folder, ndim=ndim, **textures), "background": background, "crops": crops}


def make(folder, inputs, *, images=(0, 2), seed=3, dataset="test", seeded_as="test", **settings):
    """A shard of images."""
    chosen = {"settings": Population(**settings), "export": Export(levels=2), "seed": seed}
    make_images(**inputs, **chosen, images=images, folder=folder, dataset=dataset, seeded_as=seeded_as)
    return folder


def opened(folder, index=0):
    """Counts and labels of an image."""
    image = read_image(folder / f"img-{index:05d}.ome.zarr")
    return image.image[0].compute(), image.labels[0].compute()
