"""FID and KID of synthetic cells in the features that are at hand: Inception's, and the style of a trained Cellpose."""

from pathlib import Path

from cellcascade.core.errors import InputError
from cellcascade.core.files import write_table
from cellcascade.metrics.fid import Features, cell_distances

INCEPTION = "Inception (2048-d)"
STYLE = "Cellpose style (256-d), trained on the real images"


def compare_features(
    *,
    crops: Path,
    test_crops: Path | None,
    textures: list[Path],
    inception: Path | None,
    cellpose: Path | None,
    table: Path,
    dataset: str,
    seed: int,
    device: str,
) -> None:
    """Stage `evaluate_fid`: compare synthetic cells with real ones by FID and KID.

    Args:
        crops: Store of the crops that the models were trained on.
        test_crops: Store of crops of the test sequence, of the same size; `None` where nothing is kept for tests.
        textures: Shards of synthetic cells; valid ones count.
        inception: Weights of the FID's Inception; `None`: without.
        cellpose: A Cellpose 3 that was trained on the real images; `None`: without.
        table: CSV to write, see `metrics.fid.cell_distances`.
        dataset: Name of the data set; the random numbers depend on it.
        seed: Seed of the run.
        device: auto, cpu or cuda.

    Raises:
        InputError: A store or a network cannot be used, or neither network is given.
    """
    features = describers(inception, cellpose, device)
    found = cell_distances(crops, textures, features, dataset=dataset, seed=seed, test_crops=test_crops)
    write_table(table, found)


def describers(inception: Path | None, cellpose: Path | None, device: str) -> dict[str, Features]:
    """What describes an image, by name; see `compare_features`."""
    made: dict[str, Features] = {}
    if inception is not None:
        from cellcascade.metrics.inception import inception_vectors

        made[INCEPTION] = inception_vectors(inception, device=device)
    if cellpose is not None:
        from cellcascade.evaluation.cellpose.v3 import style_vectors

        made[STYLE] = style_vectors(cellpose, device=device)
    if not made:
        raise InputError(
            "There is nothing to describe images by for FID and KID",
            where="evaluation",
            found="neither Inception weights nor a Cellpose trained on real images",
            expected="one of them at least",
            fix="set evaluation.inception, or add real to evaluation.regimes",
        )
    return made
