"""Views to volumes (paper, section 2, multiview image to volume generation): the registry of methods."""

from cellcascade.reconstruction.base import Method
from cellcascade.reconstruction.neus import neus
from cellcascade.reconstruction.random_shapes import random_volumes
from cellcascade.reconstruction.visual_hull import visual_hull

METHODS: dict[str, Method] = {"neus": neus, "visual_hull": visual_hull, "spharm": random_volumes}
