"""The U-Net: its size as published, closed forms of its shortcuts, and what sampling promises."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from einops import rearrange
from torch import Tensor, nn

from musegen.models.diffusion import Denoiser, DiffusionConfig
from musegen.models.unet import Conv, _over_keys, waves
from musegen.objectives import Batch
from musegen.objectives.diffusion import Diffusion
from musegen.presets import check, preset
from musegen.samplers import Plan
from musegen.schedules import Schedule

TINY = DiffusionConfig(
    planes=2,
    steps=16,
    pitches=12,
    patch=(4, 12),
    kernel=(3, 1),
    pool=(2, 1),
    channels=8,
    multipliers=(1, 2),
    blocks=1,
    attention=(1,),
    heads=2,
    told=36,
    how="planes",
    context=0,
    positions=True,
    evidence=True,
    density=(0.05, 0.1),
    schedule=Schedule("cosine", 100, shift=0.5),
    prediction="x0",
)
KEYED = replace(TINY, keys=6)
SOLO = replace(TINY, single=(0,))
PLAIN = DiffusionConfig(
    planes=2,
    steps=16,
    pitches=12,
    channels=8,
    multipliers=(1, 2),
    blocks=1,
    attention=(1,),
    heads=2,
    told=36,
    context=16,
)
KINDS = [
    pytest.param(c, id=name)
    for name, c in {"patches": TINY, "keys": KEYED, "solo": SOLO, "plain": PLAIN}.items()
]


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(config: DiffusionConfig, seed: int = 0, spread: float = 0.1) -> Denoiser:
    torch.manual_seed(seed)
    model = Denoiser(config)
    for p in model.parameters():
        nn.init.normal_(p, std=spread)
    return model.eval()


def data(n: int, seed: int = 1) -> Tensor:
    return torch.where(torch.rand(n, 2, 16, 12, generator=gen(seed)) < 0.1, 1.0, -1.0)


def chords(n: int, seed: int = 2) -> Tensor:
    return (torch.rand(n, 4, 36, generator=gen(seed)) < 0.2).float()


def test_polyffusion_has_its_published_size() -> None:
    config: Any = preset("polyffusion").model
    model = Denoiser(replace(config, told=0))  # theirs counts no encoder
    assert sum(p.numel() for p in model.parameters()) == 41_082_370


def test_the_small_one_is_small() -> None:
    config: Any = preset("piano_8bar").model
    model = Denoiser(config)
    assert 4e6 < sum(p.numel() for p in model.parameters()) < 7.5e6


@pytest.mark.parametrize(
    "config", [TINY, KEYED, SOLO, PLAIN], ids=["patches", "keys", "solo", "plain"]
)
def test_shapes_and_the_seed(config: DiffusionConfig) -> None:
    model = network(config)
    z = model.prior(3, gen(1))
    assert z.shape == (3, 2, 16, 12)
    plan = Plan(3, "ddpm")
    first, again, other = (model.decode(z, gen(s), chords(3), plan=plan) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == z.shape
    assert float(first.abs().max()) <= 1


@pytest.mark.parametrize(
    ("kernel", "stride"), [((3, 1), (1, 1)), ((3, 1), (2, 1)), ((1, 1), (1, 1))]
)
def test_convolutions_as_products_are_convolutions(kernel: Any, stride: Any) -> None:
    torch.manual_seed(0)
    layer = Conv(5, 7, kernel, stride, (kernel[0] // 2, 0))
    x = torch.randn(2, 5, 16, 1)
    torch.testing.assert_close(layer(x), nn.Conv2d.forward(layer, x))


def test_waves_are_those_of_the_paper() -> None:
    found = waves(torch.tensor([3]), 8)[0].tolist()
    rates = [10_000 ** (-i / 4) for i in range(4)]
    assert found == pytest.approx([f(3 * r) for f in (math.cos, math.sin) for r in rates], abs=1e-6)


@pytest.mark.parametrize("config", [TINY, KEYED], ids=["patches", "keys"])
def test_evidence_is_the_posterior_of_independent_cells(config: DiffusionConfig) -> None:
    """With a network that says the log odds of the density and no more, x0 is Bayes' answer."""
    model = network(config)
    weight, bias = (model.keys.last if model.keys else model.last[-1]).parameters()
    nn.init.zeros_(weight)
    odds = torch.tensor(TINY.density)
    half = (odds / (1 - odds)).log() / 2
    bias.data = half.repeat_interleave(4 if model.keys else 4 * 12)
    x0 = data(2)
    for level in (5, 50, 95):
        t = torch.full((2,), level)
        a, s = TINY.schedule.at(t, x0)
        x = a * x0 + s * torch.randn(x0.shape, generator=gen(level))
        on = torch.exp(-((x - a) ** 2) / (2 * s * s)) * odds[:, None, None]
        off = torch.exp(-((x + a) ** 2) / (2 * s * s)) * (1 - odds[:, None, None])
        expected = ((on - off) / (on + off)).nan_to_num(0)
        sure = (on + off) < 1e-20  # both densities underflow
        found = model(x, t)
        torch.testing.assert_close(found[~sure], expected[~sure], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("config", [TINY, KEYED], ids=["patches", "keys"])
def test_a_new_network_begins_at_the_density(config: DiffusionConfig) -> None:
    torch.manual_seed(0)
    model = Denoiser(config).eval()
    noise = model.prior(8, gen())
    guess = (1 + model(noise, torch.full((8,), 99))) / 2
    shares = guess.mean((0, 2, 3)).tolist()
    assert shares == pytest.approx(list(TINY.density), rel=0.5)


@pytest.mark.parametrize("config", [TINY, KEYED, PLAIN], ids=["planes", "keys", "attention"])
def test_chords_are_heard_and_zeros_are_none(config: DiffusionConfig) -> None:
    model, x, t = network(config), data(3), torch.tensor([50, 60, 70])
    told = model(x, t, chords(3))
    assert torch.equal(model(x, t, torch.zeros(3, 4, 36)), model(x, t))
    assert not torch.allclose(told, model(x, t))
    alone = model(x[1:2], t[1:2], chords(3)[1:2])
    torch.testing.assert_close(alone, told[1:2], rtol=1e-4, atol=1e-5)


def test_guidance_goes_beyond_what_is_told() -> None:
    model, x, c = network(PLAIN), data(2), chords(2)
    free, told, more = (model.looker(c, g)(x, 40) for g in (0.0, 1.0, 2.0))
    torch.testing.assert_close(free, model.looker()(x, 40))
    expected = (free + 2 * (told - free)).clamp(-1, 1)
    # Cut to the range only at the end.
    inside = (free.abs() < 1) & (told.abs() < 1)
    torch.testing.assert_close(more[inside], expected[inside])


def test_a_key_hears_what_is_near_and_the_u_net_all() -> None:
    """Without the U-Net a cell hears its bar; without that, its key two patches on, others one."""
    model, x = network(KEYED).double(), data(1).double()
    t, z = torch.tensor([50]), x + 0.1
    changed = z.clone()
    changed[:, :, 0, 7] += 1
    assert bool((model(changed, t) != model(z, t)).all())
    nn.init.zeros_(model.last[-1].weight)
    assert model.keys is not None
    assert bool((model(changed, t) != model(z, t)).all())
    nn.init.zeros_(model.keys.recall.weight)
    moved = (model(changed, t) != model(z, t))[0].all(0)
    assert moved[:12, 7].all()
    assert not moved[12:].any()
    others = torch.arange(12) != 7
    assert moved[:8, others].all()
    assert not moved[8:, others].any()


def test_one_key_at_a_time_is_the_posterior_of_exclusive_cells() -> None:
    """All cases counted: none of n cells is on, or one of them."""
    model = network(SOLO)
    nn.init.zeros_(model.last[-1].weight)
    bias = torch.linspace(-2, 0, 2 * 4 * 12)
    model.last[-1].bias.data = bias
    t = torch.tensor([60])
    a, s = (float(v) for v in SOLO.schedule.at(t, torch.zeros(1)))
    x = a * data(1) + s * torch.randn(1, 2, 16, 12, generator=gen(4))
    odds = (2 * bias).exp().view(2, 4, 12)[:, 1]  # of the second step of each patch
    cells = x[0, :, 5]
    on, off = (torch.exp(-((cells - v) ** 2) / (2 * s * s)) for v in (a, -a))
    cases = odds * on / off  # against none being on
    expected = 2 * cases / (1 + cases.sum()) - 1
    torch.testing.assert_close(model(x, t)[0, :, 5], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("again", [1, 3])
@pytest.mark.parametrize(
    "config", [TINY, KEYED, SOLO, PLAIN], ids=["patches", "keys", "solo", "plain"]
)
def test_fill_keeps_what_is_kept(config: DiffusionConfig, again: int) -> None:
    model, x = network(config), data(2)
    mask = torch.rand(2, 2, 16, 12, generator=gen(7)) < 0.5
    out = model.fill(x, mask, gen(3), plan=Plan(4), again=again)
    assert torch.equal(out[mask], x[mask])
    assert not torch.equal(out[~mask].sign(), x[~mask])


def test_little_noise_is_taken_off_again() -> None:
    """Partial noising: while cells are sure, the roll comes back; out of all noise it does not."""
    model, x = network(TINY, spread=0.01), data(4)
    near, far = (model.noised(x, amount, gen(1)) for amount in (0.1, 1.0))
    back = model.decode(near[0], gen(2), plan=Plan(5), start=near[1])
    assert float((back.sign() != x).float().mean()) < 0.01
    gone = model.decode(far[0], gen(2), plan=Plan(5), start=far[1])
    assert float((gone.sign() != x).float().mean()) > 0.05
    for amount in (0.0, 1.1):
        with pytest.raises(ValueError, match="amount"):
            model.noised(x, amount, gen())


def test_inversion_reconstructs() -> None:
    model, x = network(TINY, spread=0.02), data(3)
    z = model.encode(x, gen(1), plan=Plan(60))
    assert 0.7 < float(z.std()) < 1.3
    back = model.decode(z, gen(2), plan=Plan(60))
    assert float((back.sign() != x).float().mean()) < 0.02


def test_it_learns_two_rolls_apart() -> None:
    """Two patterns, each told by a chord: the chord picks one, and without it both are made."""
    torch.manual_seed(0)
    model = Denoiser(TINY)
    patterns, told = data(2, 5), chords(2, 6)
    objective = Diffusion(TINY.schedule, "x0", error="entropy", spread=True, unguided=0.2)
    (phase,) = objective.phases(model)
    adam = torch.optim.Adam(phase.parameters, lr=4e-3)
    which = torch.arange(16) % 2
    zeros = torch.zeros(16, dtype=torch.long)
    for step in range(200):
        batch = Batch(patterns[which], zeros, zeros, told[which])
        loss = phase.loss(batch, step, gen(step))["loss"]
        adam.zero_grad()
        loss.backward()
        adam.step()
    model.eval()
    made = model.decode(model.prior(8, gen(9)), gen(8), told[which[:8]], plan=Plan(10, "ddpm"))
    wrong = (made.sign() != patterns[which[:8]]).float().mean()
    free = model.decode(model.prior(8, gen(9)), gen(8), plan=Plan(10, "ddpm"))
    nearest = (free.sign()[:, None] != patterns).float().mean((2, 3, 4))
    assert float(wrong) < 0.05
    assert float(nearest.min(1).values.mean()) < 0.1
    assert set(nearest.argmin(1).tolist()) == {0, 1}


@pytest.mark.parametrize("name", ["polyffusion", "piano_8bar"])
def test_presets_hold(name: str) -> None:
    check(preset(name))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"planes": 6}, "planes"),
        ({"patch": (3, 84)}, "patch"),
        ({"schedule": Schedule()}, "same schedule"),
        ({"told": 0}, "told"),
        ({"density": (0.1,)}, "density"),
    ],
)
def test_contradictions_are_told(change: Any, words: str) -> None:
    from musegen.errors import MusegenError

    good = preset("piano_8bar")
    with pytest.raises(MusegenError, match=words):
        check(replace(good, model=replace(good.model, **change)))


def test_impossible_networks_are_refused() -> None:
    with pytest.raises(ValueError, match="whole patches"):
        Denoiser(replace(TINY, patch=(5, 12)))
    with pytest.raises(ValueError, match="evidence"):
        Denoiser(replace(TINY, prediction="v"))
    with pytest.raises(ValueError, match="single"):
        Denoiser(replace(PLAIN, single=(0,)))
    with pytest.raises(ValueError, match="all pitches"):
        Denoiser(replace(TINY, keys=6, patch=(4, 6)))


def test_banded_products_are_convolutions_over_keys() -> None:
    depthwise = nn.Conv1d(6, 6, 25, padding=12, groups=6)
    x = torch.randn(2, 40, 3, 6, generator=gen())
    expected = depthwise(rearrange(x, "b p t c -> (b t) c p"))
    expected = rearrange(expected, "(b t) c p -> b p t c", b=2)
    torch.testing.assert_close(_over_keys(depthwise, x), expected)
