"""Named experiments as plain values: model, representation, objective and training.

Their names are known without torch; what makes them is imported when it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from musegen.config import nearest
from musegen.errors import ModelError, MusegenError
from musegen.lazy import Table

if TYPE_CHECKING:
    from musegen.presets.base import Preset, Rules, Training

__all__ = ["PRESETS", "RULES", "Preset", "Training", "check", "known", "preset"]

# Each is a function of its family's file, "-" written as "_".
_OF = {
    "musicvae": (
        "melody_2bar_small",
        "melody_2bar_big",
        "cat-mel_2bar_small",
        "melody_16bar_small",
        "flat_mel_16bar_small",
        "hierdec_mel_16bar_small",
        "melody_chords_4bar_small",
        "drums_2bar_small",
        "trio_4bar_small",
        "cat-mel_2bar_med_chords",
        "cat-drums_2bar_small",
        "flat-mel_16bar",
        "hierdec-mel_16bar",
        "hierdec-trio_16bar",
    ),
    "crnngan": (
        "performance",
        "performance_game",
        "performance_rhythm",
        "crnngan",
        "crnngan_plain",
        "crnngan_3",
        "crnngan_baseline",
    ),
    "musegan": (
        "band",
        "musegan_48",
        "musegan_48_binary",
        "musegan_96_hybrid",
        "musegan_96_composer",
        "musegan_96_jamming",
    ),
    "diffusion": (
        "polyffusion",
        "piano_8bar",
        "chorale_4bar",
    ),
    "groovae": (
        "groove_melody_2bar_small",
        "groove_drums_2bar_small",
        "drumify_2bar_small",
        "groovae_2bar_humanize",
        "groovae_2bar_tap_fixed_velocity",
        "groovae_2bar_hits_control",
    ),
    "latents": ("melody_32bar_small",),
}
PRESETS: Table[Callable[[], Preset]] = Table(
    {
        name: f"musegen.presets.{home}:{name.replace('-', '_')}"
        for home, names in _OF.items()
        for name in names
    }
)
RULES: Table[Callable[[Preset], Rules]] = Table(
    {home: f"musegen.presets.{home}:rules" for home in _OF}
)


def __getattr__(name: str) -> Any:
    if name in ("Preset", "Training"):
        from musegen.presets import base

        return getattr(base, name)
    raise AttributeError(f"module 'musegen.presets' has no attribute {name!r}")


def known(name: str) -> str:
    """The name itself, if there is such a preset.

    Raises:
        ModelError: there is none; names the nearest.
    """
    if name not in PRESETS:
        raise ModelError(f"no preset {name!r}{nearest(name, PRESETS)}")
    return name


def preset(name: str) -> Preset:
    """A preset by its name.

    Raises:
        ModelError: no such preset; names the nearest.
    """
    return PRESETS[known(name)]()


def check(preset: Preset) -> None:
    """Refuse settings that contradict each other, in words, before any work.

    Raises:
        MusegenError: which settings cannot be.
    """
    from musegen.models import family

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
        *RULES[family(preset.model)](preset),
    )
    for holds, words in rules:
        if not holds:
            raise MusegenError(f"cannot train: {words}")
