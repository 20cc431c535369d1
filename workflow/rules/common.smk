"""What the rules share: the checked configuration, real data, names of shards, input functions. No rules."""

import dataclasses
import functools
import os
import re
import sys
from pathlib import Path

from snakemake.io import sourcecache_entry

from cellcascade.config.formats import Formats
from cellcascade.config.load import load_config, own_data_sets
from cellcascade.core.contents import digests_of_contents
from cellcascade.data.layouts.links import plain_name
from cellcascade.data.recording import held_out_recording, training_recording
from cellcascade.core.errors import InputError
from cellcascade.evaluation.cellpose.weights import check_start
from cellcascade.evaluation.scoring import reference_annotations
from cellcascade.core.seeds import seed_for
from cellcascade.data.shards import shard_name, shard_ranges
from cellcascade.core.stages import STAGE_VERSIONS

try:
    raw = own_data_sets(config, workflow.config_settings.overwrite_config)
    CONFIG = load_config(raw, ", ".join(dict.fromkeys(map(str, workflow.configfiles))))
except InputError as error:
    raise WorkflowError(str(error)) from None

# Jobs read these from here, not from their params: another value is no reason to make anything again.
config["shared"] = {
    "device": CONFIG.device,
    "max_invalid_fraction": CONFIG.max_invalid_fraction,
    "sampling_batches": {name: data.texture.sampling_batch for name, data in CONFIG.datasets.items()},
}
config["on_cluster"] = workflow.remote_exec

THREE_D = [name for name, entry in CONFIG.datasets.items() if entry.ndim == 3]
WITH_VIEWS = [name for name, entry in CONFIG.datasets.items() if entry.has_views]
TRAINED = [name for name, entry in CONFIG.datasets.items() if not entry.models_from]

# Settings that a trained model does not depend on, so that changing them samples again without training again.
SAMPLING = {"sampling_steps", "sampling_batch", "eta", "max_redraws", "guidance", "rho", "correlation", "sampler"}


def one_of(names):
    """Wildcard constraint: one of the names; without names, nothing matches."""
    return "|".join(map(re.escape, names)) or "(?!)"


wildcard_constraints:
    dataset=one_of(CONFIG.datasets),
    regime="none|real|copy_paste|synthetic|both",
    format=one_of(Formats.model_fields),
    seed=r"\d+",
    page="overview|learning_curve|ablations",
    shard=r"\d\d\d+",
    image_shard=r"\d\d\d+",


# --- configuration of a job ---------------------------------------------------------------------------------------


def entry(wildcards):
    """The complete settings of the job's data set."""
    return CONFIG.datasets[wildcards.dataset]


def block(settings, without=()):
    """A configuration block as plain values, the form in which Snakemake compares it with the last run's."""
    return settings.model_dump(mode="json", exclude=set(without))


def settings_of(name, without=()):
    """Parameter function: the block `name` of the job's data set."""
    return lambda wildcards: block(getattr(entry(wildcards), name), without)


def sampling(settings, without=()):
    """A model's block for its sampling: of its training only the precision, which it samples in too."""
    return block(settings, {"train", *without}) | {"train": {"precision": settings.train.precision}}


def seeded_as(wildcards):
    """Name that the random numbers of the job's cells and images depend on.

    A data set that reuses models shares the numbers as well: an ablation differs by its settings alone.
    """
    return CONFIG.models_of(wildcards.dataset)


def focus(wildcards):
    """How much more often the job's data set makes cells that a network may miss."""
    return entry(wildcards).population.focus


def cell_range(wildcards):
    """First cell of the job's shard and the one after its last."""
    return shard_ranges(entry(wildcards).cells, CONFIG.shards.cells)[int(wildcards.shard)]


def image_range(wildcards):
    """First image of the job's shard and the one after its last."""
    return shard_ranges(entry(wildcards).images, CONFIG.shards.images)[int(wildcards.image_shard)]


def shape_range(wildcards):
    """First shape of the job's shard and the one after its last."""
    return shard_ranges(CONFIG.shapes.count, CONFIG.shards.shapes)[int(wildcards.shard)]


# --- real data ----------------------------------------------------------------------------------------------------


def archives_to_fetch(wildcards):
    """Parameter function: archives of the data sets that `all` makes; ends with a message if none is known."""
    entries = [CONFIG.datasets[name] for name in CONFIG.selected]
    found = {
        entry.folder: {
            "folder": str(Path(CONFIG.data_root) / entry.folder),
            "source": entry.archive,
            "sha256": entry.archive_sha256,
        }
        for entry in entries
        if entry.archive
    }
    if not found:
        sys.exit("No data set that is run has an archive in the configuration: docs/configuration.md (datasets)")
    return list(found.values())


def stop(problems, sound=()):
    """End with one message for people; an exception from an input function would come wrapped in a traceback.

    `problems` holds an `InputError` for each data set that has one; the data sets `sound` have none.
    """
    count = f"{len(problems)} data sets cannot" if len(problems) > 1 else "A data set cannot"
    lines = [f"{count} be made, and nothing was run: {', '.join(problems)}"]
    lines += [f"{name}: {error}" for name, error in problems.items()]
    if sound:
        lines.append(f"The others are sound; `run: [{', '.join(sound)}]` in the configuration makes them alone.")
    elif not Path(CONFIG.data_root).is_dir():
        lines.append(WITHOUT_DATA.format(root=CONFIG.data_root))
    sys.exit("\n\n".join(lines))


WITHOUT_DATA = """There are no data in {root} yet. Ways to begin:
    make demo                                                    real cells that come with the workflow
    cellcascade init FOLDER --out mine.yaml                      images and masks of your own: docs/your-data.md
    snakemake download_ctc --cores 1                             fetches archives that the configuration names
    snakemake all --cores 2 --config data_root=PATH              data that lie elsewhere"""


@functools.cache
def frames_of(name):
    """Checked annotated frames of a data set's training sequence, by the headers of their files."""
    return training_recording(CONFIG, name).checked_frames()


@functools.cache
def test_frames_of(name):
    """Checked annotated frames of a data set's test sequence, by reference: gold, silver."""
    recording = held_out_recording(CONFIG, name)
    if recording is None:
        return {}
    return reference_annotations(recording, CONFIG.datasets[name].evaluation.max_test_frames)


def annotated_files(wildcards):
    """Frames and annotations that the models learn from: when what they hold changes, the data set is made again."""
    return files_of(wildcards.dataset, frames_of)


def test_files(wildcards):
    """Frames and annotations of the test sequence, which nothing learns from."""
    return files_of(wildcards.dataset, lambda name: [item for items in test_frames_of(name).values() for item in items])


def test_annotations(wildcards):
    """The annotation folder whose cells the synthetic ones are compared with: the denser silver truth if it is there."""
    try:
        return "ST" if "silver" in test_frames_of(wildcards.dataset) else "GT"
    except InputError as error:
        stop({wildcards.dataset: error})


def files_of(name, find):
    """Files of the annotated frames that `find` gives for a data set; ends with a message where they cannot be used."""
    try:
        return files_in(name, find(name))
    except InputError as error:
        stop({name: error})


def files_in(name, frames):
    """Files of annotated frames, each once, as inputs of which the contents count, neither dates nor the place.

    Snakemake compares inputs by their names and dates. As copies of what their contents are called, they have the same
    name wherever they lie, and another one when they change.
    """
    root, called = training_recording(CONFIG, name).folder, plain_name(Path(CONFIG.datasets[name].folder).name)
    paths = dict.fromkeys(path for item in frames for path in item.files)
    if patterns := [path for path in paths if re.search("[{}]", str(path))]:
        raise braces(patterns)
    digests = digests_of_contents(paths)
    names = {path: f"{called}/{os.path.relpath(path, root)}#{digests[path]}" for path in paths}
    return [sourcecache_entry(ancient(str(path)), names[path]) for path in paths]


def braces(paths):
    """The error for files whose names Snakemake would take for patterns."""
    return InputError(
        "Names of files hold braces",
        where=paths[0],
        found=f"{len(paths)} of them",
        expected="names without { and }",
        fix="rename the files, and the folders between them and the data set's folder",
    )


def plain(recording):
    """A recording as plain values, the form in which Snakemake hands it to a job.

    What was added to recordings later is left out at its default: it is no reason to make anything again.
    """
    values = {**dataclasses.asdict(recording), "folder": str(recording.folder)}
    added = {"layout", "part", "test_share", "channel", "labels", "split_labels", "ignore_label"}
    defaults = {field.name: field.default for field in dataclasses.fields(recording) if field.name in added}
    return {name: value for name, value in values.items() if name not in added or value != defaults[name]}


def how_read(recording):
    """How a recording is read, wherever it lies: the form in which Snakemake compares it with the last run's."""
    return {name: value for name, value in plain(recording).items() if name != "folder"}


def real_frames(wildcards, input):
    """Parameter function: the recording that the models of the job's data set learn from; no reason to remake."""
    return plain(training_recording(CONFIG, wildcards.dataset))


def real_annotated(wildcards):
    """Parameter function: how that recording is read, which is a reason to remake."""
    return how_read(training_recording(CONFIG, wildcards.dataset))


def background_source(wildcards):
    """The recording that the background of the job's data set is learned from: its own, unless it borrows one."""
    return training_recording(CONFIG, entry(wildcards).background_from or wildcards.dataset)


def background_files(wildcards):
    """Frames and annotations of that recording."""
    return files_of(entry(wildcards).background_from or wildcards.dataset, frames_of)


def background_frames(wildcards, input):
    """Parameter function: that recording; no reason to remake."""
    return plain(background_source(wildcards))


def background_annotated(wildcards):
    """Parameter function: how it is read, which is a reason to remake."""
    return how_read(background_source(wildcards))


def own_rim(wildcards, input):
    """Parameter function: pixels around cells that are not background; `None` where the background is borrowed."""
    return None if entry(wildcards).background_from else entry(wildcards).population.rim


# --- intermediate results -----------------------------------------------------------------------------------------


def numbered(pattern, total, size):
    """Paths of all shards of `total` items."""
    return [pattern.format(shard=shard_name(index)) for index in range(len(shard_ranges(total, size)))]


def image_shards(wildcards):
    """All shards of images."""
    return numbered(
        f"results/{wildcards.dataset}/population/shard-{{shard}}", entry(wildcards).images, CONFIG.shards.images
    )


def shape_shards(wildcards):
    """All shards of spherical-harmonic shapes."""
    return numbered("results/shared/spharm/shard-{shard}.zarr.zip", CONFIG.shapes.count, CONFIG.shards.shapes)


def source(path):
    """Input function: `path` below the results of the data set whose crops and models the job's data set uses."""
    return lambda wildcards: f"results/{CONFIG.models_of(wildcards.dataset)}/{path}"


def synthetic_sources(wildcards):
    """What a synthetic data set was made from; its record holds their digests."""
    name, models = wildcards.dataset, f"results/{CONFIG.models_of(wildcards.dataset)}"
    return [
        f"{models}/crops.zarr.zip",
        f"results/{name}/background.zarr.zip",
        f"{models}/models/mask_ddpm/model.safetensors",
        *(multiview_weights(wildcards) if name in WITH_VIEWS else []),
        f"{models}/models/texture/unet.safetensors",
        f"{models}/models/texture/controlnet.safetensors",
        *([f"{models}/hardness.csv"] if CONFIG.datasets[name].population.focus else []),
    ]


def record(wildcards):
    """The settings that a synthetic data set was made with."""
    settings = block(entry(wildcards), without={"evaluation", "formats"})
    if wildcards.dataset in THREE_D:
        settings |= {"multiview": block(CONFIG.multiview), "shapes": block(CONFIG.shapes)}
    return {"dataset": wildcards.dataset, "seed": CONFIG.seed, "config": settings}


def products(wildcards):
    """What `all` makes; all problems of all data sets come out here, before anything runs."""
    names = CONFIG.selected
    check_frames(names)
    return [path for name in names for path in results_of(name)] + ["results/overview/index.html"] * (len(names) > 1)


def check_frames(names):
    """Look at the frames and weights of data sets, and end with all their problems at once."""
    problems = {}
    for name in names:
        try:
            frames_of(name)
            test_frames_of(name)
            if name in WITH_VIEWS:
                check_multiview()
            texture_base_of(CONFIG.models_of(name))
            prior_files(CONFIG.datasets[CONFIG.models_of(name)].mask_ddpm.base, "mask_ddpm")
            say_memory(CONFIG.models_of(name))
            if networks_of(name):
                check_start(CONFIG.datasets[name].evaluation.cellpose)
            if CONFIG.datasets[name].population.focus:
                check_start(CONFIG.datasets[CONFIG.models_of(name)].evaluation.cellpose)
        except InputError as error:
            problems[name] = error
    if problems:
        stop(problems, [name for name in names if name not in problems])


def results_of(name):
    """All that is kept of a data set: Snakemake remakes a deleted shard only if something asks for it by name."""
    made = ["synthetic", "report/index.html", *(f"evaluation/{table}.csv" for table in tables_of(name))]
    return [f"results/{name}/{path}" for path in made] + shards_of_cells(name)
