"""Music as JSON holds it: a Standard MIDI File in base64, or notes with times in quarter notes."""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from musegen import midi
from musegen.errors import InputError
from musegen.score import DURATION, ONSET, Score, Track, as_notes

PPQ = 480
MAX_NOTES = 100_000
MAX_BEATS = 100_000.0


def to_score(piece: Mapping[str, Any], name: str) -> Score:
    """A piece that came with a job.

    Args:
        piece: `midi` (base64), or `notes` of one track, or `tracks` (each with `notes` and perhaps
            `name`, `program`, `drums`); with notes perhaps `tempo` (quarters a minute), `metre`
            (two numbers) and `length` (in quarters). A note has `pitch`, `start`, `duration` and
            perhaps `velocity` and `drums`.
        name: what to call it in errors.

    Raises:
        InputError: it cannot be read; in words.
    """
    if "midi" in piece:
        try:
            data = base64.b64decode(str(piece["midi"]), validate=True)
        except (binascii.Error, ValueError):
            raise InputError(name, "its midi is not base64") from None
        return midi.read(io.BytesIO(data), name=name)
    tracks = piece.get("tracks")
    if tracks is None:
        if "notes" not in piece:
            raise InputError(name, "has neither midi nor notes nor tracks")
        tracks = _by_kind(piece, name)
    try:
        if sum(len(t["notes"]) for t in tracks) > MAX_NOTES:
            raise ValueError(f"has more than {MAX_NOTES:,} notes")
        parts = tuple(map(_track, tracks))
        tempo = _number(piece.get("tempo", 120.0), 10, 1000, "tempo")
        num, den = piece.get("metre") or (4, 4)
        if not (isinstance(num, int) and 0 < num < 256 and den in (1, 2, 4, 8, 16, 32, 64)):
            raise ValueError("its metre is not two numbers as 4 and 4")
        length = _number(piece.get("length") or 0, 0, MAX_BEATS, "length")
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(name, f"a track or note lacks something: {error}") from None
    except ValueError as error:
        raise InputError(name, str(error)) from None
    metres = ((0, num, den),)
    return Score(parts, PPQ, ((0, tempo),), metres, length=round(length * PPQ))


def from_score(score: Score, reply: Sequence[str]) -> dict[str, Any]:
    """A score for a reply: `tempo`, `metre`, `length` and `bars`, and `midi` and `tracks` as asked.

    Tempo and metre are the first ones; the MIDI file has all of them.
    """
    beats = score.ppq
    bars = score.bar_lines()
    told: dict[str, Any] = {
        "tempo": score.tempos[0][1],
        "metre": list(score.metres[0][1:]),
        "length": int(bars[-1]) / beats,
        "bars": len(bars) - 1,
    }
    if "midi" in reply:
        told["midi"] = base64.b64encode(midi.to_bytes(score)).decode("ascii")
    if "notes" in reply:
        told["tracks"] = [
            {
                "name": track.name,
                "program": track.program,
                "drums": track.is_drum,
                "notes": [
                    {"pitch": p, "start": on / beats, "duration": d / beats, "velocity": v}
                    for on, d, p, v in track.notes.tolist()
                ],
            }
            for track in score.tracks
        ]
    return told


def _by_kind(piece: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The notes of a piece as a track of pitches and one of drums."""
    notes = piece["notes"]
    if not isinstance(notes, list) or not all(isinstance(n, dict) for n in notes):
        raise InputError(name, "its notes are not a list of pitch, start, duration, velocity")
    tracks = []
    for drums in (False, True):
        some = [n for n in notes if bool(n.get("drums", piece.get("drums", False))) == drums]
        if some or not (drums or notes):
            program, called = piece.get("program", 0), piece.get("name", "")
            tracks.append({"notes": some, "drums": drums, "program": program, "name": called})
    return tracks


def _track(told: Mapping[str, Any]) -> Track:
    rows = []
    for note in told["notes"]:
        start = _number(note["start"], 0, MAX_BEATS, "start")
        duration = _number(note["duration"], 0, MAX_BEATS, "duration")
        pitch = round(_number(note["pitch"], 0, 127, "pitch"))
        velocity = round(_number(note.get("velocity", 90), 1, 127, "velocity"))
        row = [0, 0, pitch, velocity]
        row[ONSET] = round(start * PPQ)
        row[DURATION] = max(1, round((start + duration) * PPQ) - row[ONSET])
        rows.append(row)
    program = round(_number(told.get("program") or 0, 0, 127, "program"))
    name = str(told.get("name") or "")[:200]
    return Track(as_notes(rows), program, bool(told.get("drums")), name)


def _number(value: Any, low: float, high: float, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"its {what} is not a number: {str(value)[:40]!r}")
    if not low <= value <= high:
        raise ValueError(f"its {what} is {value:g}, but goes from {low:g} to {high:g}")
    return float(value)
