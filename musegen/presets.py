"""Named experiments as plain values: model, representation, objective and training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from musegen.config import nearest
from musegen.errors import ModelError
from musegen.models.musicvae import MusicVAEConfig
from musegen.objectives.variational import ELBO
from musegen.representations.events import Melody


@dataclass(frozen=True)
class Training:
    """How an objective is minimised.

    Attributes:
        steps: optimiser steps.
        batch: windows a step.
        lr: highest learning rate.
        lr_final: what it falls to.
        schedule: "cosine" from lr to lr_final over the steps, or "exponential" as in MusicVAE:
            (lr - lr_final) * 0.9999^step + lr_final.
        warmup: steps of linear rise at the start.
        clip: largest norm of the gradient.
        ema: decay of the averaged weights that are validated and kept; 0 for the last weights.
        weight_decay: of AdamW.
        transpose: semitones that each window is moved up or down by at most.
    """

    steps: int
    batch: int = 128
    lr: float = 1e-3
    lr_final: float = 1e-5
    schedule: Literal["cosine", "exponential"] = "cosine"
    warmup: int = 0
    clip: float = 1.0
    ema: float = 0.0
    weight_decay: float = 0.0
    transpose: int = 0


@dataclass(frozen=True)
class Preset:
    """Everything that a training run needs but its data and seed."""

    about: str
    model: MusicVAEConfig
    representation: Melody
    objective: ELBO
    training: Training


def melody_2bar_small() -> Preset:
    """The default: small enough for the CPU of a laptop."""
    return Preset(
        "2-bar melodies on a CPU: a view of z at each step (the shipped melody-2bar)",
        MusicVAEConfig(
            encoder=128,
            decoder=(384,),
            embedding=64,
            readout="steps",
            view=32,
            unconditional=True,
        ),
        Melody(2),
        ELBO(beta=0.2, beta_rate=0.999, input_dropout=0.3, unconditional=0.125),
        Training(10_000, 128, lr=2e-3, warmup=200, ema=0.999, transpose=6),
    )


def cat_mel_2bar_small() -> Preset:
    """MusicVAE's cat-mel_2bar_small as the reference code has it."""
    return Preset(
        "MusicVAE cat-mel_2bar_small as published",
        MusicVAEConfig(latent=256, encoder=512, decoder=(256, 256)),
        Melody(2),
        ELBO(beta=0.2, beta_rate=0.99999, sampling_rate=1000),
        Training(200_000, 512, schedule="exponential", transpose=5),
    )


def melody_2bar_big() -> Preset:
    """MusicVAE's cat-mel_2bar_big as the reference code has it; wants a GPU."""
    return replace(
        cat_mel_2bar_small(),
        about="MusicVAE cat-mel_2bar_big as published (for a GPU)",
        model=MusicVAEConfig(latent=512, encoder=2048, decoder=(2048, 2048, 2048)),
        objective=ELBO(beta=0.5, beta_rate=0.99999, sampling_rate=1000),
    )


PRESETS: dict[str, Callable[[], Preset]] = {
    "melody_2bar_small": melody_2bar_small,
    "melody_2bar_big": melody_2bar_big,
    "cat-mel_2bar_small": cat_mel_2bar_small,
}


def preset(name: str) -> Preset:
    """A preset by its name.

    Raises:
        ModelError: no such preset; names the nearest.
    """
    if name not in PRESETS:
        raise ModelError(f"no preset {name!r}{nearest(name, PRESETS)}")
    return PRESETS[name]()
