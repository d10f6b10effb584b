"""Patch layers against torch's convolutions; binary neurons against their definition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from musegen.models.patches import Grow, Norm, Shrink, Stage, grown, nats, neurons, shrunk, spans

STAGES = [(5, 3, 2), (4, 1, 12), (3, 4, 3, 4, 2), (2, 3, 1, 1, 1), (6, 4, 1, 2, 1)]


def maps(groups: int, steps: int, pitches: int, width: int, seed: int = 0) -> torch.Tensor:
    """[g, b, m, t, p, d]."""
    noise = torch.Generator().manual_seed(seed)
    return torch.randn(groups, 2, 3, steps, pitches, width, generator=noise)


def images(h: torch.Tensor) -> torch.Tensor:
    """One group of maps as torch has images, [b m, d, t, p]."""
    return h.flatten(0, 1).permute(0, 3, 1, 2)


@pytest.mark.parametrize("stage", STAGES)
def test_growing_is_a_transposed_convolution(stage: Stage) -> None:
    torch.manual_seed(0)
    layer = Grow(2, 7, stage)
    nn.init.normal_(layer.bias)
    steps, pitches, by_steps, by_pitches = spans(stage)
    h = maps(2, 3, 4, 7)
    ours = layer(h)
    assert ours.shape[3:5] == grown((3, 4), stage)
    for g in range(2):
        theirs = nn.ConvTranspose2d(7, stage[0], (steps, pitches), (by_steps, by_pitches))
        weight = layer.weight[g].view(7, steps, pitches, stage[0]).permute(0, 3, 1, 2)
        with torch.no_grad():
            theirs.weight.copy_(weight)
            theirs.bias.copy_(layer.bias[g].flatten())
        torch.testing.assert_close(images(ours[g]), theirs(images(h[g])))


@pytest.mark.parametrize("stage", STAGES)
def test_shrinking_is_a_convolution(stage: Stage) -> None:
    torch.manual_seed(0)
    layer = Shrink(2, 7, stage)
    nn.init.normal_(layer.linear.bias)
    steps, pitches, by_steps, by_pitches = spans(stage)
    h = maps(2, 9, 25, 7)
    ours = layer(h)
    assert ours.shape[3:5] == shrunk((9, 25), stage)
    for g in range(2):
        theirs = nn.Conv2d(7, stage[0], (steps, pitches), (by_steps, by_pitches))
        weight = layer.linear.weight[g].view(7, steps, pitches, stage[0]).permute(3, 0, 1, 2)
        with torch.no_grad():
            theirs.weight.copy_(weight)
            theirs.bias.copy_(layer.linear.bias[g, 0])
        torch.testing.assert_close(images(ours[g]), theirs(images(h[g])), atol=1e-5, rtol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4))
def test_shrinking_undoes_the_size_of_growing(t: int, p: int, steps: int, pitches: int) -> None:
    stage = (1, steps, pitches, max(1, steps - 1), max(1, pitches - 1))
    assert shrunk(grown((t, p), stage), stage) == (t, p)


def test_batch_normalisation_is_torchs() -> None:
    """A group is a layer of torch's, in training and afterwards."""
    ours, h = Norm("batch", 2, 5), maps(2, 4, 3, 5) * 3 + 1
    theirs = [nn.BatchNorm2d(5) for _ in range(2)]
    for training in (True, False):
        ours.train(training)
        out = ours(h)
        for g in range(2):
            theirs[g].train(training)
            torch.testing.assert_close(images(out[g]), theirs[g](images(h[g])))


def test_layer_normalisation_sees_one_bar() -> None:
    norm, h = Norm("layer", 2, 5), maps(2, 4, 3, 5)
    out = norm(h)
    torch.testing.assert_close(out[0, 0, 0].mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(norm(h[:, :1]), out[:, :1])


def test_neurons_decide_at_one_half() -> None:
    x = torch.tensor([-3.0, -1e-3, 1e-3, 2.0])
    assert neurons(x).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("slope", [1.0, 3.0])
def test_gradients_go_through_by_the_slope_of_the_sigmoid(slope: float) -> None:
    x = torch.linspace(-2, 2, 7).requires_grad_()
    neurons(x, slope).sum().backward()
    p = torch.sigmoid(slope * x.detach())
    torch.testing.assert_close(x.grad, slope * p * (1 - p))


def test_stochastic_neurons_fire_as_often_as_their_probability() -> None:
    chance = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    rate = neurons(torch.full((20_000,), -1.0), chance=chance).mean()
    assert abs(float(rate) - float(torch.sigmoid(torch.tensor(-1.0)))) < 0.01


def test_nats_are_the_binary_cross_entropy() -> None:
    x = torch.randn(4, 9, generator=torch.Generator().manual_seed(0)).requires_grad_()
    truth = torch.rand(4, 9, generator=torch.Generator().manual_seed(1)) < 0.3
    other = x.detach().clone().requires_grad_()
    (2 * nats(x, truth)).backward()
    expected = nn.functional.binary_cross_entropy_with_logits(other, truth.float(), reduction="sum")
    (2 * expected).backward()
    torch.testing.assert_close(nats(x, truth), expected)
    torch.testing.assert_close(x.grad, other.grad)
