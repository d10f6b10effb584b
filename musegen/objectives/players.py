"""What adversarial training asks of a model: a generator, a critic, and what may come besides."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from musegen.objectives import Batch


@runtime_checkable
class GAN(Protocol):
    """What a model offers. x has the shape and range of `Batch.x`, `given` is `Batch.given`."""

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Noise z [n, ...]."""
        ...

    def generate(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        """Music x [n, ...] from noise."""
        ...

    def critic(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        """Scores [n], unbounded."""
        ...

    def generator_parameters(self) -> Iterable[nn.Parameter]:
        """What the generator's phase trains."""
        ...

    def critic_parameters(self) -> Iterable[nn.Parameter]:
        """What the critic's phase trains."""
        ...


@runtime_checkable
class Composing(Protocol):
    """What a model may offer besides, all of it or nothing."""

    def at(self, step: int) -> None:
        """Set what changes in the course of training."""
        ...

    def ask(self, x: Tensor, generator: torch.Generator) -> Tensor | None:
        """What is given of real music x [b, ...] where a batch gives nothing itself."""
        ...

    def settle(self, x: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Real music, and what is given of it, as the model learns it."""
        ...

    def draw(self, z: Tensor, given: Tensor | None, generator: torch.Generator) -> Tensor:
        """Like `generate`, with draws of its own."""
        ...

    def recall(
        self, x: Tensor, given: Tensor | None, generator: torch.Generator
    ) -> tuple[Tensor, Tensor] | None:
        """Nats of making real music x again from latents that are read from it, and their
        divergence from the prior, means over x; None for a model that reads nothing.
        """
        ...

    def augment(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Music as the critic is shown it, real and made alike; differentiable."""
        ...


def asked(
    model: object, batch: Batch, step: int | None, generator: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """Real music of a step, which the model is told, and what is given of it."""
    if not isinstance(model, Composing):
        return batch.x, batch.given
    if step is not None:
        model.at(step)
    given = model.ask(batch.x, generator) if batch.given is None else batch.given
    return model.settle(batch.x, given)


def strangers(real: Tensor, given: Tensor, fake: Tensor, share: float) -> Tensor:
    """Fakes of which the first `share` are real tracks beside given ones of other music, so that a
    critic learns what goes together (Reed et al. 2016).
    """
    n = int(share * len(fake))
    return torch.cat([torch.where(given < 0, real.roll(1, 0), given.to(real))[:n], fake[n:]])


def made(model: GAN, n: int, given: Tensor | None, generator: torch.Generator) -> Tensor:
    """As many fakes from noise."""
    z = model.prior(n, generator)
    if isinstance(model, Composing):
        return model.draw(z, given, generator)
    return model.generate(z, given)


def shown(model: GAN, x: Tensor, generator: torch.Generator) -> Tensor:
    """Music as the critic is shown it."""
    return model.augment(x, generator) if isinstance(model, Composing) else x
