"""Made-up frames of the paper's shapes and density, in the layout of the Cell Tracking Challenge.

Nuclei are random spherical-harmonic bodies, made once and pasted by their bounding boxes: making a frame costs about as
much as drawing its noise, and one frame at a time is in memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from scale_kinds import Kind
from scipy import ndimage

from cellcascade.config.settings import Shapes
from cellcascade.core.seeds import numpy_generator
from cellcascade.data.stores import CROPS, MASKS, SLICES, TEXTURES, VOLUMES, MasksRecord, TexturesRecord
from cellcascade.geometry.raycast import occupancy
from cellcascade.geometry.shapes import radius_grids, random_coefficients
from cellcascade.geometry.slicing import cut, slice_heights

POOL = 24  # bodies
RESOLUTION = 64  # edge of their volumes, voxels
FILL = (0.5, 0.65)  # width of a body as a share of its volume's
GRAIN = 2.0  # Gaussian width of the texture, pixels
CROPS_TAKEN = 64  # real crops that lend their pixels to the made-up textures
GOLD_FRAMES = 2  # frames of the test sequence with gold truth
SEQUENCES = ("01", "02")


@dataclass(frozen=True)
class Body:
    """A cell in its bounding box.

    Attributes:
        mask: The cell, (z, y, x), boolean.
        texture: Brightness relative to its mean, (z, y, x), float32.
    """

    mask: np.ndarray
    texture: np.ndarray

    @property
    def widest(self) -> np.ndarray:
        """The mask (y, x) of its widest slice."""
        return self.mask[self.mask.sum((1, 2)).argmax()]


def make_bodies(kind: Kind, count: int = POOL) -> list[Body]:
    """The bodies that the frames of a data set are made of, as tall as a frame at most."""
    return [_body(kind, numpy_generator(0, "scale", kind.folder, index)) for index in range(count)]


def _body(kind: Kind, generator: np.random.Generator) -> Body:
    coefficients = random_coefficients(Shapes(fill=FILL), generator)
    volume = occupancy(radius_grids(coefficients[None]), RESOLUTION)[0].numpy()
    size = round(kind.width / float(np.mean(FILL)))
    half_width_um = size * kind.voxel_size_um[-1] / 2
    flat = len(kind.shape) == 2
    heights = np.zeros(1) if flat else slice_heights(1.0, kind.voxel_size_um[0] / half_width_um)
    mask = cut(volume, heights, size) > 0
    top = max(0, len(mask) - kind.depth) // 2
    mask = mask[top : top + kind.depth]
    mask = mask[ndimage.find_objects(mask.astype(np.uint8))[0]]
    grain = ndimage.gaussian_filter(generator.standard_normal(mask.shape, dtype=np.float32), (0.5, GRAIN, GRAIN))
    return Body(mask, np.clip(1 + 0.25 * grain / max(float(grain.std()), 1e-6), 0.3, 2))


def write_folder(folder: Path, kind: Kind, frames: int) -> None:
    """Write both sequences of a data set.

    All frames have silver truth. The test sequence also has gold truth of some frames: of single slices in 3D.

    Args:
        folder: The CTC folder to write.
        kind: What its frames are like.
        frames: Frames of each sequence.
    """
    bodies = make_bodies(kind)
    for sequence in SEQUENCES:
        for frame in range(frames):
            image, labels = make_frame(kind, bodies, numpy_generator(0, "scale", kind.folder, sequence, frame))
            _write(folder / sequence / f"t{frame:03d}.tif", image)
            _write(folder / f"{sequence}_ST" / "SEG" / f"man_seg{frame:03d}.tif", labels, compression="zlib")
            if sequence == SEQUENCES[-1] and frame < GOLD_FRAMES:
                for name, part in _gold(labels, frame):
                    _write(folder / f"{sequence}_GT" / "SEG" / name, part, compression="zlib")


def make_frame(kind: Kind, bodies: Sequence[Body], generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A frame and its labels, ([z,] y, x): as many bodies as the data set has cells, apart from each other.

    Args:
        kind: What the frames are like.
        bodies: Bodies to choose from; each is turned by half turns and flipped at random.
        generator: Source of randomness.
    """
    shape = (kind.depth, *kind.shape[-2:])
    labels, light = np.zeros(shape, np.uint16), np.full(shape, kind.background, np.uint16)
    for label, (box, corner) in enumerate(_sites(kind, shape, bodies, generator), 1):
        body = bodies[int(generator.integers(len(bodies)))]
        turn = tuple(slice(None, None, int(step)) for step in generator.choice((-1, 1), 3))
        slack = [n - m for n, m in zip(box, body.mask.shape)]
        first = [c + int(generator.integers(max(s, 0) + 1)) for c, s in zip(corner, slack)]
        here = tuple(slice(a, a + n) for a, n in zip(first, body.mask.shape))
        mask, brightness = body.mask[turn], kind.brightness * generator.uniform(0.6, 1.2)
        labels[here][mask] = label
        light[here][mask] = brightness * body.texture[turn][mask]
    return _noisy(light, kind, generator).reshape(kind.shape), labels.reshape(kind.shape)


def _sites(
    kind: Kind, shape: tuple[int, ...], bodies: Sequence[Body], generator: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Boxes (size, first voxel) for the cells of a frame, which do not overlap and hold any of the bodies."""
    largest = np.max([body.mask.shape for body in bodies], 0)
    counts = np.maximum(np.array(shape) // (largest + 1), 1)
    if np.prod(counts) < kind.cells:
        raise ValueError(f"{kind.folder}: no room for {kind.cells} cells of {largest} voxels in {shape}")
    box = np.array(shape) // counts
    corners = np.stack(np.meshgrid(*(np.arange(n) for n in counts), indexing="ij"), -1).reshape(-1, 3) * box
    away = np.linalg.norm((corners + box / 2) / shape - 0.5, axis=1)
    nearest = np.argsort(away + generator.uniform(0, kind.spread, len(away)))[: kind.cells]
    inner = box - (np.array(shape) > 1)  # a voxel of background behind each cell
    yield from ((inner, corners[index]) for index in nearest)


def _noisy(light: np.ndarray, kind: Kind, generator: np.random.Generator) -> np.ndarray:
    """Counts with the noise of a camera, a slice at a time, (z, y, x)."""
    largest = np.iinfo(kind.dtype).max
    image = np.empty(light.shape, kind.dtype)
    for plane, signal in zip(image, light):
        noise = generator.standard_normal(signal.shape, dtype=np.float32) * np.sqrt(signal + np.float32(1))
        plane[...] = np.clip(np.rint(kind.offset + signal + noise), 0, largest)
    return image


def _gold(labels: np.ndarray, frame: int) -> Iterator[tuple[str, np.ndarray]]:
    if labels.ndim == 2:
        yield f"man_seg{frame:03d}.tif", labels
        return
    z = len(labels) // 2
    yield f"man_seg_{frame:03d}_{z:03d}.tif", labels[z]


def _write(path: Path, pixels: np.ndarray, compression: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels, photometric="minisblack", compression=compression)


def write_masks(kind: Kind, jobs: Sequence[dict]) -> None:
    """Shards of masks in place of those that a model samples: the bodies' widest slices, turned.

    Args:
        kind: What the data set's cells are like.
        jobs: The jobs of rule `masks`.
    """
    outlines = [_centred(body.widest, kind.crop) for body in make_bodies(kind)]
    for job in jobs:
        ids = np.arange(*job["params"]["cells"], dtype=np.int32)
        masks = [np.rot90(outlines[i % len(outlines)], i // len(outlines)) for i in ids]
        arrays = {"mask": np.stack(masks), "cell_id": ids, "valid": np.ones(len(ids), np.uint8)}
        record = MasksRecord(dataset=job["params"]["dataset"], seed=job["params"]["seed"], digests={}, redraws=0)
        MASKS.write(job["output"]["store"], arrays, record)


def _centred(mask: np.ndarray, edge: int) -> np.ndarray:
    """A mask (y, x) in the middle of a crop; what stands out is cut off."""
    cut_off = tuple(slice(max(0, n - edge) // 2, max(0, n - edge) // 2 + edge) for n in mask.shape)
    mask = mask[cut_off]
    free = [edge - n for n in mask.shape]
    return np.pad(mask, [(n // 2, n - n // 2) for n in free]).astype(np.uint8)


def write_textures(jobs: Sequence[dict]) -> None:
    """Shards of textured cells in place of those that a model samples: the pixels of a real crop, shuffled.

    Args:
        jobs: The jobs of rule `textures`; the masks or slices that they texture are there.
    """
    store = CROPS.open(jobs[0]["input"]["crops"])
    rows = slice(CROPS_TAKEN)
    pixels = list(zip(store.read("image", rows), store.read("mask", rows) > 0))
    background = float(np.median(store.read("background", rows)))
    for job in jobs:
        dataset, seed = job["params"]["dataset"], job["params"]["seed"]
        masks, facts = _outlines(job["input"])
        images = np.empty(masks.shape, np.uint16)
        for cell, image, mask in zip(facts["cell_id"], images, masks > 0):
            generator = numpy_generator(seed, dataset, "textures", int(cell))
            real, inside = pixels[int(generator.integers(len(pixels)))]
            image[...] = np.resize(generator.permutation(real[~inside]), mask.shape)
            image[mask] = np.resize(generator.permutation(real[inside]), int(mask.sum()))
        record = TexturesRecord(dataset=dataset, seed=seed, digests={}, background=background, redraws=0)
        TEXTURES.write(job["output"]["store"], {"image": images, "mask": masks, **facts}, record)


def _outlines(given: dict) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Masks (n, s, y, x) of a shard of slices, or of masks in 2D, and what `TEXTURES` takes over from it."""
    if given["slices"]:
        store = SLICES.open(given["slices"])
        return store["mask"], {name: store[name] for name in ("n_slices", "cell_id", "valid")}
    flat = MASKS.open(given["masks"])
    ids = flat["cell_id"]
    return flat["mask"][:, None], {"n_slices": np.ones(len(ids), np.int32), "cell_id": ids, "valid": flat["valid"]}


def copy_cells(made: Path, jobs: Sequence[dict]) -> None:
    """The other shards of a stage, with the cells of the one that was made under other numbers.

    Args:
        made: The shard that the stage made.
        jobs: The jobs of the others; the masks that their cells have are there.
    """
    schema = {"volumes": VOLUMES, "slices": SLICES}[jobs[0]["rule"]]
    store = schema.open(made)
    arrays = {name: store[name] for name in schema.arrays}
    for job in jobs:
        ids = MASKS.open(job["input"]["masks"])["cell_id"]
        shard = {name: array[: len(ids)] for name, array in arrays.items()} | {"cell_id": ids}
        schema.write(job["output"]["store"], shard, store.record)
