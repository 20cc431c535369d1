"""What a data set's page is made from, grouped by its parts. No rules."""


def grouped(*names):
    """Parameter function: some of the job's inputs by their names."""
    return lambda wildcards, input: {name: path_or_paths(input.get(name)) for name in names}


def path_or_paths(given):
    """A file as its path, files as a list of paths."""
    return str(given) if isinstance(given, str) else [str(path) for path in given]


def image_files(wildcards, input):
    """Parameter function: the synthetic images, the real frames beside them, and what the check of these found."""
    files = {"synthetic": str(input.synthetic), "checked": str(input.checked)}
    return {**files, "recording": real_frames(wildcards, input)}


def evaluation_files(wildcards, input):
    """Parameter function: tables of the evaluation, and the predictions with the frames that they are of."""
    predictions = path_or_paths(input.predictions)
    recording = test_frames(wildcards, input) if predictions else None
    return {"tables": tables(wildcards.dataset), "predictions": predictions, "test_recording": recording}


def work_files(wildcards, input):
    """Parameter function: logs of the trainings and Snakemake's benchmarks."""
    logs = {"mask model": str(input.mask_training), "texture model": str(input.texture_training)}
    return {"training": logs, "benchmarks": f"benchmarks/{wildcards.dataset}"}
