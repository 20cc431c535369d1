"""Tables of an evaluation, made up."""

import numpy as np
import pandas as pd

from cellcascade.evaluation.gain import paired_gain

SEEDS = {"real": [0.80, 0.84, 0.82], "synthetic": [0.83, 0.83, 0.80], "both": [0.86, 0.88, 0.87]}


def seg_table(dataset="TOY", shift=0.0, frames=5, seeds=3, reference="silver", objects=97):
    """Rows of seg.csv: three regimes by seed, and the generalist."""
    rows = [("none", 0, 0.47)]
    rows += [
        (name, seed, seg + shift * (name == "both"))
        for name, segs in SEEDS.items()
        for seed, seg in enumerate(segs[:seeds])
    ]
    table = pd.DataFrame(rows, columns=["regime", "seed", "seg"]).assign(
        dataset=dataset, train_frames=frames, train_cells=12 * frames
    )
    table = table.assign(reference=reference, n_objects=objects, precision=0.9, recall=0.8, f1=0.85, f1_60=0.8)
    return table.assign(
        f1_70=0.7, f1_80=0.5, f1_90=0.2, steps=300, diameter=21.5, real_share=0.5, start="scratch", frames=4
    )


def fid_table():
    rows = [
        ("FID", "real-real", 9.0, 8.0, 10.0, "FID of 40 images is biased"),
        ("FID", "real-synthetic", 26.5, 24.0, 29.0, "FID of 40 images is biased"),
        ("KID", "real-real", 0.0003, -0.001, 0.002, np.nan),
        ("KID", "real-synthetic", 0.0123, 0.01, 0.014, np.nan),
    ]
    table = pd.DataFrame(rows, columns=["metric", "pair", "value", "low", "high", "warning"])
    return table.assign(dataset="TOY", features="Inception (2048-d)", n=40)


def distance_table(**values):
    """Rows in the columns of shape.csv: property and its distance."""
    rows = [
        {"property": name, "real_mean": 10.0, "real_std": 2.0, "synthetic_mean": 11.0, "synthetic_std": 1.5}
        | {"w1_over_std": value, "n_real": 50, "n_synthetic": 40}
        for name, value in values.items()
    ]
    return pd.DataFrame(rows)


def memorisation_table(mask=-0.01, image=0.12, n_real_test=200):
    """Rows in the columns of memorisation.csv; with few test cells, there is no excess."""
    rows = [{"what": what, "share_synthetic": 0.05 + excess, "excess": excess if n_real_test >= 20 else float("nan")}
            for what, excess in (("mask", mask), ("image", image))]  # fmt: skip
    table = pd.DataFrame(rows).assign(n_synthetic=100, n_real_test=n_real_test, n_train=300, threshold=0.1)
    return table.assign(
        share_real=0.05, nearest_synthetic_median=0.11, nearest_real_median=0.12, nearest_ratio=0.11 / 0.12
    )


def all_tables(dataset="TOY", **options):
    seg = seg_table(dataset, **options)
    return {
        "seg": seg,
        "gain": paired_gain(seg),
        "fid": fid_table(),
        "texture": distance_table(intensity_mean=0.31, ring_mean_dim=0.08, power_spectrum_db=np.nan),
        "population": distance_table(neighbour_distance_um=0.22),
        "memorisation": memorisation_table(),
    }


def write_tables(folder, tables):
    """Write tables as CSV files; gives their paths by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return {name: folder / f"{name}.csv" for name in tables}
