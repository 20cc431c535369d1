"""What the rules of the evaluation share: tables, networks, and the data sets that a page compares. No rules."""

from cellcascade.config.cellpose_versions import ENVIRONMENTS, version_named
from cellcascade.evaluation.cellpose.weights import check_start, is_file


def tables_of(name):
    """Tables of a data set's evaluation: those of Cellpose and of FID where they are configured."""
    data, trained = CONFIG.datasets[name], networks_of(name)
    made = ["shape", "texture", "population"] + ["memorisation"] * data.has_tests
    return made + ["seg", "gain"] * bool(trained) + ["fid"] * bool(has_style(name) or data.evaluation.inception)


def tables(name):
    """Paths of a data set's evaluation tables, by name."""
    return {table: f"results/{name}/evaluation/{table}.csv" for table in tables_of(name)}


def networks_of(name):
    """Regime and seed of each Cellpose of a data set; weights that it starts from are scored as regime `none`."""
    data, evaluation = CONFIG.datasets[name], CONFIG.datasets[name].evaluation
    if not data.has_tests:
        return []
    trained = [(regime, seed) for regime in evaluation.regimes for seed in range(evaluation.seeds)]
    return trained + [("none", 0)] * bool(trained and evaluation.cellpose.start != "scratch")


def of_networks(file, seeds=None):
    """Input function: a file of each Cellpose of the job's data set, of those with one of the `seeds`."""

    def paths(wildcards):
        chosen = [(regime, seed) for regime, seed in networks_of(wildcards.dataset) if seeds is None or seed in seeds]
        return [f"{network_folder(wildcards.dataset, regime, seed)}/{file}" for regime, seed in chosen]

    return paths


def network_folder(name, regime, seed):
    """Folder of a Cellpose; without synthetic cells it is that of the data set of which this one is an ablation."""
    data = CONFIG.datasets[name]
    parent = CONFIG.datasets.get(CONFIG.parent_of(name))
    learned = ["annotated", "annotations", "channel", "labels", "voxel_size_um", "test_sequence", "kept_share"]
    learned += ["crops", "slicing", "population", "hardness", "export", "images"] * (regime == "copy_paste")
    shared = regime in ("none", "real", "copy_paste") and parent
    alike = shared and all(getattr(data, key) == getattr(parent, key) for key in learned)
    if alike and _trains(data.evaluation) == _trains(parent.evaluation):
        return network_folder(data.inherits, regime, seed)
    return f"results/{name}/evaluation/cellpose/{regime}-{seed}"


def _trains(evaluation):
    """What a Cellpose and its predictions depend on: not on which others there are."""
    return evaluation.model_dump(exclude={"regimes", "seeds", "inception"})


def cellpose_start(wildcards):
    """The weights that Cellpose starts from: none, a file, or the library's own, which rule cellpose_weights fetches.

    Ends with a message where a file cannot be used.
    """
    network = entry(wildcards).evaluation.cellpose
    start = network.start
    try:
        check_start(network)
    except InputError as error:
        stop({wildcards.dataset: error})
    if start == "scratch":
        return []
    return str(Path(start)) if is_file(start) else f"resources/cellpose/{start}"


def synthetic_images(wildcards):
    """The composed images that a Cellpose learns from; none in the regimes real and none."""
    kinds = {"copy_paste": "evaluation/copy_paste/images", "synthetic": "synthetic", "both": "synthetic"}
    return f"results/{wildcards.dataset}/{kinds[wildcards.regime]}" if wildcards.regime in kinds else []


def pasted_images(wildcards):
    """Number of images that real cells are pasted into: as many as Cellpose learns from."""
    data = entry(wildcards)
    return min(data.images, data.evaluation.cellpose.max_images)


def has_style(name):
    """Whether a Cellpose 3 is trained on the real frames: Cellpose 4 has no style vectors."""
    return ("real", 0) in networks_of(name) and CONFIG.datasets[name].evaluation.cellpose.version == 3


def style_network(wildcards):
    """The Cellpose whose style vectors stand in for Inception: the first one that was trained on the real frames."""
    name = wildcards.dataset
    return f"{network_folder(name, 'real', 0)}/model" if has_style(name) else []


def cellpose_environment(version):
    """The conda environment of a version of Cellpose."""
    return f"../../envs/{ENVIRONMENTS[version]}.yaml"


def test_frames(wildcards, input):
    """Parameter function: the recording that nothing of the job's data set learns from; no reason to remake."""
    return plain(held_out_recording(CONFIG, wildcards.dataset))


def usable_test_frames(wildcards, input):
    """The same where they can be used; else `None`: what needs them says why they cannot."""
    try:
        return test_frames(wildcards, input) if test_frames_of(wildcards.dataset) else None
    except InputError:
        return None


def test_annotated(wildcards):
    """Parameter function: how that recording is read, which is a reason to remake."""
    return how_read(held_out_recording(CONFIG, wildcards.dataset))


TESTED = [name for name in TRAINED if CONFIG.datasets[name].has_tests]


def findings(wildcards):
    """What the check found of the data set whose models the job's data set uses; of its test frames as well."""
    name = CONFIG.models_of(wildcards.dataset)
    return f"results/{name}/check/{'tests' if name in TESTED else 'findings'}.csv"


def compared_cells(wildcards):
    """The recording of the test sequence with the annotations whose cells the synthetic ones are compared with."""
    return held_out_recording(CONFIG, wildcards.dataset, test_annotations(wildcards))


def segmented_shape(name, recording, frame):
    """Shape of a data set's frame as Cellpose segments it, ([z,] y, x): do_3D stretches z to square pixels."""
    shape = recording.read_image(frame).shape
    if len(shape) == 2 or CONFIG.datasets[name].evaluation.cellpose.volumes == "stitch":
        return shape
    return math.ceil(shape[0] * recording.anisotropy), *shape[1:]


def segmented_planes(name, shape, frames):
    """Number of planes in annotated frames of this shape: of stacks the slices, by do_3D of three orientations.

    An estimate of a GPU's time for one of them is 0.1 s.
    """
    volumes, count = CONFIG.datasets[name].evaluation.cellpose.volumes, len({item.frame for item in frames})
    return count * (1 if len(shape) == 2 else shape[0] if volumes == "stitch" else sum(shape))


@functools.cache
def test_shape(name):
    """Shape of a data set's test frames as Cellpose segments them."""
    first = next(item for items in test_frames_of(name).values() for item in items)
    return segmented_shape(name, held_out_recording(CONFIG, name), first)


def test_voxels(wildcards):
    """Number of pixels or voxels in a test frame as Cellpose segments it."""
    return math.prod(test_shape(wildcards.dataset))


def test_planes(wildcards):
    """Number of planes in all test frames that Cellpose segments."""
    frames = [item for items in test_frames_of(wildcards.dataset).values() for item in items]
    return segmented_planes(wildcards.dataset, test_shape(wildcards.dataset), frames)


@functools.cache
def judged_shape(name):
    """Shape of a data set's training frames as Cellpose segments them."""
    return segmented_shape(name, training_recording(CONFIG, name), frames_of(name)[0])


def judging_memory(wildcards):
    """Megabytes, beyond a start of their own, that judging the annotated cells takes: of planes, and of a frame."""
    planes = entry(wildcards).evaluation.cellpose.max_images
    return 40 * planes + 7e-5 * math.prod(judged_shape(wildcards.dataset))


def judging_minutes(wildcards):
    """Minutes that judging the annotated cells takes: two trainings, and each frame is segmented once."""
    planes = segmented_planes(wildcards.dataset, judged_shape(wildcards.dataset), frames_of(wildcards.dataset))
    return 2 * 0.03 * judging_training(wildcards).steps + 0.002 * planes


def judging_training(wildcards):
    """How the networks are trained that judge the annotated cells."""
    data = entry(wildcards)
    return data.hardness.training(data.evaluation.training)


def hardness_table(wildcards):
    """How well networks found each real cell; none where all cells are drawn alike."""
    return source("hardness.csv")(wildcards) if entry(wildcards).population.focus else []


def test_crops_if_any(wildcards):
    """Crops of the test sequence; none where nothing is kept for tests."""
    return f"results/{wildcards.dataset}/evaluation/test_crops.zarr.zip" if entry(wildcards).has_tests else []


def inception_weights(wildcards):
    """The weights of Inception for FID: none, a file, or where rule inception_weights puts them."""
    given = entry(wildcards).evaluation.inception
    return {None: [], "download": INCEPTION_FILE}.get(given, given)


INCEPTION_FILE = "resources/inception/pt_inception-2015-12-05-6726825d.pth"

OVERVIEWS = {
    "overview": CONFIG.selected,
    "learning_curve": list(dict.fromkeys(name for curve in CONFIG.learning_curves for name in curve)),
    "ablations": list(dict.fromkeys(name for pair in CONFIG.ablations for name in pair)),
}


def compared(wildcards):
    """All tables of the data sets that an overview compares."""
    check_frames(OVERVIEWS[wildcards.page])
    return [path for name in OVERVIEWS[wildcards.page] for path in tables(name).values()]


def page_of(kind):
    """Input function of a target: its page and all that is kept of its data sets."""

    def paths(wildcards):
        names = OVERVIEWS[kind]
        if not names:
            sys.exit(f"No data set is part of {kind}: docs/configuration.md (datasets) says which entries are.")
        check_frames(names)
        return [f"results/{kind}/index.html", *(path for name in names for path in results_of(name))]

    return paths
