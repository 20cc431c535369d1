"""Time of SEG: `cellcascade.metrics.seg` against py-ctcmetrics on the same files, in one run.

python benchmarks/seg.py [--frames 100]
"""

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from ctc_metrics.metrics import seg as baseline_seg
from ctc_metrics.utils.representations import match
from machine import processor

from cellcascade.metrics.seg import annotation_pairs, score


def discs(shape: tuple[int, ...], spacing: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Reference labels of balls on a grid, and a result: shifted by two pixels, with one cell in ten missing."""
    grid = np.indices(shape, dtype=np.float32)
    cell = np.stack(grid).astype(np.int64) // spacing
    counts = [-(-size // spacing) for size in shape]
    number = np.ravel_multi_index(tuple(cell), counts)
    radii = generator.uniform(0.25, 0.45, np.prod(counts))[number] * spacing
    distance = np.sqrt(((grid % spacing - spacing / 2) ** 2).sum(0))
    reference = np.where(distance < radii, number + 1, 0).astype(np.uint16)
    kept = generator.permutation(np.prod(counts) + 1) * (generator.random(np.prod(counts) + 1) > 0.1)
    kept[0] = 0
    return reference, np.roll(kept.astype(np.uint16)[reference], 2, axis=-1)


def write(folder: Path, shape: tuple[int, ...], spacing: int, frames: int) -> tuple[Path, Path]:
    """Write a sequence of annotations and results, compressed as the Challenge does; gives its two folders."""
    reference_folder, result_folder = folder / "01_GT", folder / "01_RES"
    (reference_folder / "SEG").mkdir(parents=True)
    result_folder.mkdir()
    for frame in range(frames):
        reference, result = discs(shape, spacing, np.random.default_rng(frame))
        tifffile.imwrite(reference_folder / "SEG" / f"man_seg{frame:03d}.tif", reference, compression="zlib")
        tifffile.imwrite(result_folder / f"mask{frame:03d}.tif", result, compression="zlib")
    return reference_folder, result_folder


def timed(work: Callable[[], float]) -> tuple[float, float]:
    start = time.perf_counter()
    value = work()
    return value, time.perf_counter() - start


def baseline(reference_folder: Path, result_folder: Path) -> float:
    """SEG by the matching and the measure of py-ctcmetrics, in one process."""
    pairs = zip(sorted((reference_folder / "SEG").iterdir()), sorted(result_folder.iterdir()))
    found = [match(str(reference), str(result)) for reference, result in pairs]
    return baseline_seg([item[0] for item in found], [item[4] for item in found])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=100, help="frames of the 2D sequences (3D: a twentieth)")
    frames = parser.parse_args().frames
    cases = [
        ("2D, 1024 x 1024, 25 cells", (1024, 1024), 205, frames),
        ("2D, 1024 x 1024, 1024 cells", (1024, 1024), 32, frames),
        ("3D, 64 x 512 x 512, 512 cells", (64, 512, 512), 32, max(frames // 20, 1)),
    ]
    print(f"{processor()}; Python {platform.python_version()}, numpy {np.__version__}\n")
    print("| labels | frames | pixels only, s | from files, s | py-ctcmetrics, s | ratio | difference of SEG |")
    print("|---|---|---|---|---|---|---|")
    for name, shape, spacing, count in cases:
        with tempfile.TemporaryDirectory() as folder:
            folders = write(Path(folder), shape, spacing, count)
            pairs = list(annotation_pairs(*folders))
            _, pixels = timed(lambda pairs=pairs: score(pairs).seg)
            ours, files = timed(lambda folders=folders: score(annotation_pairs(*folders)).seg)
            theirs, slow = timed(lambda folders=folders: baseline(*folders))
            print(
                f"| {name} | {count} | {pixels:.2f} | {files:.2f} | {slow:.1f} | {slow / files:.0f} x "
                f"| {abs(ours - theirs):.0e} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
