"""Cost of every stage that needs no GPU on data of the paper's size: time, memory and bytes, beside what rules ask for.

python benchmarks/scale.py [--data CE CHO HeLa] [--frames 4] [--images 20] [--cells 1000] [--markdown]
python benchmarks/scale.py --data CE --frames 10 40      also: how peak memory grows with the number of frames
python benchmarks/scale.py --tiny                        small frames, few cells, two images: does it run?

The frames are made up: random nuclei with noise, of the shapes and the density of the paper's data sets. The workflow
plans its jobs for them, and each runs by its own script in a process of its own, one after the other. What a model
would sample is made up as well (masks; textures, from pixels of real crops), and volumes are random shapes. Of
Cellpose's training, the planes are prepared; its predictions come from a threshold, so that reading and scoring count.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from machine import processor
from scale_kinds import KINDS, Kind, tiny
from scale_project import Project, Size, Stage

PAPER = Size(cells=1000, images=1000)  # of a data set; the frames are those of its sequences
TINY = Size(frames=2, cells=6, images=2)
NOTES = {"volumes": "random shapes", "train_cellpose": "planes only", "predict_cellpose": "reading, scoring"}
SQUARED = {"evaluate_memorisation"}  # compares the crops of two sequences with each other

Rows = list[list[str]]
MEASURED = ["data", "stage", "frames", "cells", "images", "time, s", "work, s", "s per frame", "ms per cell"]
MEASURED += ["s per image", "written, MB", "memory asked / used, MB", "time asked / used, min"]
WHOLE = ["data", "stage", "jobs", "time asked / used, min", "all jobs, h", "written, GB"]
WHOLE += ["memory asked / used as measured, MB"]


def run(folder: Path, kinds: dict[str, Kind], size: Size, *, small: bool = False) -> tuple[Project, list[Stage]]:
    """Make a project and run all stages that need no GPU; gives those that were measured, by data set."""
    project = Project(folder, kinds, size, few_shapes=small)
    project.write_frames()
    stages = project.plan()
    for stage in stages:
        print(f"{stage.dataset} {stage.name}: {len(stage.jobs)} jobs", file=sys.stderr, flush=True)
        project.run(stage)
    order = [*kinds, "shared"]
    return project, sorted((stage for stage in stages if stage.used), key=lambda stage: order.index(stage.dataset))


def measured_row(stage: Stage) -> list[str]:
    """What the jobs of a stage took, in all and for each item."""
    work, counts = sum(stage.work), [sum(each) for each in zip(*stage.items)]
    rates = [factor * work / count if count else None for factor, count in zip((1, 1000, 1), counts)]
    return [
        *named(stage),
        *(str(count or "") for count in counts),
        number(sum(usage.seconds for usage in stage.used)),
        number(work),
        *("" if rate is None else number(rate) for rate in rates),
        number(stage.written / 1e6),
        f"{stage.asked('mem_mb')} / {stage.peak_mb:.0f}",
        f"{stage.asked('runtime')} / {number(max(stage.seconds) / 60)}",
    ]


def whole_row(stage: Stage, project: Project, planned: Stage, whole: Project) -> list[str]:
    """What the same stage would take for all of a data set, by as much as its jobs go through more: an upper bound."""
    growth, jobs = grown(stage, project, planned, whole), len(planned.jobs)
    longest = max(start + growth * work for start, work in zip(stage.starts, stage.work))
    return [
        *named(stage),
        str(jobs),
        f"{planned.asked('runtime')} / {number(longest / 60)}",
        number(jobs * longest / 3600),
        number(jobs * growth * stage.written / len(stage.used) / 1e9),
        f"{planned.asked('mem_mb')} / {stage.peak_mb:.0f}",
    ]


def grown(stage: Stage, project: Project, planned: Stage, whole: Project) -> float:
    """How much more a job of the whole data set goes through than the measured one: of what grows most."""
    before, after = (at.items(of.jobs[0]) for at, of in ((project, stage), (whole, planned)))
    ratios = [b / a for a, b in zip(before, after) if a]
    if stage.rule in SQUARED:
        ratios.append((after.frames / before.frames) ** 2)
    return max([1.0, *ratios])


def growth_rows(few: Sequence[Stage], many: Sequence[Stage]) -> Rows:
    """Peak memory of each stage at two numbers of frames, and how much it grows."""
    peaks = {(stage.dataset, stage.name): stage.peak_mb for stage in many}
    rows = []
    for stage in few:
        after = peaks[stage.dataset, stage.name]
        rows.append([*named(stage), f"{stage.peak_mb:.0f}", f"{after:.0f}", f"{after / stage.peak_mb - 1:+.1%}"])
    return rows


def named(stage: Stage) -> list[str]:
    note = NOTES.get(stage.rule)
    return [stage.dataset, f"{stage.name} ({note})" if note else stage.name]


def number(value: float) -> str:
    """Two digits after the point, fewer where three digits count."""
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def table(header: Sequence[str], rows: Rows, *, markdown: bool) -> Iterator[str]:
    """Lines of a table: for a document, or in columns for a terminal."""
    if markdown:
        yield from (f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))
        return
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    yield from ("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in (header, *rows))


def report(given: argparse.Namespace, folder: Path) -> Iterator[str]:
    """All lines of output."""
    names = given.data or list(KINDS)
    kinds = {name: tiny(KINDS[name]) if given.tiny else KINDS[name] for name in names}
    sizes = [Size(frames, given.cells, given.images) for frames in given.frames]
    if given.tiny:
        sizes = [TINY._replace(frames=frames) for frames in given.frames]
    found = [run(folder / f"{size.frames}", kinds, size, small=given.tiny) for size in sizes]
    yield f"{processor()}; Python {sys.version.split()[0]}"
    for size, (_, stages) in zip(sizes, found):
        yield f"\n{size.frames} frames a sequence, {size.cells} synthetic cells, {size.images} synthetic images:\n"
        yield from table(MEASURED, [measured_row(stage) for stage in stages], markdown=given.markdown)
    if len(found) > 1:
        counts = [f"peak with {size.frames} frames, MB" for size in (sizes[0], sizes[-1])]
        yield "\nGrowth of peak memory with the number of frames:\n"
        rows = growth_rows(found[0][1], found[-1][1])
        yield from table(["data", "stage", *counts, "growth"], rows, markdown=given.markdown)
    yield f"\nAt most, with all frames of the data set, {PAPER.cells} cells and {PAPER.images} images:\n"
    yield from table(WHOLE, whole_rows(*found[-1], folder, names), markdown=given.markdown)


def whole_rows(project: Project, stages: Sequence[Stage], folder: Path, names: Sequence[str]) -> Rows:
    """The table of `WHOLE`, for one data set after the other: each has a number of frames of its own."""
    rows = []
    for name in names:
        kind = project.kinds[name]
        whole = Project(folder / f"whole-{name}", {name: kind}, PAPER._replace(frames=kind.sequence_frames))
        whole.link_frames(project)
        planned = {stage.name: stage for stage in whole.plan()}
        ran = [stage for stage in stages if stage.dataset == name]
        rows += [whole_row(stage, project, planned[stage.name], whole) for stage in ran]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=list(KINDS), nargs="+", help="data sets; all of them if not given")
    parser.add_argument("--frames", type=int, nargs="+", default=None, help="frames of a sequence (4); two: growth")
    parser.add_argument("--images", type=int, default=20, help="synthetic images")
    parser.add_argument("--cells", type=int, default=PAPER.cells, help="synthetic cells")
    parser.add_argument("--tiny", action="store_true", help="small frames, few cells and images, two frames")
    parser.add_argument("--markdown", action="store_true", help="tables for a document")
    parser.add_argument("--folder", type=Path, help="new folder to work in and keep; a temporary one if not given")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # the job that runs is ended as well
    given.frames = given.frames or [TINY.frames if given.tiny else 4]
    with tempfile.TemporaryDirectory(prefix="cellcascade-scale-") as scratch:
        for line in report(given, (given.folder or Path(scratch)).absolute()):
            print(line, flush=True)


if __name__ == "__main__":
    main()
