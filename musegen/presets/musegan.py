"""Presets of MuseGAN: as published, and what a CPU can train.

Published sizes, losses and schedules are those of `docs/musegan.md`. A penalty's weight of 5 on
music from 0 to 1 is their 10 on music from -1 to 1, with both losses halved. Steps count updates of
the critic, five for each of the generator's.
"""

from __future__ import annotations

from dataclasses import replace

from musegen.models.musegan import MuseGANConfig
from musegen.models.musegan_critic import CriticConfig
from musegen.objectives.adversarial import Adversarial
from musegen.presets.base import Preset, Rules, Training
from musegen.representations.pianoroll import Pianoroll

# Shares of cells of the corpus "bands" that are held in drums, piano, guitar, bass, strings, and
# in which notes begin.
DENSITY = (0.006, 0.003, 0.009, 0.005, 0.013, 0.0137, 0.0009, 0.0106, 0.0058, 0.0078)
BAND = Pianoroll("lpd5", 4, bars=4, low=24, high=95, onsets=True)
STREAMS = CriticConfig(
    private=(((16, 1, 12), (32, 3, 1)), ((16, 3, 1), (32, 1, 12))),
    private_width=64,
    shared=((128, 4, 3, 4, 2), (256, 4, 3)),
    onsets=((16, 3, 1), (32, 4, 1), (64, 4, 1)),
    bar=0,
    phrase=(512, 2),
)
WGAN_GP = Adversarial(weight=5.0, n_critic=5, boost=100, boost_first=25, boost_every=500)

LATER = MuseGANConfig(
    beat=12,
    pitches=84,
    onsets=False,
    composition="composer",
    latent=128,
    temporal=0,
    truncate=2.0,
    hidden=0,
    start=(1, 1, 512),
    trunk=((256, 4, 3), (128, 4, 3, 4, 2)),
    branches=(((32, 1, 12), (16, 3, 1)), ((32, 3, 1), (16, 1, 12))),
    private=True,
    merge="beside",
    out_norm=True,
    norm="batch",
    place=False,
    density=(0.5,),
    output="tanh",
    critic=STREAMS,
)
HYBRID = MuseGANConfig(
    beat=24,
    pitches=84,
    onsets=False,
    composition="hybrid",
    latent=128,
    temporal=1024,
    rectified=True,
    spread=0.1,
    hidden=0,
    start=(2, 1, 512),
    trunk=((512, 2, 1), (256, 2, 1), (256, 2, 1), (128, 2, 1), (128, 3, 1), (64, 1, 7)),
    branches=(),
    merge="beside",
    out=(1, 12),
    norm="batch",
    place=False,
    density=(0.5,),
    output="tanh",
    critic=CriticConfig(
        own=False,
        private=(
            (
                (128, 1, 12),
                (128, 1, 7),
                (128, 2, 1),
                (128, 2, 1),
                (256, 4, 1, 2, 1),
                (512, 3, 1, 2, 1),
            ),
        ),
        shared=(),
        chroma=(),
        onsets=(),
        bar=1024,
        phrase=(512, 2),
    ),
)


def band() -> Preset:
    """The default: small enough for a CPU, with and without tracks that are given."""
    return Preset(
        "four bars of five tracks from noise or around given ones, on a CPU (the shipped bands)",
        MuseGANConfig(
            density=DENSITY,
            reader=384,
            given="some",
            harmony=32,
            home=True,
            apart=0.55,
            critic=CriticConfig(),
        ),
        BAND,
        Adversarial(
            "non-saturating",
            "r1",
            weight=0.2,
            interval=2,
            n_critic=1,
            boost_first=1,
            warm=2200,
            recall=0.004,
            beta=0.3,
            strangers=0.5,
        ),
        Training(
            3_600,
            32,
            lr=2e-3,
            lr_final=2e-4,
            schedule="linear",
            clip=1.0,
            betas=(0.5, 0.9),
            ema=0.998,
        ),
    )


def musegan_48() -> Preset:
    """MuseGAN's later code: 48 steps to a bar, one trunk, private branches."""
    return Preset(
        "MuseGAN of 48 steps to a bar as in its later code (for a GPU)",
        LATER,
        Pianoroll("lpd5", 12, bars=4),
        replace(WGAN_GP, boost=50, boost_first=10, boost_every=0),
        Training(
            250_450, 64, lr=1e-3, lr_final=1e-3, schedule="constant", clip=0.0, betas=(0.5, 0.9)
        ),
    )


def musegan_48_binary() -> Preset:
    """Refiner and deterministic binary neurons of BinaryMuseGAN, trained jointly."""
    first = musegan_48()
    return replace(
        first,
        about="the same with a refiner and binary neurons, trained jointly (BinaryMuseGAN)",
        model=replace(LATER, output="deterministic", refine="joint"),
    )


def musegan_96_hybrid() -> Preset:
    """MuseGAN as published: 96 steps to a bar, shared and private latents."""
    return Preset(
        "MuseGAN, hybrid, as published (for a GPU)",
        HYBRID,
        Pianoroll("lpd5", 24, bars=4, gaps=True),
        WGAN_GP,
        Training(
            50_000, 64, lr=2e-4, lr_final=2e-4, schedule="constant", clip=0.0, betas=(0.5, 0.9)
        ),
    )


def musegan_96_composer() -> Preset:
    """One generator makes all tracks."""
    first = musegan_96_hybrid()
    about = "MuseGAN, composer, as published (for a GPU)"
    return replace(first, about=about, model=replace(HYBRID, composition="composer"))


def musegan_96_jamming() -> Preset:
    """A generator and a critic for each track, as the paper has it."""
    first = musegan_96_hybrid()
    critic = replace(HYBRID.critic, own=True, separate=True)
    model = replace(HYBRID, composition="jamming", critic=critic)
    return replace(first, about="MuseGAN, jamming, as published (for a GPU)", model=model)


def rules(preset: Preset) -> Rules:
    """What must hold of a MuseGAN's preset, and what to say where it does not."""
    model, roll = preset.model, preset.representation
    assert isinstance(model, MuseGANConfig)
    if not isinstance(preset.objective, Adversarial):
        return ((False, "a MuseGAN needs the objective Adversarial"),)
    if not isinstance(roll, Pianoroll):
        return ((False, "a MuseGAN needs the representation Pianoroll"),)
    tracks, here = roll.trackset, (model.beat, model.bars, model.beats, model.pitches)
    there = (roll.steps_per_beat, roll.bars, roll.beats_per_bar, roll.high - roll.low + 1)
    number = model.given.isdigit() and int(model.given) < model.tracks
    return (
        (
            (model.tracks, model.drums) == (len(tracks), tracks.drums),
            f"model.tracks and model.drums must be {len(tracks)} and {tracks.drums}, as in "
            f"{tracks.name}",
        ),
        (
            here == there,
            f"model.beat, bars, beats and pitches must be {there}, those of the piano roll",
        ),
        (model.onsets == roll.onsets, "model.onsets and representation.onsets must be the same"),
        (not roll.velocities, "representation.velocities must be false; cells are 0 or 1"),
        (
            model.given in ("none", "any", "some", "one") or number,
            "model.given must be none, any, some, one or the number of a track",
        ),
        (
            len(model.density) in (1, model.planes * model.tracks),
            f"model.density must have 1 or {model.planes * model.tracks} values",
        ),
        (
            model.refine == "none" or model.output in ("deterministic", "stochastic"),
            "model.refine needs model.output=deterministic or stochastic",
        ),
        (
            not (preset.objective.recall or preset.objective.warm) or model.reader > 0,
            "objective.recall and warm need a model.reader, such as 384",
        ),
        (0 <= model.apart <= 1, "model.apart must be from 0 to 1"),
        (model.memory > 0 or not model.reader, "model.memory must be at least 1"),
        (0 <= preset.objective.strangers <= 1, "objective.strangers must be from 0 to 1"),
        (
            not preset.objective.warm or preset.objective.recall > 0,
            "objective.warm needs objective.recall above 0",
        ),
    )
