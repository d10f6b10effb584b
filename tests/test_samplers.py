"""Samplers against `diffusers` where it is there, against formulas, and in closed form."""

from __future__ import annotations

import contextlib
import importlib
import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from musegen.samplers import SAMPLERS, Known, Plan, ddim, heun, invert, multistep, renoise, sample
from musegen.schedules import Schedule

COSINE = Schedule("cosine", 1000)
LINEAR = Schedule("linear", 1000)


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian(schedule: Schedule, mean: float, std: float) -> Any:
    """The best denoiser there is of data from N(mean, std), in closed form."""

    def denoise(x: Tensor, t: int) -> Tensor:
        a, s = float(schedule.signal[t]), float(schedule.noise[t])
        gain = a * std**2 / (a * a * std**2 + s * s)
        return mean + gain * (x - a * mean)

    return denoise


# A network that is no ideal denoiser, so that formulas are compared off the path, too.
def crooked(x: Tensor, t: int) -> Tensor:
    return torch.tanh(0.7 * x + math.sin(t)) * 0.9


def level(schedule: Schedule, t: int) -> tuple[float, float]:
    return float(schedule.signal[t]), float(schedule.noise[t])


@given(
    st.sampled_from(["linear", "cosine", "sqrt-linear", "flow"]),
    st.integers(1, 1000),
    st.integers(1, 1000),
    st.sampled_from(["uniform", "quadratic"]),
    st.data(),
)
@settings(deadline=None, max_examples=60)
def test_levels_fall_from_the_start(
    kind: Any, total: int, steps: int, spacing: Any, data: st.DataObject
) -> None:
    schedule = Schedule(kind, total)
    start = data.draw(st.none() | st.integers(0, total - 1))
    levels = Plan(steps, spacing=spacing).levels(schedule, start)
    top = total - 1 if start is None else start
    assert levels[0] == top
    assert all(a > b >= 0 for a, b in pairwise(levels))
    assert len(levels) <= steps
    if steps <= total and start is None and spacing == "uniform":
        assert len(levels) == steps


def test_quadratic_levels_are_dense_at_the_end() -> None:
    levels = Plan(10, spacing="quadratic").levels(LINEAR)
    assert levels == [round((1 - i / 10) ** 2 * 1000) - 1 for i in range(10)]


@pytest.mark.parametrize("kind", ["linear", "cosine", "sqrt-linear", "flow"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_gaussian_data_is_met(kind: Any, sampler: Any) -> None:
    """With the exact denoiser of N(0.3, 0.5) all samplers give that, whatever the schedule."""
    schedule = Schedule(kind, 1000)
    z = torch.randn(20_000, generator=gen(1), dtype=torch.float64)
    x = sample(gaussian(schedule, 0.3, 0.5), schedule, z, gen(2), Plan(200, sampler))
    assert float(x.mean()) == pytest.approx(0.3, abs=0.02)
    # Steps of first order come a little short.
    assert float(x.std()) == pytest.approx(0.5, rel=0.06 if "dd" in sampler else 0.03)


@pytest.mark.parametrize("spacing", ["uniform", "quadratic"])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_keeps_the_law_of_the_data(eta: float, spacing: Any) -> None:
    z = torch.randn(20_000, generator=gen(1), dtype=torch.float64)
    plan = Plan(200, "ddim", eta, spacing)
    x = sample(gaussian(LINEAR, -0.2, 0.7), LINEAR, z, gen(2), plan)
    assert float(x.mean()) == pytest.approx(-0.2, abs=0.02)
    assert float(x.std()) == pytest.approx(0.7, rel=0.05)


def test_second_order_is_nearer() -> None:
    schedule, z = Schedule("cosine", 100_000), torch.linspace(-2, 2, 9, dtype=torch.float64)
    denoise, start = gaussian(schedule, 0.3, 0.5), 80_000
    # In closed form: on the path, (x - a mean) / sqrt(a^2 std^2 + s^2) does not change.
    a, s = level(schedule, start)
    exact = 0.3 + 0.5 * (z - a * 0.3) / math.sqrt(a * a * 0.25 + s * s)

    def error(name: Any, steps: int) -> float:
        x = sample(denoise, schedule, z, gen(), Plan(steps, name), start=start)
        return float((x - exact).abs().max())

    assert error("ddim", 20) / error("ddim", 40) == pytest.approx(2, rel=0.2)
    for name in ("dpm++2m", "heun"):
        assert error(name, 20) < error("ddim", 20) / 4
        assert error(name, 40) < 0.005


def test_ddpm_is_the_posterior_of_its_paper() -> None:
    """Ho et al. 2020, equations 6 and 7, between neighbouring levels."""
    schedule = Schedule("linear", 10, first=0.05, last=0.4)
    x, x0, noise = torch.randn(3, 50, generator=gen(), dtype=torch.float64)
    for t in range(1, 10):
        kept = schedule.alphas_bar
        alpha = float(kept[t] / kept[t - 1])
        beta, bar, before = 1 - alpha, float(kept[t]), float(kept[t - 1])
        mean = math.sqrt(before) * beta / (1 - bar) * x0
        mean = mean + math.sqrt(alpha) * (1 - before) / (1 - bar) * x
        deviation = math.sqrt((1 - before) / (1 - bar) * beta)
        found = ddim(x, x0, level(schedule, t), level(schedule, t - 1), 1.0, noise)
        torch.testing.assert_close(found, mean + deviation * noise)


def test_noising_on_gives_the_levels_own_law() -> None:
    low, high = level(COSINE, 300), level(COSINE, 700)
    x0 = torch.full((200_000,), 0.8, dtype=torch.float64)
    x = low[0] * x0 + low[1] * torch.randn(x0.shape, generator=gen(1), dtype=torch.float64)
    noise = torch.randn(x0.shape, generator=gen(2), dtype=torch.float64)
    x = renoise(x, low, high, noise)
    assert float(x.mean()) == pytest.approx(high[0] * 0.8, abs=0.01)
    assert float(x.std()) == pytest.approx(high[1], rel=0.01)


diffusers: Any = None
with contextlib.suppress(ImportError):
    diffusers = importlib.import_module("diffusers")
needs_diffusers = pytest.mark.skipif(diffusers is None, reason="diffusers is not installed")


def theirs(name: str, **more: Any) -> Any:
    options: dict[str, Any] = {"trained_betas": (1 - _alphas()).numpy(), **more}
    return getattr(diffusers, name)(prediction_type="sample", **options)


def _alphas() -> Tensor:
    kept = LINEAR.alphas_bar
    return torch.cat([kept[:1], kept[1:] / kept[:-1]])


@needs_diffusers
@pytest.mark.parametrize("eta", [0.0, 0.6])
def test_ddim_is_that_of_diffusers(eta: float) -> None:
    scheduler = theirs("DDIMScheduler", clip_sample=False, timestep_spacing="trailing")
    scheduler.set_timesteps(20)
    levels = Plan(20).levels(LINEAR)
    assert scheduler.timesteps.tolist() == levels
    x = torch.randn(64, generator=gen(), dtype=torch.float64)
    mine = sample(crooked, LINEAR, x, gen(5), Plan(20, "ddim", eta))
    noise = gen(5)
    for t in levels:
        drawn = torch.randn(64, generator=noise).double() if eta and t != levels[-1] else None
        last = {"eta": 0.0} if t == levels[-1] else {"eta": eta, "variance_noise": drawn}
        if t == levels[-1]:  # theirs ends at its first level; ours at clean data
            x = crooked(x, t)
        else:
            x = scheduler.step(crooked(x, t), t, x, **last).prev_sample
    torch.testing.assert_close(mine, x, rtol=1e-5, atol=1e-5)


@needs_diffusers
def test_ddpm_is_that_of_diffusers() -> None:
    scheduler = theirs("DDPMScheduler", clip_sample=False, variance_type="fixed_small")
    x, x0 = torch.randn(2, 8, 8, generator=gen(), dtype=torch.float64)
    for t in (999, 500, 20, 2):
        noise = torch.randn(8, 8, generator=gen(t), dtype=torch.float64)
        out = scheduler.step(x0, t, x, generator=gen(t)).prev_sample
        mine = ddim(x, x0, level(LINEAR, t), level(LINEAR, t - 1), 1.0, noise)
        # Theirs are float32, which tells in 1 - alpha where there is next to no noise.
        near = 1e-3 if t == 2 else 2e-5
        torch.testing.assert_close(mine, out, rtol=near, atol=near)


@needs_diffusers
def test_dpm_solver_is_that_of_diffusers() -> None:
    scheduler = theirs(
        "DPMSolverMultistepScheduler",
        timestep_spacing="trailing",
        final_sigmas_type="zero",
        lower_order_final=False,
        euler_at_final=True,
    )
    scheduler.set_timesteps(20)
    levels = Plan(20).levels(LINEAR)
    assert scheduler.timesteps.tolist() == levels
    x = torch.randn(64, generator=gen(), dtype=torch.float64)
    mine = sample(crooked, LINEAR, x, gen(), Plan(20, "dpm++2m"))
    for t in levels:
        x = scheduler.step(crooked(x, t), t, x).prev_sample
    torch.testing.assert_close(mine, x, rtol=1e-4, atol=1e-4)


@needs_diffusers
def test_heun_is_that_of_diffusers() -> None:
    """Theirs works on x / a, sees no a, and is asked once for each of the two looks."""
    scheduler = theirs("HeunDiscreteScheduler", timestep_spacing="trailing")
    scheduler.set_timesteps(20)
    levels = Plan(20).levels(LINEAR)
    start = torch.randn(64, generator=gen(), dtype=torch.float64)
    mine = sample(crooked, LINEAR, start, gen(), Plan(20, "heun"))
    x = start / level(LINEAR, levels[0])[0]
    for t in scheduler.timesteps:
        x0 = crooked(x * level(LINEAR, int(t))[0], int(t))
        x = scheduler.step(x0, t, x).prev_sample
    torch.testing.assert_close(mine, x, rtol=1e-3, atol=1e-3)


def test_second_order_steps_by_hand() -> None:
    """Independent of any library: Lu et al. 2022, algorithm 2, and Karras et al. 2022."""
    x, x0, old = torch.randn(3, 30, generator=gen(), dtype=torch.float64)
    t0, t1, t2 = (level(LINEAR, t) for t in (700, 500, 300))
    lam = [math.log(a / s) for a, s in (t0, t1, t2)]
    h1, h2 = lam[1] - lam[0], lam[2] - lam[1]
    r = h1 / h2
    d = (1 + 1 / (2 * r)) * x0 - 1 / (2 * r) * old
    expected = t2[1] / t1[1] * x - t2[0] * (math.exp(-h2) - 1) * d
    _, memory = multistep(x, old, t0, t1, None)
    torch.testing.assert_close(multistep(x, x0, t1, t2, memory)[0], expected)

    sigma, sigma2 = t1[1] / t1[0], t2[1] / t2[0]
    y = x / t1[0]
    slope = (y - x0) / sigma
    euler = y + (sigma2 - sigma) * slope
    again = (euler - crooked(euler * t2[0], 300)) / sigma2
    expected = t2[0] * (y + (sigma2 - sigma) * 0.5 * (slope + again))
    torch.testing.assert_close(heun(x, x0, t1, t2, lambda z: crooked(z, 300)), expected)


@pytest.mark.parametrize("again", [1, 3])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_known_cells_come_out_as_they_went_in(sampler: Any, again: int) -> None:
    x = torch.randn(4, 6, generator=gen(3))
    mask = torch.rand(4, 6, generator=gen(4)) < 0.5
    z, known = torch.randn(4, 6, generator=gen(5)), Known(x, mask, again)
    plan = Plan(9, sampler)
    if again > 1 and sampler in ("dpm++2m", "heun"):
        with pytest.raises(ValueError, match="cannot go back"):
            sample(crooked, COSINE, z, gen(), plan, known=known)
        return
    out = sample(crooked, COSINE, z, gen(), plan, known=known)
    assert torch.equal(out[mask], x[mask])
    assert not torch.equal(out[~mask], x[~mask])


@pytest.mark.parametrize("again", [1, 5])
def test_new_cells_fit_the_known_ones(again: int) -> None:
    """Pairs that are always alike, with the exact denoiser: the second follows the first, and
    resampling brings it nearer (Lugmayr et al. 2022, figure 3).
    """
    n, kept = 2000, torch.tensor([True, False])

    def alike(x: Tensor, t: int) -> Tensor:
        a, s = level(COSINE, t)
        odds = a * x.sum(-1, keepdim=True) / (s * s)  # data are (1, 1) or (-1, -1)
        return torch.tanh(odds).expand_as(x)

    data = torch.where(torch.rand(n, 1, generator=gen(1)) < 0.5, 1.0, -1.0).expand(n, 2)
    z = torch.randn(n, 2, generator=gen(2))
    known = Known(data, kept, again)
    out = sample(alike, COSINE, z, gen(3), Plan(20, "ddpm"), known=known)
    right = float((out.sign() == data).all(-1).float().mean())
    assert right > (0.9 if again == 1 else 0.97)
    free = sample(alike, COSINE, z, gen(3), Plan(20, "ddpm"))
    assert float((free.sign() == data).all(-1).float().mean()) == pytest.approx(0.5, abs=0.05)


def test_inversion_leads_back() -> None:
    x = torch.where(torch.rand(3, 40, generator=gen(1), dtype=torch.float64) < 0.3, 1.0, -1.0)
    x = x.double()

    def denoise(y: Tensor, t: int) -> Tensor:
        a, s = level(COSINE, t)
        return torch.tanh(a * y / s**2 + 0.5 * math.log(0.3 / 0.7))

    noise = torch.randn(3, 40, generator=gen(2), dtype=torch.float64)
    z = invert(denoise, COSINE, x, Plan(200), noise)
    assert float(z.std()) == pytest.approx(1, abs=0.15)
    back = sample(denoise, COSINE, z, gen(), Plan(200))
    assert torch.equal(back.sign(), x)


def test_progress_is_told_and_nonsense_refused() -> None:
    told: list[tuple[int, int]] = []
    z = torch.zeros(2)
    sample(crooked, COSINE, z, gen(), Plan(3), report=lambda *at: told.append(at))
    assert told == [(1, 3), (2, 3), (3, 3)]
    with pytest.raises(ValueError, match="at least 1"):
        sample(crooked, COSINE, z, gen(), Plan(0))
    with pytest.raises(ValueError, match="no sampler"):
        sample(crooked, COSINE, z, gen(), Plan(5, "euler"))  # type: ignore[arg-type]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_seed_decides(sampler: Any) -> None:
    z, plan = torch.randn(8, generator=gen()), Plan(6, sampler, eta=0.5)
    first, again, other = (sample(crooked, COSINE, z, gen(s), plan) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (sampler in ("dpm++2m", "heun"))
