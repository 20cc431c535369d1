"""What `scale.py` runs, each in a process of its own and in the folder of its project: planning, made-up data, jobs.

python scale_jobs.py TASK FILE      FILE: the task's arguments as JSON; `plan` writes its answer there, and a job
beside it, to FILE.start, the seconds that it took a processor to import what it needs
"""

import json
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from scale_kinds import Kind

STAND_IN = b"stands in for a trained model"
ASKED = ("mem_mb", "runtime", "gpu")


def plan(file: Path, targets: list[str], configfiles: list[str]) -> None:
    """Write the jobs that the workflow plans for some targets: what their scripts get, and what they ask for."""
    from snakemake.api import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings, SnakemakeApi

    with SnakemakeApi(OutputSettings(dryrun=True)) as api:
        config = ConfigSettings(configfiles=[Path(name) for name in configfiles])
        workflow = api.workflow(ResourceSettings(), config_settings=config, snakefile=Path("Snakefile"))
        workflow.dag(DAGSettings(targets=set(targets))).execute_workflow(executor="dryrun")
        known = workflow._workflow.globals["config"]
        shared = {name: known[name] for name in ("shared", "on_cluster")}
        jobs = [_described(job) | {"config": shared} for job in workflow._workflow.dag.jobs]
    file.write_text(json.dumps(jobs))


def _described(job) -> dict:
    return {
        "rule": job.rule.name,
        "script": Path(job.rule.script).name,
        "wildcards": dict(job.wildcards_dict),
        "input": dict(job.input.items()),
        "output": dict(job.output.items()),
        "params": dict(job.params.items()),
        "resources": {name: value for name, value in job.resources.items() if name in ASKED},
        "threads": job.threads,
        "log": list(job.log),
    }


def run(job: dict, started: Callable[[], None]) -> None:
    """A job of the workflow, by its own script; without the job that only imports what it needs."""
    script = f"scripts/{job['script']}"
    runpy.run_path(script)
    started()
    runpy.run_path(script, init_globals={"snakemake": SimpleNamespace(**job)})


def prepare_planes(job: dict, started: Callable[[], None]) -> None:
    """The planes that a network learns from, every one cut; nothing is trained.

    What prediction needs of a network is left for it: a record like that of the training, and no weights.
    """
    from pydantic import TypeAdapter

    from cellcascade.config.settings import Cellpose, Training
    from cellcascade.core.logs import start_log
    from cellcascade.data.recording import Recording
    from cellcascade.evaluation.cellpose.planes import training_set
    from cellcascade.evaluation.cellpose.record import NetworkRecord

    started()
    start_log(job["log"][0])
    params, settings = job["params"], Cellpose(**job["params"]["settings"])
    recording = TypeAdapter(Recording).validate_python(params["recording"])
    synthetic = Path(job["input"]["synthetic"]) if job["input"]["synthetic"] else None
    batch = Training(**params["train"]).batch_size
    learned = training_set(params["regime"], recording, synthetic, settings, batch)
    counts = {kind: sum(1 for _ in zip(made.images, made.labels)) for kind, made in learned.planes.items()}
    Path(job["output"]["weights"]).write_bytes(STAND_IN)
    NetworkRecord(
        regime=params["regime"],
        version=settings.version,
        start="scratch",
        diameter=learned.diameter,
        network_diameter=settings.diameter_pixels,
        steps=0,
        real_share=learned.shares[0],
        planes=counts,
        images={kind: made.frames for kind, made in learned.planes.items()},
        train_frames=len({item.frame for item in learned.frames}),
        train_slices=None,
        train_cells=1,
    ).write(Path(job["output"]["record"]))


def predict(job: dict, started: Callable[[], None]) -> None:
    """Prediction and scoring by the job's own script; a threshold stands in for the network."""
    import numpy as np
    from scipy import ndimage

    from cellcascade.evaluation.cellpose import predict as stage
    from cellcascade.evaluation.predictions import Segmented

    def bright(_model, image: np.ndarray, **_options) -> Segmented:
        smooth = ndimage.uniform_filter(stage.normalise(image), 3)
        labels = ndimage.label(smooth > 0.5)[0].astype(np.uint16)
        return Segmented(labels, (255 * np.clip(smooth, 0, 1)).astype(np.uint8))

    stage.segment = bright
    stage.library = lambda version: SimpleNamespace(load=lambda weights, device: None, EVAL_OPTIONS={})
    run(job, started)


def models(jobs: list[dict]) -> None:
    """The files of trained models: logs of a few steps, and some bytes as weights."""
    tables = {
        "training.csv": "step,loss,learning_rate,seconds\n1,1.0,0.001,1\n2,0.5,0.001,2\n3,0.3,0.001,3\n",
        "rho.csv": "correlation,rho,synthetic,real,pairs\ncoarse,0.0,0.1,0.5,100\ncoarse,1.0,0.5,0.5,100\n",
    }
    for path in (Path(path) for job in jobs for path in job["output"].values()):
        path.write_bytes(tables[path.name].encode() if path.name in tables else STAND_IN)


def made_up(task: str, given: dict) -> None:
    """Frames, or cells in place of those that a model samples; see `scale_data`."""
    import scale_data

    kind = Kind(**given["kind"])
    if task == "frames":
        scale_data.write_folder(Path(given["folder"]), kind, given["frames"])
    elif task == "masks":
        scale_data.write_masks(kind, given["jobs"])
    elif task == "textures":
        scale_data.write_textures(given["jobs"])
    else:
        scale_data.copy_cells(Path(given["made"]), given["jobs"])


def main() -> None:
    task, file = sys.argv[1], Path(sys.argv[2])
    given = json.loads(file.read_text())
    if task == "plan":
        plan(file, **given)
    elif task in ("run", "prepare_planes", "predict"):
        step = {"run": run, "prepare_planes": prepare_planes, "predict": predict}[task]
        step(given, lambda: file.with_suffix(".start").write_text(f"{time.process_time()}"))
    elif task == "models":
        models(given["jobs"])
    else:
        made_up(task, given)


if __name__ == "__main__":
    main()
