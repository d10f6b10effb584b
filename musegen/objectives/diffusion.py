"""Diffusion and rectified flow: the loss of a network that looks through noise (`schedules`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from musegen.models.lead import entropy
from musegen.objectives import Batch, Losses, Phase
from musegen.schedules import Prediction, Schedule, clean, target

LEAD = 0.05  # nats a step of a melody beside those a cell of everything
_LEAST = 1e-6  # of a probability, so that one sure mistake does not outweigh a batch


class Denoiser(Protocol):
    """What the loss needs of a network."""

    def __call__(self, x: Tensor, t: Tensor, given: Tensor | None) -> Tensor:
        """From noisy x [b, ...] at steps t [b], what the objective predicts, [b, ...]."""
        ...


def data_of(model: object, batch: Batch) -> Tensor:
    """What is noised: the batch, or what the network makes of it (`models.latents`), [b, ...]."""
    latents: Callable[[Tensor], Tensor] | None = getattr(model, "latents", None)
    return batch.x.float() if latents is None else latents(batch.x)


@dataclass(frozen=True)
class Diffusion:
    """The loss of a denoiser: mean squared error of its prediction at random steps.

    Attributes:
        schedule: of the noise.
        prediction: what the network is asked for: "noise", "x0", "v" or, for "flow", "direction".
        weighting: "uniform" as published; "min-snr": the signal-to-noise ratio cut at 5, in terms
            of the error of x0 (Hang et al. 2023).
        error: "squared"; "entropy" for data of -1 and 1 and a network that says their mean ("x0"):
            the cross entropy in nats, which has the same best answer and learns rare cells sooner.
        spread: draw the steps of a batch evenly spread, with one random offset, which makes the
            loss vary less (Kingma et al. 2021, appendix I.1); else one by one, as published.
        unguided: share of the batch that is trained without its conditions, for classifier-free
            guidance (Ho and Salimans 2022).
        learn: "all", or the prior of the melody alone around a denoiser that is there.
    """

    schedule: Schedule = field(default_factory=Schedule)
    prediction: Prediction = "noise"
    weighting: Literal["uniform", "min-snr"] = "uniform"
    error: Literal["squared", "entropy"] = "squared"
    spread: bool = False
    unguided: float = 0.0
    learn: Literal["all", "lead"] = "all"

    def phases(self, model: nn.Module) -> list[Phase]:
        """One phase over the whole network."""

        def loss(batch: Batch, step: int, generator: torch.Generator) -> Losses:
            return self.loss(model, batch, generator)

        part = model.lead if self.learn == "lead" else model
        assert isinstance(part, nn.Module)
        return [Phase("denoise", [p for p in part.parameters() if p.requires_grad], loss)]

    def loss(self, model: Denoiser, batch: Batch, generator: torch.Generator) -> Losses:
        """The loss of a batch x [b, ...] of data about -1 to 1, at steps drawn for each."""
        x, given = data_of(model, batch), batch.given
        if self.spread:
            along = torch.rand(1, generator=generator) + torch.arange(len(x)) / len(x)
            t = (along % 1 * self.schedule.steps).long()
        else:
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
        """The loss at given steps t [b] and noise [b, ...], and that of the melody's prior."""
        lead = getattr(model, "lead", None)
        extra = {} if lead is None else {"lead": entropy(lead, x[:, [0, x.shape[1] // 2]], given)}
        if self.learn == "lead":
            return {"loss": extra["lead"]}
        a, s = self.schedule.at(t, x)
        predicted = model(a * x + s * noise, t, given).float()
        error = self.errors(predicted, self.target(x, noise, a, s)).flatten(1).mean(1)
        found = {"loss": (error * self.weight(a, s).flatten()).mean()}
        if extra:
            # Their weights have nothing in common; only the bound on the gradient weighs the two.
            found = {"loss": found["loss"] + LEAD * extra["lead"], **extra}
        return found

    def errors(self, predicted: Tensor, target: Tensor) -> Tensor:
        """How wrong each cell is."""
        if self.error == "squared":
            return (predicted - target).square()
        right = (1 + predicted * target.sign()) / 2
        return -right.clamp(min=_LEAST).log()

    def target(self, x0: Tensor, noise: Tensor, a: Tensor, s: Tensor) -> Tensor:
        """What the network should say."""
        return target(self.prediction, x0, noise, a, s)

    def clean(self, x: Tensor, predicted: Tensor, a: Tensor, s: Tensor) -> Tensor:
        """x0 from a noisy x = a x0 + s noise and the network's prediction."""
        return clean(self.prediction, x, predicted, a, s)

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
        x = data_of(model, batch)
        t = torch.linspace(0, self.schedule.steps - 1, len(x)).round().long().to(x.device)
        noise = torch.randn(x.shape, generator=generator).to(x)
        return self.losses_at(model, x, batch.given, t, noise)

    def trouble(self, rows: Sequence[Mapping[str, float]]) -> str:
        """Nothing can die here that the loss does not show."""
        return ""
