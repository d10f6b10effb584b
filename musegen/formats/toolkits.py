"""Read what other toolkits save: muspy's JSON, and pypianoroll's .npz as in the Lakh Pianoroll
Dataset (Dong et al., AAAI 2018).

muspy: notes, chords, maps and names are taken as they are, barlines where no metre is given, and
annotations of the groups "marker" and "chord" as the score's own.

pypianoroll: see `musegen.formats.cells` for how rolls become notes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musegen.errors import InputError
from musegen.formats import archive
from musegen.formats.abc import MAX_QUARTERS
from musegen.formats.cells import (
    MAX_NOTES,
    MAX_PPQ,
    MAX_TEMPO,
    MAX_TRACKS,
    MIN_TEMPO,
    VELOCITY,
    Roll,
    clean,
    column,
    from_rolls,
    metres_of,
    whole,
)
from musegen.formats.marks import Broken
from musegen.score import Notes, Score, Track, changes

MAX_OBJECTS = 250_000  # of JSON; a note is one
MAX_VALUES = 1_500_000
MAX_CELLS = 2**22  # of an .npz file


def parse_muspy(data: bytes, name: str) -> Score:
    """The score in a JSON file saved by muspy, as bytes.

    Raises:
        InputError: not JSON, not by muspy, or with impossible values.
    """
    try:
        return from_muspy(_json(data), name)
    except Broken as error:
        raise InputError(name, f"{error}; expected JSON as muspy saves it") from None


def from_muspy(music: Any, name: str) -> Score:
    """The score of a muspy.Music as a dictionary, as `Music.to_ordered_dict` gives it.

    Raises:
        InputError: a part is missing or holds impossible values.
    """
    try:
        if not isinstance(music, Mapping) or ("tracks" not in music and "resolution" not in music):
            raise Broken("no resolution and no tracks")
        ppq = whole(music.get("resolution", 24), "resolution", 1, MAX_PPQ)
        tracks = _objects(music, "tracks")
        if len(tracks) > MAX_TRACKS:
            raise Broken(f"{len(tracks)} tracks, at most {MAX_TRACKS} are read")
        times = MAX_QUARTERS * ppq
        notes = [_muspy_notes(track, times) for track in tracks]
        return Score(
            tracks=tuple(map(_muspy_track, tracks, notes)),
            ppq=ppq,
            tempos=_muspy_tempos(music, times),
            metres=_muspy_metres(music, times, ppq),
            keys=_muspy_keys(music, times),
            markers=tuple(_annotations(music, "marker", times)),
            chords=changes(_annotations(music, "chord", times)),
        )
    except Broken as error:
        raise InputError(name, f"{error}; expected what muspy holds") from None


def _json(data: bytes) -> Any:
    """JSON, its objects counted before they are made."""
    if len(data) > archive.MAX_BYTES:
        raise Broken(f"over {archive.MAX_BYTES >> 20} MB")
    if data.count(b"{") + data.count(b"[") > MAX_OBJECTS or data.count(b",") > MAX_VALUES:
        raise Broken(f"over {MAX_OBJECTS:,} objects or {MAX_VALUES:,} values")
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise Broken("not JSON") from None


def _objects(holder: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """A list of objects; none when there is no such list."""
    found = holder.get(key) or []
    if not isinstance(found, list) or not all(isinstance(e, Mapping) for e in found):
        raise Broken(f"{key} are not a list of objects")
    return found


def _timed(music: Mapping[str, Any], key: str, last: int) -> list[tuple[int, Mapping[str, Any]]]:
    objects = _objects(music, key)
    times = column([e.get("time") for e in objects], f"a time in {key}", 0, last)
    return list(zip(times.tolist(), objects, strict=True))


def _annotations(music: Mapping[str, Any], group: str, last: int) -> list[tuple[int, str]]:
    return [
        (t, str(e.get("annotation")))
        for t, e in _timed(music, "annotations", last)
        if e.get("group") == group
    ]


def _real(value: Any) -> float:
    """A finite number, 0 for anything else."""
    try:
        return float(value) if isfinite(float(value)) else 0.0
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _muspy_notes(track: Mapping[str, Any], last: int) -> Notes:
    """Notes, and the notes of chords; those of velocity 0 are silent."""
    notes = [(e, e.get("pitch")) for e in _objects(track, "notes")]
    for chord in _objects(track, "chords"):
        pitches = chord.get("pitches")
        if not isinstance(pitches, list):
            raise Broken("the pitches of a chord are not a list")
        notes += [(chord, pitch) for pitch in pitches]
    if len(notes) > MAX_NOTES:
        raise Broken(f"over {MAX_NOTES:,} notes")
    columns = [
        column([e.get("time") for e, _ in notes], "the time of a note", 0, last),
        column([e.get("duration") for e, _ in notes], "the duration of a note", 0, last),
        column([pitch for _, pitch in notes], "the pitch of a note", 0, 127),
        column(
            [VELOCITY if (v := e.get("velocity")) is None else v for e, _ in notes],
            "the velocity of a note",
            0,
            127,
        ),
    ]
    rows = np.column_stack(columns)
    rows[:, 1] = np.maximum(rows[:, 1], 1)
    return rows[rows[:, 3] > 0]


def _muspy_track(track: Mapping[str, Any], notes: Notes) -> Track:
    program = whole(track.get("program") or 0, "the program of a track", 0, 127)
    return Track(notes, program, bool(track.get("is_drum")), clean(track.get("name")))


def _muspy_tempos(music: Mapping[str, Any], last: int) -> tuple[tuple[int, float], ...]:
    found = [(t, _real(e.get("qpm"))) for t, e in _timed(music, "tempos", last)]
    return changes([(t, qpm) for t, qpm in found if MIN_TEMPO <= qpm <= MAX_TEMPO], (0, 120.0))


def _muspy_metres(
    music: Mapping[str, Any], last: int, ppq: int
) -> tuple[tuple[int, int, int], ...]:
    """Time signatures, or what lies between barlines."""
    found = []
    for t, e in _timed(music, "time_signatures", last):
        num, den = _real(e.get("numerator")), _real(e.get("denominator"))
        if 0 < num < 256 and num % 1 == 0 and den in (1, 2, 4, 8, 16, 32, 64):
            found.append((t, int(num), int(den)))
    if found:
        return changes(found, (0, 4, 4))
    return metres_of([t for t, _ in _timed(music, "barlines", last)], ppq, 0)


def _muspy_keys(music: Mapping[str, Any], last: int) -> tuple[tuple[int, int, bool], ...]:
    """Keys by their number of sharps, or by their root."""
    found = []
    for t, e in _timed(music, "key_signatures", last):
        minor = e.get("mode") == "minor"
        sharps, root = e.get("fifths"), e.get("root")
        if sharps is None and root is not None:
            root = whole(root, "the root of a key", -127, 127) + 3 * minor
            sharps = (7 * root + 5) % 12 - 5
        if sharps is not None:
            found.append((t, whole(sharps, "the fifths of a key", -99, 99), minor))
    return changes(e for e in found if abs(e[1]) <= 7)


def parse_npz(data: bytes, name: str) -> Score:
    """The score in an .npz file saved by pypianoroll, 0.x (as LPD) or 1.x, as bytes.

    A tick is a time step. Tracks without notes are kept.

    Raises:
        InputError: not a zip, not by pypianoroll, or with impossible values.
    """
    files = archive.members(data, name, lambda m: m == "info.json" or m.endswith(".npy"))
    try:
        if "info.json" not in files:
            raise Broken("no info.json in it")
        info = _json(files["info.json"])
        if not isinstance(info, dict):
            raise Broken("info.json is not an object")
        rolls: list[Roll] = []
        length = 0
        while isinstance(track := info.get(str(len(rolls))), dict):
            steps, pitches, values, size = _csc(files, f"pianoroll_{len(rolls)}_csc_")
            about = (track.get(key) for key in ("program", "is_drum", "name"))
            rolls.append(Roll(steps, pitches, values, *about))
            length = max(length, size)
        if sum(len(roll.values) for roll in rolls) > MAX_CELLS:
            raise Broken(f"over {MAX_CELLS:,} cells")
        resolution = info.get("resolution", info.get("beat_resolution"))
        tempo, downbeat = (
            _array(files[key]) if (key := f"{kind}.npy") in files else None
            for kind in ("tempo", "downbeat")
        )
        return from_rolls(rolls, resolution, tempo, downbeat, length, name)
    except Broken as error:
        raise InputError(name, f"{error}; expected .npz as pypianoroll saves it") from None
    except InputError:
        raise
    except Exception:  # numpy raises many kinds on garbled arrays
        raise InputError(name, "an array is missing or broken; save it again") from None


def _array(data: bytes) -> NDArray[Any]:
    """An array of numbers in .npy format; what the header claims is checked against the bytes."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    header = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else (np.lib.format.read_array_header_2_0)
    )
    shape, fortran, dtype = header(stream)
    if dtype.kind not in "biuf" or min(shape, default=0) < 0:
        raise ValueError("not numbers")
    count = 1
    for size in shape:
        count *= int(size)
    array = np.frombuffer(data, dtype, count, stream.tell())
    return array.reshape(shape, order="F" if fortran else "C")


def _csc(files: Mapping[str, bytes], prefix: str) -> tuple[Any, Any, Any, int]:
    """Steps, pitches and values of a sparse roll by columns [steps, 128], and its steps."""
    data, steps, starts, shape = (
        _array(files[f"{prefix}{part}.npy"]) for part in ("data", "indices", "indptr", "shape")
    )
    if shape.shape != (2,) or shape[1] != 128 or starts.shape != (129,) or steps.ndim != 1:
        raise Broken("a piano roll is not of 128 pitches")
    if data.shape != steps.shape or starts[0] != 0 or starts[-1] != len(steps):
        raise Broken("the arrays of a piano roll do not fit together")
    counts = starts[1:].astype(np.int64) - starts[:-1].astype(np.int64)
    if (counts < 0).any() or (len(steps) and not 0 <= steps.min() <= steps.max() < shape[0]):
        raise Broken("the arrays of a piano roll do not fit together")
    return steps, np.repeat(np.arange(128), counts), data, int(shape[0])
