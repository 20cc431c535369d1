"""Make the data sets that the bundled priors learn from, and the configuration to train the priors with.

    python benchmarks/prior_data.py IMAGES OUT
    snakemake prior --cores 2 --resources gpu=2 --configfile OUT/prior.yaml

IMAGES holds `images/NAME.tif`, `masks/NAME.tif` and `index.csv`: fluorescence images of the 2018 Data Science Bowl
(BBBC038, CC0). Images of one size whose nuclei are about as wide and as bright become one data set, a folder in the
layout of the Cell Tracking Challenge, because a data set has one window of counts and one crop size. The slices of the
demo's mouse embryo come beside them: they show what other slices than the widest look like.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
import yaml
from tqdm import tqdm

WIDTHS = (13, 18, 25, 35, 50, 70)  # bounds of the groups' median diameters, pixels
LIGHTS = (20, 45, 90)  # bounds of the groups' mean counts of nuclei
FEWEST = 3  # images of a group
CROPS = (32, 48, 64, 96, 128, 160)  # sizes to choose from
EMBRYO = {
    "folder": str(Path(__file__).parents[1] / "demo/data/MouseEmbryo"),
    "voxel_size_um": [1.0, 0.8, 0.8],
    "test_sequence": None,
    "crops": {"size": 32, "slices_per_cell": 11},
}
ROOM = 2.2  # crop size over the median diameter, at least


def groups(index: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Groups of alike images and their names."""
    keys = [
        index["height"].astype(str) + "x" + index["width"].astype(str),
        np.digitize(index["median_diameter"], WIDTHS),
        np.digitize(index["foreground_mean"], LIGHTS),
    ]
    for (shape, width, light), images in index[index["nuclei"] > 0].groupby(keys):
        if len(images) >= FEWEST:
            yield f"{shape}-{width}{light}", images


def crop_size(diameter: float) -> int:
    """The smallest size in which nuclei of this median diameter have room."""
    return next((size for size in CROPS if size >= ROOM * diameter), CROPS[-1])


def write_group(source: Path, folder: Path, images: pd.DataFrame) -> None:
    """Copy a group's images and masks into a Cell Tracking Challenge folder."""
    frames, labels = folder / "01", folder / "01_GT" / "SEG"
    labels.mkdir(parents=True, exist_ok=True)
    frames.mkdir(exist_ok=True)
    for number, name in enumerate(images["name"]):
        tifffile.imwrite(frames / f"t{number:03d}.tif", tifffile.imread(source / "images" / f"{name}.tif"))
        tifffile.imwrite(labels / f"man_seg{number:03d}.tif", tifffile.imread(source / "masks" / f"{name}.tif"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    index = pd.read_csv(arguments.images / "index.csv")
    entries = {}
    for name, images in tqdm(list(groups(index)), desc="groups"):
        write_group(arguments.images, arguments.out / name, images)
        diameter = float(images["median_diameter"].median())
        entries[f"dsb_{name.replace('-', '_')}"] = {
            "folder": name,
            "annotations": "GT",
            "test_sequence": None,
            "voxel_size_um": [0.5, 0.5],
            "crops": {"size": crop_size(diameter), "min_area": max(20, round(0.2 * diameter**2))},
        }
    entries["embryo"] = EMBRYO
    config = {
        "data_root": str(arguments.out),
        "run": list(entries),
        "prior": {"data": list(entries)},
        "datasets": entries,
    }
    (arguments.out / "prior.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    print(f"{len(entries)} data sets in {arguments.out}")


if __name__ == "__main__":
    main()
