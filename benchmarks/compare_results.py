"""Are two results folders the same? Arrays of all stores, images, labels, weights and tables, bit by bit.

    python benchmarks/compare_results.py BEFORE AFTER

For changes that must not change results. Attributes, logs, pages and the times in training logs may differ; what is on
one side only is listed.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import zarr
from safetensors.numpy import load_file

TIMES = ["seconds"]
COMPARED = (".zarr.zip", ".ome.zarr", ".safetensors", ".csv")


def arrays_of(group: zarr.Group) -> dict[str, np.ndarray]:
    """All arrays of a store by their path, of any layout."""
    return {name: member[...] for name, member in group.members(max_depth=None) if isinstance(member, zarr.Array)}


def content(path: Path) -> dict[str, np.ndarray] | pd.DataFrame | None:
    """What counts of a file or of an OME-Zarr folder; `None` for what does not count."""
    if path.name.endswith(".zarr.zip"):
        return arrays_of(zarr.open_group(zarr.storage.ZipStore(path, mode="r"), mode="r"))
    if path.name.endswith(".ome.zarr"):
        return arrays_of(zarr.open_group(path, mode="r"))
    if path.suffix == ".safetensors":
        return load_file(path)
    if path.name == "model":
        return {"bytes": np.frombuffer(path.read_bytes(), np.uint8)}
    return pd.read_csv(path).drop(columns=TIMES, errors="ignore") if path.suffix == ".csv" else None


def items(folder: Path) -> Iterator[str]:
    """Files and images that are compared, relative to the folder."""
    for path in sorted(folder.rglob("*")):
        inside = any(parent.name.endswith(".ome.zarr") for parent in path.relative_to(folder).parents)
        if not inside and (
            path.name.endswith((".zarr.zip", ".ome.zarr", ".safetensors", ".csv")) or path.name == "model"
        ):
            yield path.relative_to(folder).as_posix()


def difference(before: Path, after: Path) -> str:
    """How two files differ; empty if they do not."""
    one, two = content(before), content(after)
    if isinstance(one, pd.DataFrame):
        return "" if one.equals(two) else "table differs"
    if one.keys() != two.keys():
        return f"arrays {sorted(one.keys() ^ two.keys())} on one side only"
    different = [name for name in one if one[name].dtype != two[name].dtype or not _equal(one[name], two[name])]
    return f"arrays {different} differ" if different else ""


def _equal(one: np.ndarray, two: np.ndarray) -> bool:
    return np.array_equal(one, two, equal_nan=one.dtype.kind == "f")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    given = parser.parse_args()
    sides = [set(items(folder)) for folder in (given.before, given.after)]
    for name in sorted(sides[0] ^ sides[1]):
        print(f"only {'before' if name in sides[0] else 'after'}: {name}")
    both = sorted(sides[0] & sides[1])
    found = {name: text for name in both if (text := difference(given.before / name, given.after / name))}
    for name, text in found.items():
        print(f"{name}: {text}")
    print(f"{len(both) - len(found)} of {len(both)} files and images are the same, bit by bit")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
