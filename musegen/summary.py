"""What is in a score, as data and in lines of text."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from musegen.metrics import voices
from musegen.names import instrument_name, key_name, pitch_name, plain
from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Score, Track
from musegen.segment import pick_melody

MOST = 8  # changes of tempo, metre, key or chord that a line names


def summarise(score: Score) -> dict[str, Any]:
    """Everything about a score but its notes, ready for JSON. Tracks and bars count from 1."""
    try:
        melody: int | None = pick_melody(score).index + 1
    except ValueError:
        melody = None
    return {
        "ppq": score.ppq,
        "bars": len(score.bar_lines()) - 1,
        "seconds": round(score.seconds, 3),
        "tempos": score.tempos,
        "metres": score.metres,
        "keys": score.keys,
        "chords": score.chords,
        "markers": score.markers,
        "tracks": [{"number": i + 1} | _of_track(score, t) for i, t in enumerate(score.tracks)],
        "melody_track": melody,
        "recipe": dict(score.recipe),
        "remarks": score.remarks,
    }


def _of_track(score: Score, track: Track) -> dict[str, Any]:
    """A row; what takes notes to tell is None without notes."""
    told = {
        "name": track.name,
        "program": track.program,
        "instrument": instrument_name(track.program, track.is_drum),
        "drums": track.is_drum,
        "notes": len(track),
    }
    columns = ("lowest", "highest", "velocity", "polyphony", "first_bar", "last_bar")
    if not len(track):
        return told | dict.fromkeys(columns)
    notes, lines = track.notes, score.bar_lines()
    ends = notes[:, ONSET] + notes[:, DURATION] - 1
    first, last = np.searchsorted(lines, [notes[:, ONSET].min(), ends.max()], side="right")
    pitch, velocity = notes[:, PITCH], float(notes[:, VELOCITY].mean())
    whole = int(pitch.min()), int(pitch.max()), round(velocity, 1), round(voices(notes), 2)
    return told | dict(zip(columns, (*whole, int(first), int(last)), strict=True))


def as_lines(name: str, score: Score, told: dict[str, Any]) -> list[str]:
    """The summary of a score for people; `told` comes from `summarise`."""
    minutes, seconds = divmod(round(told["seconds"]), 60)
    lines = [
        f"{name}: {told['bars']} bar{'s' * (told['bars'] != 1)}, {minutes}:{seconds:02} minutes, "
        f"{told['ppq']} ticks a quarter note",
        "tempo " + _changes(score, [(t, f"{q:.4g}") for t, q in score.tempos]),
        "metre " + _changes(score, [(t, f"{n}/{d}") for t, n, d in score.metres]),
    ]
    maps = {
        "key": [(t, key_name(s, m)) for t, s, m in score.keys],
        "chords": [(t, plain(c, 12)) for t, c in score.chords],
        "markers": [(t, plain(m, 24)) for t, m in score.markers],
    }
    lines += [f"{what} {_changes(score, events)}" for what, events in maps.items() if events]
    rows = [["", "name", "instrument", "notes", "pitches", "velocity", "polyphony", "bars"]]
    for t in told["tracks"]:
        number = f"{t['number']}"
        row = [number, plain(t["name"], 24), t["instrument"], f"{t['notes']}"]
        if t["notes"]:
            pitches = f"{pitch_name(t['lowest'])} - {pitch_name(t['highest'])}"
            row += ["" if t["drums"] else pitches, f"{t['velocity']:.0f}", f"{t['polyphony']:.1f}"]
            row.append(f"{t['first_bar']} - {t['last_bar']}")
        rows.append(row + [""] * (len(rows[0]) - len(row)))
        if t["number"] == told["melody_track"]:
            rows[-1].append("<- melody")
    lines += ["", *aligned(rows, right={0, 3, 5, 6})] if told["tracks"] else ["no notes"]
    recipe = ", ".join(f"{k}={v}" for k, v in score.recipe.items())
    lines += ["", f"made by musegen: {plain(recipe, 2000)}"] if recipe else []
    return lines + ["", *(f"note: {plain(r, 500)}" for r in score.remarks)] * bool(score.remarks)


def _changes(score: Score, events: Sequence[tuple[int, str]]) -> str:
    """What holds first, then what from which bar on; a place within a bar is not told."""
    bars = np.searchsorted(score.bar_lines(), [t for t, _ in events], side="right")
    said = [f"from bar {b} {what}" for b, (_, what) in zip(bars, events, strict=True)]
    if events[0][0] == 0:
        said[0] = events[0][1]
    rest = len(said) - MOST
    return ", ".join(said[:MOST]) + (f" and {rest} changes more" if rest > 0 else "")


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """A table as lines: columns as wide as their longest cell, those in `right` flush right."""
    columns = max(map(len, rows))
    wide = [max((len(r[i]) for r in rows if i < len(r)), default=0) for i in range(columns)]
    sides = [">" if i in right else "<" for i in range(columns)]
    padded = [[f"{c:{s}{w}}" for c, s, w in zip(row, sides, wide, strict=False)] for row in rows]
    return ["  ".join(row).rstrip() for row in padded]
