"""What real programs make of what we write, where they are installed."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from commands import FISHER, environment
from tiny import tune

from musegen import midi
from musegen.daw import install
from musegen.sound import render

MUSESCORE = shutil.which("mscore3") or shutil.which("musescore3")
FLUIDSYNTH = shutil.which("fluidsynth")


@pytest.mark.skipif(not MUSESCORE, reason="MuseScore 3 is not installed")
def test_the_plugin_makes_a_variation_in_musescore(tmp_path: Path) -> None:
    _, (plugin,) = install("musescore", tmp_path / "plugins")
    command = tmp_path / "run-musegen"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m musegen "$@" --seed 1\n')
    command.chmod(0o755)
    plugin.write_text(
        re.sub(r'string musegen: "[^"]*"', f'string musegen: "{command}"', plugin.read_text())
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    given = environment() | {"QT_QPA_PLATFORM": "offscreen", "HOME": str(tmp_path)}
    given |= {"TMPDIR": str(temporary), "XDG_RUNTIME_DIR": str(temporary)}
    score = tmp_path / "score.mscx"
    for arguments in (["-o", score, FISHER], ["-p", plugin, score]):
        subprocess.run([MUSESCORE, *arguments], env=given, capture_output=True, timeout=200)
    (made,) = temporary.glob("musegen-*-new.mid")
    assert midi.read(made).recipe["verb"] == "vary"
    assert len(midi.read(made).bar_lines()) == len(midi.read(FISHER).bar_lines())


@pytest.mark.skipif(not FLUIDSYNTH, reason="FluidSynth is not installed")
def test_fluidsynth_makes_sound_to_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "FONTS", ())  # those of the system can take seconds to load
    if render.find_font() is None:
        pytest.skip("there is no soundfont")
    data = render.render(tune([60, 64, 67, 72]), engine="fluidsynth", tail=0.5)
    with wave.open(io.BytesIO(data)) as file:
        assert file.getnframes() == round(2.5 * file.getframerate())
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert np.abs(samples).max() > 500
