"""Presets of C-RNN-GAN: as published, and what a CPU can train.

The published ones keep the paper's sizes, losses, pretraining and dropout (Mogren 2016, section 4,
and its code). Adam takes the place of its SGD at rate 0.1, which this engine does not have; its
epochs over 3,697 pieces are counted in steps; and numbers come in even units (logarithms of times,
pitches), since squared errors of raw ticks and Hertz would be all about the longest and highest.
"""

from __future__ import annotations

from dataclasses import replace

from musegen.objectives.recurrent import Recurrent
from musegen.presets.base import Preset, Rules, Training
from musegen.representations.tuples import PPQ, Tuples
from musegen.sizes import CRNNGANConfig

EPOCH = 185  # steps: 3,697 pieces, 20 a batch


SMALL = CRNNGANConfig(steps=128, condition="beats", spectral=True)
PUBLISHED = CRNNGANConfig(
    head="numbers",
    hidden=350,
    critic=350,
    critic_layers=2,
    critic_width=0,
    decision="probability",
    dropout=0.5,
    slots=0,
)
LIKELIHOOD = Recurrent(loss="hinge", pretrain=3500, unguided=0.5)
GAME = Recurrent(
    pretrain=6 * EPOCH,
    growth=EPOCH,
    matching="pairs",
    adversarial=0.0,
    freeze=0.7,
    l2=1e-6,
    critic_rate=0.5,
    chosen="distance",
)


def performance() -> Preset:
    """The default: small enough for a CPU."""
    return Preset(
        "piano as it is played, told chords or not, on a CPU (the shipped performance)",
        SMALL,
        Tuples(128),
        LIKELIHOOD,
        Training(
            3500,
            40,
            lr=3e-3,
            lr_final=3e-5,
            warmup=100,
            betas=(0.9, 0.98),
            weight_decay=0.01,
            ema=0.998,
            transpose=5,
            chords=True,
        ),
    )


def performance_game() -> Preset:
    """The default's second stage, to be begun with its weights."""
    first = performance()
    objective = Recurrent(
        loss="hinge", likelihood=1.0, adversarial=0.02, matching="means", unguided=0.5
    )
    return replace(
        first,
        about="the game after the likelihood, for --init with the weights of performance",
        objective=objective,
        training=replace(first.training, steps=200, lr=2e-4, warmup=20, ema=0.98),
    )


def performance_rhythm() -> Preset:
    """Pitches and intensities for a rhythm that is given, as a lyric gives it."""
    first = performance()
    return replace(
        first,
        about="pitches and velocities for a given rhythm, on a CPU, begun with --init performance "
        "(performance-rhythm)",
        model=replace(SMALL, condition="rhythm"),
        objective=replace(LIKELIHOOD, pretrain=1000, unguided=0.0),
        training=replace(first.training, steps=1000, lr=1.5e-3, warmup=50, chords=False),
    )


def crnngan() -> Preset:
    """C-RNN-GAN as published, with feature matching."""
    return Preset(
        "C-RNN-GAN with feature matching as published",
        PUBLISHED,
        Tuples(100),
        GAME,
        Training(500 * EPOCH, 20, lr=1e-3, lr_final=1e-3, schedule="constant", clip=5.0),
    )


def crnngan_plain() -> Preset:
    """C-RNN-GAN as published, without feature matching."""
    first = crnngan()
    return replace(
        first,
        about="C-RNN-GAN without feature matching as published",
        objective=replace(GAME, matching="none", adversarial=1.0),
    )


def crnngan_3() -> Preset:
    """C-RNN-GAN-3: up to three tones in a cell."""
    first = crnngan()
    return replace(
        first,
        about="C-RNN-GAN-3 as published: up to three tones in a cell",
        model=replace(PUBLISHED, numbers=10),
        representation=Tuples(100, tones=3),
    )


def crnngan_baseline() -> Preset:
    """The paper's baseline: the generator's squared error and no critic."""
    first = crnngan()
    steps = 16 * EPOCH  # where the paper's curve of it ends
    return replace(
        first,
        about="the baseline of C-RNN-GAN's paper: squared error alone",
        objective=Recurrent(pretrain=steps, growth=EPOCH, l2=1e-6, chosen="likelihood"),
        training=replace(first.training, steps=steps),
    )


def rules(preset: Preset) -> Rules:
    """What must hold of a C-RNN-GAN's preset, and what to say where it does not."""
    model, tuples, training = preset.model, preset.representation, preset.training
    assert isinstance(model, CRNNGANConfig)
    if not isinstance(preset.objective, Recurrent):
        return ((False, "a C-RNN-GAN needs the objective Recurrent"),)
    if not isinstance(tuples, Tuples):
        return ((False, "a C-RNN-GAN needs the representation Tuples"),)
    return (
        (model.steps == tuples.cells, f"model.steps must be {tuples.cells}, the cells of Tuples"),
        (
            model.numbers == 1 + 3 * tuples.tones,
            f"model.numbers must be {1 + 3 * tuples.tones} for {tuples.tones} tones in a cell",
        ),
        (model.head == "numbers" or tuples.tones == 1, "events have one tone in a cell"),
        (tuples.units == "even", "the networks take even units; use representation.units=even"),
        (model.bar == 4 * PPQ, f"model.bar must be {4 * PPQ} ticks"),
        (
            (model.condition == "beats") == training.chords,
            "training.chords is for model.condition=beats, and only for it",
        ),
    )
