"""Read and write Standard MIDI Files; the only importer of symusic and mido.

Reading is symusic's (fast, lenient); what it cannot know is decided here: impossible tempi, metres
and keys are dropped, notes of no length become one tick long, and sizes are checked before arrays
are made. Writing follows what DAWs showed to matter: format 1, 480 ticks a quarter, a conductor
track, named tracks, drums on channel 10, every End-of-Track on a bar line, and the recipe of the
music in a text event, so that any file tells how to make it again.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from musegen import abc
from musegen.abc import MAX_QUARTERS
from musegen.errors import InputError, MusegenError
from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Score, Track

PPQ = 480
MAX_BYTES = 32 * 2**20
MAX_TRACKS = 1024
DRUM_CHANNEL = 9
RECIPE = b"musegen {"  # a text event that starts so holds the recipe as JSON


def read(source: str | Path | IO[bytes], *, name: str | None = None) -> Score:
    """Read a MIDI (.mid, .midi) or ABC (.abc) file, or MIDI bytes from an open binary file.

    Args:
        source: a path, "-" for standard input, or a binary file.
        name: what to call the source in errors.

    Raises:
        InputError: the file is missing, not MIDI, truncated, or holds impossible sizes.
    """
    if isinstance(source, (str, Path)) and str(source) == "-":
        source, name = sys.stdin.buffer, name or "standard input"
    if isinstance(source, (str, Path)):
        name = name or str(source)
        data = _file_bytes(Path(source), name)
        suffix = Path(source).suffix.lower()
    else:
        name = name or str(getattr(source, "name", "input"))
        data, suffix = source.read(MAX_BYTES + 1), ""
    if len(data) > MAX_BYTES:
        raise InputError(name, f"over {MAX_BYTES >> 20} MB, too large for a MIDI file")
    if not data:
        raise InputError(name, "the file is empty; export it again from where it came")
    if suffix == ".abc":
        # Not symusic's ABC reader: it shifts pickups and prints to standard output.
        return abc.parse(data.decode("utf-8", "replace"), name)
    return _from_symusic(_parse(data, name), name, _find_recipe(data))


def _file_bytes(path: Path, name: str) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(name, f"over {MAX_BYTES >> 20} MB, too large for a MIDI file")
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(name, "no such file; check the path") from None
    except IsADirectoryError:
        raise InputError(name, "is a folder; give one MIDI file") from None
    except OSError as error:
        raise InputError(name, f"cannot be read ({error.strerror})") from None
    except ValueError as error:  # a name that no file can have
        raise InputError(name, f"cannot be read ({error})") from None


def _parse(data: bytes, name: str) -> Any:
    import symusic

    start = data.find(b"MThd", 0, 256)  # RIFF wrappers and file prefixes come before it
    if start < 0:
        raise InputError(name, "not a MIDI file (no MThd header); give a .mid file")
    count, division = (int.from_bytes(data[start + i : start + i + 2], "big") for i in (10, 12))
    if division & 0x8000 or (not division and len(data) >= start + 14):
        raise InputError(name, "has no ticks per quarter note (SMPTE time); export with PPQ timing")
    if count > MAX_TRACKS:
        raise InputError(
            name, f"claims {count} tracks, at most {MAX_TRACKS} are read; split the file"
        )
    try:
        return symusic.Score.from_midi(data[start:], sanitize_data=True)
    except Exception as error:
        raise InputError(
            name, f"broken or truncated MIDI ({_short(error)}); export it again"
        ) from None


def _short(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error)).split("!:")[0].strip(" .!:")[:100] or "unreadable"


def _from_symusic(parsed: Any, name: str, recipe: Mapping[str, Any]) -> Score:
    ppq = int(parsed.ticks_per_quarter)
    if parsed.start() < 0:  # ticks beyond 31 bits wrap around
        raise InputError(name, "lasts far too long; look for stray events far behind the end")
    if parsed.end() > MAX_QUARTERS * ppq:
        raise InputError(
            name,
            f"lasts {parsed.end() // ppq:,} quarter notes, at most {MAX_QUARTERS:,} are read; "
            "look for a stray event far behind the end",
        )
    tracks = []
    for t in parsed.tracks:
        columns = t.notes.numpy()
        rows = np.column_stack(
            [
                columns["time"],
                np.maximum(columns["duration"], 1),
                columns["pitch"],
                columns["velocity"],
            ]
        ).astype(np.int64)
        sane = (rows[:, ONSET] >= 0) & (rows[:, PITCH] >= 0) & (rows[:, VELOCITY] > 0)
        rows = rows[sane]
        if len(rows):
            program = int(t.program) if 0 <= t.program <= 127 else 0
            tracks.append(Track(rows, program, bool(t.is_drum), _clean(t.name)))
    tempos = [(int(e.time), 6e7 / e.mspq) for e in parsed.tempos if e.mspq > 0]
    metres = [
        (int(e.time), int(e.numerator), int(e.denominator))
        for e in parsed.time_signatures
        if e.numerator > 0 and e.denominator in (1, 2, 4, 8, 16, 32, 64)
    ]
    keys = [
        (int(e.time), int(e.key), bool(e.tonality))
        for e in parsed.key_signatures
        if -7 <= e.key <= 7 and e.tonality in (0, 1)
    ]
    return Score(
        tracks=tuple(tracks),
        ppq=ppq,
        tempos=_changes(tempos, (0, 120.0)),
        metres=_changes(metres, (0, 4, 4)),
        keys=_changes(keys),
        markers=tuple((int(e.time), _clean(e.text)) for e in parsed.markers),
        recipe=recipe,
    )


def _changes(events: list[tuple[Any, ...]], *default: tuple[Any, ...]) -> tuple[Any, ...]:
    """Events in order, the last at a tick winning, repeats dropped; before the first one holds the
    default of the MIDI standard (120 bpm, 4/4), if there is one."""
    at = {e[0]: e for e in [*default, *sorted(events, key=lambda e: e[0])]}
    kept: list[tuple[Any, ...]] = []
    for e in at.values():
        if not kept or kept[-1][1:] != e[1:]:
            kept.append(e)
    return tuple(kept)


def _clean(text: str) -> str:
    return "".join(c for c in text.strip() if c.isprintable())


def _find_recipe(data: bytes) -> Mapping[str, Any]:
    at = data.find(RECIPE)
    if at < 0:
        return {}
    text = data[at + len(RECIPE) - 1 : at + 65536].decode("utf-8", "replace")
    try:
        recipe, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return {}
    return recipe if isinstance(recipe, dict) else {}


def to_bytes(score: Score) -> bytes:
    """The Standard MIDI File of a score: format 1, PPQ 480, see the module's docstring.

    Notes of one track on one pitch that overlap are cut at the next onset, since MIDI cannot
    tell them apart. With more than 15 pitched programs, channels are shared.
    """
    import mido

    score = score.resample(PPQ)
    maps: tuple[tuple[Any, ...], ...] = (score.tempos, score.metres, score.keys, score.markers)
    last = max(int(e[0]) for events in maps for e in events)
    end = int(replace(score, length=max(score.end, last)).bar_lines()[-1])
    file = mido.MidiFile(type=1, ticks_per_beat=PPQ, charset="utf-8")
    meta = mido.MetaMessage
    events: list[tuple[int, int, Any]] = [(0, 0, meta("track_name", name="musegen"))]
    if score.recipe:
        text = json.dumps(score.recipe, sort_keys=True, ensure_ascii=True)
        events.append((0, 1, meta("text", text=f"musegen {text}")))
    for tick, qpm in score.tempos:
        tempo = min(max(round(6e7 / qpm), 1), 2**24 - 1)
        events.append((tick, 2, meta("set_tempo", tempo=tempo)))
    for tick, num, den in score.metres:
        events.append((tick, 3, meta("time_signature", numerator=num, denominator=den)))
    for tick, sharps, minor in score.keys:
        events.append((tick, 4, meta("key_signature", key=_key_name(sharps, minor))))
    for tick, marker in score.markers:
        events.append((tick, 5, meta("marker", text=_clean(marker))))
    file.tracks.append(_mido_track(events, end))
    for track, channel in zip(score.tracks, _channels(score), strict=True):
        name = "Drums" if track.is_drum else f"Program {track.program + 1}"
        events = [(0, 0, meta("track_name", name=_clean(track.name) or name))]
        program = mido.Message("program_change", channel=channel, program=track.program)
        events.append((0, 1, program))
        for onset, duration, pitch, velocity in _separated(track.notes).tolist():
            on = mido.Message("note_on", channel=channel, note=pitch, velocity=velocity)
            off = mido.Message("note_off", channel=channel, note=pitch, velocity=64)
            events.append((onset, 3, on))
            events.append((onset + duration, 2, off))  # offs go before ons of the same tick
        file.tracks.append(_mido_track(events, end))
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def _mido_track(events: list[tuple[int, int, Any]], end: int) -> Any:
    import mido

    track, now = mido.MidiTrack(), 0
    for tick, _, message in sorted(events, key=lambda e: e[:2]):
        track.append(message.copy(time=tick - now))
        now = tick
    track.append(mido.MetaMessage("end_of_track", time=max(0, end - now)))
    return track


def _separated(notes: Any) -> Any:
    """Notes cut so that no two of one pitch overlap; of those that start together the longest."""
    order = np.lexsort((-notes[:, DURATION], notes[:, ONSET], notes[:, PITCH]))
    rows = notes[order]
    same = (np.diff(rows[:, PITCH]) == 0) & (np.diff(rows[:, ONSET]) == 0)
    rows = rows[np.append(True, ~same)] if len(rows) else rows
    gap = np.diff(rows[:, ONSET])
    touching = np.diff(rows[:, PITCH]) == 0
    rows[:-1, DURATION] = np.where(
        touching, np.minimum(rows[:-1, DURATION], gap), rows[:-1, DURATION]
    )
    return rows[np.lexsort((rows[:, PITCH], rows[:, ONSET]))]


def _channels(score: Score) -> list[int]:
    free = [c for c in range(16) if c != DRUM_CHANNEL]
    channels, pitched = [], 0
    for track in score.tracks:
        if track.is_drum:
            channels.append(DRUM_CHANNEL)
        else:
            channels.append(free[pitched % len(free)])
            pitched += 1
    return channels


_MAJOR = ["Cb", "Gb", "Db", "Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#"]
_MINOR = ["Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#", "G#", "D#", "A#"]


def _key_name(sharps: int, minor: bool) -> str:
    return _MINOR[sharps + 7] + "m" if minor else _MAJOR[sharps + 7]


def write(score: Score, path: str | Path, *, force: bool = False) -> Path:
    """Write a score to `path` ("-" for standard output), whole or not at all.

    Raises:
        MusegenError: the file exists and `force` is not set, or the folder cannot be written.
    """
    data = to_bytes(score)
    if str(path) == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return Path("-")
    return write_atomic(path, data, force=force)


def write_atomic(path: str | Path, data: bytes, *, force: bool = False) -> Path:
    """Write bytes to a file through a temporary one beside it, making folders on the way.

    Raises:
        MusegenError: the file exists and `force` is not set, or the folder cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        if path.exists() and not path.is_file():  # a folder, or a device that must stay one
            raise MusegenError(f"{path}: is not a file that can be replaced; choose another name")
        if path.exists() and not force:
            raise MusegenError(f"{path}: exists already; choose another name or use --force")
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".musegen-")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
        temporary = None
    except OSError as error:
        raise MusegenError(
            f"{path}: cannot be written ({error.strerror}); choose a folder you may write to"
        ) from None
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
    return path
