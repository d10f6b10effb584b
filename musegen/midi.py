"""Read scores of any supported format, write Standard MIDI Files; the only importer of symusic and
mido.

MIDI files are symusic's where it can read them whole (it is fast), and `smf`'s where they are
broken, odd or hold notes that never end. Writing follows what DAWs showed to matter: format 1, 480
ticks a quarter, a conductor track, named tracks, drums on channel 10, every End-of-Track on a bar
line, and the recipe of the music in a text event, so that any file tells how to make it again.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import IO, Any

import numpy as np

from musegen.errors import InputError, MusegenError
from musegen.formats import abc, smf
from musegen.formats.assemble import Maps, Part, assemble, check_length, check_size, clean
from musegen.formats.smf import DRUM_CHANNEL
from musegen.score import DURATION, ONSET, PITCH, Score

PPQ = 480
MAX_BYTES = 32 * 2**20
MAX_MIDI = 8 * 2**20
MAX_WALK = 2**20  # what is read event by event in less than two seconds on a busy machine
MAX_PARTS = 2**13  # tracks that symusic makes in half a second
RECIPE = b"musegen {"  # a text event that starts so holds the recipe as JSON
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
        return abc.parse(data.decode("utf-8", "replace"), name)
    if kind == "musicxml":
        from musegen.formats import musicxml

        return musicxml.parse(data, name)
    if kind in ("muspy", "npz"):
        from musegen.formats import toolkits

        return (toolkits.parse_muspy if kind == "muspy" else toolkits.parse_npz)(data, name)
    return _midi(data, name, pedal, repair)


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


def _midi(data: bytes, name: str, pedal: bool, repair: bool) -> Score:
    """The score of a MIDI file, by symusic where that reads all of it, else by `smf`."""
    if len(data) > MAX_MIDI:
        raise InputError(name, f"over {MAX_MIDI >> 20} MB, too large for a MIDI file")
    small, parsed, remarks = len(data) <= MAX_WALK, None, []
    if _PLAIN.match(data) and not _crowded(data):
        parsed = _symusic(data)
    whole = parsed is not None and not pedal and (not repair or _whole(data, parsed))
    recipe = _find_recipe(data)
    if parsed is not None and (whole or not small):
        if not whole:
            lost = "the pedal is not heeded" if pedal else "notes that never end may be left out"
            remarks.append(f"over {MAX_WALK >> 20} MB, too large to mend: {lost}")
        try:
            return _from_symusic(parsed, name, recipe, remarks)
        except InputError:
            if not small:
                raise
    if not small:
        reason = f"broken or odd, and over {MAX_WALK >> 20} MB, too large to mend; split the file"
        raise InputError(name, reason)
    return smf.parse(data, name, pedal=pedal, recipe=recipe)  # it knows best where it goes wrong


def _symusic(data: bytes) -> Any:
    """What symusic makes of a MIDI file, or None."""
    import symusic

    try:
        return symusic.Score.from_midi(data, sanitize_data=False)
    except Exception:  # of many kinds
        return None


def _crowded(data: bytes) -> bool:
    """Whether a file may have more parts than symusic can make in time: it makes one of each track,
    channel and program that has notes."""
    if len(data) < 7 * MAX_PARTS:  # a part takes a change of program and a note
        return False
    most = 0
    for start, _, end in smf.chunks(data, 14):
        body = data[start:end]
        changes = len(body) - len(body.translate(None, bytes(range(0xC0, 0xD0))))
        most += min(16 + changes, 2048)
        if most > MAX_PARTS:
            return True
    return False


def _whole(data: bytes, parsed: Any) -> bool:
    """Whether symusic has read all there is of a file that it could read.

    It leaves out notes that never end, so their number is compared with that of the note-ons, and
    symusic counts these as well: in a copy of the file in which they are control changes (and those
    are aftertouch), behind a note on each channel, since it keeps no controls without notes. Only
    bytes of 128 and more change, so every event stays where it is, save behind texts of over 2 kB;
    then the numbers differ, and the file is better walked through.
    """
    head, count = smf.header(data, ""), data.count(b"MTrk")
    if head.claims != count or data.count(b"\xff\x2f\x00") != count or _ODD_SIZE.search(data):
        return False
    pieces = [data[: head.end]]
    for start, _, end in smf.chunks(data, head.end):
        body = data[start:end]
        if not body.endswith(b"\xff\x2f\x00"):
            return False
        notes = b"".join(note for on, note in _FIRST_NOTES if on in body)
        size = (len(notes) + len(body)).to_bytes(4, "big")
        pieces += [b"MTrk", size, notes, body.translate(_NOTES_AS_CONTROLS)]
    copy = _symusic(b"".join(pieces))
    if copy is None:
        return False
    values = [t.controls.numpy()["value"] for t in copy.tracks if len(t.controls)]
    return sum(map(np.count_nonzero, values)) == parsed.note_num()


# A header of six bytes, format 0 or 1, and ticks to a quarter.
_PLAIN = re.compile(rb"MThd\x00{3}\x06\x00[\x00\x01]..(?!\x00\x00)[\x00-\x7f].", re.DOTALL)
# A tempo, metre or key of another size than they have; symusic takes what comes behind for it.
_ODD_SIZE = re.compile(rb"\xff(?:\x51[^\x03]|\x58[^\x04]|\x59[^\x02])")
# For `_whole`: note-ons by channel, as the byte that marks them and a note of no length.
_FIRST_NOTES = [(bytes([on]), bytes([0, on, 0, 1, 0, 0, 0])) for on in range(0x90, 0xA0)]
_NOTES_AS_CONTROLS = bytes(
    b + {0x9: 0x20, 0xB: -0x10, 0xC: 0x10}.get(b >> 4, 0) for b in range(256)
)


def _from_symusic(
    parsed: Any, name: str, recipe: Mapping[str, Any], remarks: Sequence[str] = ()
) -> Score:
    events = parsed.tempos, parsed.time_signatures, parsed.key_signatures, parsed.markers
    ppq = parsed.ticks_per_quarter
    check_size(name, len(parsed.tracks), parsed.note_num(), max(map(len, events)))
    check_length(name, parsed.end() if parsed.start() >= 0 else 2**31, ppq)
    parts, counts, notes = [], [], None
    for t in parsed.tracks:
        parts.append(Part(t.program, t.is_drum, clean(t.name)))
        counts.append(len(t.notes))
        if notes is None:
            notes = t.notes
        else:
            notes.extend(t.notes)  # arrays are made of all at once
    named = notes.numpy() if notes is not None else dict.fromkeys(_COLUMNS, np.zeros(0, np.int32))
    columns = [named[key] for key in _COLUMNS]
    maps = Maps(*(list(map(get, e)) if e else [] for get, e in zip(_FIELDS, events, strict=True)))
    return assemble(ppq, parts, counts, columns, maps, recipe, remarks)


# How symusic names what we take from it.
_COLUMNS = ("time", "duration", "pitch", "velocity")
_FIELDS = (
    attrgetter("time", "mspq"),
    attrgetter("time", "numerator", "denominator"),
    attrgetter("time", "key", "tonality"),
    attrgetter("time", "text"),
)


def _find_recipe(data: bytes) -> Mapping[str, Any]:
    at = data.find(RECIPE, 0, 4096)
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
        events.append((tick, 5, meta("marker", text=clean(marker))))
    file.tracks.append(_mido_track(events, end))
    for track, channel in zip(score.tracks, _channels(score), strict=True):
        name = "Drums" if track.is_drum else f"Program {track.program + 1}"
        events = [(0, 0, meta("track_name", name=clean(track.name) or name))]
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
