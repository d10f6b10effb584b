"""Standard MIDI Files as bytes: header, tracks, delta times, running status (SMF 1.0, 1996)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Notes

Meta: TypeAlias = tuple[int, int, bytes]  # tick, kind, data
TEXT, NAME, MARKER, TEMPO, METRE, KEY = 0x01, 0x03, 0x06, 0x51, 0x58, 0x59
ON, OFF, PROGRAM = 0x90, 0x80, 0xC0
RELEASE = 64  # velocity of note-offs


def file_of(tracks: Sequence[bytes], ppq: int) -> bytes:
    """A file of format 1 from the contents of its tracks."""
    header = b"MThd" + struct.pack(">IHHH", 6, 1, len(tracks), ppq)
    return header + b"".join(b"MTrk" + struct.pack(">I", len(track)) + track for track in tracks)


def conductor(events: Sequence[Meta], end: int) -> bytes:
    """A track of meta events, which are in order of their ticks, up to tick `end`."""
    out, now = [], 0
    for tick, kind, data in events:
        out.append(_delta(tick - now) + _meta(kind, data))
        now = tick
    return b"".join(out) + _end(now, end)


def part(name: str, channel: int, program: int, notes: Notes, end: int) -> bytes:
    """A track of notes that do not overlap on a pitch, with its name and program, up to `end`."""
    begin = b"\0" + _meta(NAME, name.encode()) + b"\0" + bytes([PROGRAM | channel, program])
    n = len(notes)
    ticks = np.concatenate([notes[:, ONSET], notes[:, ONSET] + notes[:, DURATION]]).astype(np.int64)
    is_on = np.arange(2 * n) < n
    data = np.empty((2 * n, 3), np.uint8)
    data[:, 0] = np.where(is_on, ON, OFF) | channel
    data[:, 1] = np.tile(notes[:, PITCH], 2)
    data[:n, 2], data[n:, 2] = notes[:, VELOCITY], RELEASE
    order = np.lexsort((is_on, ticks))  # offs go before ons of the same tick
    ticks, data = ticks[order], data[order]
    cells = np.empty((2 * n, 8), np.uint8)
    kept = np.ones((2 * n, 8), bool)
    cells[:, :5], kept[:, :5] = _deltas(np.diff(ticks, prepend=0))
    cells[:, 5:] = data
    kept[1:, 5] = data[1:, 0] != data[:-1, 0]  # running status
    return begin + cells[kept].tobytes() + _end(int(ticks[-1]) if n else 0, end)


def _deltas(deltas: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Times of seven bits a byte [n, 5], the last of them without the highest bit, and which of the
    bytes count.
    """
    sevens = deltas[:, None] >> np.arange(28, -1, -7)
    cells = (sevens & 0x7F).astype(np.uint8)
    cells[:, :-1] |= 0x80
    kept = sevens > 0
    kept[:, -1] = True
    return cells, kept


def _delta(ticks: int) -> bytes:
    cells, kept = _deltas(np.array([ticks]))
    return cells[kept].tobytes()


def _meta(kind: int, data: bytes) -> bytes:
    return bytes([0xFF, kind]) + _delta(len(data)) + data


def _end(now: int, end: int) -> bytes:
    return _delta(max(0, end - now)) + _meta(0x2F, b"")
