"""Draw docs/images/pipeline.svg, the way from annotated frames to images, from the results of the demo.

After `make demo`, in the repository's root: python docs/images/make_pipeline.py
"""

import argparse
import base64
import colorsys
import io
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.segmentation import find_boundaries

from cellcascade.data.ngff import read_image
from cellcascade.data.recording import Recording
from cellcascade.data.stores import CROPS, MASKS, SLICES, TEXTURES, VIEWS, VOLUMES

TILE, GAP, LEFT, TOP, ROW = 94, 34, 46, 64, 116  # pixels of the drawing
STAGES = ["your frames", "crops", "masks", "views", "volumes", "slices", "textures", "images"]
METHODS = [
    ("some of them", "annotated"),
    ("one cell each,", "alone"),
    ("diffusion makes", "new outlines"),
    ("what the cell shows", "from all sides"),
    ("the body that", "fits the views"),
    ("cut along z,", "as the microscope does"),
    ("diffusion guided", "by the mask"),
    ("cells on background,", "with exact labels"),
]
CELL_2D, CELL_3D = 5, 11  # cells of the demo that are shown
STYLE = """
text { font-family: -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; text-anchor: middle; }
.stage { font-size: 14px; font-weight: 600; } .method { font-size: 11px; fill: #57606a; }
.row { font-size: 17px; font-weight: 700; fill: #0550ae; }
.arrow { stroke: #57606a; stroke-width: 1.8; fill: none; marker-end: url(#head); }
"""


def png(pixels: np.ndarray) -> str:
    """Pixels `(y, x)` or `(y, x, 3)`, uint8, as the address of an embedded PNG file."""
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    if pixels.ndim == 3:
        image = image.quantize(64)
    image.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def grey(counts: np.ndarray, window: tuple[float, float], edge: int = 128) -> np.ndarray:
    """Counts `(y, x)` for the eye: square root within a window, enlarged, uint8."""
    unit = np.sqrt(np.clip((counts.astype(float) - window[0]) / (window[1] - window[0]), 0, 1))
    return np.asarray(Image.fromarray((unit * 255).astype(np.uint8)).resize((edge, edge), Image.Resampling.BICUBIC))


def white(mask: np.ndarray, edge: int = 128) -> np.ndarray:
    """A mask `(y, x)` in white on black, enlarged, uint8."""
    fine = Image.fromarray(mask.astype(np.float32)).resize((edge, edge), Image.Resampling.BICUBIC)
    return np.where(np.asarray(fine) > 0.5, 245, 20).astype(np.uint8)


def montage(pictures: list[np.ndarray]) -> np.ndarray:
    """Nine grey pictures `(y, x)` in rows of three, with lines between them."""
    framed = [np.pad(picture, 1, constant_values=110) for picture in pictures]
    return np.vstack([np.hstack(framed[start : start + 3]) for start in (0, 3, 6)])


def enlarged(labels: np.ndarray, edge: int = 128) -> np.ndarray:
    """Labels `(y, x)` at another size."""
    return np.asarray(Image.fromarray(labels.astype(np.int32)).resize((edge, edge), Image.Resampling.NEAREST))


def fullest(labels: np.ndarray) -> int:
    """The slice of labels `(z, y, x)` with the most cells."""
    return int(np.argmax([len(np.unique(plane)) for plane in labels]))


def outlined(picture: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A grey picture `(y, x)` with the outlines of its labels in yellow, `(y, x, 3)`."""
    rgb = np.repeat(picture[..., None], 3, 2)
    rgb[find_boundaries(labels, mode="inner")] = (255, 196, 0)
    return rgb


def half_labelled(picture: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A grey picture `(y, x)` whose lower right half shows the labels in colours, `(y, x, 3)`."""
    hues = (0.618 * np.arange(int(labels.max()) + 1)) % 1  # the golden ratio keeps the hues of successive labels apart
    palette = np.array([[round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.6, 1)] for hue in hues], np.uint8)
    palette[0] = 20
    rgb = np.repeat(picture[..., None], 3, 2)
    y, x = np.indices(picture.shape)
    lower = x + y > picture.shape[0]
    rgb[lower] = palette[labels[lower]]
    return rgb


def lit(depth: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """A surface `(y, x)`, given by its distance to the viewer in pixels, lit from the upper left, uint8."""
    y, x = np.gradient(ndimage.gaussian_filter(np.where(inside, depth, depth[inside].max()), 1.0))
    length = np.sqrt(x**2 + y**2 + 1)
    light = np.clip((0.45 * x + 0.45 * y + 0.77) / length, 0, 1)
    return np.where(inside, 60 + 190 * light, 20).astype(np.uint8)


def lit_views(views: np.ndarray) -> np.ndarray:
    """Four views `(v, c, y, x)` of a cell with depth, lit, in a square."""
    rows = []
    for distance, middle, squared in views[::2]:
        edge = distance.shape[-1]
        fine = [ndimage.zoom(plane, 2, order=3) for plane in (distance, middle, squared)]
        front = (fine[1] - np.sqrt(np.clip(fine[2], 0, None))) * edge
        rows.append(lit(front, fine[0] > 0))
    return np.vstack([np.hstack(rows[:2]), np.hstack(rows[2:])])


def lit_body(sdf: np.ndarray) -> np.ndarray:
    """A body, its signed distance `(z, y, x)` positive inside, lit and seen from the side and above."""
    turned = ndimage.rotate(sdf.astype(np.float32), 35, (0, 1), reshape=False, mode="nearest")
    turned = ndimage.rotate(turned, 30, (0, 2), reshape=False, mode="nearest")
    turned = ndimage.zoom(turned, 2, order=1)
    first, inside = (turned > 0).argmax(0), (turned > 0).any(0)
    behind, before = (np.take_along_axis(turned, np.maximum(first - step, 0)[None], 0)[0] for step in (0, 1))
    step = np.where(inside & (first > 0), behind / np.where(behind > before, behind - before, 1), 0)
    return lit(first - step, inside)


class Drawing:
    """An SVG drawing of two rows of tiles."""

    def __init__(self):
        self.width, self.height = LEFT + len(STAGES) * (TILE + GAP) - GAP + 20, TOP + ROW + TILE + 20
        self.parts: list[str] = []

    def place(self, column: int, row: int) -> tuple[float, float]:
        """Upper left corner of a tile."""
        return LEFT + column * (TILE + GAP), TOP + row * ROW

    def tile(self, column: int, row: int, pixels: np.ndarray) -> None:
        """One picture."""
        x, y = self.place(column, row)
        self._image(x, y, TILE, pixels)

    def sheets(self, column: int, row: int, stack: list[np.ndarray]) -> None:
        """Slices one behind the other, the last one in front."""
        x, y = self.place(column, row)
        step = 9
        edge = TILE - step * (len(stack) - 1)
        for index, pixels in enumerate(stack):
            back = len(stack) - 1 - index
            self._image(x + back * step, y + index * step, edge, pixels)

    def arrow(self, start: int, stop: int, row: int) -> None:
        """An arrow from one column's tile to another one's."""
        x, y = self.place(start, row)
        self.parts.append(f'<path class="arrow" d="M{x + TILE + 6} {y + TILE / 2}H{self.place(stop, row)[0] - 9}"/>')

    def text(self, x: float, y: float, words: str, kind: str) -> None:
        """Words about a point."""
        self.parts.append(f'<text class="{kind}" x="{x:g}" y="{y:g}">{words}</text>')

    def _image(self, x: float, y: float, edge: float, pixels: np.ndarray) -> None:
        box = f'x="{x:g}" y="{y:g}" width="{edge:g}" height="{edge:g}"'
        self.parts.append(f'<image {box} href="{png(pixels)}"/>')
        self.parts.append(f'<rect {box} fill="none" stroke="#8c959f" stroke-width="1"/>')

    def svg(self) -> str:
        """The text of the file; the drawing has a light ground of its own, so that it can be read on any page."""
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" width="{self.width}">'
        marker = (
            '<marker id="head" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="6" markerHeight="6" orient="auto">'
            '<path d="M0 0L8 4L0 8z" fill="#57606a"/></marker>'
        )
        ground = f'<rect width="{self.width}" height="{self.height}" rx="10" fill="#f6f8fa" stroke="#d0d7de"/>'
        title = "<title>From annotated frames to annotated synthetic images, stage by stage</title>"
        return "\n".join([head, title, f"<style>{STYLE}</style><defs>{marker}</defs>", ground, *self.parts, "</svg>\n"])


def draw_captions(drawing: Drawing) -> None:
    """Names of the stages above, what they do below, names of the rows at the left."""
    for column, (stage, lines) in enumerate(zip(STAGES, METHODS)):
        x = drawing.place(column, 0)[0] + TILE / 2
        drawing.text(x, 22, stage, "stage")
        for index, line in enumerate(lines):
            drawing.text(x, 39 + 13 * index, line, "method")
    for row, name in enumerate(("2D", "3D")):
        drawing.text(LEFT / 2, drawing.place(0, row)[1] + TILE / 2 + 6, name, "row")


def draw_2d(drawing: Drawing, results: Path, data: Path) -> None:
    """The row of the demo's nuclei."""
    crops, masks = CROPS.open(results / "crops.zarr.zip"), MASKS.open(results / "masks/shard-000.zarr.zip")
    textures = TEXTURES.open(results / "textures/shard-000.zarr.zip")
    window, recording = crops.record.window, Recording(data / "DSB2018-20x", "01", "GT", crops.record.voxel_size_um)
    frame, labels = recording.read(recording.frames()[0])
    here = np.s_[150:350, 250:450]
    drawing.tile(0, 0, outlined(grey(frame[here], window), enlarged(labels[here])))
    crop = int(np.argsort(crops["brightness"])[-200])
    drawing.tile(1, 0, outlined(grey(crops.read("image", crop), window), enlarged(crops.read("mask", crop))))
    drawing.tile(2, 0, white(masks.read("mask", CELL_2D)))
    drawing.tile(6, 0, grey(textures.read("image", CELL_2D)[0], window))
    made = read_image(results / "synthetic/img-00000.ome.zarr")
    image, cells = made.image[0][here].compute(), made.labels[0][here].compute()
    drawing.tile(7, 0, half_labelled(grey(image, window), enlarged(cells)))
    for start, stop in ((0, 1), (1, 2), (2, 6), (6, 7)):
        drawing.arrow(start, stop, 0)
    x = (drawing.place(3, 0)[0] + drawing.place(5, 0)[0] + TILE) / 2
    drawing.text(x, drawing.place(0, 0)[1] + TILE / 2 - 10, "in 2D, the mask itself gets a texture", "method")


def draw_3d(drawing: Drawing, results: Path, data: Path) -> None:
    """The row of the demo's embryo."""
    shard = "shard-000.zarr.zip"
    crops, masks = CROPS.open(results / "crops.zarr.zip"), MASKS.open(results / "masks" / shard)
    slices, textures = SLICES.open(results / "slices" / shard), TEXTURES.open(results / "textures" / shard)
    window = crops.record.window
    recording = Recording(data / "MouseEmbryo", "01", "ST", crops.record.voxel_size_um)
    stack, labels = recording.read(recording.frames()[0])
    busiest = fullest(labels)
    front = outlined(grey(stack[busiest], window), enlarged(labels[busiest]))
    drawing.sheets(0, 1, [*(grey(stack[busiest + apart], window) for apart in (8, 4)), front])
    crop = int(np.flatnonzero(crops["widest"])[6])
    drawing.tile(1, 1, outlined(grey(crops.read("image", crop), window), enlarged(crops.read("mask", crop))))
    drawing.tile(2, 1, white(masks.read("mask", CELL_3D)))
    drawing.tile(3, 1, lit_views(VIEWS.open(results / "views" / shard).read("views", CELL_3D)))
    drawing.tile(4, 1, lit_body(VOLUMES.open(results / "volumes" / shard).read("sdf", CELL_3D)))
    count = int(slices["n_slices"][CELL_3D])
    shown = np.linspace(0, count - 1, 9).round().astype(int)
    cut, painted = slices.read("mask", CELL_3D), textures.read("image", CELL_3D)
    drawing.tile(5, 1, montage([white(cut[z], 48) for z in shown]))
    drawing.tile(6, 1, montage([grey(painted[z], window, 48) for z in shown]))
    made = read_image(results / "synthetic/img-00002.ome.zarr")
    image, cells = made.image[0].compute(), made.labels[0].compute()
    busiest = fullest(cells)
    y, x = (slice(int(places.min()), int(places.max())) for places in np.nonzero(cells[busiest]))
    image, cells = image[:, y, x], cells[:, y, x]
    front = half_labelled(grey(image[busiest], window), enlarged(cells[busiest]))
    drawing.sheets(7, 1, [*(grey(image[busiest + apart], window) for apart in (8, 4)), front])
    for column in range(len(STAGES) - 1):
        drawing.arrow(column, column + 1, 1)


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results"), help="results of the demo")
    parser.add_argument("--data", type=Path, default=Path("demo/data"), help="data of the demo")
    parser.add_argument("--output", type=Path, default=Path("docs/images/pipeline.svg"), help="SVG to write")
    given = parser.parse_args()
    drawing = Drawing()
    draw_captions(drawing)
    draw_2d(drawing, given.results / "nuclei2d", given.data)
    draw_3d(drawing, given.results / "embryo3d", given.data)
    given.output.write_text(drawing.svg())


if __name__ == "__main__":
    main()
