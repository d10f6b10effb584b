"""Spectral normalisation: singular values of 1, critics of slope at most 1."""

from __future__ import annotations

import pytest
import torch
from test_adversarial import Toy, batch, noise
from torch import Tensor, nn

from musegen.layers import spectral
from musegen.objectives.adversarial import REGULARISERS, Adversarial, slopes


def largest(weight: Tensor) -> float:
    return torch.linalg.matrix_norm(weight.flatten(1), ord=2).item()


def test_spectral_weights_have_a_largest_singular_value_of_one() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(9, 12),
        nn.Conv1d(3, 5, 4, stride=4),
        nn.Conv2d(4, 8, 3),
        nn.ModuleList([nn.ConvTranspose2d(6, 4, 2, stride=2), nn.Conv3d(2, 6, 2)]),
        nn.ReLU(),
    )
    assert spectral(module) is module
    layers = [m for m in module.modules() if hasattr(m, "parametrizations")]
    assert len(layers) == 5
    for layer in layers:
        for _ in range(60):  # each forward pass in training is one more power iteration
            weight = layer.weight
        if isinstance(layer, nn.ConvTranspose2d):
            weight = weight.transpose(0, 1)
        assert largest(weight) == pytest.approx(1, abs=1e-3)


def test_spectral_is_done_once_and_names_stay_loadable() -> None:
    a, b = (spectral(spectral(nn.Linear(3, 4))) for _ in range(2))
    assert len(a.parametrizations.weight) == 1
    b.load_state_dict(a.state_dict(), strict=True)
    x = torch.randn(2, 3, generator=noise())
    assert torch.equal(a.eval()(x), b.eval()(x))
    assert torch.equal(a(x), a(x))  # no iteration outside training


def test_a_spectral_critic_is_one_lipschitz() -> None:
    model = Toy()
    with torch.no_grad():
        for parameter in model.critic_parameters():
            parameter.mul_(5)
    a, b = (4 * torch.randn(300, 5, generator=noise(s)).double() for s in (0, 1))
    assert (slopes(model.critic, a) > 1.5).any()
    spectral(model.score)
    for _ in range(60):
        model.critic(a)
    model.eval()
    change = (model.critic(a) - model.critic(b)).abs()
    assert (change <= (a - b).norm(dim=1) * (1 + 1e-3)).all()
    assert slopes(model.critic, a).max() <= 1 + 1e-3


@pytest.mark.parametrize("name", REGULARISERS)
def test_spectral_critics_learn_in_every_pair(name: str) -> None:
    model = Toy()
    spectral(model.score)
    for phase in Adversarial(regulariser=name).phases(model):
        phase.loss(batch(), 0, noise())["loss"].backward()
        assert sum(p.grad.abs().sum() for p in phase.parameters) > 0
