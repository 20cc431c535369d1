"""The same frames and labels in many layouts, each written as its own tools write it."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tifffile
import zarr
from ome_zarr.format import FormatV04, FormatV05
from ome_zarr.writer import write_image, write_labels
from PIL import Image

from tests.ctc_data import scene_2d, scene_3d

Arrays = Sequence[np.ndarray]
Writer = Callable[[Path, Arrays, Arrays], None]


def scenes(count: int, ndim: int = 2) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Frames that differ, and their labels, which differ as well."""
    generator = np.random.default_rng(5)
    scene = scene_2d() if ndim == 2 else scene_3d()
    images = [scene.image(generator, np.uint8 if ndim == 2 else np.uint16) for _ in range(count)]
    labels = [np.where(scene.labels(), scene.labels() + number, 0).astype(np.uint16) for number in range(count)]
    return images, labels


def write(path: Path, array: np.ndarray, **options) -> None:
    """Write an array as the name of the file says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in (".tif", ".tiff"):
        tifffile.imwrite(path, array, **{"photometric": "minisblack", **options})
    else:
        Image.fromarray(array).save(path)


def folders(images: str, labels: str) -> Writer:
    """Two folders; the names' `{}` is the number."""

    def writer(folder: Path, frames: Arrays, masks: Arrays) -> None:
        for number, (frame, mask) in enumerate(zip(frames, masks)):
            write(folder / images.format(number), frame)
            write(folder / labels.format(number), mask)

    return writer


def seg_npy(folder: Path, frames: Arrays, masks: Arrays) -> None:
    """As Cellpose's window saves: a dictionary with much else in it."""
    for number, (frame, mask) in enumerate(zip(frames, masks)):
        write(folder / f"well_{number}.png", frame)
        content = {
            "masks": mask,
            "outlines": mask > 0,
            "filename": "C:\\well",
            "flows": [[], None],
            "ismanual": mask > 0,
        }
        content |= {"colors": np.zeros((3, 3)), "chan_choose": [0, 0], "manual_changes": [], "diameter": np.float64(30)}
        np.save(folder / f"well_{number}_seg.npy", content)


def stardist(folder: Path, frames: Arrays, masks: Arrays) -> None:
    """Training and test images; the last frame is kept for tests."""
    folders("train/images/img{}.tif", "train/masks/img{}.tif")(folder, frames[:-1], masks[:-1])
    folders("test/images/img{}.tif", "test/masks/img{}.tif")(folder, frames[-1:], masks[-1:])


def nnunet(folder: Path, frames: Arrays, masks: Arrays) -> None:
    """Two channels in files of their own, of which the second holds the cells."""
    for number, (frame, mask) in enumerate(zip(frames, masks)):
        part = "Ts" if number == len(frames) - 1 else "Tr"
        write(folder / f"images{part}/case_{number}_0000.tif", np.full_like(frame, 7))
        write(folder / f"images{part}/case_{number}_0001.tif", frame)
        write(folder / f"labels{part}/case_{number}.tif", mask)


def ome_zarr(version: str) -> Writer:
    """Images of five axes with two kinds of labels, by the reference writer."""
    form = {"0.4": FormatV04(), "0.5": FormatV05()}[version]

    def writer(folder: Path, frames: Arrays, masks: Arrays) -> None:
        for number, (frame, mask) in enumerate(zip(frames, masks)):
            root = zarr.open_group(folder / f"img{number}.ome.zarr", mode="w", zarr_format=form.zarr_format)
            stack, planes = np.stack([np.full_like(frame, 7), frame]), mask[None]
            if frame.ndim == 2:
                stack, planes = stack[:, None], planes[None]
            common = {"axes": "czyx", "fmt": form, "scale_factors": [2]}
            write_image(stack, root, **common)
            write_labels(planes, root, name="nuclei", **common)
            write_labels(np.zeros_like(planes), root, name="empty", **common)

    return writer


def zipped(writer: Writer, inner: str = "") -> Writer:
    """An archive in place of the folder, as downloads are; with a folder in it."""

    def write_archive(folder: Path, frames: Arrays, masks: Arrays) -> None:
        source = folder.with_name("source")
        writer(source / inner, frames, masks)
        shutil.make_archive(str(folder), "zip", source)
        shutil.rmtree(source)

    return write_archive


def hyperstack(folder: Path, frames: Arrays, masks: Arrays) -> None:
    """As ImageJ saves a film of two channels, of which the second holds the cells."""
    film = np.stack([np.stack([np.full_like(frame, 7), frame], -3) for frame in frames])
    space = "ZYX" if frames[0].ndim == 3 else "YX"
    axes = "TZCYX" if frames[0].ndim == 3 else "TCYX"
    write(folder / "film.tif", film, imagej=True, metadata={"axes": axes})
    write(folder / "film_masks.tif", np.stack(masks), imagej=True, metadata={"axes": f"T{space}"})
