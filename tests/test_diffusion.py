"""Noise schedules against their definitions, predictions that give each other, the loss by hand."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from musegen.objectives import Batch
from musegen.objectives.diffusion import Diffusion
from musegen.schedules import Schedule

KINDS: list[Any] = ["linear", "cosine", "sqrt-linear", "flow"]
PREDICTIONS: list[Any] = ["noise", "x0", "v", "direction"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 10, 1000])
def test_data_turns_into_noise(kind: Any, steps: int) -> None:
    schedule = Schedule(kind, steps)
    assert schedule.signal.shape == schedule.noise.shape == (steps,)
    assert (schedule.signal.diff() < 0).all()
    assert (schedule.noise.diff() > 0).all()
    assert schedule.signal.min() >= 0
    if kind != "flow":
        total = schedule.signal.square() + schedule.noise.square()
        torch.testing.assert_close(total, torch.ones(steps, dtype=torch.float64))
    if steps == 1000:
        assert schedule.signal[0] > 0.99
        assert schedule.signal[-1] < 0.1


def test_linear_betas_by_hand() -> None:
    schedule = Schedule("linear", 3, first=0.1, last=0.3)
    expected = [0.9, 0.9 * 0.8, 0.9 * 0.8 * 0.7]
    assert schedule.alphas_bar.tolist() == pytest.approx(expected)


def test_square_roots_of_betas_are_linear() -> None:
    schedule = Schedule("sqrt-linear", 3, first=0.04, last=0.16)
    assert schedule.alphas_bar.tolist() == pytest.approx([0.96, 0.96 * 0.91, 0.96 * 0.91 * 0.84])


def test_the_cosine_follows_its_equation() -> None:
    """Nichol and Dhariwal: f(t) = cos^2((t/T + s)/(1 + s) pi/2), betas cut at 0.999."""
    f = [math.cos((t / 8 + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(9)]
    found = Schedule("cosine", 8).alphas_bar.tolist()
    assert found[:7] == pytest.approx([f[t] / f[0] for t in range(1, 8)])
    assert found[7] == pytest.approx(found[6] * 0.001)


def test_shift_and_width_change_the_ratio_of_signal_to_noise() -> None:
    usual, other = (Schedule("cosine", 9, **o) for o in ({}, {"shift": 0.7, "width": 0.6}))
    ratio, changed = (s.signal / s.noise for s in (usual, other))
    torch.testing.assert_close(changed, 0.7 * ratio**0.6)


@pytest.mark.parametrize(("kind", "prediction"), itertools.product(KINDS, PREDICTIONS))
def test_every_prediction_gives_the_data_back(kind: Any, prediction: Any) -> None:
    objective = Diffusion(Schedule(kind, 50), prediction)
    generator = torch.Generator().manual_seed(0)
    x0, noise = torch.randn(2, 48, 3, dtype=torch.float64, generator=generator)
    t = torch.arange(1, 49)
    a, s = objective.schedule.at(t, x0)
    x = a * x0 + s * noise
    right = objective.target(x0, noise, a, s)
    torch.testing.assert_close(objective.clean(x, right, a, s), x0)


class Fixed(nn.Module):
    """Says what it was told to say, and keeps what it was shown."""

    def __init__(self, answer: float = 0.0) -> None:
        super().__init__()
        self.answer = nn.Parameter(torch.tensor(answer))
        self.seen: list[tuple[Tensor, Tensor, Tensor | None]] = []

    def forward(self, x: Tensor, t: Tensor, given: Tensor | None) -> Tensor:
        self.seen.append((x, t, given))
        return self.answer.expand_as(x)


def batch(x: Tensor, given: Tensor | None = None) -> Batch:
    zeros = torch.zeros(len(x), dtype=torch.long)
    return Batch(x, zeros, zeros, given)


def test_the_loss_by_hand() -> None:
    schedule = Schedule("linear", 2, first=0.36, last=0.5)  # a = 0.8, s = 0.6 at step 0
    x, noise = torch.tensor([[1.0, -1.0]]), torch.tensor([[2.0, 3.0]])
    model, t = Fixed(0.5), torch.tensor([0])
    losses = {
        p: float(Diffusion(schedule, p).losses_at(model, x, None, t, noise)["loss"].detach())
        for p in PREDICTIONS
    }
    torch.testing.assert_close(model.seen[0][0], torch.tensor([[2.0, 1.0]]))
    assert losses == pytest.approx(
        {
            "noise": (1.5**2 + 2.5**2) / 2,
            "x0": (0.5**2 + 1.5**2) / 2,
            "v": ((1.0 - 0.5) ** 2 + (3.0 - 0.5) ** 2) / 2,  # v = 0.8 eps - 0.6 x0
            "direction": ((1 - 0.5) ** 2 + (4 - 0.5) ** 2) / 2,
        },
        abs=1e-6,
    )


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("kind", ["cosine", "flow"])
def test_min_snr_weighs_the_error_of_the_data(kind: Any, prediction: Any) -> None:
    """Whatever is predicted, the weighted loss is min(SNR, 5) times the squared error of x0."""
    objective = Diffusion(Schedule(kind, 20), prediction, "min-snr")
    generator = torch.Generator().manual_seed(1)
    x0, noise, wrong = torch.randn(3, 18, 4, dtype=torch.float64, generator=generator)
    a, s = objective.schedule.at(torch.arange(1, 19), x0)
    x = a * x0 + s * noise
    predicted = objective.target(x0, noise, a, s) + wrong
    error = (predicted - objective.target(x0, noise, a, s)).square().mean(1)
    of_x0 = (objective.clean(x, predicted, a, s) - x0).square().mean(1)
    ratio = (a / s).square().flatten().clamp(max=5)
    torch.testing.assert_close(objective.weight(a, s).flatten() * error, ratio * of_x0)


def test_steps_and_noise_come_from_the_generator() -> None:
    model, objective = Fixed(), Diffusion()
    x = torch.zeros(64, 5)
    for seed in (0, 0, 1):
        objective.loss(model, batch(x), torch.Generator().manual_seed(seed))
    (first, t1, _), (again, t2, _), (other, t3, _) = model.seen
    assert torch.equal(first, again)
    assert torch.equal(t1, t2)
    assert not torch.equal(t1, t3)
    assert 0 <= t1.min() < 200 < 800 < t1.max() < 1000
    assert not torch.equal(first, other)


def test_conditions_are_hidden_from_the_share_asked_for() -> None:
    model, given = Fixed(), torch.ones(2000, 3)
    objective = Diffusion(unguided=0.2)
    objective.loss(model, batch(torch.zeros(2000, 2), given), torch.Generator().manual_seed(0))
    seen = model.seen[0][2]
    assert seen is not None
    assert set(seen.sum(1).tolist()) == {0.0, 3.0}
    assert 0.16 < float((seen.sum(1) == 0).float().mean()) < 0.24
    Diffusion().loss(model, batch(torch.zeros(9, 2), torch.ones(9, 3)), torch.Generator())
    assert model.seen[1][2] is not None
    assert bool((model.seen[1][2] == 1).all())


def test_held_out_losses_cover_all_steps() -> None:
    model = Fixed()
    Diffusion().held_out(model, batch(torch.zeros(11, 2)), torch.Generator())
    assert model.seen[0][1][[0, 5, 10]].tolist() == [0, 500, 999]


def test_a_small_network_learns_a_line() -> None:
    """Data on a line: after training, one clean guess from pure noise is the mean of the data."""
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 2))

        def forward(self, x: Tensor, t: Tensor, given: Tensor | None) -> Tensor:
            out: Tensor = self.net(torch.cat([x, t[:, None] / 100], 1))
            return out

    objective, model = Diffusion(Schedule("cosine", 100), "x0"), Net()
    (phase,) = objective.phases(model)
    adam = torch.optim.Adam(phase.parameters, lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for step in range(300):
        along = torch.rand(128, 1, generator=generator)
        loss = phase.loss(batch(torch.cat([along, 1 - along], 1)), step, generator)["loss"]
        adam.zero_grad()
        loss.backward()
        adam.step()
    noise = torch.randn(500, 2, generator=generator)
    guess = model(noise, torch.full((500,), 99), None).mean(0)
    assert guess.tolist() == pytest.approx([0.5, 0.5], abs=0.06)
