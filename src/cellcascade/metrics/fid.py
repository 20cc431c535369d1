"""How near synthetic cells are to real ones: Fréchet and kernel distance of image features (FID, KID).

FID is biased upwards by an amount that depends on the number of images, so both pairs, two halves of the real images
and real against synthetic ones, are compared at the same number. KID has no such bias. Frames of one sequence show
the same cells again and again: halves of their crops share them, so that real-real is the floor, not a goal.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.linalg import svdvals

from cellcascade.core.errors import InputError
from cellcascade.core.files import write_table
from cellcascade.core.seeds import numpy_generator
from cellcascade.data.crops import Crops, read_crops, to_unit
from cellcascade.data.shards import open_shard

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


def compare_features(
    real: np.ndarray,
    synthetic: np.ndarray,
    *,
    generator: np.random.Generator,
    real_cells: np.ndarray | None = None,
    synthetic_cells: np.ndarray | None = None,
    resamples: int = 200,
) -> pd.DataFrame:
    """FID and KID of real against real and real against synthetic features, at one number of images.

    A figure is the mean over random disjoint halves of the real images; the synthetic ones are compared with the
    first half of each. The interval comes from half-samples: drawing rows again with replacement would make pairs
    of equal images, which both distances take for nearness. For a mean of n rows, figures of n/2 rows drawn without
    replacement vary around their mean as figures of n rows do around the truth; that variation, 2.5 % cut off on
    either side, is laid around the figure, so the larger bias of FID at n/2 does not enter. Where the truth is near
    0 it is rather too wide.

    Args:
        real: Features (N, d).
        synthetic: Features (M, d).
        generator: Source of the random halves.
        real_cells: The cell (N) each row belongs to: no cell is in both halves. `None`: a cell each.
        synthetic_cells: The same of the synthetic rows (M).
        resamples: Half-samples an interval is made from.

    Returns:
        One row a metric (`FID`, `KID`) and pair (`real-real`, `real-synthetic`): `metric`, `pair`, `value`, `low`,
        `high` (95 % interval), `n` (images on each side), `warning`. Values are NaN where n is below 4.
    """
    real_cells = np.arange(len(real)) if real_cells is None else np.unique(real_cells, return_inverse=True)[1]
    made_cells = np.arange(len(synthetic)) if synthetic_cells is None else synthetic_cells
    largest = np.bincount(real_cells).max(initial=0)
    n = max(0, min((len(real) - largest + 1) // 2, len(synthetic)))  # so that a cell never reaches into both halves
    values = {(metric, pair): [] for metric in METRICS for pair in PAIRS}
    deviations = {key: [] for key in values}
    for _ in range(SPLITS if n >= FEWEST else 0):
        order, made = _by_cell(real_cells, generator), _by_cell(made_cells, generator)[:n]
        first, second = ((real[rows], real_cells[rows]) for rows in (order[:n], order[-n:]))
        for pair, other in zip(PAIRS, (second, (synthetic[made], made_cells[made]))):
            halves = [(_half(*first, generator), _half(*other, generator)) for _ in range(max(2, resamples // SPLITS))]
            for metric, distance in METRICS.items():
                values[metric, pair].append(distance(first[0], other[0]))
                varied = np.array([distance(*half) for half in halves])
                deviations[metric, pair].extend(varied - varied.mean())
    return pd.DataFrame([_row(*key, values[key], deviations[key], n=n, dims=real.shape[1]) for key in values])


def evaluate(
    crops: str | Path,
    textures: Sequence[str | Path],
    *,
    dataset: str,
    features: Mapping[str, Features],
    seed: int,
    table: str | Path,
) -> None:
    """Write FID and KID of a data set's synthetic cells as CSV (paper, section 4).

    Counts of both kinds pass through the window of the real crops. In 3D every slice is an image of its own; where
    the real crops hold the widest slice of each cell alone, so does the synthetic side.

    Args:
        crops: Store of the real crops.
        textures: Shards of synthetic cells; valid ones count.
        dataset: Name of the data set, for the table and the random numbers.
        features: What describes an image, by name: functions from images (n, y, x), 0 to 1, to features (n, d).
        seed: The run's seed.
        table: CSV to write: `dataset`, `features`, then the columns of `compare_features`.

    Raises:
        InputError: A store cannot be used, or there are no features.
    """
    if not features:
        raise InputError(
            "There is nothing to describe images by for FID and KID",
            where="evaluation",
            found="neither Inception weights nor a Cellpose trained on real images",
            expected="one of them at least",
            fix="set evaluation.inception, or add real to evaluation.regimes",
        )
    data = read_crops(crops)
    window, volumes = data.attrs["window"], len(data.attrs["voxel_size_um"]) == 3
    generator = numpy_generator(seed, dataset, "fid")
    widest_only = volumes and bool(data.widest.all())
    real, real_cells = _some(data.image, _cells_of(data), generator)
    made, made_cells = _some(*_synthetic(textures, data.image.shape[1:], widest_only=widest_only), generator)
    suffix = "" if not volumes else ", widest slices" if widest_only else ", per slice"
    rows = []
    for name, describe in features.items():
        sides = [_described(name, describe, to_unit(images, window)) for images in (real, made)]
        found = compare_features(*sides, generator=generator, real_cells=real_cells, synthetic_cells=made_cells)
        found.insert(0, "dataset", dataset)
        found.insert(1, "features", name + suffix)
        rows.append(found)
    write_table(Path(table), pd.concat(rows, ignore_index=True))


def _covariance_root(rows: np.ndarray) -> np.ndarray:
    """A matrix R of few rows with R^T R the covariance of `rows` (n, d), divided by n - 1."""
    centred = (rows - rows.mean(0)) / np.sqrt(len(rows) - 1)
    return np.linalg.qr(centred, mode="r") if len(rows) > rows.shape[1] else centred


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    kernel = a @ b.T / a.shape[1] + 1
    return kernel * kernel * kernel  # many times faster than a power


def _by_cell(cells: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Indices of all rows in random order, those of one cell next to each other."""
    _, cell = np.unique(cells, return_inverse=True)
    rank = generator.permutation(cell.max(initial=-1) + 1)[cell]
    return np.lexsort((generator.random(len(cell)), rank))


def _half(rows: np.ndarray, cells: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return rows[_by_cell(cells, generator)[: len(rows) // 2]]


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


def _synthetic(
    shards: Sequence[str | Path], shape: tuple[int, int], *, widest_only: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, y, x) of the valid cells, one a slice or the widest slice alone, and their cells (n)."""
    images, cells = [np.empty((0, *shape), np.uint16)], [np.empty(0, np.int64)]
    for path in shards:
        store = open_shard(path, "textures/1")
        image, count, cell = store["image"][:], store["n_slices"][:], store["cell_id"][:]
        if image.shape[2:] != shape:
            raise InputError(
                "Synthetic cells differ in size from the real crops",
                where=path,
                found=f"{image.shape[2:]} pixels (y, x)",
                expected=f"{shape} as in the crops",
                fix="rerun snakemake: it remakes what is older than the crops",
            )
        slices = np.arange(image.shape[1])
        used = slices < count[:, None]
        if widest_only:
            used &= slices == store["mask"][:].sum((2, 3), dtype=np.int64).argmax(1)[:, None]
        used &= store["valid"][:].astype(bool)[:, None]
        images.append(image[used])
        cells.append(cell[np.nonzero(used)[0]])
    return np.concatenate(images), np.concatenate(cells)


def _some(images: np.ndarray, cells: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """`MOST_IMAGES` at most, of whole cells as far as that goes."""
    chosen = np.sort(_by_cell(cells, generator)[:MOST_IMAGES])
    return images[chosen], cells[chosen]


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
