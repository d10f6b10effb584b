"""Layers of multi-track piano rolls: (transposed) convolutions as matrix products, binary neurons.

Maps are [g, ..., t, p, d]: groups of independent weights (tracks, or one for all), any batch axes,
steps, pitches, width. A convolution whose kernel is its stride is a matrix product over patches of
time and pitch, and one batched product does all groups; where kernels overlap, as few of the
published ones do, patches are added up or unfolded first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Stage = tuple[int, ...]  # width, steps, pitches and, where they differ, strides of both


def spans(stage: Stage) -> tuple[int, int, int, int]:
    """Kernel and stride of a stage: steps, pitches, steps, pitches."""
    kernel = stage[1:3]
    steps, pitches, *strides = (*kernel, *(stage[3:5] or kernel))
    return steps, pitches, strides[0], strides[1]


def grown(size: tuple[int, int], stage: Stage) -> tuple[int, int]:
    """Steps and pitches after a transposed convolution."""
    steps, pitches, by_steps, by_pitches = spans(stage)
    return (size[0] - 1) * by_steps + steps, (size[1] - 1) * by_pitches + pitches


def shrunk(size: tuple[int, int], stage: Stage) -> tuple[int, int]:
    """Steps and pitches after a convolution."""
    steps, pitches, by_steps, by_pitches = spans(stage)
    return (size[0] - steps) // by_steps + 1, (size[1] - pitches) // by_pitches + 1


class Grouped(nn.Module):
    """A linear layer for each group: [g, n, d] to [g, n, o].

    Weights start normal with a standard deviation of `gain / sqrt(d)`, the bias at 0.
    """

    def __init__(self, groups: int, inner: int, outer: int, gain: float = math.sqrt(2)) -> None:
        super().__init__()
        scale = gain / math.sqrt(inner)
        self.weight = nn.Parameter(torch.randn(groups, inner, outer) * scale)
        self.bias = nn.Parameter(torch.zeros(groups, 1, outer))

    def forward(self, h: Tensor) -> Tensor:
        """[g, ..., d] to [g, ..., o]."""
        flat = h.reshape(len(self.weight), -1, h.shape[-1])
        out: Tensor = torch.baddbmm(self.bias, flat, self.weight)
        return out.reshape(*h.shape[:-1], -1)


class Grow(nn.Module):
    """Transposed convolution over steps and pitches: [g, ..., t, p, d] to [g, ..., t', p', o]."""

    def __init__(
        self,
        groups: int,
        inner: int,
        stage: Stage,
        gain: float = math.sqrt(2),
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.stage, self.span = stage, spans(stage)
        self.weight = nn.Parameter(Grouped(groups, inner, math.prod(stage[:3]), gain).weight)
        self.bias = nn.Parameter(torch.zeros(groups, 1, 1, 1, stage[0])) if bias else None

    def forward(self, h: Tensor) -> Tensor:
        """Every cell becomes a patch."""
        width, steps, pitches = self.stage[:3]
        g, *batch, t, p, d = h.shape
        y = torch.bmm(h.reshape(g, -1, d), self.weight)
        y = y.view(g, -1, t, p, steps, pitches, width)
        by_steps, by_pitches = self.span[2:]
        if (steps, pitches) == (by_steps, by_pitches):
            whole = y.transpose(3, 4).reshape(g, -1, t * steps, p * pitches, width)
        else:
            ends = grown((t, p), self.stage)
            whole = y.new_zeros(g, y.shape[1], *ends, width)
            for i in range(steps):
                for j in range(pitches):
                    rows = slice(i, i + (t - 1) * by_steps + 1, by_steps)
                    columns = slice(j, j + (p - 1) * by_pitches + 1, by_pitches)
                    whole[:, :, rows, columns] += y[:, :, :, :, i, j]
        if self.bias is not None:
            whole = whole + self.bias
        return whole.view(g, *batch, *whole.shape[2:])


class Shrink(nn.Module):
    """Convolution over steps and pitches: [g, ..., t, p, d] to [g, ..., t', p', o].

    What does not fill a patch at the end is left out, as in a convolution without padding.
    """

    def __init__(self, groups: int, inner: int, stage: Stage, gain: float = math.sqrt(2)) -> None:
        super().__init__()
        self.span = spans(stage)
        self.linear = Grouped(groups, inner * stage[1] * stage[2], stage[0], gain)

    def forward(self, h: Tensor) -> Tensor:
        """Every patch becomes a cell."""
        steps, pitches, by_steps, by_pitches = self.span
        if (steps, pitches) == (by_steps, by_pitches):  # as below, and several times faster back
            t, p = h.shape[-3] // steps, h.shape[-2] // pitches
            if h.shape[-3:-1] != (t * steps, p * pitches):
                h = h[..., : t * steps, : p * pitches, :]
            h = h.unflatten(-3, (t, steps)).unflatten(-2, (p, pitches)).movedim((-4, -2), (-2, -1))
        else:
            h = h.unfold(-3, steps, by_steps).unfold(-3, pitches, by_pitches)
        out: Tensor = self.linear(h.flatten(-3))
        return out


class Norm(nn.Module):
    """Normalisation of maps [g, b, m, t, p, d]: "batch", "layer" or "none".

    "batch" is over everything but group and channel (decay 0.9, epsilon 1e-5, as published);
    "layer" over each bar by itself, so that a phrase does not depend on its neighbours in a batch.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, kind: str, groups: int, width: int) -> None:
        super().__init__()
        self.kind = kind
        if kind == "none":
            return
        self.scale = nn.Parameter(torch.ones(groups, 1, 1, 1, 1, width))
        self.offset = nn.Parameter(torch.zeros(groups, 1, 1, 1, 1, width))
        if kind == "batch":
            self.register_buffer("mean", torch.zeros(groups, 1, 1, 1, 1, width))
            self.register_buffer("variance", torch.ones(groups, 1, 1, 1, 1, width))

    def forward(self, h: Tensor) -> Tensor:
        """The same shape."""
        if self.kind == "none":
            return h
        if self.kind == "layer":
            return torch.addcmul(self.offset, nn.functional.layer_norm(h, h.shape[3:]), self.scale)
        # As images with channels last, for which torch has a kernel of few passes.
        images = [one.flatten(0, 1).permute(0, 3, 1, 2) for one in h]
        flat = [v.flatten(1) for v in (self.mean, self.variance, self.scale, self.offset)]
        out = [
            nn.functional.batch_norm(image, mean, var, scale, offset, self.training, 0.1, 1e-5)
            for image, mean, var, scale, offset in zip(images, *flat, strict=True)
        ]
        return torch.stack([one.permute(0, 2, 3, 1) for one in out]).view(h.shape)


class _StraightThrough(torch.autograd.Function):
    """Hard decisions forward, the slope of a sigmoid backward."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, chance: Tensor | None, slope: float) -> Tensor:
        p = torch.sigmoid(logits if slope == 1 else slope * logits)
        ctx.save_for_backward(p)
        ctx.slope = slope
        return (p > (0.5 if chance is None else chance)).to(p)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (p,) = ctx.saved_tensors
        back = torch.ops.aten.sigmoid_backward(gradients[0], p)  # g p (1 - p) in one pass
        return back if ctx.slope == 1 else ctx.slope * back, None, None


def neurons(logits: Tensor, slope: float = 1.0, chance: Tensor | None = None) -> Tensor:
    """Binary neurons (Dong and Yang 2018, section 3.2): 1 where the sigmoid of a logit is over 1/2.

    With uniform numbers `chance` of the same shape they are stochastic: 1 with the probability that
    the sigmoid says. Gradients go straight through, times the slope of the sigmoid, which a
    `slope` that grows in training makes ever more like a step (Chung et al. 2017).
    """
    out: Tensor = _StraightThrough.apply(logits, chance, slope)
    return out


class _Nats(torch.autograd.Function):
    """Softplus of logits less those of what is there; its slope is probability less truth."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, truth: Tensor) -> Tensor:
        ctx.save_for_backward(logits, truth)
        return nn.functional.softplus(logits).sum() - logits[truth].sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        logits, truth = ctx.saved_tensors
        return torch.sigmoid(logits).sub_(truth.to(logits)).mul_(gradients[0]), None


def nats(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy of logits with a truth of bools, summed up.

    As `torch.nn.functional.binary_cross_entropy_with_logits`, in half of the passes over memory.
    """
    out: Tensor = _Nats.apply(logits, truth)
    return out


def merged(maps: Sequence[Tensor], groups: int = 1) -> Tensor:
    """Maps side by side, [g, ..., d1 + d2 ...]; those of one group are shown to all."""
    return torch.cat([m.expand(groups, *m.shape[1:]) for m in maps], dim=-1)
