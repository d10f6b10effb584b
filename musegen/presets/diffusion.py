"""Presets of piano roll diffusion."""

from __future__ import annotations

from dataclasses import replace

from musegen.models.diffusion import DiffusionConfig
from musegen.objectives.diffusion import Diffusion
from musegen.presets.base import Preset, Rules, Training
from musegen.representations.onsetroll import OnsetRoll
from musegen.schedules import Schedule


def polyffusion() -> Preset:
    """Polyffusion with chords as published (Min et al. 2023, params/sdf_chd8bar.yaml): wants a GPU.

    Windows of prepare --kind band --tracks piano --bars 8 --chords.
    """
    schedule = Schedule("sqrt-linear", 1000, first=8.5e-4, last=1.2e-2)
    return Preset(
        "Polyffusion as published: 8 bars of piano, chords by cross-attention (for a GPU)",
        DiffusionConfig(told=36, schedule=schedule),
        OnsetRoll("piano", bars=8, low=0, high=127),
        Diffusion(schedule, "noise", unguided=0.2),
        Training(
            250_000, 16, lr=5e-5, schedule="constant", clip=10.0, transpose=6, ema=0.0, chords=True
        ),
    )


def piano_8bar() -> Preset:
    """Melody and piano on a CPU; what is other than in "polyffusion" was measured, see the guide.

    Windows of prepare --kind band --tracks duo --bars 8 --chords.
    """
    return Preset(
        "8 bars of melody and piano with chords, for a CPU",
        replace(
            _SMALL,
            planes=4,
            pitches=84,
            patch=(4, 84),
            told=36,
            single=(0,),
            lead=160,
            density=(0.0032, 0.0126, 0.0045, 0.0264),
        ),
        OnsetRoll("duo", bars=8, low=24, high=107),
        Diffusion(_SMALL.schedule, "x0", error="entropy", spread=True, unguided=0.2),
        replace(_TRAINING, transpose=6, chords=True),
    )


def chorale_4bar() -> Preset:
    """Four voices on a CPU: the network of piano_8bar, smaller, with all tracks of one key each.

    Windows of prepare chorales --kind band --tracks satb --bars 4 --min-tracks 4. The pitches are
    those of the voices, 36 to 81, and six more on both sides: all songs are in C major or A minor.
    """
    return Preset(
        "4 bars of four-part chorales in one key, for a CPU",
        replace(
            _SMALL,
            planes=8,
            steps=64,
            pitches=60,
            patch=(4, 60),
            single=(0, 1, 2, 3),
            density=(0.0040, 0.0046, 0.0047, 0.0049, 0.0123, 0.0116, 0.0115, 0.0113),
            dropout=0.1,
        ),
        OnsetRoll("satb", bars=4, low=29, high=88, home=True),
        Diffusion(_SMALL.schedule, "x0", error="entropy", spread=True),
        replace(_TRAINING, steps=4_000, batch=16, warmup=100, weight_decay=0.03),
    )


# A U-Net over beats with all pitches in each, and features of keys around it.
_SMALL = DiffusionConfig(
    kernel=(3, 1),
    pool=(2, 1),
    channels=64,
    multipliers=(2, 3),
    blocks=1,
    attention=(1,),
    how="planes",
    context=0,
    positions=True,
    keys=48,
    evidence=True,
    schedule=Schedule("cosine", 1000, shift=0.7, width=0.6),
    prediction="x0",
)
_TRAINING = Training(
    4_100,
    32,
    lr=1e-3,
    lr_final=2e-5,
    schedule="linear",
    warmup=150,
    betas=(0.9, 0.99),
    weight_decay=0.01,
    ema=0.99,
)


def rules(preset: Preset) -> Rules:
    """What must hold of a preset of this family, and the words where it does not."""
    model, roll, objective = preset.model, preset.representation, preset.objective
    if not isinstance(model, DiffusionConfig) or not isinstance(objective, Diffusion):
        return ((False, "a diffusion network needs the objective of diffusion"),)
    if not isinstance(roll, OnsetRoll):
        return ((False, "a diffusion network learns onset rolls"),)
    planes, steps, pitches = roll.shape
    return (
        (
            (model.planes, model.steps, model.pitches) == (planes, steps, pitches),
            f"model.planes, steps and pitches must be {planes}, {steps} and {pitches}, as the "
            "representation's",
        ),
        (
            not any(n % p for n, p in zip((model.steps, model.pitches), model.patch, strict=True)),
            "model.patch must divide model.steps and model.pitches",
        ),
        (len(model.density) in (0, planes), f"model.density must have {planes} shares or none"),
        (
            (model.schedule, model.prediction) == (objective.schedule, objective.prediction),
            "model and objective must have the same schedule and prediction",
        ),
        (
            objective.error == "squared" or objective.prediction == "x0",
            'objective.error="entropy" needs prediction="x0"',
        ),
        (not model.evidence or model.prediction == "x0", "model.evidence needs prediction x0"),
        (
            model.told == (36 if preset.training.chords else 0),
            "model.told must be 36 with training.chords and 0 without",
        ),
        (model.lead > 0 or objective.learn == "all", 'objective.learn="lead" needs model.lead'),
        (0 <= objective.unguided < 1, "objective.unguided must be from 0 to below 1"),
    )
