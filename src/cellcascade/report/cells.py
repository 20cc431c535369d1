"""The part of a data set's page on single cells: real and synthetic ones, and the way from a mask to slices."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cellcascade.core.choice import evenly_spaced
from cellcascade.metrics.compare import compare_values
from cellcascade.metrics.consistency import Consistency, Kind, fitted_rho, measured_of
from cellcascade.report import charts, figures
from cellcascade.report.pictures import Display, Picture
from cellcascade.report.sources import CellEntry, CellSources

TILE = 128  # pixels on the page of one crop in a montage
EDGE, SLICE_EDGE = 160, 96  # pixels on the page of a cell in 3D and of one of its slices
COLUMNS, SHOWN, SHOWN_3D, SHOWN_SLICES, LINED_UP = 8, 24, 4, 10, 16
TURNS = ((0, 0), (45, 25), (90, 0))  # degrees about y, then towards the viewer
BINARY = Display((0.0, 1.0))
KINDS: dict[Kind, str] = {
    "coarse": "alike in their coarse structure, not in their grain",
    "eq2": "all slices of a cell equally alike",
    "ar1": "the less alike the further apart",
}


@dataclass(frozen=True)
class CellIn3D:
    """One cell from its mask to its textured slices.

    Attributes:
        title: Its number.
        facts: How well the volume and the slices agree with what they were made from.
        rows: Rows of pictures.
    """

    title: str
    facts: str
    rows: list[list[Picture]]


@dataclass(frozen=True)
class CellsPart:
    """What the page shows of single cells.

    Attributes:
        real: Some real cells.
        masks: Some synthetic masks.
        textured: The same cells with their texture.
        line_up: Real and synthetic cells, shuffled.
        line_up_key: Which of them are synthetic, counted in rows from 1.
        in_3d: Some cells from mask to slices; none in 2D.
        whole: Number of valid volumes.
        likeness: How alike neighbouring slices are, in words.
        histograms: Distributions of size, shape and intensity.
        intensity: The intensities in words.
        display: How counts are shown.
    """

    real: Picture
    masks: Picture
    textured: Picture
    line_up: Picture
    line_up_key: str
    in_3d: list[CellIn3D]
    whole: int
    likeness: str
    histograms: Picture
    intensity: str
    display: str


def cells_part(sources: CellSources, display: Display, made: Consistency) -> CellsPart:
    """Show single cells, real and synthetic.

    Args:
        sources: The cells.
        display: How counts are shown.
        made: How alike slices were made.
    """
    masks, some = sources.stages["masks"], evenly_spaced(sources.shown, SHOWN)
    whole = [number for number in sources.valid("volumes") if number in masks]
    histograms, intensity = distributions(sources)
    lined_up, key = line_up(sources, display)
    return CellsPart(
        real=real_crops(sources, display),
        masks=synthetic_masks(sources, some),
        textured=synthetic_cells(sources, some, display),
        line_up=lined_up,
        line_up_key=key,
        in_3d=[cell_in_3d(number, sources, display) for number in evenly_spaced(whole, SHOWN_3D)],
        whole=len(whole),
        likeness=likeness(sources.likeness, made),
        histograms=histograms,
        intensity=intensity,
        display=display.text,
    )


def real_crops(sources: CellSources, display: Display) -> Picture:
    """Some real cells, each on its widest slice."""
    rows = evenly_spaced(sources.widest.tolist(), SHOWN)
    images, masks = ([sources.crops.read(name, row) for row in rows] for name in ("image", "mask"))
    edge = images[0].shape[-1]
    caption = (
        f"{len(rows)} of {len(sources.widest)} real cells, crops of {edge} × {edge} pixels "
        f"({edge * sources.pixel_um:.4g} µm); neighbours replaced by background; {display.text}."
    )
    return _montage(images, display, caption, masks=masks)


def synthetic_masks(sources: CellSources, shown: Sequence[int]) -> Picture:
    """Masks of the cells that are shown with their texture as well."""
    tiles = [sources.stages["masks"][number].read("mask") for number in shown]
    caption = f"{len(tiles)} of {len(sources.valid('masks'))} valid synthetic masks, drawn by the mask model."
    return _montage(tiles, BINARY, caption)


def synthetic_cells(sources: CellSources, shown: Sequence[int], display: Display) -> Picture:
    """Textured cells; in 3D the widest slice of each."""
    pairs = [widest_slice(sources.stages["textures"][number]) for number in shown]
    which = ", each on its widest slice" if sources.stages["slices"] else ""
    caption = (
        f"The same {len(pairs)} of {len(sources.valid('textures'))} valid synthetic cells with texture{which}; "
        f"{display.text}, as above."
    )
    return _montage([image for image, _ in pairs], display, caption, masks=[mask for _, mask in pairs])


def line_up(sources: CellSources, display: Display) -> tuple[Picture, str]:
    """As many real as synthetic cells, shuffled: can one tell them apart?

    Returns:
        The sheet, without outlines; and which of its cells, counted in rows from 1, are synthetic.
    """
    rows, textures = sources.widest.tolist(), sources.stages["textures"]
    count = min(LINED_UP, len(rows), len(sources.shown))
    tiles = [sources.crops.read("image", row) for row in evenly_spaced(rows, count)]
    tiles += [widest_slice(textures[number])[0] for number in evenly_spaced(sources.shown, count)]
    order = np.random.default_rng(count).permutation(len(tiles))
    key = ", ".join(str(place) for place, index in enumerate(order, 1) if index >= count)
    caption = f"{count} real and {count} synthetic cells, shuffled; {display.text}."
    return _montage([tiles[index] for index in order], display, caption), key


def widest_slice(entry: CellEntry) -> tuple[np.ndarray, np.ndarray]:
    """Image and mask `(y, x)` of a textured cell's slice with the largest mask."""
    masks = entry.read("mask") > 0
    index = int(masks.sum((1, 2)).argmax())
    return entry.read("image")[index], masks[index]


def _montage(
    images: Sequence[np.ndarray], display: Display, caption: str, masks: Sequence[np.ndarray] | None = None
) -> Picture:
    """Cells in rows, with the outlines of their masks as an overlay that can be hidden."""
    layout = {"columns": COLUMNS, "scale": max(1, round(TILE / images[0].shape[-1]))}
    sheet = figures.montage(images, window=display.window, power=display.power, **layout)
    overlay = figures.image_uri(figures.outlines(masks, **layout)) if masks else ""
    return Picture(figures.image_uri(sheet), caption, caption, sheet.shape[1], overlay)


def cell_in_3d(number: int, sources: CellSources, display: Display) -> CellIn3D:
    """One cell from mask to textured slices."""
    entries = {name: cells[number] for name, cells in sources.stages.items() if number in cells}
    valid = {name: entry for name, entry in entries.items() if entry.valid}
    facts, first, second = [], [_strip([entries["masks"].read("mask")], BINARY, 1, EDGE, "mask")], []
    if "views" in entries:
        first += _views(entries["views"].read("views"))
        facts.append(f"mean reprojection IoU {entries['volumes'].read('reprojection_iou').mean():.2f}")
    first.append(_surfaces(entries["volumes"]))
    if "slices" in valid:
        facts.append(f"IoU of the widest slice with the mask {float(valid['slices'].read('section_iou')):.2f}")
        second = _slices(valid["slices"], valid.get("textures"), display)
    return CellIn3D(f"Cell {number}", ", ".join(facts), [row for row in (first, second) if row])


def _views(views: np.ndarray) -> list[Picture]:
    """Distance and, where it was predicted, thickness of a cell's views (v, c, y, x)."""
    distance, columns = views[:, 0], (len(views) + 1) // 2
    reach = 0.25 * float(np.abs(distance).max())
    made = [_strip(list(distance), Display((-reach, reach)), columns, EDGE // 2, f"{len(views)} predicted views")]
    if views.shape[1] > 1:
        thickness = 2 * np.sqrt(views[:, 2].clip(0))
        made.append(
            _strip(list(thickness), Display((0, float(thickness.max()))), columns, EDGE // 2, "their thickness")
        )
    return made


def _surfaces(volume: CellEntry) -> Picture:
    sdf = volume.read("sdf").astype(np.float32)
    surfaces = [figures.render_surface(sdf, turn=turn, tilt=tilt, size=EDGE) for turn, tilt in TURNS]
    origin = "random" if volume.store.record.method == "spharm" else "reconstructed"
    note = f"{origin} surface: front, turned 45° and tipped 25°, turned 90°"
    return _strip(surfaces, Display((0, 255)), len(surfaces), EDGE, note)


def _slices(sliced: CellEntry, textured: CellEntry | None, display: Display) -> list[Picture]:
    """Some slices of a cell as masks and, where it was made, with their texture."""
    count, widest = int(sliced.read("n_slices")), int(sliced.read("widest"))
    chosen = evenly_spaced(range(count), SHOWN_SLICES)
    apart = sliced.store.record.spacing_um
    note = f"{len(chosen)} of {count} slices, {apart:.3g} µm apart; widest: number {widest + 1}"
    made = [_strip(list(sliced.read("mask")[chosen]), BINARY, len(chosen), SLICE_EDGE, note)]
    if textured:
        images = list(textured.read("image")[chosen])
        made.append(_strip(images, display, len(chosen), SLICE_EDGE, "the same with texture"))
    return made


def _strip(images: Sequence[np.ndarray], display: Display, columns: int, edge: int, note: str) -> Picture:
    """A few images of one cell, each `edge` pixels wide on the page."""
    scale = max(1, -(-edge // images[0].shape[-1]))
    layout = {"columns": columns, "scale": scale, "gap": scale}
    sheet = figures.montage(images, window=display.window, power=display.power, **layout)
    return Picture(figures.image_uri(sheet), note, note, min(columns, len(images)) * (edge + 2))


def distributions(sources: CellSources) -> tuple[Picture, str]:
    """Size, shape and intensity of real against synthetic cells; and a sentence on the intensities."""
    area, *rest = (_sides(sources.shapes, name) for name in ("area", "eccentricity", "solidity"))
    counts = _sides(sources.intensities, "intensity_mean")
    scale = sources.pixel_um**2
    panels = [("area (µm²)", area[0] * scale, area[1] * scale), ("eccentricity", *rest[0]), ("solidity", *rest[1])]
    panels.append(("mean counts inside the mask", *counts))
    src = charts.figure_uri(charts.histograms(panels))
    caption = (
        f"Real cells (n = {len(area[0])}), synthetic masks (n = {len(area[1])}) and synthetic textures "
        f"(n = {len(counts[1])}), each cell on its widest slice; values beyond the 0.5 and 99.5 percentiles "
        "are drawn in the outermost bars."
    )
    return Picture(src, "histograms of size, shape and intensity", caption, 1120), _intensity(*counts)


def _sides(table: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Values of a property of the real and of the synthetic cells."""
    real, made = (table.loc[table["side"] == side, name].to_numpy(float) for side in ("real", "synthetic"))
    return real, made


def _intensity(real: np.ndarray, made: np.ndarray) -> str:
    """Mean counts of real (n) and synthetic cells (m) in words; empty without synthetic ones."""
    if not len(made):
        return ""
    row = compare_values({"counts": (real, made)}).iloc[0]
    return (
        f"Mean counts inside the mask: real {row.real_mean:.4g} ± {row.real_std:.3g}, "
        f"synthetic {row.synthetic_mean:.4g} ± {row.synthetic_std:.3g}; Wasserstein-1 distance "
        f"divided by the real standard deviation {row.w1_over_std:.3f}."
    )


def likeness(table: pd.DataFrame | None, made: Consistency) -> str:
    """How alike neighbouring slices are, real and at several rho, and which rho fits best, as sentences.

    Args:
        table: `rho.csv`, see `fitted_rho`; `None` where it is left out.
        made: How alike slices were made.
    """
    if table is None or (best := fitted_rho(table, made.kind)) is None:
        return ""
    near = measured_of(table, made.kind)
    found = ", ".join(f"{row.synthetic:.2f} at ρ = {row.rho:g}" for row in near.itertuples())
    real, low, high = near["real"].iloc[0], near["synthetic"].min(), near["synthetic"].max()
    fit = f"ρ = {best:.2g} fits the real ones best"
    if not low <= real <= high:
        fit = f"all are {'more' if real < low else 'less'} similar than the real ones; ρ = {best:.2g} comes nearest"
    return (
        f"Neighbouring slices of real cells correlate by {real:.2f} ({int(near['pairs'].iloc[0])} pairs). "
        f"New textures in the same outlines correlate by {found}: {fit}. "
        f"The textures of this page were made with ρ = {made.rho:.2g}, {KINDS[made.kind]}."
    )
