"""Where the cells of each stage are, shard by shard, and which of them data sets share. No rules."""

# What the cells of a stage depend on, beside the models and all that the stages before it depend on.
CELLS_DEPEND_ON = {
    "masks": lambda data: (data.cells, data.mask_ddpm, data.population.focus),
    "views": lambda data: (),
    "volumes": lambda data: data.reconstruction,
    "slices": lambda data: (data.voxel_size_um, data.slicing),
    "textures": lambda data: data.texture,
}


@functools.cache
def home_of_cells(name, stage):
    """The data set in whose folder the cells of a stage are: the one whose models are used, if they are the same there.

    Data sets that share models share the random numbers, too. So the cells of a variant differ from the stage on that
    has other settings, and none of those before is made twice.
    """
    source = CONFIG.models_of(name)
    for earlier, settings in CELLS_DEPEND_ON.items():
        if settings(CONFIG.datasets[name]) != settings(CONFIG.datasets[source]):
            return name
        if earlier == stage:
            return source


def has_stage(name, stage):
    """Whether the cells of a data set go through a stage: those of 2D have no views, volumes and slices."""
    return name in {"views": WITH_VIEWS, "volumes": THREE_D, "slices": THREE_D}.get(stage, CONFIG.datasets)


def shards_of_stage(name, stage):
    """Paths of all shards of a stage of a data set; none if its cells do not go through it."""
    pattern = f"results/{home_of_cells(name, stage)}/{stage}/shard-{{shard}}.zarr.zip"
    return numbered(pattern, CONFIG.datasets[name].cells, CONFIG.shards.cells) if has_stage(name, stage) else []


def shards_of_cells(name):
    """Paths of the shards of all stages of a data set."""
    return [path for stage in CELLS_DEPEND_ON for path in shards_of_stage(name, stage)]


def cell_shards(stage):
    """Input function: all shards of a stage; none if the cells of the job's data set do not go through it."""
    return lambda wildcards: shards_of_stage(wildcards.dataset, stage)


def same_shard(stage):
    """Input function: the job's cells after an earlier stage; none if those of its data set do not go through it."""

    def path(wildcards):
        home = home_of_cells(wildcards.dataset, stage)
        return f"results/{home}/{stage}/shard-{wildcards.shard}.zarr.zip" if has_stage(wildcards.dataset, stage) else []

    return path


def flat_masks(wildcards):
    """The masks that get a texture in 2D; none in 3D, where slices do."""
    return [] if wildcards.dataset in THREE_D else same_shard("masks")(wildcards)
