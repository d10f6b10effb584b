"""Diffusion and rectified flow: noise schedules, what a network predicts of them, and the loss.

Data x0 and Gaussian noise eps are mixed, x_t = a(t) x0 + s(t) eps (Ho et al. 2020, equation 4), and
a network learns from (x_t, t) the noise, the data, the velocity v = a eps - s x0 (Salimans and Ho
2022, appendix D) or, for rectified flow with a = 1 - t and s = t, the direction eps - x0 (Liu et
al. 2023). Any of them gives all others, so samplers need not know which it was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from musegen.objectives import Batch, Losses, Phase


class Denoiser(Protocol):
    """What the loss needs of a network."""

    def __call__(self, x: Tensor, t: Tensor, given: Tensor | None) -> Tensor:
        """From noisy x [b, ...] at steps t [b], what the objective predicts, [b, ...]."""
        ...


@dataclass(frozen=True)
class Schedule:
    """How much of the data and of the noise is left at step t = 0 (least noise) to steps - 1.

    Attributes:
        kind: "linear": beta from first to last (Ho et al. 2020); "cosine" (Nichol and Dhariwal
            2021, equation 17); "sqrt-linear": the square root of beta is linear (Rombach et al.
            2022, Polyffusion); "flow": a = 1 - t, s = t at t = (step + 1) / steps.
        steps: number of noise levels.
        first: the first beta, of "linear" and "sqrt-linear".
        last: the last beta.
    """

    kind: Literal["linear", "cosine", "sqrt-linear", "flow"] = "cosine"
    steps: int = 1000
    first: float = 1e-4
    last: float = 0.02

    @cached_property
    def signal(self) -> Tensor:
        """a(t), float64 [steps]."""
        if self.kind == "flow":
            return 1 - torch.arange(1, self.steps + 1, dtype=torch.float64) / self.steps
        return self.alphas_bar.sqrt()

    @cached_property
    def noise(self) -> Tensor:
        """s(t), float64 [steps]."""
        if self.kind == "flow":
            return 1 - self.signal
        return (1 - self.alphas_bar).sqrt()

    @cached_property
    def alphas_bar(self) -> Tensor:
        """Products of 1 - beta up to each step, float64 [steps]; not of "flow"."""
        t = torch.arange(self.steps + 1, dtype=torch.float64)
        if self.kind == "cosine":
            f = torch.cos((t / self.steps + 0.008) / 1.008 * math.pi / 2) ** 2
            beta = (1 - f[1:] / f[:-1]).clamp(max=0.999)
        elif self.kind == "linear":
            beta = torch.linspace(self.first, self.last, self.steps, dtype=torch.float64)
        else:
            ends = math.sqrt(self.first), math.sqrt(self.last)
            beta = torch.linspace(*ends, self.steps, dtype=torch.float64) ** 2
        return torch.cumprod(1 - beta, 0)

    def at(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """The a and s of steps t [b], shaped to multiply `like` [b, ...]."""
        shape = (len(t), *[1] * (like.dim() - 1))
        index = t.cpu()
        a, s = self.signal[index], self.noise[index]
        return a.to(like).view(shape), s.to(like).view(shape)


@dataclass(frozen=True)
class Diffusion:
    """The loss of a denoiser: mean squared error of its prediction at random steps.

    Attributes:
        schedule: of the noise.
        prediction: what the network is asked for: "noise", "x0", "v" or, for "flow", "direction".
        weighting: "uniform" as published; "min-snr": the signal-to-noise ratio cut at 5, in terms
            of the error of x0 (Hang et al. 2023).
        unguided: share of the batch that is trained without its conditions, for classifier-free
            guidance (Ho and Salimans 2022).
    """

    schedule: Schedule = field(default_factory=Schedule)
    prediction: Literal["noise", "x0", "v", "direction"] = "noise"
    weighting: Literal["uniform", "min-snr"] = "uniform"
    unguided: float = 0.0

    def phases(self, model: nn.Module) -> list[Phase]:
        """One phase over the whole network."""

        def loss(batch: Batch, step: int, generator: torch.Generator) -> Losses:
            return self.loss(model, batch, generator)

        return [Phase("denoise", [p for p in model.parameters() if p.requires_grad], loss)]

    def loss(self, model: Denoiser, batch: Batch, generator: torch.Generator) -> Losses:
        """The loss of a batch x [b, ...] of data about -1 to 1, at steps drawn for each."""
        x, given = batch.x.float(), batch.given
        t = torch.randint(self.schedule.steps, (len(x),), generator=generator)
        noise = torch.randn(x.shape, generator=generator).to(x)
        if given is not None and self.unguided:
            drop = torch.rand(len(x), generator=generator) < self.unguided
            keep = (~drop).to(given.device).view(-1, *[1] * (given.dim() - 1))
            given = given * keep
        return self.losses_at(model, x, given, t.to(x.device), noise)

    def losses_at(
        self, model: Denoiser, x: Tensor, given: Tensor | None, t: Tensor, noise: Tensor
    ) -> Losses:
        """The loss at given steps t [b] and noise [b, ...]."""
        a, s = self.schedule.at(t, x)
        predicted = model(a * x + s * noise, t, given).float()
        error = (predicted - self.target(x, noise, a, s)).square().flatten(1).mean(1)
        return {"loss": (error * self.weight(a, s).flatten()).mean()}

    def target(self, x0: Tensor, noise: Tensor, a: Tensor, s: Tensor) -> Tensor:
        """What the network should say."""
        return {
            "noise": lambda: noise,
            "x0": lambda: x0,
            "v": lambda: a * noise - s * x0,
            "direction": lambda: noise - x0,
        }[self.prediction]()

    def clean(self, x: Tensor, predicted: Tensor, a: Tensor, s: Tensor) -> Tensor:
        """x0 from a noisy x = a x0 + s noise and the network's prediction."""
        return {
            "noise": lambda: (x - s * predicted) / a,
            "x0": lambda: predicted,
            "v": lambda: (a * x - s * predicted) / (a * a + s * s),
            "direction": lambda: (x - s * predicted) / (a + s),
        }[self.prediction]()

    def weight(self, a: Tensor, s: Tensor) -> Tensor:
        """The weight of the squared error of each step."""
        if self.weighting == "uniform":
            return torch.ones_like(a)
        ratio = (a / s).square()
        cut = ratio.clamp(max=5.0)
        # The error of each prediction is that of x0 times this.
        of_x0 = {
            "noise": ratio,
            "x0": torch.ones_like(a),
            "v": ((a * a + s * s) / s).square(),
            "direction": ((a + s) / s).square(),
        }[self.prediction]
        return cut / of_x0

    def held_out(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Losses:
        """The loss at steps spread evenly, so that it varies little from batch to batch."""
        x = batch.x.float()
        t = torch.linspace(0, self.schedule.steps - 1, len(x)).round().long().to(x.device)
        noise = torch.randn(x.shape, generator=generator).to(x)
        return self.losses_at(model, x, batch.given, t, noise)

    def trouble(self, rows: Sequence[Mapping[str, float]]) -> str:
        """Nothing can die here that the loss does not show."""
        return ""
