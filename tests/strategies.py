"""Scores for hypothesis, and Standard MIDI Files made by hand."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import strategies as st

from musegen.score import Score, Track

Row = tuple[int, int, int, int]


def _apart(rows: list[Row]) -> list[Row]:
    """The rows without those that begin while their pitch still sounds."""
    kept, until = [], {}
    for onset, duration, pitch, velocity in sorted(rows):
        if onset >= until.get(pitch, 0):
            kept.append((onset, duration, pitch, velocity))
            until[pitch] = onset + duration
    return kept


def rows(last: int = 8000, longest: int = 2500, fewest: int = 0) -> st.SearchStrategy[list[Row]]:
    onsets = st.integers(0, last) | st.integers(0, last // 120).map(lambda i: 120 * i)
    row = st.tuples(onsets, st.integers(1, longest), st.integers(0, 127), st.integers(1, 127))
    return st.lists(row, min_size=fewest, max_size=20)


def _names() -> st.SearchStrategy[str]:
    words = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)
    return st.lists(words, min_size=1, max_size=2).map(" ".join)


def tracks() -> st.SearchStrategy[Track]:
    separate = rows(fewest=1).map(_apart)
    return st.builds(Track, separate, st.integers(0, 127), st.booleans(), _names())


def _map(*values: st.SearchStrategy[Any], from_0: bool = True) -> st.SearchStrategy[Any]:
    """Events (tick, *values) at rising ticks, each saying something new."""

    def events(drawn: dict[int, Any]) -> tuple[Any, ...]:
        kept: list[Any] = []
        for tick, value in sorted(drawn.items()):
            if not kept or kept[-1][1:] != value:
                kept.append((tick, *value))
        if from_0:
            kept[0] = (0, *kept[0][1:])
        return tuple(kept)

    ticks = st.integers(0, 12_000)
    return st.dictionaries(ticks, st.tuples(*values), min_size=from_0, max_size=4).map(events)


def normal_scores(fewest: int = 1) -> st.SearchStrategy[Score]:
    """Scores that a MIDI file can hold as they are: every track named and with notes, notes of one
    pitch apart, whole microseconds a quarter, no length beyond the last note.
    """
    return st.builds(
        Score,
        st.lists(tracks(), min_size=fewest, max_size=4).map(tuple),
        tempos=_map(st.integers(30_000, 2**24 - 1).map(lambda tempo: 6e7 / tempo)),
        metres=_map(st.integers(1, 32), st.sampled_from([1, 2, 4, 8, 16, 32, 64])),
        keys=_map(st.integers(-7, 7), st.booleans(), from_0=False),
        markers=_map(_names(), from_0=False),
    )


def drum_scores() -> st.SearchStrategy[Score]:
    """Scores of several tracks whose notes come close to each other, at several resolutions."""
    hits = st.tuples(
        st.integers(0, 2000),
        st.integers(1, 300),
        st.integers(0, 127) | st.sampled_from([36, 35, 38, 42, 46, 49]),
        st.integers(1, 127),
    )
    some = st.lists(hits, max_size=20)
    track = st.builds(Track, some, st.integers(0, 127), st.sampled_from([True, True, False]))
    tracks = st.lists(track, max_size=3).map(tuple)
    return st.builds(Score, tracks, st.sampled_from([24, 89, 220, 480, 960]))


def one_track(notes: Any, **rest: Any) -> Score:
    """A score of one track."""
    return Score((Track(notes),), **rest)


# A Standard MIDI File by hand: chunks of events, each a delta time and a message.
NOTE = b"\x00\x90\x3c\x40\x83\x60\x80\x3c\x40"  # middle C for 480 ticks
END = b"\x00\xff\x2f\x00"


def smf(*chunks: bytes, kind: int = 1, division: int = 480, claims: int | None = None) -> bytes:
    claims = len(chunks) if claims is None else claims
    header = b"MThd" + struct.pack(">IHHH", 6, kind, claims, division)
    return header + b"".join(b"MTrk" + struct.pack(">I", len(c)) + c for c in chunks)


def meta(kind: int, data: bytes) -> bytes:
    assert len(data) < 2**14
    size = bytes([0x80 | len(data) >> 7, len(data) & 0x7F] if len(data) > 127 else [len(data)])
    return b"\x00\xff" + bytes([kind]) + size + data
