"""What a preset is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from musegen.dataset import Windowed
from musegen.models import Config
from musegen.objectives.adversarial import Adversarial
from musegen.objectives.diffusion import Diffusion
from musegen.objectives.groove import GrooveELBO
from musegen.objectives.recurrent import Recurrent
from musegen.objectives.variational import ELBO

Kind: TypeAlias = Windowed
Loss: TypeAlias = ELBO | Adversarial | Recurrent | Diffusion | GrooveELBO
Rules: TypeAlias = tuple[tuple[bool, str], ...]  # what must hold, and what to say where it does not


@dataclass(frozen=True)
class Training:
    """How an objective is minimised.

    Attributes:
        steps: optimiser steps.
        batch: windows a step (of each process, where there are several).
        lr: highest learning rate.
        lr_final: what it falls to.
        schedule: "constant"; "linear" or "cosine" from lr to lr_final over the steps; or
            "exponential" as in MusicVAE: (lr - lr_final) * decay^step + lr_final.
        decay: of the exponential schedule, a step.
        warmup: steps of linear rise at the start.
        clip: largest norm of the gradient of a phase; 0 for no limit.
        accumulate: parts that a batch is cut into, to fit into memory; gradients are summed.
        betas: of Adam.
        weight_decay: of AdamW.
        ema: decay of the averaged weights that are validated and kept; 0 for the last weights.
        patience: validations without a better loss after which training stops; 0 for never.
        transpose: semitones that each window is moved up or down by at most.
        balance: draw windows of each style (corpus) as often, however many it has; else all
            windows once an epoch.
        precision: "bf16" or "fp32"; "auto" takes bf16 where the device is faster with it. Phases
            with penalties on gradients always run in float32.
        chords: tell the network the chord symbols of each beat (data prepared with --chords).
        keys: tell the network the key that each window is in (its song's, as estimated, and how
            far it was moved) where else it is told how far it was moved; 0 is C major or A minor.
        compile: use torch.compile; pays on GPUs, and never for critics with penalties.
    """

    steps: int
    batch: int = 128
    lr: float = 1e-3
    lr_final: float = 1e-5
    schedule: Literal["constant", "linear", "cosine", "exponential"] = "cosine"
    decay: float = 0.9999
    warmup: int = 0
    clip: float = 1.0
    accumulate: int = 1
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    ema: float = 0.0
    patience: int = 0
    transpose: int = 0
    balance: bool = False
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    chords: bool = False
    keys: bool = False
    compile: bool = False


@dataclass(frozen=True)
class Preset:
    """Everything that a training run needs but its data and seed.

    Attributes:
        about: what it is, in a line.
        model: sizes of the network.
        representation: what its arrays mean.
        objective: the loss.
        training: how it is minimised.
    """

    about: str
    model: Config
    representation: Kind
    objective: Loss
    training: Training
