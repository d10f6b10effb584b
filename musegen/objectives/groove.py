"""The loss of GrooVAE: hits by cross-entropy, velocities and offsets by squared error.

Loss = mean over the batch of sum_t (BCE of hits + squared errors) + beta * max(KL - free bits, 0),
summed over steps and classes (Gillick et al. 2019, section 4). Offsets count in the published
scale, twice a share of a step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from musegen.models.groovae import GrooVAE
from musegen.objectives import Batch, Losses, Phase
from musegen.objectives.variational import gaussian_kl


@dataclass(frozen=True)
class GrooveELBO:
    """The loss of a GrooVAE.

    Attributes:
        beta: weight of the KL term when fully annealed.
        beta_rate: beta is scaled by 1 - beta_rate^step; 0 for no annealing.
        free_bits: bits of KL that cost nothing, for the whole sequence.
        errors: "squared" as published, over all classes and steps, those that are not hit aiming at
            0; or "gaussian", the likelihood of what is hit, with a width learned for each class.
        thin: share of windows of which some classes alone are read, so that the model meets a
            single hand, or a tap of a few drums; what taps become is the whole groove.
        input_dropout: probability of hiding the previous step from the decoder.
    """

    beta: float = 0.2
    beta_rate: float = 0.0
    free_bits: float = 48.0
    errors: Literal["squared", "gaussian"] = "squared"
    thin: float = 0.0
    input_dropout: float = 0.0

    def phases(self, model: nn.Module) -> list[Phase]:
        """One phase over the whole model."""
        assert isinstance(model, GrooVAE)

        def loss(batch: Batch, step: int, generator: torch.Generator) -> Losses:
            return self.loss(model, batch, step, generator)

        return [Phase("elbo", list(model.parameters()), loss)]

    def loss(self, model: GrooVAE, batch: Batch, step: int, generator: torch.Generator) -> Losses:
        """Loss and its terms for grooves [b, t, 3k]; in nats a sequence."""
        x = batch.x.float()
        heard = thinned(x, self.thin, generator) if self.thin else x
        if model.config.source == "hits":
            x = heard
        mean, std = model.encode(heard, generator)
        z = mean + std * torch.randn(mean.shape, generator=generator).to(mean)
        hide = None
        if self.input_dropout:
            hide = torch.rand(x.shape[:2], generator=generator).to(x) < self.input_dropout
        hits, errors = self.costs(model, model(z, x, model.given(heard), hide, generator), x)
        kl = gaussian_kl(mean.float(), std.float()).mean()
        beta = self.beta * (1 - self.beta_rate**step)
        cost = beta * (kl - self.free_bits * math.log(2)).clamp(min=0)
        losses = {"hits": hits.mean(), "errors": errors.mean(), "kl": kl}
        found = {name: value.detach() for name, value in losses.items()}
        return {"loss": hits.mean() + errors.mean() + cost} | found

    def costs(
        self, model: GrooVAE, said: tuple[Tensor, Tensor, Tensor], x: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Costs [b] of hits, and of velocities and offsets together, for true grooves [b, t, 3k];
        hits that the decoder is shown cost nothing.
        """
        logits, velocity, offset = (part.float() for part in said)
        true, loud, late = x.unflatten(-1, (3, -1)).unbind(-2)
        hits = F.binary_cross_entropy_with_logits(logits, true, reduction="none").sum((1, 2))
        if model.config.control == "hits":
            hits = torch.zeros_like(hits)
        if self.errors == "squared":
            wrong = (velocity - loud).square() + 4 * (offset - late).square()
            return hits, wrong.sum((1, 2))
        apart = torch.stack([velocity - loud, offset - late], dim=2)  # [b, t, 2, k]
        width = model.spreads()
        nats = 0.5 * (apart / width).square() + width.log() + 0.5 * math.log(2 * math.pi)
        return hits, (nats * true[:, :, None]).sum((1, 2, 3))

    def held_out(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Losses:
        """Terms of the loss, and of hits that are there the mean errors of velocity (of 127) and
        offset (in steps) after the true groove before them.
        """
        assert isinstance(model, GrooVAE)
        x = batch.x.float()
        mean, std = model.encode(x)
        z = mean + std * torch.randn(mean.shape, generator=generator).to(mean)
        said = model(z, x, model.given(x))
        hits, errors = self.costs(model, said, x)
        kl = gaussian_kl(mean, std).mean()
        true, loud, late = x.unflatten(-1, (3, -1)).unbind(-2)
        count = true.sum().clamp(min=1)
        beyond = self.beta * (kl - self.free_bits * math.log(2)).clamp(min=0)
        return {
            "loss": hits.mean() + errors.mean() + beyond,
            "hits": hits.mean(),
            "errors": errors.mean(),
            "kl": kl,
            "velocity": 127 * ((said[1] - loud).abs() * true).sum() / count,
            "offset": ((said[2] - late).abs() * true).sum() / count,
        }

    def trouble(self, rows: Sequence[Mapping[str, float]]) -> str:
        """Nothing can die here that the loss does not show."""
        return ""


def thinned(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Grooves [b, t, 3k], a share of them with some of their classes only (at least one)."""
    k = x.shape[-1] // 3
    kept = torch.rand(len(x), k, generator=generator) < torch.rand(len(x), 1, generator=generator)
    kept[torch.arange(len(x)), torch.randint(k, (len(x),), generator=generator)] = True
    kept |= torch.rand(len(x), 1, generator=generator) >= share
    return x * kept.to(x).repeat(1, 3)[:, None]
