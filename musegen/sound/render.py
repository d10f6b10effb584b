"""A score to a file of sound: by FluidSynth with a soundfont where both are, else by `synth`."""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from musegen import midi
from musegen.errors import MusegenError
from musegen.score import Score
from musegen.sound.synth import RATE, TAIL, seconds_at, synthesise

FONTS = (
    "/usr/share/sounds/sf3/default-GM.sf3",
    "/usr/share/sounds/sf2/default-GM.sf2",
    "/usr/share/sounds/sf2/FluidR3_GM.sf2",
    "/usr/share/sounds/sf2/TimGM6mb.sf2",
    "/usr/share/soundfonts/default.sf2",
    "/usr/share/soundfonts/FluidR3_GM.sf2",
    "/opt/homebrew/share/soundfonts/default.sf2",
    "/usr/local/share/soundfonts/default.sf2",
)
FLUID_RATE = 44_100


def find_font(given: str | None = None) -> Path | None:
    """A soundfont: the given one, that of MUSEGEN_SOUNDFONT, or one that is there.

    Raises:
        MusegenError: the given one is not there.
    """
    asked = given or os.environ.get("MUSEGEN_SOUNDFONT")
    if asked:
        if not Path(asked).is_file():
            raise MusegenError(f"{asked}: no such soundfont; give an .sf2 or .sf3 file")
        return Path(asked)
    fonts = [Path(font) for font in FONTS]
    package = importlib.util.find_spec("pretty_midi")  # which brings a small one
    if package is not None and package.origin:
        fonts.append(Path(package.origin).with_name("TimGM6mb.sf2"))
    return next((font for font in fonts if font.is_file()), None)


def render(
    score: Score,
    font: str | None = None,
    engine: str = "",
    tail: float = TAIL,
    say: Callable[[str], None] = lambda text: None,
) -> bytes:
    """A WAV file of a score (16 bits): up to its last bar line, and `tail` seconds.

    Args:
        score: the music.
        font: a soundfont for FluidSynth.
        engine: "fluidsynth", "synth", or the first where it and a soundfont are there.
        tail: seconds after the last bar line, in which notes ring on.
        say: is told which engine it was.

    Raises:
        MusegenError: FluidSynth or a soundfont was asked for and is missing, or it failed.
    """
    found = find_font(font)
    if engine not in ("", "fluidsynth", "synth"):
        raise MusegenError(f"no engine {engine!r}; there are fluidsynth and synth")
    if engine == "fluidsynth" or font:
        if not shutil.which("fluidsynth"):
            raise MusegenError("fluidsynth is not installed; install it, or use --engine synth")
        if found is None:
            raise MusegenError("there is no soundfont; give one with --font FILE.sf2")
    if engine != "synth" and found is not None and shutil.which("fluidsynth"):
        say(f"FluidSynth with {found.name}")
        return _fluidsynth(score, found, tail)
    say("the built-in synthesiser; with FluidSynth and a soundfont it sounds like instruments")
    return to_wav(synthesise(score, RATE, tail)[None], RATE)


def _fluidsynth(score: Score, font: Path, tail: float) -> bytes:
    with tempfile.TemporaryDirectory(prefix="musegen-") as folder:
        source, target = Path(folder) / "x.mid", Path(folder) / "x.wav"
        source.write_bytes(midi.to_bytes(score))
        command = ["fluidsynth", "-ni", "-q", "-g", "0.6", "-r", str(FLUID_RATE), "-O", "s16"]
        command += ["-T", "wav", "-F", str(target), str(font), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode or not target.exists():
            raise MusegenError(f"fluidsynth failed: {done.stderr.strip()[-300:] or 'no sound'}")
        with wave.open(str(target)) as file:
            channels = file.getnchannels()
            raw = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    samples = raw.reshape(-1, channels).T.astype(np.float32) / 32768
    end = float(seconds_at(score, score.bar_lines()[-1:])[0])
    length = round((end + tail) * FLUID_RATE)  # its own end is where its reverb dies
    samples = np.pad(samples[:, :length], ((0, 0), (0, max(0, length - samples.shape[1]))))
    return to_wav(samples, FLUID_RATE)


def to_wav(samples: NDArray[np.floating], rate: int) -> bytes:
    """A WAV file of 16 bits of samples [channels, time], -1 to 1."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(len(samples))
        file.setsampwidth(2)
        file.setframerate(rate)
        data = np.round(np.clip(samples.T, -1, 1) * 32767).astype("<i2")
        file.writeframes(data.tobytes())
    return buffer.getvalue()
