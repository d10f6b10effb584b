"""Noise schedules of diffusion and rectified flow, and what can be predicted of noisy data.

Data x0 and Gaussian noise eps are mixed, x_t = a(t) x0 + s(t) eps (Ho et al. 2020, equation 4), and
a network learns from (x_t, t) the noise, the data, the velocity v = a eps - s x0 (Salimans and Ho
2022, appendix D) or, for rectified flow with a = 1 - t and s = t, the direction eps - x0 (Liu et
al. 2023). Any of them gives all others, so samplers need not know which it was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

Prediction = Literal["noise", "x0", "v", "direction"]


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
        shift: the ratio of signal to noise is this times the schedule's own (Hoogeboom et al.
            2023). Below 1 for data that shows through more noise than that of photographs; not of
            "flow".
        width: power of that ratio. Below 1 more of the levels lie around the ratio of the middle;
            of rolls, what is on is decided within a few of them.
    """

    kind: Literal["linear", "cosine", "sqrt-linear", "flow"] = "cosine"
    steps: int = 1000
    first: float = 1e-4
    last: float = 0.02
    shift: float = 1.0
    width: float = 1.0

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
        kept = torch.cumprod(1 - beta, 0)
        ratio = (kept / (1 - kept)) ** self.width * self.shift**2
        return kept if self.shift == self.width == 1 else ratio / (1 + ratio)

    def at(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """The a and s of steps t [b], shaped to multiply `like` [b, ...]."""
        shape = (len(t), *[1] * (like.dim() - 1))
        index = t.cpu()
        a, s = self.signal[index], self.noise[index]
        return a.to(like).view(shape), s.to(like).view(shape)


def target(kind: Prediction, x0: Tensor, noise: Tensor, a: Tensor, s: Tensor) -> Tensor:
    """What a network that predicts `kind` should say of a x0 + s noise."""
    return {
        "noise": lambda: noise,
        "x0": lambda: x0,
        "v": lambda: a * noise - s * x0,
        "direction": lambda: noise - x0,
    }[kind]()


def clean(kind: Prediction, x: Tensor, predicted: Tensor, a: Tensor, s: Tensor) -> Tensor:
    """x0 from a noisy x = a x0 + s noise and the network's prediction."""
    return {
        "noise": lambda: (x - s * predicted) / a,
        "x0": lambda: predicted,
        "v": lambda: (a * x - s * predicted) / (a * a + s * s),
        "direction": lambda: (x - s * predicted) / (a + s),
    }[kind]()
