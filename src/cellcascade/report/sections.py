"""Parts of the report, one function each: from what was read to pictures, numbers and captions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from cellcascade.core.choice import evenly_spaced
from cellcascade.metrics.compare import compare_values
from cellcascade.metrics.shape import measure_shapes
from cellcascade.metrics.texture import matching_rho
from cellcascade.report import figures
from cellcascade.report.sources import Cell, Store, SyntheticImage, group_reasons, stores_of

TILE = 128  # pixels on the page of one crop in a montage
COLUMNS, SHOWN, SHOWN_3D, SHOWN_SLICES, LINED_UP = 8, 24, 4, 10, 16


@dataclass(frozen=True)
class Picture:
    """An image on the page: `data:` addresses, alternative text, caption, and how wide it is drawn."""

    src: str = field(repr=False)
    alt: str
    caption: str = ""
    width: int = 0
    overlay: str = field(default="", repr=False)


@dataclass(frozen=True)
class Display:
    """How counts are shown, the same for real and synthetic pictures."""

    window: tuple[float, float]
    power: float

    @classmethod
    def of(cls, crops: Store, brightness: np.ndarray) -> "Display":
        """Window of the data set; square root where most cells would be dark, else linear."""
        low, high = crops.attributes["window"]
        dark = len(brightness) and np.median(brightness) < low + 0.3 * (high - low)
        return cls((float(low), float(high)), 0.5 if dark else 1.0)

    @property
    def text(self) -> str:
        """For captions."""
        kind = "square-root" if self.power == 0.5 else "linear"
        return f"{kind} display, window {self.window[0]:g} to {self.window[1]:g} counts"

    def grey(self, image: np.ndarray) -> np.ndarray:
        """Counts as 8-bit grey."""
        return figures.tone(image, self.window, self.power)


def widest_slice(cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    """Image and mask `(y, x)` of a textured cell's slice with the largest mask."""
    masks = cell.read("mask") > 0
    index = int(masks.sum((1, 2)).argmax())
    return cell.read("image")[index], masks[index]


def crop_sheet(images: Sequence[np.ndarray], masks: Sequence[np.ndarray], display: Display, caption: str) -> Picture:
    """Montage of single cells with their outlines as an overlay that can be hidden."""
    scale = max(1, round(TILE / images[0].shape[-1]))
    layout = {"columns": COLUMNS, "scale": scale}
    sheet = figures.montage(images, window=display.window, power=display.power, **layout)
    overlay = figures.outlines(masks, **layout)
    return Picture(figures.image_uri(sheet), caption, caption, sheet.shape[1], figures.image_uri(overlay))


def real_crops(crops: Store, widest: np.ndarray, display: Display, um: float) -> Picture:
    """Some real cells, each on its widest slice."""
    rows = evenly_spaced(np.flatnonzero(widest), SHOWN)
    images, masks = ([crops.read(name, int(row)) for row in rows] for name in ("image", "mask"))
    edge = images[0].shape[-1]
    caption = (
        f"{len(rows)} of {int(widest.sum())} real cells, crops of {edge} × {edge} pixels ({edge * um:.4g} µm); "
        f"neighbours replaced by background; {display.text}."
    )
    return crop_sheet(images, masks, display, caption)


def synthetic_masks(masks: Mapping[int, Cell], shown: Sequence[int]) -> Picture:
    """Masks of the cells that the next section shows with their texture."""
    tiles = [masks[cell].read("mask") for cell in shown]
    sheet = figures.montage(tiles, window=(0, 1), columns=COLUMNS, scale=max(1, round(TILE / tiles[0].shape[-1])))
    valid = sum(cell.valid for cell in masks.values())
    caption = f"{len(tiles)} of {valid} valid synthetic masks, drawn by the mask model."
    return Picture(figures.image_uri(sheet), caption, caption, sheet.shape[1])


def synthetic_cells(textures: Mapping[int, Cell], shown: Sequence[int], display: Display, *, flat: bool) -> Picture:
    """Textured cells, the same ones as their masks; in 3D the widest slice."""
    pairs = [widest_slice(textures[cell]) for cell in shown]
    valid = sum(cell.valid for cell in textures.values())
    which = "" if flat else ", each on its widest slice"
    caption = f"The same {len(pairs)} of {valid} valid synthetic cells with texture{which}; {display.text}, as above."
    return crop_sheet([image for image, _ in pairs], [mask for _, mask in pairs], display, caption)


def line_up(
    crops: Store, widest: np.ndarray, textures: Mapping[int, Cell], shown: Sequence[int], display: Display
) -> tuple[Picture, str]:
    """As many real as synthetic cells, shuffled: can one tell them apart?

    Returns:
        The sheet, without outlines; and which of its cells, counted in rows from 1, are synthetic.
    """
    rows = np.flatnonzero(widest)
    count = min(LINED_UP, len(rows), len(shown))
    tiles = [crops.read("image", int(row)) for row in evenly_spaced(rows, count)]
    tiles += [widest_slice(textures[cell])[0] for cell in evenly_spaced(shown, count)]
    order = np.random.default_rng(count).permutation(len(tiles))
    scale = max(1, round(TILE / tiles[0].shape[-1]))
    shuffled = [tiles[index] for index in order]
    sheet = figures.montage(shuffled, window=display.window, power=display.power, columns=COLUMNS, scale=scale)
    key = ", ".join(str(place) for place, index in enumerate(order, 1) if index >= count)
    caption = f"{count} real and {count} synthetic cells, shuffled; {display.text}."
    return Picture(figures.image_uri(sheet), caption, caption, sheet.shape[1]), key


def cell_in_3d(cell: int, stages: Mapping[str, Mapping[int, Cell]], display: Display) -> dict:
    """One cell from mask to textured slices: a title and rows of pictures."""
    volume, facts, first, second = stages["volumes"][cell], [], [], []
    edge = 160
    mask = stages["masks"][cell].read("mask")
    first.append(_strip([mask], (0, 1), 1, edge, "mask"))
    if cell in stages["views"]:
        views = stages["views"][cell].read("views")
        distance, columns = views[:, 0], (len(views) + 1) // 2
        reach = 0.25 * float(np.abs(distance).max())
        first.append(_strip(distance, (-reach, reach), columns, edge // 2, f"{len(views)} predicted views"))
        if views.shape[1] > 1:
            thickness = 2 * np.sqrt(views[:, 2].clip(0))
            first.append(_strip(thickness, (0, float(thickness.max())), columns, edge // 2, "their thickness"))
        facts.append(f"mean reprojection IoU {volume.read('reprojection_iou').mean():.2f}")
    sdf = volume.read("sdf").astype(np.float32)
    angles = [(0, 0), (45, 25), (90, 0)]
    surfaces = [figures.render_surface(sdf, turn=turn, tilt=tilt, size=edge) for turn, tilt in angles]
    origin = "random" if volume.store.attributes.get("method") == "spharm" else "reconstructed"
    note = f"{origin} surface: front, turned 45° and tipped 25°, turned 90°"
    first.append(_strip(surfaces, (0, 255), 3, edge, note))
    if cell in stages["slices"] and stages["slices"][cell].valid:
        sliced = stages["slices"][cell]
        count, widest = int(sliced.read("n_slices")), int(sliced.read("widest"))
        facts.append(f"widest slice against mask IoU {float(sliced.read('section_iou')):.2f}")
        chosen = evenly_spaced(range(count), SHOWN_SLICES)
        apart = sliced.store.attributes["dz_um"]
        note = f"{len(chosen)} of {count} slices, {apart:.3g} µm apart; widest: number {widest + 1}"
        second.append(_strip(sliced.read("mask")[chosen], (0, 1), len(chosen), 96, note))
        if cell in stages["textures"] and stages["textures"][cell].valid:
            images = stages["textures"][cell].read("image")[chosen]
            second.append(_strip(images, display.window, len(chosen), 96, "the same with texture", display.power))
    return {"title": f"Cell {cell}", "facts": ", ".join(facts), "rows": [row for row in (first, second) if row]}


def likeness(table: pd.DataFrame | None, rho: float | None) -> str:
    """How alike neighbouring slices are, real and at several rho, and which rho fits best, as sentences."""
    if table is None or (best := matching_rho(table)) != best:
        return ""
    made = ", ".join(f"{row.synthetic:.2f} at ρ = {row.rho:g}" for row in table.itertuples())
    real, low, high = table["real"].iloc[0], table["synthetic"].min(), table["synthetic"].max()
    fit = f"ρ = {best:.2g} fits the real ones best"
    if not low <= real <= high:
        fit = f"all are {'more' if real < low else 'less'} alike than the real ones; ρ = {best:g} comes nearest"
    used = f" The textures of this page were made with ρ = {rho:g}." if rho is not None else ""
    return (
        f"Neighbouring slices of real cells correlate by {real:.2f} ({int(table['pairs'].iloc[0])} pairs). "
        f"Textured anew within the same outlines, by {made}: {fit}.{used}"
    )


def _strip(
    images: Sequence[np.ndarray], window: tuple[float, float], columns: int, edge: int, note: str, power: float = 1.0
) -> Picture:
    scale = max(1, -(-edge // images[0].shape[-1]))
    sheet = figures.montage(images, window=window, power=power, columns=columns, scale=scale, gap=scale)
    width = min(columns, len(images)) * (edge + 2)
    return Picture(figures.image_uri(sheet), note, note, width)


def brightest_plane(volume: np.ndarray) -> np.ndarray:
    """The image itself in 2D, the z plane of highest mean in 3D."""
    return volume if volume.ndim == 2 else volume[int(volume.mean((1, 2)).argmax())]


def synthetic_image(made: SyntheticImage, display: Display) -> tuple[list[Picture], str]:
    """A synthetic image and its labels: the frame in 2D, three orthogonal planes in 3D; and their common caption."""
    count = len(np.unique(made.labels[made.labels > 0]))
    size = " × ".join(map(str, made.image.shape))
    caption = f"{made.name}: {size} pixels, {count} labelled cells, voxel {_size(made.voxel_size_um)}; {display.text}"
    grey = display.grey(made.image)
    if made.image.ndim == 2:
        sheets = [grey, figures.label_overlay(grey, made.labels)]
    else:
        inside = made.labels > 0
        at = tuple(int(inside.sum(tuple(set(range(3)) - {axis})).argmax()) for axis in range(3))
        scale = max(1, round(540 / made.image.shape[-1]))
        planes = [figures.orthogonal_planes(array, at, made.voxel_size_um, scale) for array in (grey, made.labels)]
        coloured = [figures.label_overlay(*pair) for pair in zip(*planes)]
        sheets = [figures.join_planes(planes[0]), figures.join_planes(coloured)]
        caption += f"; XY at z = {at[0]}, XZ (below) at y = {at[1]}, YZ (right) at x = {at[2]}, equal scale on all axes"
    names = ("synthetic image", "the same with its labels in colour")
    pictures = [Picture(figures.image_uri(sheet), name, name, sheet.shape[1]) for sheet, name in zip(sheets, names)]
    return pictures, caption + "."


def beside_real_frame(frame: np.ndarray, made: SyntheticImage, display: Display) -> tuple[list[Picture], str]:
    """A real frame and a synthetic image, cut to equal size, in the same window."""
    planes = [brightest_plane(frame), brightest_plane(made.image)]
    shape = tuple(np.min([plane.shape for plane in planes], axis=0))
    starts = [[(have - want) // 2 for have, want in zip(plane.shape, shape)] for plane in planes]
    cut = [plane[y : y + shape[0], x : x + shape[1]] for plane, (y, x) in zip(planes, starts)]
    scale = max(1, round(540 / shape[1]))
    pictures = [
        Picture(figures.image_uri(figures.enlarge(display.grey(plane), scale)), name, name, shape[1] * scale)
        for plane, name in zip(cut, ("real frame", f"synthetic image ({made.name})"))
    ]
    which = "" if frame.ndim == 2 else "the z plane of highest mean of each, "
    return pictures, f"{shape[0]} × {shape[1]} pixels of both, {which}{display.text}."


def _size(voxel_size_um: Sequence[float]) -> str:
    return " × ".join(f"{value:.4g}" for value in voxel_size_um) + " µm"


def distributions(
    crops: Store, widest: np.ndarray, masks: Mapping[int, Cell], textures: Mapping[int, Cell], um: float
) -> tuple[Picture, str]:
    """Size, shape and intensity of real against synthetic cells; and a sentence on the intensities."""
    real = measure_shapes(crops.read("mask")[widest])
    made = measure_shapes([cell.read("mask") for cell in masks.values() if cell.valid])
    real_counts = crops.read("brightness")[widest].astype(float)
    pairs = [widest_slice(cell) for cell in textures.values() if cell.valid]
    made_counts = np.array([image[mask].mean() for image, mask in pairs if mask.any()])
    panels = [
        ("area (µm²)", real["area"] * um**2, made["area"] * um**2),
        ("eccentricity", real["eccentricity"], made["eccentricity"]),
        ("solidity", real["solidity"], made["solidity"]),
        ("mean counts inside the mask", real_counts, made_counts),
    ]
    src = figures.figure_uri(figures.histograms([(title, np.asarray(a), np.asarray(b)) for title, a, b in panels]))
    caption = (
        f"Real cells (n = {len(real)}), synthetic masks (n = {len(made)}) and synthetic textures "
        f"(n = {len(made_counts)}), each cell on its widest slice; values beyond the 0.5 and 99.5 percentiles "
        "are drawn in the outermost bars."
    )
    sentence = ""
    if len(made_counts):
        row = compare_values({"counts": (real_counts, made_counts)}).iloc[0]
        sentence = (
            f"Mean counts inside the mask: real {row.real_mean:.4g} ± {row.real_std:.3g}, "
            f"synthetic {row.synthetic_mean:.4g} ± {row.synthetic_std:.3g}; Wasserstein-1 distance "
            f"divided by the real standard deviation {row.w1_over_std:.3f}."
        )
    return Picture(src, "histograms of size and intensity", caption, 1120), sentence


def dropped_objects(table: pd.DataFrame) -> list[dict]:
    """Annotated objects that were left out of the crops, by reason, and those that were kept."""
    kept = table["kept"].astype(str).str.lower().isin(("true", "1"))
    reasons = table["reason"].fillna("").astype(str)
    rows = [{"reason": "kept", "count": int(kept.sum())}]
    rows += [{"reason": reason or "no reason recorded", "count": n} for reason, n in group_reasons(reasons[~kept])]
    return [{**row, "share": row["count"] / max(len(table), 1)} for row in rows]


def dropped_cells(stages: Mapping[str, Mapping[int, Cell]]) -> list[dict]:
    """What each stage made and lost; a cell is blamed on the stage where it first became invalid."""
    rows, lost = [], set()
    for stage in ("masks", "views", "volumes", "slices", "textures"):
        cells = stages[stage]
        if not cells:
            continue
        reasons = {k: v for store in stores_of(cells) for k, v in store.attributes.get("reasons", {}).items()}
        new = [number for number, cell in cells.items() if not cell.valid and number not in lost]
        lost.update(new)
        why = group_reasons(reasons.get(str(number)) or "no reason recorded" for number in new)
        redraws = sum(int(store.attributes.get("redraws", 0)) for store in stores_of(cells))
        valid = sum(cell.valid for cell in cells.values())
        counts = {"cells": len(cells), "valid": valid, "new": len(new), "redraws": redraws}
        rows.append({"stage": stage, "why": why, **counts})
    return rows


def not_placed(manifest: pd.DataFrame, placed: int) -> str:
    """How many drawn cells found no room, as a sentence; empty where the manifest does not tell."""
    if "not_placed" not in manifest.columns:
        return ""
    missing = manifest["not_placed"].fillna(0).astype(int)
    return (
        f"{int(missing.sum())} of {int(missing.sum()) + placed} cells drawn for the images found no room "
        f"({int((missing > 0).sum())} of {len(manifest)} images)."
    )


def training(logs: Mapping[str, pd.DataFrame]) -> tuple[Picture, list[dict]]:
    """Loss curves and a row a model."""
    rows = []
    for name, log in logs.items():
        last = log.iloc[-1]
        rows.append({"name": name, "steps": int(last.step), "loss": f"{last.loss:.4f}", "time": duration(last.seconds)})
    return Picture(figures.figure_uri(figures.loss_curves(logs)), "loss curves", "", min(1120, 375 * len(logs))), rows


def duration(seconds: float) -> str:
    """Seconds as text, in the two largest units that matter."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def headline(
    stages: Mapping[str, Mapping[int, Cell]],
    *,
    objects: pd.DataFrame,
    placed: int,
    images: int,
    real: Store,
    shapes: pd.DataFrame,
) -> list[tuple[str, str]]:
    """Numbers for the top of the page, each with what it counts."""
    real_cells = real.attributes.get("cells_per_frame") or []
    beside = f"; real {np.mean(real_cells):.1f}" if len(real_cells) else ""
    kept = objects["kept"].astype(str).str.lower().isin(("true", "1")).sum()
    valid = sum(cell.valid for cell in stages["textures"].values())
    worst = shapes.loc[shapes["w1_over_std"].idxmax()] if shapes["w1_over_std"].notna().any() else None
    numbers = [
        (f"{images:,}", "synthetic images"),
        (f"{placed:,}", f"labelled cells in them ({placed / max(images, 1):.1f} an image{beside})"),
        (f"{valid:,} of {len(stages['textures']):,}", "synthetic cells valid after all stages"),
        (f"{kept:,} of {len(objects):,}", "annotated real objects learned from"),
    ]
    if worst is not None:
        which = worst.property.replace("_", " ")
        numbers.append((f"{worst.w1_over_std:.2f}", f"largest shape distance, W₁/σ ({which})"))
    if stages["slices"]:
        iou = np.concatenate([s.read("section_iou")[s.read("valid") > 0] for s in stores_of(stages["slices"])])
        if len(iou):
            numbers.append((f"{np.median(iou):.2f}", "median IoU of the widest slice with its source mask"))
    return numbers
