"""The nine kinds of stores of the cascade, in its order: what each holds, array by array, and its record.

Axes: n items, v views, c channels, z y x pixels or voxels, s slices. Masks are 0 or 1, distances are positive inside.
"""

import numpy as np

from cellcascade.core.stages import STAGE_VERSIONS
from cellcascade.data.along_z import Fading
from cellcascade.data.layout import LayoutRecord
from cellcascade.data.shards import Array, Record, Schema

CELL = {"cell_id": Array("n", "int32"), "valid": Array("n", "uint8")}
CAMERAS = {"extrinsics": Array("v row column", "float32"), "intrinsics": Array("v row column", "float32")}


class CropsRecord(Record):
    """Record of a crops store.

    Attributes:
        sequence: The sequence, e.g. `01`.
        voxel_size_um: Size of a pixel, ([z,] y, x), micrometres.
        window: Counts that become black and white.
        frame_shape: Shape of the frames, ([z,] y, x), pixels.
        frame_dtype: Type of the frames' counts.
        frames: Numbers of the annotated frames.
        cut_by_border: By axis ([z,] y, x), whether the frame's border cuts an annotated cell.
        cells_per_frame: Number of cells of each densely annotated frame.
        cells_per_slice: Mean number of cells of the annotated slices, for each sparsely annotated frame.
        layout: How the cells of densely annotated frames lie, else the sections in annotated slices; `None` where
            there are too few to tell.
        heights: Height over width of the cells of stacks, from the smallest to the largest at equal steps of rank; none
            where too few are seen.
        fading: How cells fade along z that are annotated in single slices; `None` where too few are seen.
        neighbour_light: Share of the light around a cell that falls on a cell beside it.
        slice_likeness: Mean correlation of the counts within a cell, of its widest slice and of its neighbours;
            `None` in 2D, and where there are too few.
    """

    stage_version: int = STAGE_VERSIONS["crops"]
    sequence: str
    voxel_size_um: tuple[float, ...]
    window: tuple[float, float]
    frame_shape: tuple[int, ...]
    frame_dtype: str
    frames: tuple[int, ...]
    cut_by_border: tuple[bool, ...]
    cells_per_frame: tuple[int, ...]
    cells_per_slice: tuple[float, ...]
    layout: LayoutRecord | None = None
    heights: tuple[float, ...] = ()
    fading: Fading | None = None
    neighbour_light: float = 1.0
    slice_likeness: float | None = None

    @property
    def ndim(self) -> int:
        """Axes of a frame: 2 or 3."""
        return len(self.voxel_size_um)

    @property
    def largest(self) -> int:
        """Largest count that the camera's type can hold."""
        return int(np.iinfo(self.frame_dtype).max)


CROPS = Schema(
    "crops/2",
    {
        "image": Array("n y x", "uint16"),
        "mask": Array("n y x", "uint8"),
        "frame": Array("n", "int32"),
        "label": Array("n", "int32"),
        "z": Array("n", "int32"),
        "widest": Array("n", "uint8"),
        "area_ratio": Array("n", "float32"),
        "brightness": Array("n", "float32"),
        "background": Array("n", "float32"),
    },
    CropsRecord,
    items_per_chunk=256,
)


class BackgroundRecord(Record):
    """Record of a background model: what `population.background.Background` holds beside arrays, and its moments.

    Attributes:
        frame_shape: Shape of the real frames, ([z,] y, x), pixels.
        largest: Largest count that the camera's type can hold.
        z_decay: Share of a slice's signal that the next slice beyond a cell shows; 0 in 2D.
        fading: How cells fade towards their ends along z; `None` where their slices show it.
        mean: Mean of the background, counts.
        std: Its standard deviation, counts.
        skewness: Its skewness.
        things_per_frame: Bright things without a label that were cut out of each densely annotated frame.
        haze_widths: Widths of the Gaussians that spread the cells' light around them, pixels.
        haze_weights: Share of the light that each spreads.
    """

    stage_version: int = STAGE_VERSIONS["background"]
    frame_shape: tuple[int, ...]
    largest: int
    z_decay: float
    fading: Fading | None = None
    mean: float
    std: float
    skewness: float
    things_per_frame: tuple[int, ...] = ()
    haze_widths: tuple[float, ...] = ()
    haze_weights: tuple[float, ...] = ()


BACKGROUND = Schema(
    "background/3",
    {
        "fields": Array("field ... y x", "float32"),
        "levels": Array("level", "float32"),
        "residuals": Array("level score", "float32"),
        "correlation": Array("... y x", "float32"),
        "thing_image": Array("thing z y x", "uint16"),
        "thing_mask": Array("thing z y x", "uint8"),
        "thing_slices": Array("thing", "int32"),
        "thing_border": Array("thing axis", "int8"),
    },
    BackgroundRecord,
)


class CellsRecord(Record):
    """Record of a shard of synthetic cells.

    Attributes:
        reasons: Why cells are invalid, by their numbers.
    """

    reasons: dict[int, str] = {}


class MasksRecord(CellsRecord):
    """Record of a shard of masks; `redraws` counts the flawed samples that were drawn again."""

    stage_version: int = STAGE_VERSIONS["masks"]
    redraws: int


MASKS = Schema("masks/2", {"mask": Array("n y x", "uint8"), **CELL}, MasksRecord)


class ShapesRecord(Record):
    """Record of a shard of spherical-harmonic shapes; `shapes` is the first one and the one after the last."""

    stage_version: int = STAGE_VERSIONS["shapes"]
    shapes: tuple[int, int]


SHAPES = Schema(
    "spharm/3",
    {"views": Array("n v c y x", "float32"), "coeffs": Array("n sign degree order", "float32"), **CAMERAS},
    ShapesRecord,
    items_per_chunk=100,
)


class ViewsRecord(CellsRecord):
    """Record of a shard of views."""

    stage_version: int = STAGE_VERSIONS["views"]


VIEWS = Schema("views/3", {"views": Array("n v c y x", "float32"), **CAMERAS, **CELL}, ViewsRecord)


class VolumesRecord(CellsRecord):
    """Record of a shard of volumes; `method` is that of the reconstruction."""

    stage_version: int = STAGE_VERSIONS["volumes"]
    method: str


VOLUMES = Schema(
    "volumes/2",
    {
        "sdf": Array("n z y x", "float16"),
        "reprojection_iou": Array("n v", "float32"),
        "section_iou": Array("n", "float32"),
        **CELL,
    },
    VolumesRecord,
)


class SlicesRecord(CellsRecord):
    """Record of a shard of sliced cells; `spacing_um` is the distance of slices, micrometres."""

    stage_version: int = STAGE_VERSIONS["slices"]
    spacing_um: float


SLICES = Schema(
    "slices/2",
    {
        "mask": Array("n s y x", "uint8"),
        "n_slices": Array("n", "int32"),
        "widest": Array("n", "int32"),
        "section_iou": Array("n", "float32"),
        **CELL,
    },
    SlicesRecord,
)


class TexturesRecord(CellsRecord):
    """Record of a shard of textured cells.

    Attributes:
        background: Median background of the real crops, counts.
        redraws: Number of textures that missed their outline and were drawn again.
    """

    stage_version: int = STAGE_VERSIONS["textures"]
    background: float
    redraws: int


TEXTURES = Schema(
    "textures/3",
    {"image": Array("n s y x", "uint16"), "mask": Array("n s y x", "uint8"), "n_slices": Array("n", "int32"), **CELL},
    TexturesRecord,
)


class PredictionsRecord(Record):
    """Record of predictions on test frames; `seed` is the number of the training, `regime` what it learned from."""

    stage_version: int = STAGE_VERSIONS["predict_cellpose"]
    regime: str
    sequence: str


PREDICTIONS = Schema(
    "predictions/3",
    {
        "mask": Array("n ... y x", "uint16 uint32"),
        "probability": Array("n ... y x", "uint8"),
        "frame": Array("n", "int32"),
    },
    PredictionsRecord,
)
