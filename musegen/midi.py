"""Read scores of any supported format, write Standard MIDI Files.

Writing follows what DAWs showed to matter: format 1, 480
ticks a quarter, a conductor track, named tracks, drums on channel 10, every End-of-Track on a bar
line, and the recipe of the music in a text event, so that any file tells how to make it again.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from musegen.errors import InputError, MusegenError, unwritable
from musegen.formats import chunks, quick
from musegen.formats.assemble import clean
from musegen.formats.smf import DRUM_CHANNEL
from musegen.score import DURATION, ONSET, PITCH, Score

PPQ = 480
MAX_BYTES = 32 * 2**20
SUFFIXES = {
    ".mid": "midi",
    ".midi": "midi",
    ".kar": "midi",
    ".rmi": "midi",
    ".abc": "abc",
    ".musicxml": "musicxml",
    ".xml": "musicxml",
    ".mxl": "musicxml",
    ".json": "muspy",
    ".npz": "npz",
}


def read(
    source: str | Path | IO[bytes],
    *,
    name: str | None = None,
    pedal: bool = False,
    repair: bool = True,
) -> Score:
    """Read music from a file of any format in `SUFFIXES`, or from an open binary file.

    What had to be mended or decided is in the score's remarks. No file takes more than two seconds
    and a gigabyte: what would is refused.

    Args:
        source: a path, "-" for standard input, or a binary file.
        name: what to call the source in errors.
        pedal: MIDI files only: whether notes under the sustain pedal last until it goes up or
            their pitch is struck again.
        repair: MIDI files only: whether to look for notes that never end, and for others behind
            the end of their track, and keep them. Without, reading is twice as fast, and such notes
            are lost where nothing else is wrong with the file.

    Raises:
        InputError: the file is missing, of no known format, empty, hopelessly broken or too large.
    """
    if isinstance(source, (str, Path)) and str(source) == "-":
        source, name = sys.stdin.buffer, name or "standard input"
    if isinstance(source, (str, Path)):
        path = os.fspath(source)
        name = name or path
        data, suffix = _file_bytes(path, name), os.path.splitext(path)[1].lower()  # noqa: PTH122
    else:
        name = name or str(getattr(source, "name", "input"))
        data, suffix = source.read(MAX_BYTES + 1), Path(name).suffix.lower()
    if len(data) > MAX_BYTES:
        raise InputError(name, f"over {MAX_BYTES >> 20} MB, too large for a file of music")
    if not data:
        raise InputError(name, "the file is empty; export it again from where it came")
    kind = "midi" if data.startswith((b"MThd", b"RIFF")) else SUFFIXES.get(suffix) or _magic(data)
    if kind == "abc":  # not symusic's ABC reader: it shifts pickups and prints to standard output
        from musegen.formats import abc

        return abc.parse(data.decode("utf-8", "replace"), name)
    if kind == "musicxml":
        from musegen.formats import musicxml

        return musicxml.parse(data, name)
    if kind in ("muspy", "npz"):
        from musegen.formats import toolkits

        return (toolkits.parse_muspy if kind == "muspy" else toolkits.parse_npz)(data, name)
    return quick.parse(data, name, pedal=pedal, repair=repair)


def columns(path: str | Path) -> quick.Columns | None:
    """What `read` without `repair` begins with: the notes neither sorted nor made a score.

    Returns:
        None where that does not serve: another format, a broken file, one that is too large.

    Raises:
        InputError: the file cannot be read.
    """
    name = os.fspath(path)
    return quick.columns(_file_bytes(name, name), name)


def _file_bytes(path: str, name: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (a third of the time of Path's)
            size = os.fstat(file.fileno()).st_size
            data = file.read(min(size, MAX_BYTES) + 1)
            if len(data) > size:  # of no size that is known before, such as a pipe
                with io.BufferedReader(file) as rest:
                    data += rest.read(MAX_BYTES + 1 - len(data))
            return data  # no more, even of what has no end
    except FileNotFoundError:
        raise InputError(name, "no such file; check the path") from None
    except IsADirectoryError:
        raise InputError(name, "is a folder; give one MIDI file") from None
    except OSError as error:
        raise InputError(name, f"cannot be read ({error.strerror})") from None
    except ValueError as error:  # a name that no file can have
        raise InputError(name, f"cannot be read ({error})") from None


def _magic(data: bytes) -> str:
    """The format that the first bytes speak of; MIDI when they say nothing."""
    if data.startswith(b"PK"):
        return "npz" if b"info.json" in data else "musicxml"
    start = data[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith((b"<", b"\xff\xfe<", b"\xfe\xff\0<")):
        return "musicxml"
    if start.startswith(b"{"):
        return "muspy"
    return "abc" if start.startswith((b"X:", b"%abc")) else "midi"


def to_bytes(score: Score) -> bytes:
    """The Standard MIDI File of a score: format 1, PPQ 480, see the module's docstring.

    Notes of one track on one pitch that overlap are cut at the next onset, since MIDI cannot
    tell them apart. With more than 15 pitched programs, channels are shared.
    """
    score = score.resample(PPQ)
    maps: tuple[tuple[Any, ...], ...] = (score.tempos, score.metres, score.keys, score.markers)
    last = max(int(e[0]) for events in maps for e in events)
    end = int(replace(score, length=max(score.end, last)).bar_lines()[-1])
    events: list[chunks.Meta] = [(0, chunks.NAME, b"musegen")]
    if score.recipe:
        text = json.dumps(score.recipe, sort_keys=True, ensure_ascii=True)
        events.append((0, chunks.TEXT, f"musegen {text}".encode()))
    for tick, qpm in score.tempos:
        tempo = min(max(round(6e7 / qpm), 1), 2**24 - 1)
        events.append((tick, chunks.TEMPO, tempo.to_bytes(3, "big")))
    for tick, num, den in score.metres:
        # The numbers that nobody reads: a click every 24 of 24 clocks, 8 32nds a quarter.
        events.append((tick, chunks.METRE, bytes([num, den.bit_length() - 1, 24, 8])))
    for tick, sharps, minor in score.keys:
        events.append((tick, chunks.KEY, bytes([sharps & 0xFF, minor])))
    for tick, marker in score.markers:
        events.append((tick, chunks.MARKER, clean(marker).encode()))
    tracks = [chunks.conductor(sorted(events, key=lambda e: e[0]), end)]
    for track, channel in zip(score.tracks, _channels(score), strict=True):
        name = clean(track.name) or ("Drums" if track.is_drum else f"Program {track.program + 1}")
        notes = _separated(track.notes)
        tracks.append(chunks.part(name, channel, track.program, notes, end))
    return chunks.file_of(tracks, PPQ)


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
        raise unwritable(path, error) from None
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
    return path
