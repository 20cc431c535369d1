"""Neighbours replaced by background: the same, to the bit, as by the plain way to do it."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import ndimage

from cellcascade.data.inpainting import HALO, OFFSETS, RIM, clear_of, cut_alone, section_at


@dataclass
class Frame:
    """A frame with labels, both ([z,] y, x), and the middles of the labels."""

    image: np.ndarray
    labels: np.ndarray
    middles: dict[int, np.ndarray]


def crowded(shape: tuple[int, ...], count: int, seed: int) -> Frame:
    """Cells of many sizes that touch, on a slope, with some that nobody labelled."""
    generator = np.random.default_rng(seed)
    where, labels, light = np.indices(shape), np.zeros(shape, np.uint16), np.zeros(shape)
    for label in range(1, count + 1):
        middle, radius = generator.uniform(0, shape), generator.uniform(4, 9)
        axes = (..., *[None] * len(shape))
        inside = (((where - middle[axes]) ** 2).sum(0) < radius**2) & (labels == 0)
        labels[inside], light[inside] = label, generator.uniform(40, 200)
    labels[np.isin(labels, [3, 7])] = 0
    image = generator.poisson(30 + 0.2 * where[-1] + ndimage.gaussian_filter(light, 1.0))
    found = [label for label in range(1, count + 1) if (labels == label).any()]
    return Frame(image.astype(np.uint16), labels, {n: np.argwhere(labels == n).mean(0).astype(int) for n in found})


def plain(frame: Frame, section, origin, *, depth, mask, label, generator, ways):
    """`cut_alone` as one would write it first: every pixel of the crop, every place to copy from."""
    size, plane = len(mask), frame.image[depth] if frame.image.ndim == 3 else frame.image
    volume = frame.labels if frame.labels.ndim == 3 else frame.labels[None]
    inner = tuple(slice(section.pad, section.pad + n) for n in plane.shape)
    foreign, level, donors = section.foreign[inner], section.level[inner], np.isfinite(section.donors[inner])
    grow = size // 32 + 1
    ys, xs = (first + np.arange(-grow, size + grow) for first in origin)
    height, width = plane.shape
    inside = ((ys >= 0) & (ys < height))[:, None] & ((xs >= 0) & (xs < width))
    place = np.ix_(ys.clip(0, height - 1), xs.clip(0, width - 1))
    near = volume[max(depth - 1, 0) : depth + 2][:, place[0], place[1]] * inside
    others = (near > 0) & (near != label)
    soft = ndimage.maximum_filter(others.any(0) | (foreign[place] & inside), 2 * grow + 1)
    core = (slice(grow, -grow), slice(grow, -grow))
    distance = ndimage.distance_transform_edt(~mask)
    hole = ((soft[core] & (distance > RIM)) | ~inside[core]) & ~mask
    own = others[min(depth, 1)]
    if own.any():
        hole |= (ndimage.distance_transform_edt(~own)[core] <= np.minimum(distance, grow)) & ~mask
    place = np.ix_(ys[core[0]].clip(0, height - 1), xs[core[1]].clip(0, width - 1))
    crop, around = plane[place].astype(np.float32), level[place]
    if hole.any():
        halo = np.zeros(mask.shape, np.float32)
        for step in range(HALO):
            shell = (distance > step) & (distance <= step + 1)
            clear = shell & ~(hole | soft[core])
            seen = clear if clear.any() else shell & ~hole
            if (shell & hole).any() and seen.any():
                halo[shell] = max(0.0, float((crop - around)[seen].mean()))
        y, x = np.nonzero(hole)
        source = places(section, donors, level, y + origin[0], x + origin[1], around[hole], 2 * size, generator, ways)
        shift = around[hole] - level[source]
        shift = np.sign(shift) * np.maximum(np.abs(shift) - 0.25 * section.noise, 0) + halo[hole]
        crop[hole] = np.floor(plane[source] + shift + np.where(shift == 0, 0, generator.random(len(y))))
    return np.clip(crop, 0, np.iinfo(plane.dtype).max).astype(np.uint16)


def places(section, donors, levels, y, x, level, reach, generator, ways):
    """Where pixels are copied from: the place that serves most of those that are left, over and over."""
    moves = generator.integers(-reach, reach + 1, (OFFSETS, 2))
    from_y, from_x = y + moves[:, :1], x + moves[:, 1:]
    inside = (from_y >= 0) & (from_y < donors.shape[0]) & (from_x >= 0) & (from_x < donors.shape[1])
    there = from_y.clip(0, donors.shape[0] - 1), from_x.clip(0, donors.shape[1] - 1)
    usable = inside & donors[there]
    alike = usable & (np.abs(levels[there] - level) < 0.5 * section.noise)
    source = np.array(np.unravel_index(generator.choice(np.flatnonzero(donors), len(y)), donors.shape))
    left = np.ones(len(y), bool)
    for way, choice in (("alike", alike), ("usable", usable)):
        while (counts := choice[:, left].sum(1)).max(initial=0) > 0:
            best = int(counts.argmax())
            take = left & choice[best]
            source[:, take] = from_y[best, take], from_x[best, take]
            left &= ~take
            ways[way] += int(take.sum())
    ways["any"] += int(left.sum())
    return tuple(source)


SCENES = {"2d": ((90, 110), 25), "full": ((70, 70), 60), "3d": ((9, 70, 80), 30)}


@pytest.mark.parametrize("size", [24, 33, 64])
@pytest.mark.parametrize("scene", SCENES)
def test_crops_are_those_of_the_plain_way(scene, size):
    frame = crowded(*SCENES[scene], seed=size)
    compared, ways = 0, Counter()
    for label, middle in frame.middles.items():
        depth = int(middle[0]) if frame.image.ndim == 3 else 0
        plane = frame.labels[depth] if frame.image.ndim == 3 else frame.labels
        origin = tuple(int(n) - size // 2 for n in middle[-2:])
        mask = np.pad(plane == label, size)[tuple(slice(n + size, n + 2 * size) for n in origin)]
        if not mask.any():
            continue
        section = section_at(frame.image, frame.labels, depth, size=size)
        common = {"mask": mask, "label": label}
        made = cut_alone(section, origin, **common, generator=np.random.default_rng(label))
        common |= {"depth": depth, "generator": np.random.default_rng(label), "ways": ways}
        expected = plain(frame, section, origin, **common)
        assert np.array_equal(made, expected), label
        compared += 1
    assert compared >= 15 and ways["alike"] and ways["usable"] and (ways["any"] or scene != "full")


@pytest.mark.parametrize("shape", [(40, 50), (3, 40, 50)])
def test_what_is_clear_of_a_mask(shape):
    mask = np.random.default_rng(0).random(shape) > 0.995
    assert np.array_equal(clear_of(mask), ndimage.maximum_filter(mask, 2 * RIM + 1, axes=(-2, -1)) == 0)
    assert clear_of(mask).any() and not clear_of(mask).all()
