"""The diffusion process that all models share: noise schedule, training loss, samplers.

All models of the cascade predict v (Salimans & Ho 2022) under a squared-cosine schedule with zero
terminal signal-to-noise ratio, so that overall size and brightness are learned too and not leaked
through the last time step.
"""

from collections.abc import Callable, Sequence

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from torch import Tensor


def noise_schedule(timesteps: int) -> DDIMScheduler:
    """Scheduler for models trained from scratch, with `timesteps` steps T."""
    return DDIMScheduler(
        num_train_timesteps=timesteps,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
    )


def draw_noise(shape: Sequence[int], generator: torch.Generator, device: torch.device) -> Tensor:
    """Unit Gaussian noise drawn on the CPU, so that all devices get the same numbers."""
    return torch.randn(*shape, generator=generator).to(device)


TURNS = 8  # orientations of an image: multiples of 90 degrees, as it is and mirrored


def turned(images: Tensor, turns: Sequence[int]) -> Tensor:
    """Turn each image of `(b, c, y, x)` by `turns % 4` times 90 degrees, mirrored before if `turns` is 4 or more."""
    return torch.stack(
        [torch.rot90(image.flip(-1) if turn >= 4 else image, turn % 4, (-2, -1)) for image, turn in zip(images, turns)]
    )


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Turn each image of `(b, c, y, x)` by a random multiple of 90 degrees, every other one mirrored."""
    return turned(images, torch.randint(TURNS, (len(images),), generator=generator).tolist())


def draw_noising(shape: Sequence[int], schedule: DDIMScheduler, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """What makes clean data of a `shape` `(b, ...)` noisy: time steps `(b,)`, one an example, and noise; on the CPU."""
    steps = torch.randint(schedule.config.num_train_timesteps, tuple(shape[:1]), generator=generator)
    return steps, torch.randn(*shape, generator=generator)


def diffusion_loss(
    predict: Callable[[Tensor, Tensor], Tensor],
    clean: Tensor,
    steps: Tensor,
    noise: Tensor,
    schedule: DDIMScheduler,
    weight: Tensor | float = 1.0,
) -> Tensor:
    """Mean squared error of the prediction.

    Args:
        predict: Maps noisy data `(b, ...)` and time steps `(b,)` to the predicted noise, v or sample.
        clean: Clean data `(b, ...)`.
        steps: Time steps `(b,)`, as `draw_noising` draws them.
        noise: Noise of `clean`'s shape, as `draw_noising` draws it.
        schedule: Noise schedule; its `prediction_type` says what the target is.
        weight: Weight of the squared errors, broadcast against `clean`.
    """
    noisy = schedule.add_noise(clean, noise, steps)
    target = noise if schedule.config.prediction_type == "epsilon" else schedule.get_velocity(clean, noise, steps)
    return (weight * (predict(noisy, steps).float() - target).square()).mean()


@torch.no_grad()
def ddim(
    predict: Callable[[Tensor, Tensor], Tensor],
    start: Tensor,
    schedule: DDIMScheduler,
    *,
    steps: int,
    eta: float = 0.0,
    fresh_noise: Callable[[], Tensor] | None = None,
) -> Tensor:
    """Denoise `start` with DDIM (Song et al. 2021).

    Args:
        predict: Maps data `(b, ...)` and a time step `(b,)` to the model's prediction.
        start: Unit Gaussian noise `(b, ...)`.
        schedule: Noise schedule the model was trained with.
        steps: Denoising steps.
        eta: 0 is deterministic; 1 adds as much noise as DDPM does.
        fresh_noise: Gives noise of `start`'s shape; needed for `eta > 0`.

    Returns:
        Clean data of `start`'s shape.
    """
    schedule.set_timesteps(steps, device=start.device)
    eta = min(eta, 1 - 1e-4)  # at exactly 1 rounding can make the first step's variance negative: its signal is zero
    data = start
    for step in schedule.timesteps:
        output = predict(data, step.expand(len(data)))
        noise = fresh_noise() if fresh_noise and eta else None
        data = schedule.step(output, step, data, eta=eta, variance_noise=noise).prev_sample
    return data


@torch.no_grad()
def dpm_solver(
    predict: Callable[[Tensor, Tensor], Tensor], start: Tensor, schedule: DDIMScheduler, *, steps: int
) -> Tensor:
    """Denoise `start` with the multistep DPM-Solver++ of second order (Lu et al. 2022); deterministic, as DDIM is.

    Its steps are equal in the logarithm of the signal-to-noise ratio, as its authors have them: with equal time steps
    it is no nearer to the exact solution than DDIM, because the first step of a schedule with (nearly) zero terminal
    signal-to-noise ratio would be too long.

    Args:
        predict: Maps data `(b, ...)` and a time step `(b,)` to the model's prediction.
        start: Unit Gaussian noise `(b, ...)`.
        schedule: Noise schedule the model was trained with.
        steps: Denoising steps, one prediction each.

    Returns:
        Clean data of `start`'s shape.
    """
    kind = {"algorithm_type": "dpmsolver++", "solver_order": 2, "use_lu_lambdas": True}
    solver = DPMSolverMultistepScheduler.from_config(schedule.config, **kind)
    solver.set_timesteps(steps, device=start.device)
    data = start
    for step in solver.timesteps:
        data = solver.step(predict(data, step.expand(len(data))), step, data).prev_sample
    return data


SAMPLERS = {"ddim": ddim, "dpm++": dpm_solver}
