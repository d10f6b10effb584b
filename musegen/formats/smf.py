"""Read Standard MIDI Files event by event: slower than symusic, but hardly anything stops it.

What broken and odd files hold is kept as far as it makes sense, and every mend is said in the
score's remarks. Notes pair first in, first out, within a track, channel and pitch. The format is
that of the Standard MIDI Files specification 1.0 (MIDI Manufacturers Association, RP-001).
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from musegen.errors import InputError
from musegen.formats.abc import MAX_QUARTERS
from musegen.formats.assemble import Maps, Part, assemble, check_length, check_size, clean, counted
from musegen.score import Score, distinct

MAX_CHUNKS = 2**16 - 1  # a header can promise no more tracks
DRUM_CHANNEL = 9
SUSTAIN = 64  # the control change of the pedal, and the value from which it is down
NO_PPQ = 480  # for files that do not say
DEFAULT_TEMPO = 500_000  # microseconds a quarter, which are 120 bpm
FAR = 2**40  # ticks; no delta time counts for more

# What is mended: a noun to count, and what is said of it.
OPEN = "note", "never ended: made to last to the next of the pitch or to the end of the track"
LATE = "note", "behind the end of a track: kept"
CLAMPED = "message", "with data over 127: read as 127"
STALE = "message", "without a status byte after one of the system: read with the status before"
LENGTH = "track", "of a wrong length: read up to the true end"
CUT = "track", "breaking off: kept up to there"


class Header(NamedTuple):
    """Where the header chunk stands, what it says, and where the tracks begin."""

    start: int
    kind: int
    claims: int
    division: int
    end: int


@dataclass
class _Found:
    """What the walk over the events has met; the lists of notes are all of one length."""

    latest: int  # the last tick that is read
    onset: list[int] = field(default_factory=list)
    duration: list[int] = field(default_factory=list)  # -1 while the note sounds
    pitch: list[int] = field(default_factory=list)
    velocity: list[int] = field(default_factory=list)
    part: list[int] = field(default_factory=list)
    parts: dict[tuple[int, int, int], int] = field(default_factory=dict)  # track, channel, program
    names: list[str] = field(default_factory=list)  # of the tracks
    ends: list[int] = field(default_factory=list)  # of the tracks
    pedals: list[tuple[int, int, int]] = field(default_factory=list)  # tick, channel, is it down
    maps: Maps = field(default_factory=Maps)
    mends: Counter[tuple[str, str]] = field(default_factory=Counter)
    cut: int | None = None  # the byte at which the first track breaks off
    far: int | None = None  # the byte of the first event behind the latest tick


def parse(
    data: bytes, name: str, *, pedal: bool = False, recipe: Mapping[str, Any] | None = None
) -> Score:
    """The score of a Standard MIDI File, whatever state the file is in.

    The patterns of a format 2 file are laid one after another, each beginning with 120 bpm and 4/4
    unless it says otherwise. In SMPTE time a quarter note is half a second.

    Args:
        data: the file; it may be wrapped in RIFF or have a prefix.
        name: what to call it in errors.
        pedal: whether notes under the sustain pedal last until it goes up or their pitch is struck
            again on their channel.
        recipe: how the music was made.

    Raises:
        InputError: there is no header, no track, nothing before the break, or far too much.
    """
    head = header(data, name)
    if data.count(b"MTrk") > MAX_CHUNKS:
        raise InputError(name, f"has over {MAX_CHUNKS:,} tracks; split the file")
    ppq, tempo, remarks = _time_base(head.division)
    found = _Found(latest=MAX_QUARTERS * ppq)
    for start, claimed, end in chunks(data, head.end):
        begin = found.ends[-1] if head.kind == 2 and found.ends else 0
        if begin:
            found.maps.tempos.append((begin, DEFAULT_TEMPO))
            found.maps.metres.append((begin, 4, 4))
        _walk(data[start:end], start, claimed - start, begin, found)
    count = len(found.ends)
    if not found.onset and (found.cut is not None or head.claims > count == 0):
        offset = len(data) if found.cut is None else found.cut
        raise InputError(name, "breaks off before its first note; export it again", offset=offset)
    if head.claims != count:
        remarks.append(f"tracks promised in the header: {head.claims:,}, found: {count:,}")
    if head.kind == 2 and count > 1:
        remarks.append(f"format 2: its {count:,} patterns are laid one after another")
    if tempo:
        found.maps.tempos = [(0, tempo)]
    maps = found.maps
    changes = max(len(maps.tempos), len(maps.metres), len(maps.keys), len(maps.markers))
    check_size(name, len(found.parts), len(found.onset), changes)
    check_length(name, max(found.ends, default=0), ppq, found.far)
    columns, counts = _notes(found, pedal)
    places = sorted(found.parts)
    parts = [Part(p, channel == DRUM_CHANNEL, found.names[t]) for t, channel, p in places]
    for mend, times in found.mends.items():
        where = f", the first at byte {found.cut:,}" if mend == CUT else ""
        remarks.append(counted(times, mend) + where)
    return assemble(ppq, parts, counts, list(columns), maps, recipe, remarks)


def _time_base(division: int) -> tuple[int, float, list[str]]:
    """Ticks to a quarter, the tempo where it is fixed (else 0), and what to say of them."""
    frames, ticks = 256 - (division >> 8), division & 0xFF
    if 0 < division < 0x8000:
        return division, 0, []
    if not division or not ticks:
        return NO_PPQ, 0, [f"no ticks per quarter note in the header: taken to be {NO_PPQ}"]
    rate = ticks * (30 / 1.001 if frames == 29 else frames)  # ticks a second; 29 stands for 29.97
    ppq = max(1, round(rate / 2))
    return ppq, 1e6 * ppq / rate, [f"timed by {frames} frames a second: a quarter is half a second"]


def header(data: bytes, name: str) -> Header:
    """The header chunk, behind whatever wrapper or prefix there is.

    Raises:
        InputError: there is none, or the file ends in it.
    """
    start = data.find(b"MThd", 0, None if data.startswith(b"RIFF") else 1024)
    if start < 0:
        raise InputError(name, "not a MIDI file (no MThd header); give a .mid file")
    if len(data) < start + 14:
        raise InputError(name, "breaks off in its header; export it again", offset=len(data))
    kind, claims, division = (
        int.from_bytes(data[start + at : start + at + 2], "big") for at in (8, 10, 12)
    )
    end = start + 8 + int.from_bytes(data[start + 4 : start + 8], "big")
    return Header(start, kind, claims, division, end if _is_chunk(data, end) else start + 14)


def chunks(data: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    """First byte, end by its own length, and end as it seems, of each track from byte `at`.

    Chunks of other kinds are passed over, and so is whatever stands between chunks.
    """
    while 0 <= at < len(data):
        start = at + 8
        claimed = start + int.from_bytes(data[at + 4 : start], "big")
        sound = _is_chunk(data, at) and (claimed == len(data) or _is_chunk(data, claimed))
        if sound and data.startswith(b"MTrk", at):
            yield start, claimed, claimed
            at = claimed
            continue
        following = data.find(b"MTrk", at + 1)
        if data.startswith(b"MTrk", at):
            yield start, claimed, following if following >= 0 else len(data)
        elif sound and 0 <= following < claimed:  # these letters are something else's
            following = claimed
        at = following


def _is_chunk(data: bytes, at: int) -> bool:
    kind = data[at : at + 4]
    return at + 8 <= len(data) and kind.isascii() and kind.decode("ascii").isprintable()


def _walk(body: bytes, start: int, claimed: int, begin: int, found: _Found) -> None:
    """Every event of a track: its `body` is at byte `start`, begins at tick `begin`, and ought to
    be `claimed` bytes long.
    """
    onset, duration, pitches, velocities = found.onset, found.duration, found.pitch, found.velocity
    sounding: defaultdict[int, deque[int]] = defaultdict(deque)  # notes, by channel and pitch
    programs, parts = [0] * 16, [-1] * 16  # by channel
    at = first = status = 0
    tick = last = end = begin
    heard, behind_system = -1, False
    found.names.append("")
    try:
        while at < len(body):
            first = at
            delta = body[at]
            at += 1
            if delta > 127:
                delta, at = _quantity(body, first)
                if tick + delta > found.latest and found.far is None:
                    found.far = start + first
            tick += delta
            byte = body[at]
            if byte >= 0xF0:
                at, kind, payload = _system(body, at)
                behind_system = True
                if kind != 0x2F:
                    last = tick
                    _meta(found, tick, kind, payload)
                elif heard < 0:  # End-of-Track
                    heard, end, status = len(onset), tick, 0
                    if claimed != len(body):
                        break
                continue
            if byte > 127:
                status = byte
                at += 1
            elif not status:
                raise IndexError
            elif behind_system:
                found.mends[STALE] += 1
            behind_system = False
            last = tick
            channel = status & 15
            pitch = body[at]
            at += 1
            if status & 0xE0 == 0xC0:  # of one data byte
                if status < 0xD0:
                    if pitch > 127:
                        found.mends[CLAMPED] += 1
                    programs[channel], parts[channel] = min(pitch, 127), -1
                continue
            velocity = body[at]
            at += 1
            if (pitch | velocity) > 127:
                found.mends[CLAMPED] += 1
                pitch, velocity = min(pitch, 127), min(velocity, 127)
            if status < 0xA0:
                if velocity and status >= 0x90:
                    if parts[channel] < 0:
                        place = len(found.names) - 1, channel, programs[channel]
                        parts[channel] = found.parts.setdefault(place, len(found.parts))
                    sounding[channel << 7 | pitch].append(len(onset))
                    onset.append(tick)
                    duration.append(-1)
                    pitches.append(pitch)
                    velocities.append(velocity)
                    found.part.append(parts[channel])
                elif notes := sounding.get(channel << 7 | pitch):
                    note = notes.popleft()
                    duration[note] = tick - onset[note]
            elif pitch == SUSTAIN and status & 0xF0 == 0xB0:
                found.pedals.append((tick, channel, velocity >= SUSTAIN))
    except IndexError:
        if heard < 0:
            found.mends[CUT] += 1
            found.cut = start + first if found.cut is None else found.cut
    else:
        if at != claimed != len(body):
            found.mends[LENGTH] += 1
    if -1 < heard < len(onset):
        found.mends[LATE] += len(onset) - heard
    found.ends.append(max(last, end if end <= found.latest else 0))


def _quantity(body: bytes, at: int) -> tuple[int, int]:
    """The number of variable length at byte `at`, and the byte behind it."""
    value, byte = 0, 128
    while byte > 127:
        byte = body[at]
        at += 1
        value = min(value << 7 | byte & 127, FAR)
    return value, at


def _system(body: bytes, at: int) -> tuple[int, int, bytes]:
    """Where a system or meta event at byte `at` ends, its meta type or -1, and what it holds."""
    status, kind = body[at], -1
    at += 1
    if status not in (0xF0, 0xF7, 0xFF):  # they have no place in files; skipped with their data
        return at + {0xF1: 1, 0xF2: 2, 0xF3: 1}.get(status, 0), kind, b""
    if status == 0xFF:
        kind = body[at]
        at += 1
    size, at = _quantity(body, at)
    if at + size > len(body):
        raise IndexError
    return at + size, kind, body[at : at + size]


def _meta(found: _Found, tick: int, kind: int, payload: bytes) -> None:
    """One meta event taken note of."""
    maps = found.maps
    if kind == 0x03:
        found.names[-1] = clean(payload.decode("utf-8", "replace"))
    elif kind == 0x06:
        maps.markers.append((tick, payload.decode("utf-8", "replace")))
    elif kind == 0x51:  # those of a wrong size cannot be
        maps.tempos.append((tick, int.from_bytes(payload, "big") if len(payload) == 3 else 0))
    elif kind == 0x58:
        numerator, power = payload[:2] if len(payload) > 1 else (0, 0)
        maps.metres.append((tick, numerator, 2**power if power < 8 else 0))
    elif kind == 0x59:
        sharps, mode = payload if len(payload) == 2 else (8, 0)
        maps.keys.append((tick, sharps - 256 * (sharps > 127), mode))


def _notes(found: _Found, pedal: bool) -> tuple[NDArray[Any], list[int]]:
    """The notes as columns [4, n], all of them ended, part after part, and how many each part has;
    the parts are in the order of track, channel and program.
    """
    places = sorted(found.parts)
    rank = {place: i for i, place in enumerate(places)}
    part = np.array([rank[p] for p in found.parts], np.int64)[np.array(found.part, np.int64)]
    order = part.argsort(kind="stable")
    part = part[order]
    track, channel, _ = np.array(places, np.int64).reshape(-1, 3)[part].T
    columns = np.array([found.onset, found.duration, found.pitch, found.velocity], np.int64)
    columns = columns[:, order]
    onset, duration, pitch, _ = columns
    never = duration < 0
    if never.any():
        found.mends[OPEN] = int(never.sum())
        until = np.array(found.ends, np.int64)[track]
        following = _next_onsets((track << 4 | channel) << 7 | pitch, onset)
        duration[never] = (np.minimum(until, following) - onset)[never]
    if pedal and found.pedals:
        following = _next_onsets(channel << 7 | pitch, onset)
        end = onset + duration
        for c in {c for _, c, _ in found.pedals}:
            mine = channel == c
            held = np.minimum(_lifted(end[mine], c, found), following[mine])
            end[mine] = np.maximum(end[mine], held)
        duration[:] = end - onset
    return columns, np.bincount(part, minlength=len(places)).tolist()


def _next_onsets(group: NDArray[Any], onset: NDArray[Any]) -> NDArray[Any]:
    """For each note the next later onset in its group, or else `FAR`."""
    mine = group << 32 | onset
    every = distinct(mine)
    following = np.append(every, -1)[np.searchsorted(every, mine, side="right")]
    return np.where(following >> 32 == group, following & 0xFFFFFFFF, FAR)


def _lifted(ticks: NDArray[Any], channel: int, found: _Found) -> NDArray[Any]:
    """For each tick when the pedal next goes up, or the tick itself where it is up."""
    moves = sorted(((t, down) for t, c, down in found.pedals if c == channel), key=lambda m: m[0])
    at, down = np.array(moves, np.int64).T
    edges = np.append(at[np.diff(down, prepend=0) != 0], max(found.ends))
    downs, ups = edges[:-1:2], edges[1::2]
    if not len(downs):
        return ticks
    i = np.searchsorted(downs, ticks, side="right") - 1
    return np.where(i >= 0, np.maximum(ticks, ups[i]), ticks)
