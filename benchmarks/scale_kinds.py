"""What the frames of the paper's data sets are like: shapes, density, counts. Imports nothing that takes memory."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Kind:
    """What the frames of a data set are like.

    Attributes:
        folder: CTC folder, as config.yaml names it.
        shape: Shape of a frame, ([z,] y, x), pixels.
        dtype: Type of the counts.
        voxel_size_um: Size of a pixel, ([z,] y, x), micrometres.
        cells: Cells of a frame.
        width: Mean width of a cell, pixels.
        offset: Counts of the camera without light.
        background: Counts of the background above the offset.
        brightness: Counts of a cell above the offset.
        spread: How far a cell may lie from where a tight cluster has it, as a share of the frame.
        sequence_frames: Annotated frames of a sequence of the real data set, at most.
        crop: Edge of the crops, pixels.
    """

    folder: str
    shape: tuple[int, ...]
    dtype: str
    voxel_size_um: tuple[float, ...]
    cells: int
    width: int
    offset: int
    background: int
    brightness: int
    spread: float
    sequence_frames: int
    crop: int = 128

    @property
    def depth(self) -> int:
        """Slices of a frame; 1 in 2D."""
        return self.shape[0] if len(self.shape) == 3 else 1


KINDS = {
    "CE": Kind(
        folder="Fluo-N3DH-CE",
        shape=(35, 512, 708),
        dtype="uint8",
        voxel_size_um=(1.0, 0.09, 0.09),
        cells=150,
        width=52,
        offset=0,
        background=12,
        brightness=90,
        spread=0.15,
        sequence_frames=250,
    ),
    "CHO": Kind(
        folder="Fluo-N3DH-CHO",
        shape=(5, 443, 512),
        dtype="uint8",
        voxel_size_um=(1.0, 0.202, 0.202),
        cells=11,
        width=70,
        offset=0,
        background=10,
        brightness=80,
        spread=1.0,
        sequence_frames=92,
    ),
    "HeLa": Kind(
        folder="Fluo-N2DL-HeLa",
        shape=(700, 1100),
        dtype="uint16",
        voxel_size_um=(0.645, 0.645),
        cells=300,
        width=22,
        offset=32_800,
        background=200,
        brightness=1500,
        spread=0.4,
        sequence_frames=92,
    ),
}


def tiny(kind: Kind) -> Kind:
    """The same with small frames and few small cells, for tests: the same paths in seconds."""
    shape = (min(kind.depth, 8), 112, 128)[-len(kind.shape) :]
    height = [size / 4 for size in kind.voxel_size_um[:-2]]  # so that small cells have several slices
    return replace(
        kind,
        shape=shape,
        voxel_size_um=(*height, *kind.voxel_size_um[-2:]),
        cells=5,
        width=16,
        crop=32,
        sequence_frames=4,
    )
