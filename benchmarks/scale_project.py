"""The workflow at scale: planned for made-up data sets, and run job by job, each in a process that is measured.

Imports nothing that takes memory; see `machine`.
"""

import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

from machine import Usage, watch
from scale_kinds import Kind

REPOSITORY = Path(__file__).parents[1]
PARTS = ("Snakefile", "workflow", "scripts", "envs", "config.yaml", "profiles")
FRAME = re.compile(r"t\d+\.tif")

# Rules with a GPU by what stands in for them, a task of `scale_jobs`; of these, MEASURED do part of the rule's work.
STAND_INS = {"train_mask_ddpm": "models", "train_texture": "models", "masks": "masks", "textures": "textures"}
MEASURED = {"volumes": "run", "train_cellpose": "prepare_planes", "predict_cellpose": "predict"}
LEFT_OUT = {"evaluate_fid"}  # needs a trained network
COPIED = {"volumes", "slices"}  # one shard is made, the others are its copies under other numbers
BACKGROUND_FRAMES = {2: 12, 3: 4}  # frames that the background is learned from, at most, by number of axes


class Size(NamedTuple):
    """How much there is of a data set, or how much a job goes through: frames of a sequence, cells, images."""

    frames: int = 0
    cells: int = 0
    images: int = 0


@dataclass
class Stage:
    """Jobs of one rule and data set.

    Attributes:
        dataset: Name of the data set, or `shared`.
        name: Name of the rule, with the regime of a Cellpose.
        jobs: Its jobs as planned.
        used: What those took that ran.
        starts: Seconds on a processor until each of those had imported what it needs.
        items: What each of those went through.
        written: Bytes that they wrote.
    """

    dataset: str
    name: str
    jobs: list[dict] = field(default_factory=list)
    used: list[Usage] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    items: list[Size] = field(default_factory=list)
    written: int = 0

    @property
    def rule(self) -> str:
        """Name of the rule."""
        return self.jobs[0]["rule"]

    @property
    def seconds(self) -> list[float]:
        """Time of each job; other work on the machine does not count, nor does a second core."""
        return [min(usage.seconds, usage.processor) for usage in self.used]

    @property
    def work(self) -> list[float]:
        """The same without the start."""
        return [max(seconds - start, 0.0) for seconds, start in zip(self.seconds, self.starts)]

    @property
    def peak_mb(self) -> float:
        """Peak memory of its largest job."""
        return max(usage.peak_mb for usage in self.used)

    def asked(self, resource: str) -> int:
        """The most that one of its jobs asks for: `mem_mb`, or `runtime` in minutes."""
        return max(job["resources"][resource] for job in self.jobs)


class Project:
    """The workflow in a folder of its own, with made-up data sets of the paper's shapes.

    Args:
        folder: The folder, empty.
        kinds: What the data sets are like, by name.
        size: How much there is of each.
        few_shapes: Whether a job makes few spherical-harmonic shapes, for tests.
    """

    def __init__(self, folder: Path, kinds: dict[str, Kind], size: Size, *, few_shapes: bool = False):
        self.folder, self.kinds, self.size = folder, kinds, size
        self._tasks = 0
        self._seen: set[int] = set()  # files that were counted
        self._in_shard: dict[str, int] = {}  # cells by their shard
        folder.mkdir(parents=True, exist_ok=True)
        for name in PARTS:
            (folder / name).symlink_to(REPOSITORY / name)
        settings = {"data_root": "data", "device": "cpu", "threads": 1, "run": list(kinds)}
        settings |= {"shapes": {"count": 4}} if few_shapes else {}
        settings["datasets"] = {name: self._entry(kind) for name, kind in kinds.items()}
        (folder / "scale.yaml").write_text(json.dumps(settings))

    def _entry(self, kind: Kind) -> dict:
        entry = {"voxel_size_um": kind.voxel_size_um, "crops": {"size": kind.crop}}
        entry |= {"images": self.size.images, "cells": self.size.cells}
        entry |= {"evaluation": {"regimes": ["real"], "seeds": 1}}
        return entry | ({"reconstruction": {"method": "spharm"}} if kind.depth > 1 else {})

    def write_frames(self) -> None:
        """Make all frames."""
        for kind in self.kinds.values():
            given = {"folder": f"data/{kind.folder}", "frames": self.size.frames, "kind": asdict(kind)}
            self._do("frames", given)

    def link_frames(self, other: "Project") -> None:
        """Take the frames of another project, again and again: planning reads their headers alone."""
        for source in sorted((other.folder / "data").rglob("*.tif")):
            first = int(re.search(r"\d{3}", source.name)[0])
            for frame in range(first, self.size.frames, other.size.frames):
                name = re.sub(r"\d{3}", f"{frame:03d}", source.name, count=1)
                target = self.folder / source.parent.relative_to(other.folder) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(source)

    def plan(self) -> list[Stage]:
        """All stages, in an order in which they can run."""
        targets = ["results/overview/index.html"]
        for name in self.kinds:
            targets += [f"results/{name}/report/index.html", f"results/{name}/evaluation/cellpose/both-0/model"]
            targets += [f"results/{name}/evaluation/copy_paste/images", f"results/{name}/export/stardist"]
        if any(kind.depth > 1 for kind in self.kinds.values()):
            targets.append("results/shared/spharm/shard-000.zarr.zip")
        self._do("plan", {"targets": targets, "configfiles": ["config.yaml", "scale.yaml"]})
        stages: dict[tuple[str, str], Stage] = {}
        for job in json.loads(self._task_file().read_text()):
            dataset, regime = (job["wildcards"].get(name) for name in ("dataset", "regime"))
            key = dataset or "shared", " ".join(filter(None, (job["rule"], regime)))
            stages.setdefault(key, Stage(*key)).jobs.append(job)
        for stage in stages.values():
            stage.jobs.sort(key=lambda job: sorted(job["wildcards"].items()))
            if stage.rule == "masks":
                self._in_shard |= {job["wildcards"]["shard"]: _length(job["params"]["cells"]) for job in stage.jobs}
        return _in_order(list(stages.values()))

    def run(self, stage: Stage) -> None:
        """Run the jobs of a stage, or make up what they would give; only what runs is measured.

        Raises:
            RuntimeError: A job failed, or a rule needs a GPU and nothing stands in for it.
        """
        kind = self.kinds.get(stage.dataset)
        given = {"kind": asdict(kind) if kind else None, "jobs": stage.jobs}
        for output in (path for job in stage.jobs for path in _paths(job["output"])):
            (self.folder / output).parent.mkdir(parents=True, exist_ok=True)
        if stage.rule in STAND_INS:
            self._do(STAND_INS[stage.rule], given)
        elif stage.rule not in LEFT_OUT:
            if "gpu" in stage.jobs[0]["resources"] and stage.rule not in MEASURED:
                raise RuntimeError(f"rule {stage.rule} needs a GPU: say in {Path(__file__).name} what stands in for it")
            here = stage.jobs[:1] if stage.rule in COPIED else stage.jobs
            for job in here:
                self._drop_missing_tables(job)
                stage.used.append(self._do(MEASURED.get(stage.rule, "run"), job))
                stage.starts.append(float(self._task_file(".start").read_text()))
                stage.items.append(self.items(job)._replace(**self._counted(job)))
                stage.written += self._written(_paths(job["output"]))
            if others := stage.jobs[len(here) :]:
                self._do("copies", given | {"made": here[0]["output"]["store"], "jobs": others})

    def items(self, job: dict) -> Size:
        """What a job goes through, as it is planned: frames, single cells, images."""
        rule, shard, given = job["rule"], job["wildcards"].get("shard"), list(_paths(job["input"]))
        of_crops = rule == "report" or ("crops" in job["input"] and rule.startswith("evaluate_"))
        frames = self.size.frames if of_crops else len({path for path in given if FRAME.fullmatch(Path(path).name)})
        if rule == "background":
            frames = min(frames, BACKGROUND_FRAMES[len(job["params"]["recording"]["voxel_size_um"])])
        if rule == "population":
            return Size(images=_length(job["params"]["images"]))
        if rule == "shapes":
            return Size(cells=_length(job["params"]["shapes"]))
        of_images = rule != "report" and any("/synthetic" in path or "/population/" in path for path in given)
        images = self.size.images if of_images else 0
        if rule == "train_cellpose":
            images = min(images, job["params"]["settings"]["max_images"])
        of_cells = job["input"].keys() & {"masks", "textures"}
        cells = self._in_shard[shard] if shard else self.size.cells if of_cells else 0
        return Size(frames, cells, images)

    def _counted(self, job: dict) -> dict[str, int]:
        """The cells that a job has written a row of a table for."""
        outputs = [self.folder / path for path in job["output"].values()]
        for table in (*outputs, *(path / "cells.csv" for path in outputs)):
            if table.name in ("crops.csv", "test_crops.csv", "cells.csv") and table.exists():
                with table.open(newline="") as file:
                    return {"cells": sum(1 for _ in csv.reader(file)) - 1}
        return {}

    def _drop_missing_tables(self, job: dict) -> None:
        """Of stages that were left out, a page says that they were not measured."""
        params, named = job["params"], []
        if job["rule"] == "report":
            named = [params["evaluation"]["tables"]]
        elif job["rule"] == "overview":
            named = list(params["datasets"].values())
        for tables in named:
            for name in [name for name, path in tables.items() if not (self.folder / path).exists()]:
                del tables[name]

    def _do(self, task: str, given: dict) -> Usage:
        """Run a task of `scale_jobs` in a process of its own."""
        self._tasks += 1
        self._task_file().write_text(json.dumps(given))
        command = [sys.executable, str(Path(__file__).with_name("scale_jobs.py")), task, str(self._task_file())]
        environment = {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(self.folder / ".cache")}
        return watch(command, folder=self.folder, log=self._task_file(".log"), environment=environment)

    def _task_file(self, suffix: str = ".json") -> Path:
        return self.folder / f"task-{self._tasks:03d}{suffix}"

    def _written(self, outputs: Iterable[str]) -> int:
        """Bytes of files that are new: links to files of an earlier stage take no room."""
        paths = [self.folder / name for name in outputs]
        files = (file for path in paths for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())
        new = {file.stat().st_ino: file.stat().st_size for file in files if file.stat().st_ino not in self._seen}
        self._seen |= new.keys()
        return sum(new.values())


def _in_order(stages: list[Stage]) -> list[Stage]:
    """Stages after those whose files they read."""
    made = {path: number for number, stage in enumerate(stages) for job in stage.jobs for path in _paths(job["output"])}
    needs = {
        number: {made[path] for job in stage.jobs for path in _paths(job["input"]) if path in made}
        for number, stage in enumerate(stages)
    }
    return [stages[number] for number in TopologicalSorter(needs).static_order()]


def _paths(named: dict) -> Iterator[str]:
    """All files of a job's inputs or outputs."""
    for value in named.values():
        yield from _listed(value)


def _length(limits: list[int]) -> int:
    """Number of items from the first one to the one after the last."""
    return limits[1] - limits[0]


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
