"""How the tests run the command line, here or in a process of its own, and check its files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import mido
import numpy as np
import pretty_midi
import pytest
from tiny import SAMPLES

import musegen
from musegen import midi

FISHER = str(SAMPLES / "ryan_fishers_hornpipe.mid")
HARVEST = str(SAMPLES / "oneill_harvest_home.mid")
WALTZ = str(SAMPLES / "mutopia_satie_gymnopedie_no1.mid")
SCHEMA = 1


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one document on stdout."""
        document = json.loads(self.out)
        assert document["schema"] == SCHEMA
        return document


def process(*arguments: str, stdin: bytes = b"", **options: Any) -> subprocess.CompletedProcess:
    """Runs it in a process of its own, with bytes for streams."""
    return subprocess.run(
        [sys.executable, "-m", "musegen", *arguments],
        input=stdin,
        **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment()} | options),
    )


def environment() -> dict[str, str]:
    root = str(Path(musegen.__file__).parents[1])
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def other_readers_agree(path: Path | str) -> None:
    """mido and pretty_midi find the notes that we do."""
    score = midi.read(path)
    count = sum(len(t) for t in score.tracks)
    file = mido.MidiFile(path)
    on = [m for t in file.tracks for m in t if m.type == "note_on" and m.velocity]
    assert len(on) == count
    bar = 4 * 60 / score.tempos[0][1]
    assert file.length >= score.seconds - 1e-6
    assert file.length / bar == pytest.approx(round(file.length / bar))  # DAWs loop whole bars
    pretty = pretty_midi.PrettyMIDI(str(path))
    pitches = [n.pitch for i in pretty.instruments for n in i.notes]
    assert sorted(pitches) == sorted(np.concatenate([t.notes[:, 2] for t in score.tracks]).tolist())
