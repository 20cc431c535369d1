"""NeuS (Wang et al. 2021) for many cells at once: signed distance fields fitted to views by volume rendering.

The fields of all cells of a batch are fitted in the same kernels, side by side. The input mask enters twice: as an
exact view, and as the cell's central section, because the annotation behind it is a slice.
"""

import logging
import math

import numpy as np
import torch
from skimage.morphology import convex_hull_image
from torch import Tensor, nn
from torch.nn import functional

from cellcascade.config.settings import Reconstruction
from cellcascade.core.seeds import torch_generator
from cellcascade.reconstruction.base import Problem
from cellcascade.reconstruction.fields import Field, GridField, PerceptronField, resized
from cellcascade.reconstruction.rays import FINE_SHARE, Rays, coarse_depths, fine_depths
from cellcascade.reconstruction.visual_hull import visual_hull

logger = logging.getLogger(__name__)

START_SHARPNESS = 20.0  # of the logistic density, per half width of the crop
EIKONAL_POINTS = 2048
COARSEST = 32  # voxels along the edge of the coarse grid
COARSE_SHARE = 0.6  # of the steps are done on a grid of half the resolution
CHECK_EVERY = 20  # steps between looks at which cells have converged
PRESSURE, CONVEX = 6.0, 0.03  # pressure per hollow share of the silhouettes' hulls, beyond that of a convex cell
BAND = 0.1  # half widths of the crop around the surface in which movement is measured


def neus(problem: Problem, settings: Reconstruction) -> Tensor:
    """Fit signed distance fields to the views of all cells.

    Args:
        problem: The cells.
        settings: Field, resolution, steps, rays, samples, loss weights and tolerance.

    Returns:
        Volumes `(n, z, y, x)`; not-a-number where a fit diverged.
    """
    generator, rays = torch_generator(problem.seed, "rays"), Rays(problem)
    if settings.field == "mlp":
        hull = visual_hull(problem, settings)
        radii = ((hull > 0).float().mean((1, 2, 3)) * 8 * 3 / (4 * math.pi)) ** (1 / 3)
        field = PerceptronField(radii, settings.resolution, generator).to(hull.device)
        return Fit(field, rays, settings, generator).run(0, settings.steps)
    pressure = hollowness(problem) if problem.depths is None else torch.zeros(len(rays.coverage), device=rays.device)
    coarse = min(settings.resolution, max(COARSEST, settings.resolution // 2))
    hull = visual_hull(problem, settings.model_copy(update={"resolution": coarse}))
    if coarse == settings.resolution:
        return Fit(GridField(hull, settings.smoothness, pressure), rays, settings, generator).run(0, settings.steps)
    half, later = round(COARSE_SHARE * settings.steps), torch_generator(problem.seed, "rays of the fine grid")
    start = Fit(GridField(hull, settings.smoothness, pressure), rays, settings, generator).run(0, half)
    fine = GridField(resized(start, settings.resolution), settings.smoothness, pressure)
    # Numbers of its own: how many the coarse grid took depends on the slowest cell of the batch.
    return Fit(fine, Rays(problem), settings, later).run(half, settings.steps)


class Fit:
    """Fields on their way to the views.

    Args:
        field: The cells' fields.
        rays: What their views say.
        settings: Rays, samples, loss weights and tolerance.
        generator: Draws rays and points, on the CPU.
    """

    def __init__(self, field: Field, rays: Rays, settings: Reconstruction, generator: torch.Generator):
        self.field, self.rays, self.settings, self.generator = field, rays, settings, generator
        self.rate = settings.learning_rate / (1 if isinstance(field, GridField) else 4)
        start = field.volume()
        self.cells = torch.arange(len(start), device=start.device)
        self.log_sharpness = nn.Parameter(torch.full((len(start),), math.log(START_SHARPNESS), device=start.device))
        self.optimizer = torch.optim.Adam(field.parameters(), lr=self.rate)
        self.optimizer.add_param_group({"params": [self.log_sharpness], "lr": 0.01})

    def run(self, first: int, stop: int) -> Tensor:
        """Fit from step `first` to before step `stop` of all of them, each cell until it moves no more.

        Returns:
            Volumes `(n, z, y, x)`.
        """
        latest = self.field.volume().clone()
        done = torch.empty_like(latest)
        for step in range(first, stop):
            course = 0.5 * (1 + math.cos(math.pi * step / self.settings.steps))
            self.optimizer.param_groups[0]["lr"] = self.rate * (0.05 + 0.95 * course)
            self.optimizer.zero_grad(set_to_none=True)
            self._loss().sum().backward()
            self.optimizer.step()
            if (step + 1) % CHECK_EVERY == 0 and step + 1 < stop:
                before, latest = latest, self.field.volume().clone()
                going = movement(before, latest) > self.settings.tolerance
                done[self.cells[~going]] = latest[~going]
                latest = latest[going]
                if not going.all():
                    self._keep(torch.nonzero(going)[:, 0])
                if not len(self.cells):
                    logger.info("all cells converged at step %d of %d", step + 1, stop)
                    return done
        done[self.cells] = self.field.volume()
        return done

    def _keep(self, cells: Tensor) -> None:
        """Go on with some of the cells, by their positions, as if they had been alone."""
        self.cells = self.cells[cells]
        self.rays.keep(cells)
        for parameter in (p for group in self.optimizer.param_groups for p in group["params"]):
            parameter.data, parameter.grad = parameter.data[cells], None
            state = self.optimizer.state[parameter]  # empty for what is not trained
            state.update({name: state[name][cells] for name in ("exp_avg", "exp_avg_sq") if name in state})

    def _loss(self) -> Tensor:
        """Losses `(n,)`, each cell's own, so that it is fitted as if alone."""
        settings, generator = self.settings, self.generator
        chosen, wanted = self.rays.draw(settings.rays, generator)
        depth = self._sample_depths(chosen)
        opacity = ray_opacity(self._along(chosen, depth), self.log_sharpness.exp())
        loss = settings.mask_weight * _mean_bce(opacity.clamp(1e-4, 1 - 1e-4).logit(), wanted)
        if settings.section_weight:
            points, inside = self.rays.draw_section(settings.rays // 2, generator)
            logits = self.field(points) * self.rays.edge
            loss = loss + settings.section_weight * _mean_bce(logits, inside)
        if settings.depth_weight and self.rays.ends is not None:
            points, inside, known = self.rays.draw_surface(settings.rays // 2, generator)
            loss = loss + settings.depth_weight * _mean_bce(self.field(points) * self.rays.edge, inside, known)
        return loss + settings.eikonal_weight * self._eikonal() + self.field.penalty()

    def _along(self, rays: Tensor, depth: Tensor) -> Tensor:
        """The field `(n, k, S)` at depths `(n, k, S)` on rays `(n, k)`."""
        return self.field(self.rays.points(rays, depth).flatten(1, 2)).reshape(depth.shape)

    def _sample_depths(self, rays: Tensor) -> Tensor:
        """Where rays `(n, k)` are sampled: evenly, and more densely where the field says that they are decided."""
        fine = max(1, self.settings.samples // FINE_SHARE)
        even = coarse_depths(self.settings.samples - fine, rays.shape[1], self.generator, rays.device)
        even = even.expand(len(rays), -1, -1)
        with torch.no_grad():
            more = fine_depths(even, self._along(rays, even), fine, self.generator)
        return torch.cat([even, more], -1).sort(-1).values

    def _eikonal(self) -> Tensor:
        """Mean squared deviation of each cell's gradient length from 1 `(n,)`, by differences over one voxel."""
        device, step = self.cells.device, 2 / self.settings.resolution
        points = torch.rand(EIKONAL_POINTS, 3, generator=self.generator).to(device) * 1.8 - 0.9
        shifted = torch.cat([points, *(points + step * axis for axis in torch.eye(3, device=device))])
        middle, *ends = self.field(shifted.expand(len(self.cells), -1, -1)).split(EIKONAL_POINTS, 1)
        slope = torch.stack([(end - middle) / step for end in ends], -1)
        return (slope.square().sum(-1).clamp(min=1e-8).sqrt() - 1).square().mean(1)


def ray_opacity(distances: Tensor, sharpness: Tensor) -> Tensor:
    """Opacity of rays by NeuS' unbiased, occlusion-aware weights.

    Args:
        distances: Signed distances along the rays `(n, rays, samples)`, positive inside.
        sharpness: Inverse standard deviation s of the logistic density `(n,)`.

    Returns:
        Sum of the weights of each ray `(n, rays)`.
    """
    outside = torch.sigmoid(-distances * sharpness[:, None, None])  # the cumulative density Phi_s of NeuS' own sign
    alpha = ((outside[..., :-1] - outside[..., 1:]) / outside[..., :-1].clamp(min=1e-6)).clamp(0, 1 - 1e-6)
    return 1 - torch.exp(torch.log1p(-alpha).sum(-1))


def hollowness(problem: Problem) -> Tensor:
    """Pressure `(n,)` on cells whose views are silhouettes alone: the more, the more hollow their silhouettes are.

    The visual hull is the largest body with these silhouettes, right for convex cells and too large for others, whose
    hollows no outline shows. They are taken to be as deep as the hollows that outlines show.
    """
    hollow = [
        np.mean([1 - inside.sum() / convex_hull_image(inside).sum() if inside.any() else 0 for inside in cell])
        for cell in (problem.images > 0).cpu().numpy()
    ]
    return PRESSURE * (torch.tensor(hollow, dtype=torch.float32) - CONVEX).clamp(min=0).to(problem.images.device)


def movement(before: Tensor, after: Tensor) -> Tensor:
    """How far surfaces moved, in voxels `(n,)`: the mean change near them; not a number where a volume is not."""
    near = (after.abs() < BAND) | (before.abs() < BAND)
    change = ((after - before).abs() * near).flatten(1).sum(1) / near.flatten(1).sum(1).clamp(min=1)
    return change * after.shape[-1] / 2


def _mean_bce(logits: Tensor, wanted: Tensor, counts: Tensor | float = 1.0) -> Tensor:
    """Binary cross-entropy, mean of each cell's points `(n,)`, those that count."""
    return (functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * counts).mean(1)
