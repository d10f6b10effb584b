"""Presets of GrooVAE: as published, and what a CPU can train."""

from __future__ import annotations

from musegen.objectives.groove import GrooveELBO
from musegen.presets.base import Preset, Rules, Training
from musegen.representations.drums import KITS
from musegen.representations.groove import Groove
from musegen.sizes import GrooVAEConfig


def _published(about: str, **fields: object) -> Preset:
    """What all published configurations share."""
    return Preset(
        f"GrooVAE {about} as published",
        GrooVAEConfig(**fields),  # type: ignore[arg-type]
        Groove(2, "roland"),
        GrooveELBO(),
        Training(200_000, 512, schedule="exponential"),
    )


def groovae_2bar_humanize() -> Preset:
    """GrooVAE's groovae_2bar_humanize: plays a score that has neither dynamics nor timing."""
    return _published("groovae_2bar_humanize")


def groovae_2bar_tap_fixed_velocity() -> Preset:
    """GrooVAE's groovae_2bar_tap_fixed_velocity: plays drums for a tapped rhythm."""
    return _published("groovae_2bar_tap_fixed_velocity", reads="tap")


def groovae_2bar_hits_control() -> Preset:
    """GrooVAE's groovae_2bar_hits_control_tfds: hits shown to the decoder, z is how to play."""
    return _published("groovae_2bar_hits_control_tfds", reads="groove", control="hits")


def _small(about: str, kit: str, errors: GrooveELBO, steps: int, **fields: object) -> Preset:
    """For a CPU and few songs."""
    classes = len(KITS[kit].classes)  # type: ignore[index]
    sizes: dict[str, object] = {"latent": 32, "encoder": 96, "decoder": (160,), "bar": 16}
    return Preset(
        about,
        GrooVAEConfig(classes=classes, dropout=0.2, **(sizes | fields)),  # type: ignore[arg-type]
        Groove(2, kit),  # type: ignore[arg-type]
        errors,
        Training(steps, 64, lr=2e-3, warmup=50, ema=0.995, weight_decay=0.01),
    )


def groove_melody_2bar_small() -> Preset:
    """How a melody or a piano part is played, in six octaves; for a CPU."""
    return _small(
        "how pitched parts are played, on a CPU (the shipped groove-melody-2bar)",
        "octaves",
        GrooveELBO(1.0, 0.998, 0.0, "gaussian", thin=0.5, input_dropout=0.3),
        1600,
        reads="groove",
        control="hits",
        ahead=4,
    )


def groove_drums_2bar_small() -> Preset:
    """How drums are played; for a CPU and few songs."""
    return _small(
        "how drums are played, on a CPU",
        "gm",
        GrooveELBO(1.0, 0.998, 0.0, "gaussian", thin=0.3, input_dropout=0.3),
        800,
        reads="groove",
        control="hits",
        ahead=4,
    )


def drumify_2bar_small() -> Preset:
    """Drums for a rhythm; for a CPU and few songs."""
    return _small(
        "2-bar drums for a rhythm, on a CPU",
        "gm",
        GrooveELBO(0.2, 0.998, 0.0, "gaussian", thin=0.7, input_dropout=0.3),
        1200,
        reads="tap",
        control="tap",
        ahead=4,
    )


def rules(preset: Preset) -> Rules:
    """What must hold of a GrooVAE's preset, and what to say where it does not."""
    model, kind, loss = preset.model, preset.representation, preset.objective
    assert isinstance(model, GrooVAEConfig)
    if not isinstance(loss, GrooveELBO) or not isinstance(kind, Groove):
        return ((False, "a GrooVAE needs the objective GrooveELBO and Groove"),)
    classes = len(KITS[kind.kit].classes)
    return (
        (model.classes == classes, f"model.classes must be {classes}, which the kit has"),
        (model.steps == kind.steps, f"model.steps must be {kind.steps}, which the bars have"),
        (
            model.source != "groove",
            "model.reads must be hits or tap where model.control is nothing",
        ),
        (
            model.reads in ("groove", model.source)
            and (model.reads, model.source) != ("groove", "tap"),
            "model.control must be hits, or what model.reads is",
        ),
        (not preset.training.chords, "training.chords must be false: a GrooVAE takes none"),
    )
