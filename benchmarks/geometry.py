"""Volumes from views and from masks alone: how right they are, and what they cost, in one run.

python benchmarks/geometry.py [--shapes 102] [--out table.csv] [--picture cells.png]

Known bodies are held-out spherical-harmonic shapes, smoother and rougher than those that the multiview model learns
from, and the annotated nuclei of the demo's 3D stacks. "NeuS as published" has the published network and numbers of
rays and samples, one cell at a time; what it costs follows from some of its steps.
"""

import argparse
import platform
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
import torch
from PIL import Image
from scipy import ndimage
from scipy.stats import wasserstein_distance
from skimage.measure import marching_cubes, mesh_surface_area

from cellcascade.config.settings import Multiview, Reconstruction, Shapes
from cellcascade.core.seeds import numpy_generator, torch_generator
from cellcascade.data.stores import MASKS, VIEWS, VOLUMES, MasksRecord
from cellcascade.diffusion.multiview import make_views
from cellcascade.geometry.cameras import CAMERA_SETS, Cameras
from cellcascade.geometry.masks import iou
from cellcascade.geometry.raycast import occupancy, surfaces, volume_surfaces
from cellcascade.geometry.shapes import radius_grids, random_coefficients
from cellcascade.geometry.slicing import cut, slice_heights
from cellcascade.geometry.view_encoding import THINNEST, distance_images, front_and_back
from cellcascade.reconstruction import METHODS
from cellcascade.reconstruction.base import Problem, reprojection_iou
from cellcascade.reconstruction.fields import PerceptronField
from cellcascade.reconstruction.neus import Fit
from cellcascade.reconstruction.rays import Rays
from cellcascade.reconstruction.stage import make_volumes
from cellcascade.report.figures import render_surface, tile

EDGE = 64  # voxels and pixels
VIEW_COUNT = 16
SHOWN = 16  # cells in the picture
MLP_BODIES = 4  # of each kind, on a CPU
PUBLISHED_STEPS = 2000  # of the NeuS that comes with SyncDreamer
FAMILIES = {
    name: {"roughness": (r, r), "power": 2.0} for name, r in (("mild", 0.16), ("medium", 0.25), ("rough", 0.35))
}
NUCLEI = Path("demo/data/MouseEmbryo"), (1.0, 0.8, 0.8)  # micrometres a voxel, as in demo/config.yaml
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
COLUMNS = ("bodies", "images", "method", "device", "n", "volume_iou", "surface_distance_voxels", "reprojection_iou")
COLUMNS += ("mask_iou", "seconds_per_cell")


@dataclass(frozen=True)
class Bodies:
    """Known bodies: their volumes `(n, z, y, x)`, positive inside, and what cameras see of them."""

    name: str
    volumes: torch.Tensor
    problem: Problem


def shapes(settings: Shapes, count: int, *, label: str) -> torch.Tensor:
    """Radius grids of `count` shapes that no training has seen."""
    drawn = [random_coefficients(settings, numpy_generator(0, "held out", label, i)) for i in range(count)]
    return radius_grids(np.stack(drawn))


def seen(name: str, volumes: torch.Tensor, inside: torch.Tensor, depths: torch.Tensor, cameras: Cameras) -> Bodies:
    """Bodies with the true images of all views; the input view shows no depth."""
    thick = inside & (depths[:, :, 1] - depths[:, :, 0] > 2 * THINNEST)
    thick[:, 0] = False
    problem = Problem(
        images=torch.from_numpy(distance_images(inside.numpy(), EDGE)),
        depths=depths.where(thick[:, :, None], torch.nan),
        cameras=cameras,
        cell_ids=np.arange(len(volumes)),
        shapes=Shapes(),
        seed=0,
    )
    return Bodies(name, volumes, problem.to(DEVICE))


def known_bodies(count: int) -> list[Bodies]:
    """Shapes of three degrees of roughness, and real nuclei."""
    cameras = CAMERA_SETS["hemisphere"](VIEW_COUNT).with_input_view()
    bodies = []
    for name, kind in FAMILIES.items():
        radius = shapes(Shapes(fill=(0.5, 0.7), **kind), count // len(FAMILIES), label=name)
        bodies.append(seen(name, occupancy(radius, EDGE), *surfaces(radius, cameras, EDGE, samples=EDGE), cameras))
    volumes = torch.from_numpy(nuclei())
    bodies.append(seen("nuclei", volumes, *volume_surfaces(volumes, cameras, EDGE), cameras))
    return bodies


def nuclei() -> np.ndarray:
    """Signed distance volumes of the annotated nuclei that touch no border, each filling 60 % of its cube."""
    folder, voxel = NUCLEI
    volumes = []
    for path in sorted(folder.glob("*_ST/SEG/man_seg*.tif")):
        labels = np.pad(tifffile.imread(path), 8)
        for label, box in enumerate(ndimage.find_objects(labels), 1):
            if box is None or any(s.start <= 8 or s.stop >= n - 8 for s, n in zip(box, labels.shape)):
                continue
            inside = labels == label
            distance = np.where(inside, 1, -1) * ndimage.distance_transform_edt(inside, sampling=voxel)
            distance -= np.where(inside, 0, 1) * ndimage.distance_transform_edt(~inside, sampling=voxel)
            centre = ndimage.center_of_mass(inside)
            half = max((s.stop - s.start) * v for s, v in zip(box, voxel)) / 2 / 0.6
            axis = (2 * np.arange(EDGE) + 1) / EDGE - 1
            places = np.meshgrid(*(c + axis * half / v for c, v in zip(centre, voxel)), indexing="ij")
            smooth = ndimage.gaussian_filter(distance, [0.7 / v for v in voxel])
            volumes.append(ndimage.map_coordinates(smooth, places, order=1, mode="nearest") / half)
    return np.stack(volumes).astype(np.float32)


def surface_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance between the surfaces of two volumes, both ways, voxels."""
    shells = [v ^ ndimage.binary_erosion(v) for v in (a > 0, b > 0)]
    away = [ndimage.distance_transform_edt(~shell) for shell in shells]
    return (away[0][shells[1]].mean() + away[1][shells[0]].mean()) / 2


def judged(bodies: Bodies, volumes: torch.Tensor, *, images: str, method: str, seconds: float) -> dict:
    """A row of the table: medians."""
    found, true = volumes.cpu().numpy(), bodies.volumes.numpy()[: len(volumes)]
    agreement = reprojection_iou(volumes.to(DEVICE), bodies.problem.part(slice(len(volumes)))).cpu().numpy()
    distances = [surface_distance(a, b) for a, b in zip(found, true)]
    numbers = (np.median(iou(found, true)), np.median(distances), np.median(agreement[:, 1:]))
    row = (bodies.name, images, method, DEVICE.type, len(found), *numbers, np.median(agreement[:, 0]), seconds)
    return dict(zip(COLUMNS, row))


def from_true_views(bodies: Bodies, images: str, method: str, settings: Reconstruction) -> dict:
    """Reconstruct bodies from their true views."""
    problem = bodies.problem if images == "depth" else replace(bodies.problem, depths=None)
    volumes = []
    few = settings.field == "mlp" and DEVICE.type == "cpu"
    count = min(len(bodies.volumes), MLP_BODIES) if few else len(bodies.volumes)
    start = time.perf_counter()
    for first in range(0, count, settings.cells_at_once):
        part = problem.part(slice(first, min(first + settings.cells_at_once, count)))
        volumes.append(METHODS[settings.method](part, settings))
    seconds = (time.perf_counter() - start) / count
    return judged(bodies, torch.cat(volumes)[:count], images=images, method=method, seconds=seconds)


def as_published(bodies: Bodies, steps: int) -> dict:
    """Some steps of NeuS with its published sizes on one cell, and what all of them would cost."""
    generator, problem = torch_generator(0, "published"), bodies.problem
    one = replace(problem.part(slice(1)), depths=None)
    settings = Reconstruction(resolution=EDGE, steps=PUBLISHED_STEPS, rays=512, samples=128, tolerance=0)
    field = PerceptronField(torch.tensor([0.5]), EDGE, generator, width=256, layers=8, octaves=6).to(DEVICE)
    start = time.perf_counter()
    volumes = Fit(field, Rays(one), settings, generator).run(0, steps)
    seconds = (time.perf_counter() - start) / steps * PUBLISHED_STEPS
    name = f"NeuS as published ({steps} of {PUBLISHED_STEPS} steps, cost of all)"
    return judged(bodies, volumes, images="silhouette", method=name, seconds=seconds)


def from_masks(masks: np.ndarray, folder: Path, views: Multiview, volumes: Reconstruction) -> tuple[dict, float]:
    """Masks `(n, y, x)` to views and volumes, by the functions that the workflow calls; seconds per cell."""
    stores = {name: folder / f"{name}.zarr.zip" for name in ("masks", "views", "volumes")}
    ids, valid = np.arange(len(masks), dtype=np.int32), np.ones(len(masks), np.uint8)
    arrays = {"mask": masks.astype(np.uint8), "cell_id": ids, "valid": valid}
    MASKS.write(stores["masks"], arrays, MasksRecord(dataset="benchmark", seed=0, digests={}, redraws=0))
    common = {"masks": stores["masks"], "dataset": "benchmark", "seeded_as": "benchmark", "seed": 0, "device": "auto"}
    common |= {"max_invalid_fraction": 1.0}
    start = time.perf_counter()
    make_views(weights="bundled", settings=views, store=stores["views"], **common)
    make_volumes(views=stores["views"], settings=volumes, shapes=Shapes(), store=stores["volumes"], **common)
    seconds = (time.perf_counter() - start) / len(masks)
    made = VOLUMES.open(stores["volumes"])
    arrays = {name: made[name] for name in ("sdf", "reprojection_iou", "section_iou", "valid")}
    return arrays | {"views": VIEWS.open(stores["views"])["views"]}, seconds


def described(volume: np.ndarray) -> tuple[float, float, float]:
    """Depth-to-width ratio, sphericity and volume (in cubes of the crop's half width) of a volume `(z, y, x)`."""
    inside = volume > 0
    depth, height, width = (np.any(inside, axis=others).sum() for others in ((1, 2), (0, 2), (0, 1)))
    corners, faces, _, _ = marching_cubes(np.pad(volume, 1, constant_values=-1).astype(np.float32), 0)
    size, area = float(inside.sum()), mesh_surface_area(corners, faces)
    return (
        depth / ((height + width) / 2),
        np.pi ** (1 / 3) * (6 * size) ** (2 / 3) / area,
        size * (2 / len(volume)) ** 3,
    )


def mask_alone(count: int, views: Multiview, volumes: Reconstruction, picture: Path | None = None) -> tuple[dict, str]:
    """Volumes from single masks: a row of the table, and how they are distributed."""
    radius = shapes(Shapes(), count, label="masks")
    cameras = CAMERA_SETS["hemisphere"](0).with_input_view()
    inside, depths = surfaces(radius, cameras, 2 * EDGE)
    bodies = Bodies("as trained on", occupancy(radius, EDGE), None)
    with tempfile.TemporaryDirectory() as folder:
        made, seconds = from_masks(inside[:, 0].numpy(), Path(folder), views, volumes)
        if picture:
            shown = {name: values[:SHOWN] for name, values in made.items()}
            draw_picture(shown, inside[:SHOWN, 0, ::2, ::2].numpy(), picture)
        again, _ = from_masks(inside[:1, 0].repeat(10, 1, 1).numpy(), Path(folder), views, volumes)
    good = made["valid"].astype(bool)
    found, true = made["sdf"][good].astype(np.float32), bodies.volumes.numpy()
    agreement = made["reprojection_iou"][good]
    distances = [surface_distance(a, b) for a, b in zip(found, true[good])]
    row = (bodies.name, "none", "mask alone", DEVICE.type, count, np.median(iou(found, true[good])))
    row += (np.median(distances), np.median(agreement[:, 1:]), np.median(agreement[:, 0]), seconds)
    a, b = (np.array([described(v) for v in part]) for part in (found, true))
    lines = [f"\n{good.sum()} of {count} valid; median IoU of the central section with the mask "]
    lines[0] += f"{np.median(made['section_iou'][good]):.3f}\n\n| | shapes | from masks | W1 / std |\n|---|---|---|---|"
    for k, name in enumerate(("depth-to-width ratio", "sphericity", "volume")):
        distance = wasserstein_distance(a[:, k], b[:, k]) / b[:, k].std()
        spread = [f"{part[:, k].mean():.3f} +- {part[:, k].std():.3f}" for part in (b, a)]
        lines.append(f"| {name} | {spread[0]} | {spread[1]} | {distance:.2f} |")
    ten = again["sdf"][again["valid"].astype(bool)].astype(np.float32)
    pairs = [iou(ten[i][None], ten[j][None])[0] for i in range(len(ten)) for j in range(i)]
    ratio = np.array([described(volume)[0] for volume in ten])
    lines.append(f"\nTen volumes for one mask: IoU of pairs {np.median(pairs):.3f} (median), depth-to-width ratio ")
    lines[-1] += f"{ratio.mean():.3f} +- {ratio.std():.3f}"
    return dict(zip(COLUMNS, row)), "\n".join(lines)


def shaded(front: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Images `(..., y, x)` of surfaces lit from above left, from the depth of their front; the ground is grey."""
    step = 2 / front.shape[-1]
    down, right = (np.gradient(front, step, axis=axis) for axis in (-2, -1))
    light = (0.45 * right + 0.55 * down + 0.7) / np.sqrt(1 + down**2 + right**2)
    return np.where(inside, 40 + 215 * np.clip(light, 0, 1), 20).astype(np.uint8)


def draw_picture(made: dict, masks: np.ndarray, path: Path) -> None:
    """Cells in rows: the mask, its views, the volume from a side, and slices of it from bottom to top."""
    volumes, size = made["sdf"].astype(np.float32), masks.shape[-1]
    views = torch.from_numpy(made["views"]).flatten(0, 1)
    views = torch.nn.functional.interpolate(views, size=(size, size), mode="bicubic")
    ends, _ = front_and_back(views)
    images = shaded(ends[:, 0].numpy(), (views[:, 0] > 0).numpy()).reshape(len(masks), -1, size, size)
    tiles = []
    for i in range(len(masks)):
        slices = 230 * cut(volumes[i], slice_heights(1.0, 0.15), size)
        middle = slices[len(slices) // 2 - 3 :][:7] if len(slices) > 7 else slices
        middle = np.pad(middle, ((0, 7 - len(middle)), (0, 0), (0, 0)))
        side = render_surface(volumes[i], turn=60, tilt=20, size=size)
        tiles += [230 * masks[i].astype(np.uint8), *images[i], side, *middle]
    Image.fromarray(tile(tiles, columns=len(tiles) // len(masks), gap=2, fill=90)).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", type=int, default=102, help="held-out shapes, a third of each roughness")
    parser.add_argument("--out", type=Path, help="table to write, CSV")
    parser.add_argument("--picture", type=Path, help="picture of cells from masks alone to write, PNG")
    parser.add_argument("--published-steps", type=int, default=200, help="steps done of NeuS as published; 0: none")
    parser.add_argument(
        "--cells-at-once", type=int, default=1 if DEVICE.type == "cpu" else 64, help="cells side by side"
    )
    parser.add_argument("--steps", type=int, default=80, help="steps of NeuS on grids")
    given = parser.parse_args()
    print(f"{platform.machine()} {DEVICE.type}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    size = {"resolution": EDGE, "cells_at_once": given.cells_at_once}
    grid, mlp = Reconstruction(steps=given.steps, **size), Reconstruction(field="mlp", steps=300, **size)
    # True views agree, and say what the body is: its central section need not be its silhouette.
    true_views = {"section_weight": 0.0, "smoothness": 0.1}
    methods = {
        ("silhouette", "visual hull"): Reconstruction(method="visual_hull", **size),
        ("silhouette", "NeuS grid"): grid.model_copy(update=true_views | {"steps": 150}),
        ("depth", "NeuS grid"): grid.model_copy(update=true_views),
        ("depth", "NeuS mlp"): mlp.model_copy(update=true_views),
    }
    rows = []
    for bodies in known_bodies(given.shapes):
        rows += [from_true_views(bodies, *name, settings) for name, settings in methods.items()]
        print(pd.DataFrame(rows[-len(methods) :]).round(3).to_string(header=bodies.name == "mild"), flush=True)
    if given.published_steps:
        rows.append(as_published(bodies, given.published_steps))
    row, text = mask_alone(given.shapes, Multiview(sampling_steps=15), grid, given.picture)
    rows.append(row)
    table = pd.DataFrame(rows)
    print(table.round(3).to_markdown(index=False) if given.out is None else table.tail(2).round(3).to_string(), text)
    if given.out:
        table.to_csv(given.out, index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
