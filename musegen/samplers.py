"""From noise to data in a few steps, with any network that says what it takes for clean.

A sampler asks `denoise(x, t)` for x0 and goes from one noise level to the next lower one. DDPM is
DDIM with eta 1 (Song et al. 2021, section 4.1); DPM-Solver++(2M) is Lu et al. 2022, algorithm 2;
Heun is Karras et al. 2022, algorithm 1 without churn. Where cells are known, `Known` puts them back
at each step and may go back and forth between levels (Lugmayr et al. 2022, RePaint, algorithm 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from musegen.schedules import Schedule

Denoise = Callable[[Tensor, int], Tensor]
# One for a batch, or one for each of its members, whose noise then does not depend on the others.
Random = torch.Generator | Sequence[torch.Generator]
Name = Literal["ddim", "ddpm", "dpm++2m", "heun"]
Spacing = Literal["uniform", "quadratic"]
SAMPLERS: tuple[Name, ...] = ("ddim", "ddpm", "dpm++2m", "heun")
BACK: tuple[Name, ...] = ("ddim", "ddpm")  # what can go back a step, and so resample

# Ratio of noise to signal above which Heun's second look would divide one rounding error by
# another; 80 is the largest level of Karras et al. (table 1).
_HEUN_FROM = 80.0
_FAINT = 1e-8  # least signal, so that its logarithm is a number


@dataclass(frozen=True)
class Known:
    """Cells that are given.

    Attributes:
        x: clean data [b, ...].
        mask: bool, broadcast to it; True is kept.
        again: times that each step is made (RePaint's jumps of one step); 1 is once.
    """

    x: Tensor
    mask: Tensor
    again: int = 1


@dataclass(frozen=True)
class Plan:
    """How to sample.

    Attributes:
        steps: noise levels that are visited; each costs one look of the network ("heun" two).
        sampler: which of `SAMPLERS`.
        eta: noise that "ddim" adds, 0 none to 1 as much as "ddpm".
        spacing: "uniform", or "quadratic": denser where there is little noise.
    """

    steps: int = 25
    sampler: Name = "ddim"
    eta: float = 0.0
    spacing: Spacing = "uniform"

    def levels(self, schedule: Schedule, start: int | None = None) -> list[int]:
        """Levels from `start` (the noisiest by default) down, each once, at most `steps`.

        Raises:
            ValueError: no step is asked for, or the sampler is not known.
        """
        if self.steps < 1:
            raise ValueError(f"{self.steps} steps cannot be; ask for at least 1")
        if self.sampler not in SAMPLERS:
            raise ValueError(f"no sampler {self.sampler!r}; there are {', '.join(SAMPLERS)}")
        top = schedule.steps if start is None else start + 1
        along = 1 - torch.arange(self.steps, dtype=torch.float64) / self.steps
        if self.spacing == "quadratic":
            along = along.square()
        found = (along * top).round().long().clamp(1, top) - 1
        return sorted(set(found.tolist()), reverse=True)


def sample(
    denoise: Denoise,
    schedule: Schedule,
    z: Tensor,
    generator: Random,
    plan: Plan = Plan(),
    *,
    start: int | None = None,
    known: Known | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """Clean data [b, ...] from z [b, ...], which is data and noise as of the level `start`.

    Args:
        denoise: what a network takes for clean in x [b, ...] at a level.
        schedule: of the noise.
        z: where to begin; pure noise for start None.
        generator: of all noise that is added on the way, or one for each member of the batch.
        plan: how.
        start: the level of z.
        known: cells that come out as they are.
        report: told how many of how many steps are made.

    Raises:
        ValueError: the plan cannot be, or resampling is asked of a sampler with a memory.
    """
    levels = plan.levels(schedule, start)
    if known is not None and known.again > 1 and plan.sampler not in BACK:
        raise ValueError(f"{plan.sampler} cannot go back; resample with ddim or ddpm, or not")
    eta = {"ddpm": 1.0, "ddim": plan.eta}.get(plan.sampler, 0.0)
    x, memory = z, None
    for i, t in enumerate(levels):
        here = _at(schedule, t)
        there = _at(schedule, levels[i + 1]) if i + 1 < len(levels) else (1.0, 0.0)
        again = known.again if known is not None and there[1] else 1
        for turn in range(again):
            if known is not None:
                kept = here[0] * known.x + here[1] * drawn(x, generator)
                x = torch.where(known.mask, kept, x)
            x0 = denoise(x, t)
            if plan.sampler == "dpm++2m":
                x, memory = multistep(x, x0, here, there, memory)
            elif plan.sampler == "heun" and there[1] and here[1] <= _HEUN_FROM * here[0]:
                x = heun(x, x0, here, there, lambda y, u=levels[i + 1]: denoise(y, u))
            else:
                random = drawn(x, generator) if eta and there[1] else None
                x = ddim(x, x0, here, there, eta, random)
            if turn + 1 < again:
                x = renoise(x, there, here, drawn(x, generator))
        report(i + 1, len(levels))
    return x if known is None else torch.where(known.mask, known.x.to(x), x)


def invert(denoise: Denoise, schedule: Schedule, x: Tensor, plan: Plan, noise: Tensor) -> Tensor:
    """The noise from which deterministic DDIM makes x (Song et al. 2021, section 4.3), [b, ...].

    Data of two values tells nothing of its noise while there is so little that every cell is sure:
    the path has to begin with some. `noise` is mixed in up to where noise and signal are as 1 to 4,
    so that cells stay sure, and the path is followed upwards from there.
    """
    levels = plan.levels(schedule)[::-1]
    ratio = (schedule.noise / schedule.signal.clamp(min=_FAINT)).tolist()
    levels = [t for t in levels if ratio[t] > 1 / 4] or levels[-1:]
    a, s = _at(schedule, levels[0])
    x = a * x + s * noise
    for low, high in pairwise(levels):
        x = ddim(x, denoise(x, low), _at(schedule, low), _at(schedule, high))
    return x


Level = tuple[float, float]  # signal and noise


def ddim(
    x: Tensor,
    x0: Tensor,
    here: Level,
    there: Level,
    eta: float = 0.0,
    random: Tensor | None = None,
) -> Tensor:
    """One step between levels (equation 12), written for any a and s: eta times the posterior's
    deviation is drawn anew, the rest of the noise is what x holds.
    """
    (a, s), (a2, s2) = here, there
    noise = (x - a * x0) / s
    if random is None:
        return a2 * x0 + s2 * noise
    added = eta * s2 / s * math.sqrt(max(0.0, s * s - (a / a2 * s2) ** 2))
    return a2 * x0 + math.sqrt(max(0.0, s2 * s2 - added * added)) * noise + added * random


def multistep(
    x: Tensor, x0: Tensor, here: Level, there: Level, memory: tuple[Tensor, float] | None
) -> tuple[Tensor, tuple[Tensor, float]]:
    """One step of DPM-Solver++(2M): a line through the last two clean guesses, over half the log of
    the signal to noise ratio. The first step and the last, to no noise, are of first order.
    """
    (a, s), (a2, s2) = here, there
    if not s2:
        return a2 * x0, (x0, math.inf)
    width = math.log(max(a2, _FAINT) / s2) - math.log(max(a, _FAINT) / s)
    guess = x0
    if memory is not None:
        before, last = memory
        guess = x0 + width / last / 2 * (x0 - before)
    return s2 / s * x - a2 * math.expm1(-width) * guess, (x0, width)


def heun(
    x: Tensor, x0: Tensor, here: Level, there: Level, denoise: Callable[..., Tensor]
) -> Tensor:
    """One step of second order with the mean of the slopes at both ends, in x / a over s / a."""
    (a, s), (a2, s2) = here, there
    sigma, sigma2 = s / a, s2 / a2
    y, slope = x / a, (x / a - x0) / sigma
    end = y + (sigma2 - sigma) * slope
    slope2 = (end - denoise(a2 * end)) / sigma2
    return a2 * (y + (sigma2 - sigma) * (slope + slope2) / 2)


def renoise(x: Tensor, low: Level, high: Level, random: Tensor) -> Tensor:
    """Data at a level as if it had been noised on to a higher one."""
    (a, s), (a2, s2) = low, high
    return a2 / a * x + math.sqrt(max(0.0, s2 * s2 - (a2 / a * s) ** 2)) * random


def noised(schedule: Schedule, x: Tensor, amount: float, generator: Random) -> tuple[Tensor, int]:
    """Data with the noise of a share of all levels, and that level: `amount` above 0 to 1.

    Raises:
        ValueError: the amount is not within these.
    """
    if not 0 < amount <= 1:
        raise ValueError(f"the amount must be above 0 and at most 1, not {amount:g}")
    level = max(0, round(amount * schedule.steps) - 1)
    a, s = schedule.at(torch.tensor([level]), x)
    return a * x + s * drawn(x, generator), level


def drawn(like: Tensor, generator: Random) -> Tensor:
    """Gaussian noise of the shape of a tensor; drawn on the CPU, so the same on every device."""
    if isinstance(generator, torch.Generator):
        return torch.randn(like.shape, generator=generator, dtype=torch.float32).to(like)
    rows = [drawn(row, own) for row, own in zip(like, generator, strict=True)]
    return torch.stack(rows)


def _at(schedule: Schedule, t: int) -> Level:
    return float(schedule.signal[t]), float(schedule.noise[t])
