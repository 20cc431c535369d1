"""Cells placed and voxels written a second: against random tries, and against plain writing of the same bytes.

python benchmarks/population.py                                the tables
python benchmarks/population.py --images 1000 --stacks 50      makes images and checks all of them instead

Cells, background and frames are made up. Both sides of a ratio run in one process, one after the other, and times are
those of the processor, so that other work on the machine counts little.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import zarr
from machine import processor
from population_data import Inputs, Scene, write_inputs
from scipy import ndimage
from zarr.codecs import ZstdCodec

from cellcascade.config.settings import Export, Population
from cellcascade.data.ngff import CHUNK, COMPRESSOR, read_image
from cellcascade.population.bodies import Body
from cellcascade.population.canvas import Canvas
from cellcascade.population.cell_library import CellLibrary, drawn
from cellcascade.population.compose import make_images
from cellcascade.population.placement import Rules, place_cells
from cellcascade.population.search import free_corner

PLANE, STACK = Scene((2048, 2048), 400, 24.0), Scene((35, 512, 708), 150, 28.0, 3.0)
DENSE = {"2D": (Scene((1024, 1024), 100, 20.0), 0.8), "3D": (Scene((20, 256, 256), 50, 16.0, 3.0), 1.0)}
TRIES = 3000  # random positions of the baseline
SEARCHES = 40  # at the cover in question
RULES, RIM = Rules(clustering=0.0, reach=10, gap=1), 6


def canvas_of(scene: Scene) -> Canvas:
    depth, height, width = (1, *scene.shape)[-3:]
    return Canvas((depth, height, width), spacing=(scene.spacing, 1.0, 1.0), gap=RULES.gap, reach=10)


def by_tries(canvas: Canvas, body: Body, generator: np.random.Generator) -> tuple[int, int, int] | None:
    """The old way: random positions, one after the other, until one is free."""
    first, end = canvas.corners(body.mask.shape)
    for z, y, x in generator.integers(first, end, (TRIES, 3)).tolist():
        if canvas.fits(body.mask, (z, y, x)):
            return z, y, x
    return None


def fill_by_tries(library: CellLibrary, canvas: Canvas, chosen: Sequence[int], generator: np.random.Generator) -> int:
    """Place cells by random tries, each with a distance map of its own; gives how many found a place."""
    placed = 0
    for index in chosen:
        body = drawn(library, index, canvas.around, generator).body
        corner = by_tries(canvas, body, generator)
        if corner is not None:
            placed += 1
            canvas.add(body.mask, corner, placed)
    return placed


def seconds(work: Callable[..., object], *given: object, **named: object) -> float:
    """Seconds of the processor that a piece of work takes."""
    began = time.process_time()
    work(*given, **named)
    return time.process_time() - began


def filled(library: CellLibrary, scene: Scene, cover: float) -> Canvas:
    """A canvas that cells cover so far, or as far as they can."""
    canvas, generator, label, missed = canvas_of(scene), np.random.default_rng(0), 0, 0
    while np.count_nonzero(canvas.labels) < cover * canvas.labels.size and missed < 20:
        body = drawn(library, int(generator.integers(len(library))), canvas.around, generator).body
        canvas.free.fit(body)
        corner = free_corner(canvas, body, generator=generator)
        missed += corner is None
        if corner is not None:
            label += 1
            canvas.put(body, corner, label)
    return canvas


def placing_rows(folder: Path) -> Iterator[list[str]]:
    for name, scene, covers in (("2D", PLANE, (0.2, 0.4, 0.45)), ("3D", STACK, (0.1, 0.2, 0.25))):
        library = CellLibrary(write_inputs(folder / name, scene).textures, RIM)
        for index in range(len(library)):  # a job places each of its cells many times
            library.body(index, canvas_of(scene).around)
        for cover in covers:
            yield [name, *placing_row(library, scene, cover)]


def placing_row(library: CellLibrary, scene: Scene, cover: float) -> list[str]:
    """Both ways of filling a canvas up to a cover, and of seeking places for more cells there."""
    canvas = filled(library, scene, cover)
    chosen = rng(1).integers(len(library), size=int(canvas.labels.max())).tolist()
    whole = seconds(place_cells, library, canvas_of(scene), chosen, rules=RULES, generator=rng(2))
    whole_by_tries = seconds(fill_by_tries, library, canvas_of(scene), chosen, rng(2))
    bodies = [drawn(library, index, canvas.around, rng(index)).body for index in chosen[:SEARCHES]]
    search = seconds(seek, free_corner, canvas, bodies)
    search_by_tries = seconds(seek, by_tries, canvas, bodies)
    return [
        f"{np.count_nonzero(canvas.labels) / canvas.labels.size:.2f}",
        f"{len(chosen) / whole:.0f}",
        f"{len(chosen) / whole_by_tries:.0f}",
        f"{whole_by_tries / whole:.1f} x",
        f"{1000 * search / len(bodies):.2f}",
        f"{1000 * search_by_tries / len(bodies):.2f}",
        f"{search_by_tries / search:.1f} x",
    ]


def seek(way: Callable[..., object], canvas: Canvas, bodies: Sequence[Body]) -> None:
    """Seek a place for each of some cells, without placing them."""
    generator = rng(3)
    for body in bodies:
        way(canvas, body, generator=generator)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def dense_rows(folder: Path) -> Iterator[list[str]]:
    for name, (scene, share) in DENSE.items():
        library, canvas = CellLibrary(write_inputs(folder / name, scene).textures, RIM), canvas_of(scene)
        count = round(share * canvas.labels.size / library.volume)
        chosen = rng(1).integers(len(library), size=count).tolist()
        used = seconds(place_cells, library, canvas, chosen, rules=RULES, generator=rng(2))
        tried = canvas_of(scene)
        by_chance = fill_by_tries(library, tried, chosen, rng(2))
        covers = [f"{np.count_nonzero(each.labels) / each.labels.size:.2f}" for each in (canvas, tried)]
        yield [name, str(count), str(canvas.labels.max()), covers[0], f"{used:.1f}", str(by_chance), covers[1]]


def make(inputs: Inputs, folder: Path, images: tuple[int, int], settings: Population) -> None:
    make_images(
        textures=inputs.textures,
        background=inputs.background,
        crops=inputs.crops,
        settings=settings,
        export=Export(),
        images=images,
        folder=folder,
        dataset="made-up",
        seeded_as="made-up",
        seed=0,
    )


def write_plainly(path: Path, arrays: Sequence[np.ndarray], compressor: object) -> int:
    """Write arrays in chunks, with nothing around them; gives their bytes on disk."""
    group = zarr.create_group(path)
    for index, array in enumerate(arrays):
        chunks = tuple(min(n, chunk) for n, chunk in zip(array.shape, CHUNK[-array.ndim :]))
        group.create_array(str(index), data=array, chunks=chunks, compressors=compressor)
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def writing_rows(folder: Path) -> Iterator[list[str]]:
    for name, scene in (("2D", PLANE), ("3D", STACK)):
        inputs, count = write_inputs(folder / name, scene), 4
        make(
            inputs, folder / name / "first", (0, 1), Population(clustering=0.5, reach=10, gap=1)
        )  # reads cells, plans the Fourier transform
        alone = seconds(make, inputs, folder / name / "one", (0, 1), Population(clustering=0.5, reach=10, gap=1))
        more = seconds(
            make, inputs, folder / name / "more", (0, 1 + count), Population(clustering=0.5, reach=10, gap=1)
        )
        image = read_image(folder / name / "one" / "img-00000.ome.zarr")
        arrays = [image.image[0].compute(), image.labels[0].compute()]
        plain = []
        for kind, compressor in (("blosc", [COMPRESSOR]), ("zarr", "auto"), ("zstd", [ZstdCodec(level=3)])):
            times = []
            for turn in range(3):
                path = folder / name / f"{kind}-{turn}"
                began = time.process_time()
                size = write_plainly(path, arrays, compressor)
                times.append(time.process_time() - began)
            plain.append((min(times), size / 1e6))
        ours = (more - alone) / count
        voxels = arrays[0].size / 1e6
        yield [
            f"{name}, {' x '.join(map(str, scene.shape))}, {scene.cells} cells",
            f"{ours:.2f}",
            f"{voxels / ours:.1f}",
            *(f"{used:.3f} s, {size:.1f} MB, {ours / used:.1f} x" for used, size in plain),
        ]


def check(folder: Path, scene: Scene, images: int) -> str:
    """Make images, and check all of them; gives what was found.

    Raises:
        ValueError: Labels overlap or are in pieces, tables are wrong, or images are too many files.
    """
    folder.mkdir()
    inputs, began = write_inputs(folder, scene), time.perf_counter()
    make(inputs, folder / "made", (0, images), Population(clustering=0.5, reach=10, gap=1))
    took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cells = pd.read_csv(folder / "made" / "cells.csv")
    table = pd.read_csv(folder / "made" / "images.csv")
    size, most = "area_px" if scene.ndim == 2 else "volume_voxels", 0
    whole = np.ones((3,) * scene.ndim)
    library = CellLibrary(inputs.textures, 6)
    for name in table["image"]:
        path = folder / "made" / f"{name}.ome.zarr"
        labels, rows = read_image(path).labels[0].compute(), cells[cells["image"] == name]
        counts = np.bincount(labels.ravel(), minlength=len(rows) + 1)[1:]
        # A pixel belongs to one label: had two cells overlapped, one would lack pixels of its mask.
        if list(rows["label"]) != list(range(1, len(rows) + 1)) or list(rows[size]) != list(counts):
            raise ValueError(f"{path}: cells.csv and the labels disagree")
        for label, box in enumerate(ndimage.find_objects(labels), 1):
            row, inside = rows.iloc[label - 1], labels[box] == label
            masked = np.count_nonzero(library.load(int(row["source_cell"])).mask)
            if not row["touches_border"] and masked != counts[label - 1]:
                raise ValueError(f"{path}: cell {label} lacks pixels of its mask")
            if ndimage.label(inside, whole)[1] != 1 and not row["touches_border"]:
                raise ValueError(f"{path}: label {label} is in pieces")
        most = max(most, sum(file.is_file() for file in path.rglob("*")))
    if most > 8:
        raise ValueError(f"an image is {most} files")
    return (
        f"{images} images of {' x '.join(map(str, scene.shape))}: {len(cells)} cells, {table['not_placed'].sum()} not "
        f"placed, none overlaps or is in pieces, tables agree; {most} files an image; {took / images:.2f} s an image, "
        f"peak {peak:.0f} MB"
    )


def table(header: Sequence[str], rows: Iterator[list[str]]) -> None:
    print(f"\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=0, help="make and check so many images of 1024 x 1024")
    parser.add_argument("--stacks", type=int, default=0, help="make and check so many stacks of 35 x 512 x 708")
    given = parser.parse_args()
    print(f"{processor()}; Python {sys.version.split()[0]}, numpy {np.__version__}, zarr {zarr.__version__}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.images:
            print(check(folder / "images", Scene((1024, 1024), 120, 22.0), given.images), flush=True)
        if given.stacks:
            print(check(folder / "stacks", STACK, given.stacks), flush=True)
        if given.images or given.stacks:
            return
        rates = ["cells/s", "by tries, cells/s", "ratio", "search, ms", "by tries, ms", "ratio"]
        table(["field", "cover", *rates], placing_rows(folder / "placing"))
        sides = ["placed", "cover", "s", "placed by tries", "cover by tries"]
        table(["dense field", "cells", *sides], dense_rows(folder / "dense"))
        plain = ["plain, Blosc-zstd 1", "plain, Zarr's default", "plain, zstd 3"]
        table(["images", "s per image", "Mvoxel/s", *plain], writing_rows(folder / "writing"))


if __name__ == "__main__":
    main()
