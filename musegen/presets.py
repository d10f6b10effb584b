"""Named experiments as plain values: model, representation, objective and training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from musegen.config import nearest
from musegen.errors import ModelError, MusegenError
from musegen.models.musicvae import MusicVAEConfig
from musegen.objectives.variational import ELBO
from musegen.representations.events import VOCAB, Melody


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
        precision: "bf16" or "fp32"; "auto" takes bf16 where the device is faster with it. Phases
            with penalties on gradients always run in float32.
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
    precision: Literal["auto", "bf16", "fp32"] = "auto"
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


def flat_mel_16bar() -> Preset:
    """MusicVAE's flat-mel_16bar as the reference code has it; wants a GPU."""
    return Preset(
        "MusicVAE flat-mel_16bar as published (for a GPU)",
        MusicVAEConfig(steps=256, latent=512, encoder=2048, layers=2, decoder=(2048, 2048, 2048)),
        Melody(16),
        ELBO(beta=0.2, beta_rate=0.0, free_bits=256),
        Training(200_000, 512, schedule="exponential"),
    )


def hierdec_mel_16bar() -> Preset:
    """MusicVAE's hierdec-mel_16bar as the reference code has it; wants a GPU.

    As there the decoder sees the conductor's 1024 units; the paper projects them to 512.
    """
    flat = flat_mel_16bar()
    return replace(
        flat,
        about="MusicVAE hierdec-mel_16bar as published (for a GPU)",
        model=replace(flat.model, decoder=(1024, 1024), segments=16, conductor=(1024, 1024)),
    )


PRESETS: dict[str, Callable[[], Preset]] = {
    "melody_2bar_small": melody_2bar_small,
    "melody_2bar_big": melody_2bar_big,
    "cat-mel_2bar_small": cat_mel_2bar_small,
    "flat-mel_16bar": flat_mel_16bar,
    "hierdec-mel_16bar": hierdec_mel_16bar,
}


def preset(name: str) -> Preset:
    """A preset by its name.

    Raises:
        ModelError: no such preset; names the nearest.
    """
    if name not in PRESETS:
        raise ModelError(f"no preset {name!r}{nearest(name, PRESETS)}")
    return PRESETS[name]()


def check(preset: Preset) -> None:
    """Refuse settings that contradict each other, in words, before any work.

    Raises:
        MusegenError: which settings cannot be.
    """
    training = preset.training
    rules = (
        (training.steps >= 1 and training.batch >= 1, "steps and batch must be at least 1"),
        (training.lr >= 0 and training.lr_final >= 0, "rates must be numbers from 0 up"),
        (training.transpose >= 0, "training.transpose must not be negative"),
        (
            1 <= training.accumulate <= training.batch,
            "training.accumulate must be from 1 to training.batch",
        ),
        (0 <= training.ema < 1, "training.ema must be from 0 to below 1"),
        *_musicvae_rules(preset),
    )
    for holds, words in rules:
        if not holds:
            raise MusegenError(f"cannot train: {words}")


def _musicvae_rules(preset: Preset) -> tuple[tuple[bool, str], ...]:
    model, training, bars = preset.model, preset.training, preset.representation.bars
    alone = round(preset.objective.unconditional * training.batch / training.accumulate)
    return (
        (model.vocab == VOCAB, f"model.vocab must be {VOCAB}"),
        (
            model.steps == preset.representation.steps,
            f"model.steps must be {preset.representation.steps}, which {bars} bars have",
        ),
        (
            model.unconditional == (preset.objective.unconditional > 0),
            "model.unconditional needs objective.unconditional above 0, and only then",
        ),
        (
            not model.unconditional or 0 < alone < training.batch // training.accumulate,
            "objective.unconditional must leave windows of both kinds in a batch",
        ),
    )
