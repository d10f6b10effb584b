"""Presets of MusicVAE: as published, and what a CPU can train."""

from __future__ import annotations

from dataclasses import replace

from musegen.objectives.variational import ELBO
from musegen.presets.base import Preset, Rules, Training
from musegen.representations.drums import Drums
from musegen.representations.events import Melody
from musegen.representations.trio import Trio
from musegen.sizes import MusicVAEConfig

CHORD = 36  # numbers of `Chords`


def _sizes(preset: Preset) -> MusicVAEConfig:
    assert isinstance(preset.model, MusicVAEConfig)
    return preset.model


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
        model=replace(_sizes(flat), decoder=(1024, 1024), segments=16, conductor=(1024, 1024)),
    )


def melody_16bar_small() -> Preset:
    """Eight segments of two bars above the weights of melody-2bar; small enough for a CPU."""
    segment = melody_2bar_small()
    return Preset(
        "16-bar melodies on a CPU, begun with --init melody-2bar (the shipped melody-16bar)",
        replace(
            _sizes(segment),
            steps=256,
            latent=512,
            segments=8,
            conductor=(256,),
            context=256,
            encode_segments=True,
            recall=2,
        ),
        Melody(16),
        ELBO(beta=0.2, beta_rate=0.998, input_dropout=0.3, unconditional=0.25),
        Training(2600, 32, lr=1e-3, warmup=100, ema=0.995, transpose=6),
    )


def melody_chords_4bar_small() -> Preset:
    """Two segments of two bars that are told their chords, above the weights of melody-2bar."""
    long = melody_16bar_small()
    return Preset(
        "4-bar melodies to chords on a CPU, begun with --init melody-2bar (melody-chords-4bar)",
        replace(_sizes(long), steps=64, latent=384, segments=2, control=CHORD),
        Melody(4),
        ELBO(beta=0.2, beta_rate=0.998, input_dropout=0.3, unconditional=0.375, unguided=0.1),
        Training(2000, 32, lr=1e-3, warmup=100, ema=0.995, transpose=6, chords=True),
    )


def cat_mel_2bar_med_chords() -> Preset:
    """MusicVAE's cat-mel_2bar_med_chords as the reference code has it, save that it is given root,
    tones and bass of a chord (36 numbers), not one of 48 triads or none.
    """
    return Preset(
        "MusicVAE cat-mel_2bar_med_chords as published (for a GPU)",
        MusicVAEConfig(latent=256, encoder=1024, decoder=(512, 512, 512), control=CHORD),
        Melody(2),
        ELBO(beta=1.0, beta_rate=0.0),
        Training(200_000, 512, schedule="exponential", transpose=3, chords=True),
    )


def _compared(name: str, model: MusicVAEConfig) -> Preset:
    """Decoders of 16 bars, to be begun with --init melody-16bar, whose encoder stays as it is: only
    the decoders differ; latents, readout, loss and training are the same.
    """
    return Preset(
        f"16-bar melodies on a CPU, begun with --init melody-16bar to compare {name}",
        model,
        Melody(16),
        ELBO(beta=0.2, beta_rate=0.998, input_dropout=0.3),
        Training(2000, 16, lr=2e-3, schedule="constant", warmup=50, ema=0.99),
    )


def flat_mel_16bar_small() -> Preset:
    """The flat decoder of Table 1, to be compared with `hierdec_mel_16bar_small`: one LSTM over all
    256 steps, with a linear view of z at each of them.
    """
    model = replace(
        _sizes(melody_2bar_small()),
        steps=256,
        latent=512,
        decoder=(256,),
        encode_segments=True,
        heard=8,
        unconditional=False,
    )
    return _compared("the flat decoder", model)


def hierdec_mel_16bar_small() -> Preset:
    """The hierarchical decoder of Table 1 with as many parameters as `flat_mel_16bar_small`: a
    conductor over bars with a linear view of z for each, and one of its embedding at each step.
    """
    flat = _sizes(flat_mel_16bar_small())
    model = replace(flat, segments=16, conductor=(256,), context=376)
    return _compared("the hierarchical decoder", model)


def cat_drums_2bar_small() -> Preset:
    """MusicVAE's cat-drums_2bar_small as the reference code has it; symbols in are one-hot too."""
    return Preset(
        "MusicVAE cat-drums_2bar_small as published",
        MusicVAEConfig(vocab=(512,), latent=256, encoder=512, decoder=(256, 256)),
        Drums(2),
        ELBO(beta=0.2, beta_rate=0.0, free_bits=48, sampling_rate=1000),
        Training(200_000, 512, schedule="exponential"),
    )


def drums_2bar_small() -> Preset:
    """For few songs and a CPU: small, with much hidden and weights that decay."""
    return Preset(
        "2-bar drum loops on a CPU (the shipped drums-2bar)",
        MusicVAEConfig(
            vocab=(512,),
            latent=128,
            encoder=128,
            decoder=(256,),
            embedding=32,
            readout="steps",
            view=16,
            unconditional=True,
        ),
        Drums(2),
        ELBO(beta=0.1, beta_rate=0.998, input_dropout=0.3, unconditional=0.125, mix=0.6),
        Training(3000, 64, lr=2e-3, warmup=100, ema=0.995, weight_decay=0.05),
    )


def hierdec_trio_16bar() -> Preset:
    """MusicVAE's hierdec-trio_16bar as the reference code has it; wants a GPU."""
    melody = hierdec_mel_16bar()
    return replace(
        melody,
        about="MusicVAE hierdec-trio_16bar as published (for a GPU)",
        model=replace(_sizes(melody), vocab=(90, 90, 512)),
        representation=Trio(16),
        training=replace(melody.training, batch=256),
    )


def trio_4bar_small() -> Preset:
    """Four bars of melody, bass and drums, bar by bar; for few songs and a CPU."""
    return Preset(
        "4-bar trios of melody, bass and drums on a CPU",
        MusicVAEConfig(
            vocab=(90, 90, 512),
            steps=64,
            latent=256,
            encoder=128,
            decoder=(192,),
            embedding=48,
            readout="steps",
            view=24,
            segments=4,
            conductor=(192,),
            context=192,
            encode_segments=True,
            unconditional=True,
            recall=2,
            heed=True,
        ),
        Trio(4),
        ELBO(beta=0.1, beta_rate=0.999, input_dropout=0.3, unconditional=0.25, mix=0.5),
        Training(4000, 64, lr=2e-3, warmup=100, ema=0.995, transpose=6, balance=True, keys=True),
    )


def rules(preset: Preset) -> Rules:
    """What must hold of a MusicVAE's preset, and what to say where it does not."""
    model, training, bars = preset.model, preset.training, preset.representation.bars
    kind = preset.representation
    assert isinstance(model, MusicVAEConfig)
    if not isinstance(preset.objective, ELBO) or not isinstance(kind, (Melody, Drums, Trio)):
        return ((False, "a MusicVAE needs the objective ELBO and Melody, Drums or Trio"),)
    alone = round(preset.objective.unconditional * training.batch / training.accumulate)
    return (
        (model.vocab == kind.vocab, f"model.vocab must be {list(kind.vocab)}"),
        (
            model.steps == kind.steps,
            f"model.steps must be {kind.steps}, which {bars} bars have",
        ),
        (
            not model.heard or (model.encode_segments and model.steps % model.heard == 0),
            "model.heard needs model.encode_segments and must divide model.steps",
        ),
        (
            not model.heard or not model.recall,
            "model.recall needs an encoder of the decoder's segments: model.heard must be 0",
        ),
        (
            model.unconditional == (preset.objective.unconditional > 0),
            "model.unconditional needs objective.unconditional above 0, and only then",
        ),
        (
            model.control == (CHORD if training.chords else 0),
            f"model.control must be {CHORD} with training.chords, and 0 without",
        ),
        (
            not training.keys or (model.unconditional and training.transpose >= 6),
            "training.keys needs model.unconditional and training.transpose of 6 at least",
        ),
        (
            not preset.objective.mix or 512 in model.vocab,
            "objective.mix needs a voice of drums",
        ),
        (
            not model.unconditional or 0 < alone < training.batch // training.accumulate,
            "objective.unconditional must leave windows of both kinds in a batch",
        ),
    )
