"""Read what other toolkits save: muspy's JSON, and pypianoroll's .npz as in the Lakh Pianoroll
Dataset (Dong et al., AAAI 2018).

muspy: notes, chords, maps and names are taken as they are, barlines where no metre is given, and
annotations of the groups "marker" and "chord" as the score's own.

Piano rolls: in one pitch a run of one velocity is a note, so a change of velocity begins another;
cells that are only on or off sound with velocity 64, as pypianoroll plays them. Bars go from
downbeat to downbeat. Tempo arrays that pypianoroll's reader wrote tiled instead of repeated are put
right.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from musegen import archive
from musegen.abc import MAX_QUARTERS
from musegen.errors import InputError
from musegen.score import Notes, Score, Track, changes, metre_map

MAX_OBJECTS = 500_000  # of JSON; a note is one
MAX_TRACKS = 1024
MAX_PPQ = 2**16
MAX_CHANGES = 2**16  # of tempo
VELOCITY = 64  # of muspy's and pypianoroll's notes that have none
LONGEST_BAR = 16  # quarters between downbeats; farther apart, some are not marked
NEARLY = 1e-9  # tempos that beat times gave differ so little
TILES = 24  # times that pypianoroll tiles its tempo array, whatever the resolution


class _Broken(Exception):
    """What is wrong, in a few words."""


def parse_muspy(data: bytes, name: str) -> Score:
    """The score in a JSON file saved by muspy, as bytes.

    Raises:
        InputError: not JSON, not by muspy, or with impossible values.
    """
    try:
        return from_muspy(_json(data), name)
    except _Broken as error:
        raise InputError(name, f"{error}; expected JSON as muspy saves it") from None


def from_muspy(music: Any, name: str) -> Score:
    """The score of a muspy.Music as a dictionary, as `Music.to_ordered_dict` gives it.

    Raises:
        InputError: a part is missing or holds impossible values.
    """
    try:
        if not isinstance(music, Mapping) or ("tracks" not in music and "resolution" not in music):
            raise _Broken("no resolution and no tracks")
        ppq = _whole(music.get("resolution", 24), "resolution", 1, MAX_PPQ)
        tracks = _objects(music, "tracks")
        if len(tracks) > MAX_TRACKS:
            raise _Broken(f"{len(tracks)} tracks, at most {MAX_TRACKS} are read")
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
    except _Broken as error:
        raise InputError(name, f"{error}; expected what muspy holds") from None


def _json(data: bytes) -> Any:
    """JSON, its objects counted before they are made."""
    if len(data) > archive.MAX_BYTES or data.count(b"{") + data.count(b"[") > MAX_OBJECTS:
        raise _Broken(f"over {archive.MAX_BYTES >> 20} MB or {MAX_OBJECTS:,} objects")
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise _Broken("not JSON") from None


def _objects(holder: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """A list of objects; none when there is no such list."""
    found = holder.get(key) or []
    if not isinstance(found, list) or not all(isinstance(e, Mapping) for e in found):
        raise _Broken(f"{key} are not a list of objects")
    return found


def _timed(music: Mapping[str, Any], key: str, last: int) -> list[tuple[int, Mapping[str, Any]]]:
    objects = _objects(music, key)
    times = _column([e.get("time") for e in objects], f"a time in {key}", 0, last)
    return list(zip(times.tolist(), objects, strict=True))


def _annotations(music: Mapping[str, Any], group: str, last: int) -> list[tuple[int, str]]:
    return [
        (t, str(e.get("annotation")))
        for t, e in _timed(music, "annotations", last)
        if e.get("group") == group
    ]


def _column(values: Sequence[Any], what: str, low: int, high: int) -> NDArray[np.int64]:
    """Numbers of a file as whole numbers within bounds."""
    try:
        column = np.array(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise _Broken(f"{what} is not a number") from None
    good = (column >= low) & (column <= high) & (column % 1 == 0) if column.ndim == 1 else False
    if not np.all(good):
        raise _Broken(f"{what} is not a whole number of {low:,} to {high:,}")
    return column.astype(np.int64)


def _whole(value: Any, what: str, low: int, high: int) -> int:
    return int(_column([value], what, low, high)[0])


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
            raise _Broken("the pitches of a chord are not a list")
        notes += [(chord, pitch) for pitch in pitches]
    columns = [
        _column([e.get("time") for e, _ in notes], "the time of a note", 0, last),
        _column([e.get("duration") for e, _ in notes], "the duration of a note", 0, last),
        _column([pitch for _, pitch in notes], "the pitch of a note", 0, 127),
        _column(
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
    program = _whole(track.get("program") or 0, "the program of a track", 0, 127)
    return Track(notes, program, bool(track.get("is_drum")), _name(track.get("name")))


def _name(name: Any) -> str:
    return "".join(c for c in name.strip() if c.isprintable()) if isinstance(name, str) else ""


def _muspy_tempos(music: Mapping[str, Any], last: int) -> tuple[tuple[int, float], ...]:
    found = [(t, _real(e.get("qpm"))) for t, e in _timed(music, "tempos", last)]
    return changes([(t, qpm) for t, qpm in found if qpm > 0], (0, 120.0))


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
    return _metres([t for t, _ in _timed(music, "barlines", last)], ppq, 0)


def _muspy_keys(music: Mapping[str, Any], last: int) -> tuple[tuple[int, int, bool], ...]:
    """Keys by their number of sharps, or by their root."""
    found = []
    for t, e in _timed(music, "key_signatures", last):
        minor = e.get("mode") == "minor"
        sharps, root = e.get("fifths"), e.get("root")
        if sharps is None and root is not None:
            root = _whole(root, "the root of a key", -127, 127) + 3 * minor
            sharps = (7 * root + 5) % 12 - 5
        if sharps is not None:
            found.append((t, _whole(sharps, "the fifths of a key", -99, 99), minor))
    return changes(e for e in found if abs(e[1]) <= 7)


def _metres(downbeats: Sequence[int], ppq: int, end: int) -> tuple[tuple[int, int, int], ...]:
    """The metre map of bars that begin at these ticks; the last is as long as the one before, or
    longer when the music goes on. Where nothing else is said, bars are of 4/4."""
    edges = sorted({0, *downbeats})
    if len(edges) > MAX_QUARTERS:
        raise _Broken(f"over {MAX_QUARTERS:,} bars")
    lengths = np.diff(edges).tolist()
    if len(lengths) > 1 or (lengths and 0 in downbeats):  # more than a pickup
        lengths.append(max(lengths[-1], end - edges[-1]))
    bars: list[tuple[int, int, tuple[int, int] | None]] = [
        (start, ticks, None) if ticks <= LONGEST_BAR * ppq else (start, 4 * ppq, (4, 4))
        for start, ticks in zip(edges, lengths, strict=False)
    ]
    return metre_map(bars, ppq)


class Roll(NamedTuple):
    """The cells of a track that sound: step, pitch and velocity, [cells] each."""

    steps: NDArray[Any]
    pitches: NDArray[Any]
    values: NDArray[Any]
    program: Any = 0
    is_drum: Any = False
    name: Any = ""


def parse_npz(data: bytes, name: str) -> Score:
    """The score in an .npz file saved by pypianoroll, 0.x (as LPD) or 1.x, as bytes.

    A tick is a time step. Tracks without notes are kept.

    Raises:
        InputError: not a zip, not by pypianoroll, or with impossible values.
    """
    files = archive.members(data, name, lambda m: m == "info.json" or m.endswith(".npy"))
    try:
        if "info.json" not in files:
            raise _Broken("no info.json in it")
        info = _json(files["info.json"])
        if not isinstance(info, dict):
            raise _Broken("info.json is not an object")
        rolls: list[Roll] = []
        length = 0
        while isinstance(track := info.get(str(len(rolls))), dict):
            steps, pitches, values, size = _csc(files, f"pianoroll_{len(rolls)}_csc_")
            about = (track.get(key) for key in ("program", "is_drum", "name"))
            rolls.append(Roll(steps, pitches, values, *about))
            length = max(length, size)
        resolution = info.get("resolution", info.get("beat_resolution"))
        tempo, downbeat = (
            _array(files[key]) if (key := f"{kind}.npy") in files else None
            for kind in ("tempo", "downbeat")
        )
        return from_rolls(rolls, resolution, tempo, downbeat, length, name)
    except _Broken as error:
        raise InputError(name, f"{error}; expected .npz as pypianoroll saves it") from None
    except (KeyError, ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
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
        raise _Broken("a piano roll is not of 128 pitches")
    if data.shape != steps.shape or starts[0] != 0 or starts[-1] != len(steps):
        raise _Broken("the arrays of a piano roll do not fit together")
    counts = starts[1:].astype(np.int64) - starts[:-1].astype(np.int64)
    if (counts < 0).any() or (len(steps) and not 0 <= steps.min() <= steps.max() < shape[0]):
        raise _Broken("the arrays of a piano roll do not fit together")
    return steps, np.repeat(np.arange(128), counts), data, int(shape[0])


def from_rolls(
    rolls: Sequence[Roll],
    resolution: Any,
    tempo: NDArray[Any] | None,
    downbeat: NDArray[Any] | None,
    length: int,
    name: str,
) -> Score:
    """The score of piano rolls.

    Args:
        rolls: a track each.
        resolution: steps in a quarter, the ticks of the score.
        tempo: quarters a minute at each step, [steps] or [steps, 1].
        downbeat: whether a bar begins at each step, of the same shapes.
        length: steps of the whole.
        name: what to call it in errors.

    Raises:
        InputError: sizes or values are impossible.
    """
    try:
        ppq = _whole(resolution, "the resolution", 1, MAX_PPQ)
        if not 0 <= length <= MAX_QUARTERS * ppq or len(rolls) > MAX_TRACKS:
            raise _Broken(f"over {MAX_QUARTERS:,} quarters long or {MAX_TRACKS} tracks")
        tempos, tiled = _tempos(tempo, ppq, length)
        bars = np.flatnonzero(downbeat) if downbeat is not None else np.empty(0, np.int64)
        loud = any((roll.values > 127).any() for roll in rolls if roll.values.dtype.kind != "b")
        remarks = {
            "the tempo array was tiled instead of repeated, and was put right": tiled,
            "velocities over 127 became 127": loud,
        }
        return Score(
            tracks=tuple(map(_roll_track, rolls)),
            ppq=ppq,
            tempos=tempos,
            metres=_metres(bars[bars < length][: MAX_QUARTERS + 1].tolist(), ppq, length),
            length=length,
            remarks=tuple(text for text, holds in remarks.items() if holds),
        )
    except _Broken as error:
        raise InputError(name, f"{error}; expected what pypianoroll holds") from None


def _roll_track(roll: Roll) -> Track:
    values = roll.values
    if values.dtype.kind == "b":
        values = values * np.uint8(VELOCITY)
    if not np.isfinite(values).all() or (values < 0).any():
        raise _Broken("a velocity below 0 or not a number")
    velocity = np.ceil(np.minimum(values, 127)).astype(np.int64)
    program = _whole(roll.program or 0, "the program of a track", 0, 127)
    notes = _runs(roll.steps.astype(np.int64), roll.pitches.astype(np.int64), velocity)
    return Track(notes, program, bool(roll.is_drum), _name(roll.name))


def _runs(
    steps: NDArray[np.int64], pitches: NDArray[np.int64], velocity: NDArray[np.int64]
) -> Notes:
    """Notes from cells: in one pitch, step after step of one velocity."""
    order = np.lexsort((steps, pitches))
    cells = np.stack([pitches, steps, velocity])[:, order][:, velocity[order] > 0]
    pitch, step, loud = np.diff(cells, axis=1)
    if ((pitch == 0) & (step == 0)).any():
        raise _Broken("a cell of a piano roll is given twice")
    begins = np.flatnonzero(np.append(True, (pitch != 0) | (step != 1) | (loud != 0)))
    begins = begins[: cells.shape[1]]
    lengths = np.diff(begins, append=cells.shape[1])
    return np.stack([cells[1, begins], lengths, cells[0, begins], cells[2, begins]], axis=1)


def _tempos(
    tempo: NDArray[Any] | None, ppq: int, length: int
) -> tuple[tuple[tuple[int, float], ...], bool]:
    """The tempo map of an array with a value a step, and whether the array was tiled."""
    values = np.ravel(tempo if tempo is not None else []).astype(np.float64)
    rows = values.reshape(TILES, -1) if len(values) and len(values) % TILES == 0 else values[None]
    tiled = len(rows) > 1 and bool((rows == rows[0]).all() and np.ptp(rows[0]) > NEARLY)
    if tiled:
        values = np.repeat(rows[0], ppq)
    values = values[: max(length, 1)]
    sane = np.flatnonzero(np.isfinite(values) & (values > 0))
    values = values[sane]
    new = np.append(True, np.abs(np.diff(values)) > NEARLY * values[1:])[: len(values)]
    if new.sum() > MAX_CHANGES:
        raise _Broken(f"over {MAX_CHANGES:,} changes of tempo")
    found = list(zip(sane[new].tolist(), values[new].tolist(), strict=True))
    found[:1] = [(0, qpm) for _, qpm in found[:1]]
    return tuple(found) or ((0, 120.0),), tiled
