"""What the check can find: each kind with its meaning and its cure. docs/troubleshooting.md is made from these."""

from dataclasses import dataclass, field
from enum import IntEnum

from cellcascade.report.pictures import Picture


class Level(IntEnum):
    """How much a finding matters: an error stops the run before any training."""

    NOTE = 0
    WARNING = 1
    ERROR = 2

    @property
    def word(self) -> str:
        """The level as text."""
        return self.name.lower()


@dataclass(frozen=True)
class Kind:
    """A kind of finding.

    Attributes:
        level: How much it matters.
        title: What is wrong, one clause.
        meaning: What it does to the results, and where it usually comes from.
        cure: What to do about it.
    """

    level: Level
    title: str
    meaning: str
    cure: str


@dataclass(frozen=True)
class Finding:
    """Something that the check found.

    Attributes:
        code: Its kind, a key of `KINDS`.
        found: What was found, with numbers.
        where: The file or folder that it concerns.
        cure: What to do about it; empty: what its kind says.
        pictures: What shows it.
        accepted: Whether the configuration says that it is known and shall not stop the run.
    """

    code: str
    found: str
    where: str
    cure: str = ""
    pictures: tuple[Picture, ...] = field(default=(), repr=False)
    accepted: bool = False

    @property
    def level(self) -> Level:
        """Its kind's level; an accepted error is a warning."""
        level = KINDS[self.code].level
        return min(level, Level.WARNING) if self.accepted else level

    @property
    def title(self) -> str:
        """Its kind's title."""
        return KINDS[self.code].title

    @property
    def fix(self) -> str:
        """What to do about it."""
        return self.cure or KINDS[self.code].cure


KINDS = {
    "unreadable": Kind(
        Level.ERROR,
        "Frames or annotations cannot be used",
        "A file is missing, damaged, of another shape or type than the others, or has no partner.",
        "the message names each file, with what was found and what was expected",
    ),
    "masks_do_not_fit": Kind(
        Level.ERROR,
        "Masks do not fit their frames",
        "Inside the masks, the pixels look like those outside. The models would learn shapes and textures of nothing. "
        "Usual causes: masks that were shifted, mirrored or transposed on export, or paired with other frames.",
        "look at the pictures; export the masks again, or correct the names that pair them with frames",
    ),
    "some_masks_do_not_fit": Kind(
        Level.WARNING,
        "The masks of some frames do not fit",
        "Most masks fit their frames; those of single frames do not, or show cells that cannot be told from the rest.",
        "look at the pictures; correct these annotations, or leave the frames out with train_frames",
    ),
    "foreground_mask": Kind(
        Level.ERROR,
        "The annotations are foreground masks: all cells have the same number",
        "Every cell needs a number of its own; of a mask of 0 and 255 nobody can tell where one cell ends.",
        "set split_labels: true in the data set's entry, then each connected piece is a cell, and cells that touch "
        "are one; or write instance labels",
    ),
    "merged_labels": Kind(
        Level.WARNING,
        "Several cells have the same number",
        "A label in several large pieces is no single cell, and is left out. Usual causes: labels that were counted "
        "modulo a number, joined from tiles, or classes instead of cells.",
        "set split_labels: true in the data set's entry, then each connected piece is a cell; or number the cells anew",
    ),
    "interpolated_labels": Kind(
        Level.WARNING,
        "Labels were interpolated",
        "Slivers of other labels surround the cells: the numbers between two labels, as a resize with interpolation "
        "makes them. They are not counted as cells, but the outlines are wrong by a pixel or two, and cells whose "
        "number reappears in a sliver are left out.",
        "resize the labels with nearest-neighbour interpolation (order 0)",
    ),
    "fragments": Kind(
        Level.WARNING,
        "Many annotated objects are specks or slivers",
        "They are nowhere three pixels wide and much smaller than the others. They are not counted as cells.",
        "remove them from the annotations, for example with skimage.morphology.remove_small_objects",
    ),
    "no_cells": Kind(
        Level.ERROR,
        "No cell is annotated",
        "All annotations that were looked at are empty.",
        "check that the annotations were exported, and that 0 means background in them",
    ),
    "empty_annotations": Kind(
        Level.WARNING,
        "Some annotations are empty",
        "Frames without a cell count as frames without cells: synthetic images will be as empty.",
        "leave frames that nobody annotated out with train_frames, or remove their annotations",
    ),
    "no_usable_cell": Kind(
        Level.ERROR,
        "No annotated cell can be used",
        "A usable cell is in one piece, off the border, large enough, and fits into a crop.",
        "change crops.size, crops.min_area or crops.margin, or annotate more cells",
    ),
    "few_usable_cells": Kind(
        Level.WARNING,
        "Few annotated cells can be used",
        "The models learn from the usable cells alone: from less than about thirty, they learn little but copies.",
        "annotate more frames, or remove what makes cells unusable",
    ),
    "crop_too_small": Kind(
        Level.WARNING,
        "Many cells do not fit into a crop",
        "Cells that are too large for crops.size are left out: synthetic cells will be smaller than real ones.",
        "raise crops.size",
    ),
    "no_background": Kind(
        Level.ERROR,
        "No frame shows background",
        "Every pixel is a cell or close to one, so the background of synthetic images cannot be learned.",
        "add frames with a part that shows no cells, or set background_from to a data set whose frames show some; "
        "check that 0 means background in the annotations",
    ),
    "little_background": Kind(
        Level.WARNING,
        "There is little background",
        "Less than 2 % of the pixels are away from cells: the background of synthetic images is a guess.",
        "add frames with fewer cells",
    ),
    "flat_background": Kind(
        Level.NOTE,
        "The background has no noise",
        "Most background pixels have the same counts, as in masked, thresholded or simulated frames, and so will the "
        "synthetic images.",
        "nothing, if the images to be segmented look the same; else take frames before they were masked",
    ),
    "blank_frames": Kind(
        Level.ERROR,
        "Frames are blank",
        "All pixels of a frame have the same counts.",
        "export the frames again, or leave them out with train_frames",
    ),
    "saturated": Kind(
        Level.WARNING,
        "Cells are saturated",
        "Many pixels of cells have the largest counts that there are: their texture is lost, and synthetic cells will "
        "be as flat.",
        "take frames with a shorter exposure, or from before their contrast was stretched",
    ),
    "duplicate_frames": Kind(
        Level.WARNING,
        "Two frames have the same pixels",
        "The same frame counts twice.",
        "remove one of them, with its annotation",
    ),
    "leaked_frames": Kind(
        Level.WARNING,
        "Frames of the test sequence are training frames",
        "The test would know its answers: scores and the search for copies would mean nothing.",
        "put other frames into the test sequence, or set test_sequence: null",
    ),
    "weights": Kind(
        Level.ERROR,
        "Weights to start from cannot be used",
        "A model that is to be fine-tuned, or a network that is to be trained on, is missing, damaged or of another "
        "version.",
        "the message says which, and how to get it",
    ),
    "gpu_missing": Kind(
        Level.ERROR,
        "There is no GPU, and the configuration asks for one",
        "device: cuda lets jobs fail that see no GPU.",
        "set device: auto, or run on a machine with a GPU and its driver",
    ),
    "no_gpu": Kind(
        Level.NOTE,
        "There is no GPU",
        "Models are trained on the CPU, and the configured trainings take hours or days there.",
        "add presets/cpu.yaml after your file: --configfile mine.yaml presets/cpu.yaml; or run on a machine with a GPU",
    ),
    "memory": Kind(
        Level.WARNING,
        "Some jobs ask for more memory than there is",
        "Rules ask for more than most jobs need, but a job may be killed.",
        "lower what grows with the job (crops.size, reconstruction.resolution, shards), or use a larger machine",
    ),
    "disk": Kind(
        Level.WARNING,
        "The disk is too small for the results",
        "A run stops when its disk is full; what is there already is kept, and it goes on when there is room.",
        "free some space, run in a folder on another disk, or lower images",
    ),
    "no_scheduler": Kind(
        Level.ERROR,
        "The commands of the cluster are missing",
        "Jobs are sent by the scheduler's own commands; without them Snakemake would wait for ever.",
        "run on the login node, load the cluster's module, or leave --profile out to run here",
    ),
    "voxel_size": Kind(
        Level.WARNING,
        "Cells have an unlikely size",
        "With the configured voxel_size_um, the median cell is smaller than 3 or larger than 30 µm. Distances between "
        "slices, and the reach of the populations, depend on it.",
        "correct voxel_size_um: micrometres per pixel, ordered (z,) y, x",
    ),
}
