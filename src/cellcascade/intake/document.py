"""What was found, said in a few lines, and written as a configuration that holds this data set alone."""

import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cellcascade.core.machine import Machine
from cellcascade.data.layouts.choosing import EXAMPLES
from cellcascade.intake.advice import Advice
from cellcascade.intake.looking import Look
from cellcascade.intake.measures import MOST_FRAMES

# Small models, as in demo/config.yaml: minutes on two cores. With a GPU the package's defaults are right.
WITHOUT_GPU = """\

defaults:                              # this machine has no GPU: few steps; delete this block where there is one
  evaluation:
    regimes: []                        # does it help? Training Cellpose takes longer than all else: docs/evaluation.md
  mask_ddpm:
    sampling_steps: 40
    tuning: {steps: 150}
  reconstruction: {resolution: 64, cells_at_once: 1, steps: 80}
  texture:
    sampling_steps: 30
    tuning: {steps: 200}

multiview: {sampling_steps: 15}
shards: {cells: 50, images: 5}
"""
CELLS, IMAGES = {True: 1000, False: 100}, {True: 1000, False: 10}  # synthetic ones, with a GPU and without


def lines(found: Look, advice: Advice, machine: Machine) -> Iterator[str]:
    """What was found in a folder, for people.

    Args:
        found: What the folder holds.
        advice: The settings that fit its cells.
        machine: What the workflow can count on.
    """
    cells, numbers = found.cells, len({item.frame for item in found.frames})
    shapes = [f"{count} of {_size(shape)}" for shape, count in found.shapes.most_common(3)]
    size = _size(found.shapes.most_common(1)[0][0]) if len(found.shapes) == 1 else ", ".join(shapes)
    yield f"{found.path}: layout {found.recording.layout} ({EXAMPLES[found.recording.layout]})"
    yield f"  frames    {numbers} annotated, {size} pixels, {found.dtype}; {_tests(found)}"
    first = found.frames[0]
    image, labels = (path.relative_to(found.recording.folder) for path in (first.image, first.labels))
    yield f"            the first: {image} with {labels}"
    if found.channels:
        listed = ", ".join(f"{number}: {value:.1f}" for number, value in found.channels.items())
        yield f"  channel   {found.recording.channel}, in which cells and background differ most ({listed})"
    looked = f" in the {MOST_FRAMES} that were looked at" if len(found.frames) > MOST_FRAMES else ""
    each = f"{min(cells.per_frame)} to {max(cells.per_frame)} per annotation"
    yield f"  cells     {sum(cells.per_frame)}{looked}, {each}; in one piece and off the border: {cells.usable.sum()};"
    low, middle, high = np.percentile(cells.diameters[cells.fitting], (5, 50, 95))
    yield f"            {middle:.0f} pixels wide ({low:.0f} to {high:.0f}), {cells.foreground:.0%} of the pixels"
    if found.recording.split_labels:
        yield "            all masks have one number: each connected piece counts as a cell, cells that touch as one"
    yield f"  voxels    {' x '.join(f'{value:g}' for value in found.recording.voxel_size_um)} um: {_source(found)}"
    if found.voxel_source == "guess":
        yield f"            say it with --voxel-size {'Z Y X' if found.recording.ndim == 3 else 'Y X'} (micrometres)"
    yield f"  machine   {machine.text}{'' if machine.has_gpu else ': small models'}"
    yield f"  settings  crops of {advice.crop_size} pixels, {_planned(machine)}"


def document(name: str, out: Path, found: Look, advice: Advice, machine: Machine) -> str:
    """The text of a configuration that holds this data set alone.

    Args:
        name: Name of the data set.
        out: The file that it will be in.
        found: What its folder holds.
        advice: The settings that fit its cells.
        machine: What the workflow can count on.
    """
    path, gpu = Path(os.path.abspath(found.path)), machine.has_gpu
    body = "\n".join(f"    {line}" for line in _entry(found, advice, path.name, gpu))
    options = f"--configfile {shlex.quote(str(out))} --cores {machine.cores}"
    return (
        f"# {name}: annotated synthetic images of the cells in {path.name}.\n"
        f"#   snakemake results/{name}/synthetic/ {options}           the images\n"
        f"#   snakemake results/{name}/report/index.html {options}    a page that shows them beside the real ones\n"
        "# Every other key has its default; docs/configuration.md explains all of them.\n\n"
        f"data_root: {_text(path.parent)}\n"
        + ("" if gpu else "threads: 1                             # small models: one job per core is the fastest\n")
        + f"\ndatasets:\n  {name}:\n{body}\n{'' if gpu else WITHOUT_GPU}"
    )


def _entry(found: Look, advice: Advice, folder: str, gpu: bool) -> Iterator[str]:
    """The lines of the data set's entry."""
    recording = found.recording
    yield f"folder: {_text(folder)}"
    yield _line(f"layout: {recording.layout}", "found out by looking")
    if recording.channel is not None:
        yield _line(f"channel: {recording.channel}", "from 0")
    if recording.labels is not None:
        yield f"labels: {_text(recording.labels)}"
    if recording.ignore_label is not None:
        yield _line(f"ignore_label: {recording.ignore_label}", "what nobody annotated")
    if recording.split_labels:
        yield _line("split_labels: true", "masks of one number: each connected piece is a cell")
    if found.is_ctc:
        yield f"train_sequence: {_text(recording.sequence)}"
        yield f"annotations: {recording.annotations}"
        yield f"test_sequence: {_text(found.test_sequence) if found.test_sequence else 'null'}"
    if not found.test_sequence:
        yield _line(f"test_share: {0.2 if found.test_frames else 0}", "share of the frames that is kept for tests")
    size = ", ".join(f"{value:g}" for value in recording.voxel_size_um)
    yield _line(f"voxel_size_um: [{size}]", f"{'z, y, x' if recording.ndim == 3 else 'y, x'}; {_source(found)}")
    yield _line(f"cells: {CELLS[gpu]}", "synthetic cells")
    yield _line(f"images: {IMAGES[gpu]}", "synthetic images")
    yield "crops:"
    yield _line(f"  size: {advice.crop_size}", "pixels: 98 % of the cells fit")
    if advice.min_area != 50:
        yield _line(f"  min_area: {advice.min_area}", "smaller cells are left out, pixels")
    if advice.slices_per_cell > 1:
        yield _line(f"  slices_per_cell: {advice.slices_per_cell}", "there are few cells")
    yield _line("  window_percentiles: [0.1, 99.9]", "counts that become black and white")
    yield "population:"
    if not advice.by_data:
        yield _line(f"  clustering: {advice.clustering}", "from how close the annotated cells are: 0 to 1")
        yield f"  reach: {advice.reach}"
        yield f"  gap: {advice.gap}"
    yield f"  rim: {advice.rim}"


def _line(entry: str, comment: str) -> str:
    return f"{entry}".ljust(34) + f" # {comment}"


def _text(value: object) -> str:
    """A text in quotes, as YAML and JSON have it."""
    return json.dumps(str(value), ensure_ascii=False)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _source(found: Look) -> str:
    """Where the size of the pixels is from."""
    tall = " and high" if found.recording.ndim == 3 else ""
    guess = f"a guess, the files do not say it: cells of 10 um{tall}"
    return {"given": "as given", "files": "as the files say", "guess": guess}[found.voxel_source]


def _tests(found: Look) -> str:
    if found.test_sequence:
        return f"sequence {found.recording.sequence} is learned from, {found.test_sequence} is for tests"
    return f"kept for tests: {found.test_frames or 'none'}"


def _planned(machine: Machine) -> str:
    gpu = machine.has_gpu
    return f"{CELLS[gpu]} synthetic cells in {IMAGES[gpu]} images"
