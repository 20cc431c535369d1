"""Cost of orchestration: how long Snakemake plans, before any job runs.

python benchmarks/orchestration.py [--datasets 4 100]
"""

import argparse
import importlib.metadata
import platform
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile
import yaml
from machine import processor, watch

REPOSITORY = Path(__file__).parents[1]
PAPER = {"HeLa": "Fluo-N2DL-HeLa", "GOWT1": "Fluo-N2DH-GOWT1", "CHO": "Fluo-N3DH-CHO", "CE": "Fluo-N3DH-CE"}
FRAMES = 92


def write_frames(folder: Path, ndim: int) -> None:
    """Two annotated sequences as large in number as the paper's, and small in pixels: planning reads headers alone."""
    frame, labels = np.zeros((8,) * ndim, np.uint8), np.ones((8,) * ndim, np.uint16)
    for sequence in ("01", "02"):
        truth = folder / f"{sequence}_ST" / "SEG"
        truth.mkdir(parents=True)
        (folder / sequence).mkdir()
        for index in range(FRAMES):
            tifffile.imwrite(folder / sequence / f"t{index:03d}.tif", frame)
            tifffile.imwrite(truth / f"man_seg{index:03d}.tif", labels)


def project(folder: Path, datasets: int) -> None:
    """The workflow in a folder of its own, with copies of the paper's data sets, in turn, in its configuration."""
    for name in ("Snakefile", "workflow", "scripts", "envs", "config.yaml", "profiles"):
        (folder / name).symlink_to(REPOSITORY / name)
    for name in PAPER.values():
        write_frames(folder / "data" / name, 3 if "N3D" in name else 2)
    models = {f"d{index:03d}": list(PAPER)[index % len(PAPER)] for index in range(datasets)}
    entries = {name: {"inherits": model, "folder": PAPER[model]} for name, model in models.items()}
    (folder / "many.yaml").write_text(yaml.safe_dump({"datasets": entries, "run": list(entries)}))


def plan(folder: Path) -> tuple[int, float, float, float]:
    """Dry-run of `all`: jobs, seconds, seconds of the processor, peak memory in MB."""
    command = [sys.executable, "-m", "snakemake", "all", "--dry-run", "--quiet", "rules"]
    command += ["--configfile", "config.yaml", "many.yaml"]
    used = watch(command, folder=folder, log=folder / "output")
    text = (folder / "output").read_text()
    jobs = int(re.search(r"^total +(\d+)$", text, re.MULTILINE)[1])
    return jobs, *used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", type=int, nargs="+", default=[4, 100], help="numbers of data sets")
    version = importlib.metadata.version("snakemake")
    print(f"{processor()}; Python {platform.python_version()}, snakemake {version}\n")
    print("| data sets of 1000 images | jobs | dry-run, s | of these on the processor, s | peak memory, MB |")
    print("|---|---|---|---|---|")
    for datasets in parser.parse_args().datasets:
        with tempfile.TemporaryDirectory() as folder:
            project(Path(folder), datasets)
            jobs, seconds, processor_seconds, memory = plan(Path(folder))
        print(f"| {datasets} | {jobs} | {seconds:.1f} | {processor_seconds:.1f} | {memory:.0f} |", flush=True)


if __name__ == "__main__":
    main()
