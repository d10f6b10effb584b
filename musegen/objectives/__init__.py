"""Objectives: what a training loop minimises, as a list of phases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

Losses = dict[str, Tensor]  # "loss" is minimised, the rest is logged


class Batch(NamedTuple):
    """What a loss sees: symbols or rolls `x` [b, ...], and for each one the index of its style and
    the semitones by which it was moved [b]; where music is made to fit something (chords, tracks),
    that is `given` [b, ...].
    """

    x: Tensor
    style: Tensor
    shift: Tensor
    given: Tensor | None = None


def always(step: int) -> bool:
    """Due at every step."""
    return True


@dataclass(frozen=True)
class Phase:
    """One optimiser of a step: `loss(batch, step, generator)` is minimised over `parameters`.

    Attributes:
        name: prefix of its log entries where there are several phases.
        parameters: what it trains.
        loss: named scalars of a batch at a step, with all randomness from the generator; all of it
            goes into one backward, so that processes can add up their gradients.
        due: whether it runs at a step.
        after: called after each of its updates.
        rate: times the learning rate of the training.
        exact: run in float32 even where training runs in bfloat16 (penalties on gradients).
    """

    name: str
    parameters: list[nn.Parameter]
    loss: Callable[[Batch, int, torch.Generator], Losses]
    due: Callable[[int], bool] = always
    after: Callable[[], None] = lambda: None
    rate: float = 1.0
    exact: bool = False


class Objective(Protocol):
    """A frozen dataclass of the numbers of a loss."""

    def phases(self, model: nn.Module) -> list[Phase]:
        """The phases that train `model`."""
        ...

    def held_out(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Losses:
        """Figures of a held-out batch; "loss" decides which weights are best."""
        ...

    def trouble(self, rows: Sequence[Mapping[str, float]]) -> str:
        """What is wrong in the losses of the last steps and what to try, or nothing."""
        ...
