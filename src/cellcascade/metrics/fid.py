"""How near synthetic cells are to real ones: Fréchet and kernel distance of image features (FID, KID).

The real side are cells of the test sequence, which nothing has learned from: synthetic ones are compared with them, and
so are the real training cells. Where there are no test cells, two halves of the training cells are compared; frames of
one sequence show the same cells again and again, so that real-real is then a floor, not a goal. FID is biased upwards
by an amount that depends on the number of images, so both pairs are compared at the same number. KID has no such bias.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.linalg import svdvals

from cellcascade.core.errors import InputError
from cellcascade.core.seeds import numpy_generator
from cellcascade.data.cells import check_size, synthetic_stacks
from cellcascade.data.crops import Crops, read_crops, to_unit

SPLITS = 5  # random halves of the real images that a figure is the mean of
FEWEST = 4  # images on a side: half of them must still have a covariance
MOST_IMAGES = 10_000  # real or synthetic images used, at most
PAIRS = ("real-real", "real-synthetic")

Features = Callable[[np.ndarray], np.ndarray]


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Fréchet distance of two Gaussians fitted to features (Heusel et al. 2017): FID for Inception features.

    The trace of the root of the product of the covariances is the sum of the singular values of a matrix no larger
    than the number of rows, so fewer rows than dimensions are no trouble.

    Args:
        a: Features (n, d), n > 1.
        b: Features (m, d), m > 1.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    roots = _covariance_root(a), _covariance_root(b)
    shared = svdvals(roots[0] @ roots[1].T).sum()
    spread = sum(np.square(root).sum() for root in roots)
    return float(np.square(a.mean(0) - b.mean(0)).sum() + spread - 2 * shared)


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x.y / d + 1)^3 (Binkowski et al. 2018): KID.

    It uses all pairs at once and can be below 0.

    Args:
        a: Features (n, d), n > 1.
        b: Features (m, d), m > 1.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    within = sum((k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (_kernel(a, a), _kernel(b, b)))
    return float(within - 2 * _kernel(a, b).mean())


METRICS = {"FID": frechet_distance, "KID": kernel_distance}


@dataclass(frozen=True)
class CellRows:
    """Rows of data and the cells that they show.

    Attributes:
        values: Images (n, y, x), or their features (n, d).
        cells: Number (n) of the cell that a row shows, the same for all slices of a cell.
    """

    values: np.ndarray
    cells: np.ndarray

    def order(self, generator: np.random.Generator) -> np.ndarray:
        """Indices (n) of all rows in random order, those of one cell next to each other."""
        return _order(self.cells, generator)

    def take(self, rows: np.ndarray) -> "CellRows":
        """Some of the rows, by their indices."""
        return CellRows(self.values[rows], self.cells[rows])

    def half(self, generator: np.random.Generator) -> np.ndarray:
        """Values of a random half of the rows, of whole cells as far as that is possible."""
        return self.values[self.order(generator)[: len(self.cells) // 2]]


def feature_distances(
    real: CellRows,
    synthetic: CellRows,
    *,
    training: CellRows | None = None,
    generator: np.random.Generator,
    resamples: int = 200,
) -> pd.DataFrame:
    """FID and KID of real against real and real against synthetic features, at one number of images.

    A figure is the mean over random choices of as many images from each set. Without training images, the two real
    sets are random disjoint halves, with no cell in both, and the synthetic ones are compared with the first of them.
    Intervals are those of `_deviations`.

    Args:
        real: Features (N, d) of real images.
        synthetic: Features (M, d) of synthetic images.
        training: Features (K, d) of other real images that the real ones are compared with; `None` for halves.
        generator: Source of the random halves.
        resamples: Half-samples that an interval is made from.

    Returns:
        One row per metric (`FID`, `KID`) and pair (`real-real`, `real-synthetic`): `metric`, `pair`, `value`, `low`,
        `high` (95 % interval), `n` (images on each side), `warning`. Values are NaN where n is below 4.
    """
    n, dims = _images_on_a_side(real, synthetic, training), real.values.shape[1]
    values: dict[tuple[str, str], list[float]] = {(metric, pair): [] for metric in METRICS for pair in PAIRS}
    deviations: dict[tuple[str, str], list[float]] = {key: [] for key in values}
    for _ in range(SPLITS if n >= FEWEST else 0):
        order, made = real.order(generator), synthetic.order(generator)[:n]
        first = real.take(order[:n])
        alike = training.take(training.order(generator)[:n]) if training else real.take(order[-n:])
        for pair, other in zip(PAIRS, (alike, synthetic.take(made))):
            varied = _deviations(first, other, max(2, resamples // SPLITS), generator)
            for metric, distance in METRICS.items():
                values[metric, pair].append(distance(first.values, other.values))
                deviations[metric, pair].extend(varied[metric])
    return pd.DataFrame([_row(*key, values[key], deviations[key], n=n, dims=dims) for key in values])


def cell_distances(
    crops: Path,
    textures: Sequence[Path],
    features: Mapping[str, Features],
    *,
    dataset: str,
    seed: int,
    test_crops: Path | None = None,
) -> pd.DataFrame:
    """FID and KID of a data set's synthetic cells (paper, section 4).

    All counts pass through the window of the training crops. In 3D every slice is an image of its own; where
    the real crops hold the widest slice of each cell alone, so does the synthetic side.

    Args:
        crops: Store of the crops that the models were trained on.
        textures: Shards of synthetic cells; valid ones count.
        test_crops: Store of crops of the test sequence, the real side; `None`: halves of the training crops.
        features: What describes an image, by name: functions from images (n, y, x), 0 to 1, to features (n, d).
        dataset: Name of the data set, for the table and the random numbers.
        seed: The run's seed.

    Returns:
        `dataset`, `features`, then the columns of `feature_distances`.

    Raises:
        InputError: A store cannot be used, or features are not finite.
    """
    data, generator = read_crops(crops), numpy_generator(seed, dataset, "fid")
    volumes = data.record.ndim == 3
    widest_only = volumes and bool(data.widest.all())
    suffix = "" if not volumes else ", widest slices" if widest_only else ", per slice"
    images = [_real_slices(data, generator), _synthetic_slices(textures, data.size, widest_only, generator)]
    if test_crops is not None:
        test = read_crops(test_crops)
        check_size(test_crops, test.size, data.size)
        images.append(_real_slices(test, generator))
    found = []
    for name, describe in features.items():
        training, synthetic, *tests = (
            CellRows(_described(name, describe, to_unit(side.values, data.record.window)), side.cells)
            for side in images
        )
        real, alike = (tests[0], training) if tests else (training, None)
        table = feature_distances(real, synthetic, training=alike, generator=generator)
        table.insert(0, "dataset", dataset)
        table.insert(1, "features", name + suffix)
        found.append(table)
    return pd.concat(found, ignore_index=True)


def _images_on_a_side(real: CellRows, synthetic: CellRows, training: CellRows | None) -> int:
    """How many images each side of a comparison has, so that no cell reaches into both halves of the real ones."""
    if training:
        return min(len(rows.cells) for rows in (real, synthetic, training))
    largest = np.unique(real.cells, return_counts=True)[1].max(initial=0)
    return max(0, min((len(real.cells) - largest + 1) // 2, len(synthetic.cells)))


def _deviations(first: CellRows, other: CellRows, count: int, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """How the metrics vary about their mean over half-samples of both sides: `count` values each.

    For a mean of n rows, figures of n/2 rows drawn without replacement vary around their mean as figures of n rows do
    around the truth. The interval is the central 95 % of this variation around the figure of n rows, so that the
    larger bias of FID at n/2 does not enter; where the truth is near 0 it is rather too wide. Rows drawn with
    replacement would make pairs of equal images, which both distances take for nearness.
    """
    halves = [(first.half(generator), other.half(generator)) for _ in range(count)]
    varied = {metric: np.array([distance(*half) for half in halves]) for metric, distance in METRICS.items()}
    return {metric: values - values.mean() for metric, values in varied.items()}


def _covariance_root(rows: np.ndarray) -> np.ndarray:
    """A matrix R of few rows with R^T R the covariance of `rows` (n, d), divided by n - 1."""
    centred = (rows - rows.mean(0)) / np.sqrt(len(rows) - 1)
    # numpy's stubs do not look at the mode: it gives R alone, an array already
    return np.asarray(np.linalg.qr(centred, mode="r")) if len(rows) > rows.shape[1] else centred


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    kernel = a @ b.T / a.shape[1] + 1
    return kernel * kernel * kernel  # many times faster than a power


def _row(metric: str, pair: str, values: list[float], deviations: list[float], *, n: int, dims: int) -> dict:
    value = np.mean(values) if values else np.nan
    low, high = value + np.quantile(deviations, [0.025, 0.975]) if values else (np.nan, np.nan)
    warning = ""
    if not values:
        warning = f"{n} images on each side are too few to compare: {FEWEST} at least, better hundreds"
    elif metric == "FID" and n < 2 * dims:
        warning = f"FID of {n} images in {dims} dimensions is biased upwards: compare with real-real, or use KID"
    if metric == "FID":
        low = max(low, 0.0)
    return {"metric": metric, "pair": pair, "value": value, "low": low, "high": high, "n": n, "warning": warning}


def _cells_of(crops: Crops) -> np.ndarray:
    """A number (m) for each crop, the same for all slices of a cell."""
    return np.unique(np.stack([crops.frame, crops.label], 1), axis=0, return_inverse=True)[1].ravel()


def _real_slices(crops: Crops, generator: np.random.Generator) -> CellRows:
    """Some of the crops."""
    cells = _cells_of(crops)
    rows = _some(cells, generator)
    return CellRows(crops.store.read("image", rows), cells[rows])


def _synthetic_slices(
    textures: Sequence[Path], size: tuple[int, int], widest_only: bool, generator: np.random.Generator
) -> CellRows:
    """Some images (n, y, x) of synthetic cells, one a slice or the widest slice alone."""
    cells = np.array([cell for cell, _ in _slices(textures, size, widest_only)])
    rows = _some(cells, generator)
    chosen = np.isin(np.arange(len(cells)), rows)
    images = [image for kept, (_, image) in zip(chosen, _slices(textures, size, widest_only)) if kept]
    return CellRows(np.stack(images), cells[rows])


def _slices(textures: Sequence[Path], size: tuple[int, int], widest_only: bool) -> Iterator[tuple[int, np.ndarray]]:
    """Number of its cell and image (y, x) of every slice, or of the widest slice of every cell."""
    for cell, stack in enumerate(synthetic_stacks(textures, size)):
        yield from ((cell, image) for image in (stack.image[[stack.widest]] if widest_only else stack.image))


def _some(cells: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Which of the images of cells (n) are used: `MOST_IMAGES` at most, of whole cells as far as that is possible."""
    return np.sort(_order(cells, generator)[:MOST_IMAGES])


def _order(cells: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Indices (n) of the images of cells (n) in random order, those of one cell next to each other."""
    _, cell = np.unique(cells, return_inverse=True)
    rank = generator.permutation(cell.max(initial=-1) + 1)[cell]
    return np.lexsort((generator.random(len(cell)), rank))


def _described(name: str, describe: Features, images: np.ndarray) -> np.ndarray:
    found = np.asarray(describe(images))
    if found.ndim != 2 or len(found) != len(images) or not np.isfinite(found).all():
        raise InputError(
            "The features of images cannot be compared",
            where=name,
            found=f"shape {found.shape}, {'finite' if np.isfinite(found).all() else 'not all finite'}",
            expected=f"finite numbers of shape ({len(images)}, d)",
            fix="train the network longer or with a lower learning rate, or use other weights",
        )
    return found
