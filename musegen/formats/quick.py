"""Read Standard MIDI Files by symusic where it can read them whole, else by `smf`.

The only importer of symusic.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import count
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from musegen.errors import InputError
from musegen.formats import smf
from musegen.formats.assemble import Maps, Part, assemble, check_length, check_size, clean
from musegen.score import Score

MAX_MIDI = 8 * 2**20
MAX_WALK = 2**20  # what is read event by event in less than two seconds on a busy machine
MAX_SHORT = 2**16  # what is read so in 0.02 seconds
FEW = 4
_short = count()  # short files that were read without symusic
MAX_PARTS = 2**13  # tracks that symusic makes in half a second
RECIPE = b"musegen {"  # a text event that starts so holds the recipe as JSON


class Columns(NamedTuple):
    """The notes of a MIDI file as they stand in it, see `columns`.

    Attributes:
        ppq: ticks in a quarter note.
        drums: whether each track plays drums, of the tracks that have notes.
        counts: how many notes each of them has.
        notes: time, duration (0 is possible), pitch and velocity of all notes, track after track.
    """

    ppq: int
    drums: list[bool]
    counts: list[int]
    notes: NDArray[np.void]


def parse(data: bytes, name: str, *, pedal: bool, repair: bool) -> Score:
    """The score of a MIDI file, by symusic where that reads all of it, else by `smf`."""
    if len(data) > MAX_MIDI:
        raise InputError(name, f"over {MAX_MIDI >> 20} MB, too large for a MIDI file")
    if repair and _sooner_walked(len(data)):
        return smf.parse(data, name, pedal=pedal, recipe=_find_recipe(data))
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


def _sooner_walked(size: int) -> bool:
    """Whether a file is read event by event sooner than symusic is loaded, which takes 0.1 s: a
    short one, of the first few that a process reads. Both ways find the same.
    """
    return "symusic" not in sys.modules and size <= MAX_SHORT and next(_short) < FEW


def columns(data: bytes, name: str) -> Columns | None:
    """The notes of a MIDI file as `parse` without `repair` finds them, or None where it needs more
    than symusic, or refuses the file.
    """
    if len(data) > MAX_MIDI or not _PLAIN.match(data) or _crowded(data):
        return None
    parsed = _symusic(data)
    if parsed is None:
        return None
    try:
        _check(parsed, name, ())
    except InputError:
        return None
    return Columns(parsed.ticks_per_quarter, *_joined(parsed.tracks))


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
    _check(parsed, name, events)
    parts = [Part(t.program, t.is_drum, clean(t.name)) for t in parsed.tracks if len(t.notes)]
    _, counts, notes = _joined(parsed.tracks)
    maps = Maps(*(list(map(get, e)) if e else [] for get, e in zip(_FIELDS, events, strict=True)))
    rows = [notes[column] for column in _COLUMNS]
    return assemble(parsed.ticks_per_quarter, parts, counts, rows, maps, recipe, remarks)


def _check(parsed: Any, name: str, events: Sequence[Any]) -> None:
    """Raises InputError when there is too much of something."""
    check_size(name, len(parsed.tracks), parsed.note_num(), max(map(len, events), default=0))
    end = parsed.end() if parsed.start() >= 0 else 2**31
    check_length(name, end, parsed.ticks_per_quarter)


def _joined(tracks: Any) -> tuple[list[bool], list[int], NDArray[np.void]]:
    """Of symusic's tracks that have notes: which play drums, how many notes each has, and all the
    notes; the first track takes in those of the others, since arrays are made of all at once.
    """
    drums, counts, every = [], [], None
    for track in tracks:
        notes = track.notes
        if count := len(notes):
            drums.append(track.is_drum)
            counts.append(count)
            if every is None:
                every = notes
            else:
                every.extend(notes)
    return drums, counts, np.zeros(0, _NOTE) if every is None else _packed(every)


def _packed(notes: Any) -> NDArray[np.void]:
    """Symusic's list of notes as an array, quicker than by its `numpy` where that is possible.

    A list's state, as it would be pickled, is its length and then the notes as they lie in memory.
    Nobody promises that, so how it is with a note that is known decides.
    """
    kind: Any = type(notes)
    if _state_is_packed(kind):
        state = notes.__getstate__()
        return np.frombuffer(state, _NOTE, offset=len(state) - len(notes) * _NOTE.itemsize)
    named, packed = notes.numpy(), np.empty(len(notes), _NOTE)
    for column in _COLUMNS:
        packed[column] = named[column]
    return packed


@cache
def _state_is_packed(kind: Any) -> bool:
    """Whether the state of a list of notes ends with the notes as `_NOTE` has them."""
    known = np.array([(300, 41, 60, 2), (70_001, 420_000, 3, 127)], _NOTE)
    state = kind.from_numpy(*(known[column].copy() for column in _COLUMNS)).__getstate__()
    if not isinstance(state, bytes) or len(state) < known.nbytes:
        return False
    return np.array_equal(np.frombuffer(state[-known.nbytes :], _NOTE), known)


# How symusic names what we take from it, and how a note lies in its memory.
_COLUMNS = ("time", "duration", "pitch", "velocity")
_NOTE = np.dtype([*zip(_COLUMNS, ("i4", "i4", "i1", "i1"), strict=True)], align=True)
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
