"""Objectives: what a training loop minimises, as a list of phases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

Losses = dict[str, Tensor]  # "loss" is minimised, the rest is logged


class Batch(NamedTuple):
    """What a loss sees: symbols or rolls `x` [b, ...], and for each one the index of its style and
    the semitones by which it was moved [b].
    """

    x: Tensor
    style: Tensor
    shift: Tensor


@dataclass(frozen=True)
class Phase:
    """One optimiser of a step: `loss(batch, step, generator)` is minimised over `parameters`.

    Attributes:
        name: prefix of its log entries.
        parameters: what it trains.
        loss: named scalars of a batch at a step, with all randomness from the generator.
        every: run at every n-th step.
        after: called after each of its updates.
    """

    name: str
    parameters: list[nn.Parameter]
    loss: Callable[[Batch, int, torch.Generator], Losses]
    every: int = 1
    after: Callable[[], None] = lambda: None


class Objective(Protocol):
    """A frozen dataclass of the numbers of a loss."""

    def phases(self, model: nn.Module) -> list[Phase]:
        """The phases that train `model`."""
        ...

    def held_out(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Losses:
        """Figures of a held-out batch; "loss" decides which weights are best."""
        ...
