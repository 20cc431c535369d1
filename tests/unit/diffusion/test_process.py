"""The samplers, against data whose exact solution is known."""

import pytest
import torch
from diffusers import DDIMScheduler

from cellcascade.diffusion.process import ddim, dpm_solver, noise_schedule
from tests.sd_base import make_base


def test_ddim_recovers_data_from_a_perfect_prediction():
    schedule, truth = noise_schedule(1000), torch.linspace(-1, 1, 12).reshape(1, 12)

    def perfect(noisy, steps):
        alpha = schedule.alphas_cumprod[steps.long()].reshape(-1, 1)
        noise = (noisy - alpha.sqrt() * truth) / (1 - alpha).sqrt().clamp(min=1e-6)
        return alpha.sqrt() * noise - (1 - alpha).sqrt() * truth

    result = ddim(perfect, torch.randn(1, 12, generator=torch.Generator().manual_seed(0)), schedule, steps=20)
    assert (result - truth).abs().max() < 0.05


@pytest.mark.parametrize("steps", [5, 20, 40])
def test_fully_stochastic_sampling_stays_finite(steps):
    generator = torch.Generator().manual_seed(0)

    def fresh():
        return torch.randn(2, 8, generator=generator)

    result = ddim(lambda x, t: -x, fresh(), noise_schedule(1000), steps=steps, eta=1.0, fresh_noise=fresh)
    assert torch.isfinite(result).all()


def predictor(schedule, truth="gaussian"):
    """The perfect prediction for data of mean 0.5 and standard deviation 0.3: two narrow peaks, or a Gaussian."""
    centres, width = ([0.2, 0.8], 0.1) if truth == "peaks" else ([0.5], 0.3)
    centres = torch.tensor(centres, dtype=torch.float64)

    def predict(noisy, steps):
        kept = schedule.alphas_cumprod[steps.long().flatten()[0]].double()
        variance = kept * width**2 + 1 - kept
        away = noisy[..., None] - kept.sqrt() * centres
        share = torch.softmax(-(away**2) / (2 * variance), -1)
        clean = (share * (centres + kept.sqrt() * width**2 / variance * away)).sum(-1)
        noise = (noisy - kept.sqrt() * clean) / (1 - kept).sqrt()
        is_v = schedule.config.prediction_type == "v_prediction"
        return kept.sqrt() * noise - (1 - kept).sqrt() * clean if is_v else noise

    return predict


@pytest.mark.parametrize("steps", [8, 15, 30])
@pytest.mark.parametrize("truth", ["gaussian", "peaks"])
@pytest.mark.parametrize("kind", ["ours", "stable diffusion"])
def test_dpm_solver_comes_nearer_to_the_exact_solution_than_ddim_in_as_many_steps(kind, truth, steps, tmp_path):
    schedule = noise_schedule(1000)
    if kind == "stable diffusion":
        schedule = DDIMScheduler.from_pretrained(make_base(tmp_path), subfolder="scheduler")
    start = torch.randn(1, 500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    predict = predictor(schedule, truth)
    exact = ddim(predict, start, schedule, steps=500)
    ours, plain = (sampler(predict, start, schedule, steps=steps) for sampler in (dpm_solver, ddim))
    assert (ours - exact).abs().mean() < 0.75 * (plain - exact).abs().mean()
    assert torch.equal(ours, dpm_solver(predict, start, schedule, steps=steps))
