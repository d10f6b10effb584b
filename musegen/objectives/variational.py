"""The evidence lower bound of MusicVAE.

Loss = mean over the batch of sum_t CE_t + beta * max(KL - free_bits * ln 2, 0), where free_bits is
one budget for the whole sequence (as in the reference code) and beta = (1 - rate^step) * max_beta.
Scheduled sampling feeds the decoder its own symbol with probability 1 - k / (k + exp(step / k)).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from musegen.models.musicvae import MusicVAE
from musegen.objectives import Batch, Losses, Phase

DRUMS = 512  # symbols of a voice of drums


def gaussian_kl(mean: Tensor, std: Tensor) -> Tensor:
    """KL(N(mean, std^2) || N(0, 1)) in nats, summed over the last axis."""
    return 0.5 * (mean.square() + std.square() - 1 - 2 * std.log()).sum(-1)


def inverse_sigmoid(step: int, rate: float) -> float:
    """Probability of feeding back a sampled symbol at `step`; 0 at first, 1 in the end."""
    return 1 - rate / (rate + math.exp(min(step / rate, 500.0)))


def cross_entropy(logits: list[Tensor], x: Tensor) -> Tensor:
    """Nats [b] of symbols [b, (k,) t] under the logits [b, t, v] of each voice."""
    lines = x.unbind(1) if x.dim() > 2 else (x,)
    nats = [
        F.cross_entropy(one.float().transpose(1, 2), line, reduction="none").sum(1)
        for one, line in zip(logits, lines, strict=True)
    ]
    return torch.stack(nats).sum(0)


def likeliest(logits: list[Tensor], x: Tensor) -> Tensor:
    """The likeliest symbols, shaped as x [b, (k,) t]."""
    return torch.stack([one.argmax(-1) for one in logits], dim=1).reshape(x.shape)


def mixed(
    x: Tensor, vocab: tuple[int, ...], share: float, kept: float, generator: torch.Generator
) -> Tensor:
    """Symbols [b, (k,) t], the drums of a share of which are mixed, see `ELBO.mix`; the first
    `kept` of the batch stay. Drums are voices of 512 symbols, a bit for each class.
    """
    lines, b = list(x.unbind(1)) if len(vocab) > 1 else [x], len(x)
    chosen = torch.rand(b, 1, generator=generator) < share
    chosen[: round(kept * b)] = False
    for i in [i for i, size in enumerate(vocab) if size == DRUMS]:
        line, other = lines[i], lines[i][torch.randperm(b, generator=generator)]
        steps = line.shape[-1]
        beats = torch.randint(steps // 4, (b, 1), generator=generator)
        turned = ((torch.arange(steps) + 4 * beats) % steps).to(x.device)
        mask = torch.randint(DRUMS, (b, 1), generator=generator).to(x)
        other = (line & mask) | (other.gather(1, turned) & ~mask)
        lines[i] = torch.where(chosen.to(x.device), other, line)
    return torch.stack(lines, 1) if len(vocab) > 1 else lines[0]


@dataclass(frozen=True)
class ELBO:
    """The loss of MusicVAE.

    Attributes:
        beta: weight of the KL term when fully annealed.
        beta_rate: beta is scaled by 1 - beta_rate^step; 0 for no annealing.
        free_bits: bits of KL that cost nothing, for the whole sequence.
        sampling_rate: k of scheduled sampling; 0 for none.
        input_dropout: probability of hiding the previous symbol from the decoder (Bowman et al.
            2016), which makes it read z; unlike scheduled sampling it needs no loop over steps.
        unconditional: share of each batch on which the decoder learns to be a language model.
        mix: share of each batch whose drums are put together: each class from one of two windows,
            turned by some beats. With few songs, the way to hear more of them. The language model's
            part is left as it is.
        unguided: share of windows whose chords (or whatever is given) are hidden, for models with
            `control`.
    """

    beta: float = 0.2
    beta_rate: float = 0.99999
    free_bits: float = 0.0
    sampling_rate: float = 0.0
    input_dropout: float = 0.0
    unconditional: float = 0.0
    mix: float = 0.0
    unguided: float = 0.0

    def phases(self, model: nn.Module) -> list[Phase]:
        """One phase over the whole model."""
        assert isinstance(model, MusicVAE)

        def loss(batch: Batch, step: int, generator: torch.Generator) -> Losses:
            return self.loss(model, batch, step, generator)

        return [Phase("elbo", [p for p in model.parameters() if p.requires_grad], loss)]

    def loss(self, model: MusicVAE, batch: Batch, step: int, generator: torch.Generator) -> Losses:
        """Loss and its terms for symbols [b, t]; all in nats a sequence."""
        x = batch.x.long()
        if self.mix:
            x = mixed(x, model.config.vocab, self.mix, self.unconditional, generator)
        given = batch.given
        if given is not None and self.unguided:
            kept = torch.rand(len(x), generator=generator) >= self.unguided
            given = given * kept.to(given).view(-1, *[1] * (given.dim() - 1))
        mean, std = model.encode(x, given)
        z = mean + std * torch.randn(mean.shape, generator=generator).to(mean)
        told = model.conduct(z)
        alone = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        if self.unconditional:
            n = round(self.unconditional * len(x))  # the order of a batch is random
            alone[:n] = True
            few = None if given is None else given[:n]
            free = model.alone(x[:n], batch.style[:n], batch.shift[:n], few)
            told = torch.cat([free, told[len(free) :]])
        if self.sampling_rate:
            chance = inverse_sigmoid(step, self.sampling_rate)
            logits = model.scheduled(told, x, chance, generator, given)
        else:
            hide = None
            if self.input_dropout:
                hide = torch.rand(x.shape, generator=generator).to(z) < self.input_dropout
                hide[alone] = False
            logits = model.predict(told, x, hide, given)
        ce = cross_entropy(logits, x)
        kl = gaussian_kl(mean.float(), std.float()).mean()
        beta = self.beta * (1 - self.beta_rate**step)
        cost = beta * (kl - self.free_bits * math.log(2)).clamp(min=0)
        losses = {"loss": ce.mean() + cost, "ce": ce[~alone].mean().detach(), "kl": kl.detach()}
        return losses | ({"alone": ce[alone].mean().detach()} if self.unconditional else {})

    def held_out(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Losses:
        """ELBO terms and the per-step accuracies of the paper's Table 1, on sampled z.

        "teacher" predicts each step after the true ones, "sampled" after its own at temperature 1,
        "sampled_mean" does so from the posterior's mean; "alone" is the language model's
        cross-entropy.
        """
        assert isinstance(model, MusicVAE)
        x, given = batch.x.long(), batch.given
        mean, std = model.encode(x, given)
        z = mean + std * torch.randn(mean.shape, generator=generator).to(mean)
        logits = model(z, x, None, given)
        ce = cross_entropy(logits, x).mean()
        kl = gaussian_kl(mean, std).mean()
        found = {
            "loss": ce + self.beta * (kl - self.free_bits * math.log(2)).clamp(min=0),
            "ce": ce,
            "kl": kl,
            "teacher": (likeliest(logits, x) == x).float().mean(),
            "sampled": (model.decode(z, generator, given=given) == x).float().mean(),
            "sampled_mean": (model.decode(mean, generator, given=given) == x).float().mean(),
        }
        if self.unconditional:
            told = model.alone(x, batch.style, batch.shift, given)
            free = model.predict(told, x, None, given)
            alone = cross_entropy(free, x).mean()
            found |= {"alone": alone, "loss": found["loss"] + self.unconditional * alone}
        return found

    def trouble(self, rows: Sequence[Mapping[str, float]]) -> str:
        """Nothing can die here that the loss does not show."""
        return ""
