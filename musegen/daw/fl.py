"""Scores as piano-roll scripts of FL Studio, with the notes inside.

FL Studio runs its scripts in a box: recent versions can neither start programs nor read files from
there. So the script is made outside, imports nothing but `flpianoroll`, and holds its notes as
numbers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from musegen.names import instrument_name
from musegen.score import Score

_SCRIPT = '''"""musegen: {title}

Run it in the piano roll: choose a piece, and whether it replaces what is there.
"""
import flpianoroll as flp

PPQ = {ppq}
NAMES = {names}
# time and length in ticks of PPQ to a quarter, pitch, velocity of 127
PIECES = {pieces}


def createDialog():
    form = flp.ScriptDialog("musegen", "{title}")
    form.AddInputCombo("Piece", NAMES, 0)
    form.AddInputCombo("Place", ["replace all notes", "beside what is there"], 0)
    form.AddInputKnobInt("Transpose", 0, -24, 24)
    return form


def apply(form):
    if form.GetInputValue("Place") == 0:
        flp.score.clear(True)
    scale = flp.score.PPQ / PPQ
    move = int(form.GetInputValue("Transpose"))
    for time, length, pitch, velocity in PIECES[int(form.GetInputValue("Piece"))]:
        number = pitch + move
        if 0 <= number <= 127:
            note = flp.Note()
            note.number = number
            note.time = int(round(time * scale))
            note.length = max(1, int(round((time + length) * scale)) - note.time)
            note.velocity = velocity / 127.0
            flp.score.addNote(note)
'''


def to_script(scores: Sequence[Score], names: Sequence[str], title: str = "new notes") -> str:
    """A .pyscript that offers the tracks of some scores; a piano roll there holds one at a time.

    Args:
        scores: the music.
        names: what to call each in the script's list.
        title: what to call the script.
    """
    ppq = 480
    labels, pieces = [], []
    for score, name in zip(scores, names, strict=True):
        score = score.resample(ppq)
        for track in score.tracks:
            if len(track):
                part = track.name or instrument_name(track.program, track.is_drum)
                labels.append(f"{name}: {part}" if len(score.tracks) > 1 else name)
                pieces.append(track.notes.tolist())
    rows = ",\n".join("    " + json.dumps(piece) for piece in pieces)
    plain = title.replace("\\", " ").replace('"', "'").replace("\n", " ")
    return _SCRIPT.format(
        title=plain, ppq=ppq, names=json.dumps(labels), pieces=f"[\n{rows},\n]" if rows else "[]"
    )
