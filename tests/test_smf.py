"""Odd and broken MIDI files, one trap each, read note for note; whole ones as others read them."""

from __future__ import annotations

import io
import struct
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import mido
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import END, NOTE, meta, normal_scores, smf

from musegen import midi
from musegen.errors import InputError
from musegen.formats import smf as reader
from musegen.score import Score

C = [[0, 480, 60, 64]]  # the note of NOTE, a quarter long
ON, OFF = b"\x90\x3c\x40", b"\x80\x3c\x40"
EIGHTH = b"\x81\x70"  # a delta time of 240 ticks
LATE = b"\xff\xff\xff\x7f"  # one of 2^28 - 1


def read(data: bytes, **options: bool) -> Score:
    return midi.read(io.BytesIO(data), name="x.mid", **options)


def notes(score: Score) -> list[list[list[int]]]:
    return [t.notes.tolist() for t in score.tracks]


def chunk(body: bytes, size: int | None = None, kind: bytes = b"MTrk") -> bytes:
    return kind + struct.pack(">I", len(body) if size is None else size) + body


def header(tracks: int = 1, kind: int = 1, division: int = 480, size: int = 6) -> bytes:
    fields = struct.pack(">IHHH", size, kind, tracks, division)
    return b"MThd" + fields + bytes(max(0, size - 6))


WHOLE = smf(NOTE + END)
RIFF = b"RIFF" + bytes(4) + b"RMID" + b"LIST\xb0\x04\0\0" + bytes(1200) + b"data" + bytes(4)
LONG_TEXT = meta(1, bytes(range(0x80, 0x100)) * 17)  # 2,176 bytes, none of them ASCII
TWO_PROGRAMS = b"\0\xc0\x05\0" + ON + EIGHTH + b"\xc0\x03\0\x90\x3e\x40" + EIGHTH + OFF

# Each trap with the notes that are read, track by track, and a part of each remark.
TRAPS: dict[str, tuple[bytes, list[Any], list[str]]] = {
    "overlap: first in, first out": (
        smf(b"\0" + ON + EIGHTH + b"\x90\x3c\x50" + EIGHTH + OFF + EIGHTH + OFF + END),
        [[[0, 480, 60, 64], [240, 480, 60, 80]]],
        [],
    ),
    "overlap with one off only": (
        smf(b"\0" + ON + EIGHTH + b"\x90\x3c\x50" + EIGHTH + OFF + EIGHTH + END[1:]),
        [[[0, 480, 60, 64], [240, 480, 60, 80]]],
        ["1 note never ended"],
    ),
    "notes without offs": (
        smf(b"\0" + ON + EIGHTH + b"\x90\x3e\x40" + EIGHTH + ON + EIGHTH + END[1:]),
        [[[0, 480, 60, 64], [240, 480, 62, 64], [480, 240, 60, 64]]],
        ["3 notes never ended"],
    ),
    "note without off, the end of its track far away": (
        smf(b"\0" + ON + EIGHTH + b"\xb0\x07\x40" + LATE + END[1:]),
        [[[0, 240, 60, 64]]],
        ["1 note never ended"],
    ),
    "all notes off": (
        smf(b"\0" + ON + EIGHTH + b"\xb0\x7b\0" + EIGHTH + END[1:]),
        [C],
        ["1 note never ended"],
    ),
    "off without on": (smf(b"\0" + OFF + NOTE + b"\0" + OFF + END), [C], []),
    "no length": (
        smf(b"\0" + ON + b"\0" + OFF + b"\0\x99\x24\x40\0\x89\x24\x40" + END),
        [[[0, 1, 60, 64]], [[0, 1, 36, 64]]],
        ["2 notes of no length"],
    ),
    "drum hit without off": (
        smf(b"\0\x99\x24\x40" + END),
        [[[0, 1, 36, 64]]],
        ["1 note never ended", "1 note of no length"],
    ),
    "note behind End-of-Track": (
        smf(NOTE + END + NOTE),
        [[*C, [480, 480, 60, 64]]],
        ["1 note behind the end"],
    ),
    "zeros behind End-of-Track": (smf(NOTE + END + bytes(9)), [C], []),
    "several channels": (
        smf(
            b"\0\x93\x3c\x40\0\x91\x3e\x41\0\x99\x24\x42" + EIGHTH + b"\x83\x3c\0\0\x81\x3e\0" + END
        ),
        [[[0, 240, 62, 65]], [[0, 240, 60, 64]], [[0, 240, 36, 66]]],
        ["1 note never ended"],
    ),
    "a note sounds on while the program changes": (
        smf(TWO_PROGRAMS + b"\0\x80\x3e\0" + END),
        [[[240, 240, 62, 64]], C],
        [],
    ),
    "running status": (smf(b"\0" + ON + b"\x83\x60\x3c\0" + END), [C], []),
    "running status after sysex": (
        smf(b"\0" + ON + b"\0\xf0\x02\x01\xf7\x83\x60\x3c\0" + END),
        [C],
        ["1 message without a status byte"],
    ),
    "running status after a text": (
        smf(b"\0" + ON + meta(1, b"x") + b"\x83\x60\x3c\0" + END),
        [C],
        [],
    ),
    "data without any status": (
        smf(NOTE + END, b"\0\x3c\x40" + NOTE),
        [C],
        ["1 track breaking off: kept up to there, the first at byte 43"],
    ),
    "data over 127": (
        smf(b"\0\xc0\xff\0\x90\xbc\xc8" + EIGHTH + b"\x80\xbc\0" + END),
        [[[0, 240, 127, 127]]],
        ["3 messages with data over 127"],
    ),
    "system messages": (smf(b"\0\xf8\0\xf1\1\0\xf2\1\1\0\xf3\1\0\xf6" + NOTE + END), [C], []),
    "aftertouch, bend": (smf(b"\0\xa0\x3c\x40\0\xd0\x40\0\xe0\0\x40" + NOTE + END), [C], []),
    "long text of bytes like status bytes": (smf(LONG_TEXT + NOTE + END), [C], []),
    "long text and a note without off": (
        smf(LONG_TEXT + NOTE + EIGHTH + b"\x90\x40\x40" + EIGHTH + END[1:]),
        [[*C, [720, 240, 64, 64]]],
        ["1 note never ended"],
    ),
    "delta of five bytes": (smf(b"\x80\x80\x80\x80\0" + NOTE[1:] + END), [C], []),
    "RIFF wrapper": (RIFF + WHOLE, [C], []),
    "RIFF wrapper, chunks behind": (RIFF + WHOLE + b"LIST\x04\0\0\0INFO", [C], []),
    "128 bytes before": (bytes(128) + WHOLE, [C], []),
    "header of 10 bytes": (header(size=10) + chunk(NOTE + END), [C], []),
    "header of a wrong length": (header(size=6)[:7] + b"\x09" + WHOLE[8:], [C], []),
    "alien chunk": (header() + chunk(b"MTrk", kind=b"XFIH") + chunk(NOTE + END), [C], []),
    "junk between tracks": (smf(NOTE + END, claims=2) + b"\0\xff" + chunk(NOTE + END), [C, C], []),
    "fewer tracks than promised": (
        smf(NOTE + END, claims=9),
        [C],
        ["tracks promised in the header: 9, found: 1"],
    ),
    "more tracks than promised": (
        smf(NOTE + END, NOTE + END, claims=1),
        [C, C],
        ["tracks promised in the header: 1, found: 2"],
    ),
    "60,000 promised": (smf(NOTE + END, claims=60_000), [C], ["60,000, found: 1"]),
    "no End-of-Track": (smf(NOTE), [C], []),
    "track too short by its length": (
        header(2) + chunk(NOTE + END, 2) + chunk(NOTE + END),
        [C, C],
        ["1 track of a wrong length"],
    ),
    "track without a length": (
        header(2) + chunk(NOTE + END, 0) + chunk(NOTE + END, 0),
        [C, C],
        ["2 tracks of a wrong length"],
    ),
    "track too long by its length": (
        header(2) + chunk(NOTE + END, 2**32 - 1) + chunk(NOTE + END, 99),
        [C, C],
        ["2 tracks of a wrong length"],
    ),
    "cut in a note": (
        smf(NOTE + NOTE + END)[:-8],
        [[*C, [480, 1, 60, 64]]],
        ["1 note never ended", "breaking off", "1 note of no length"],
    ),
    "sysex longer than the file": (
        smf(NOTE + b"\0\xf0\xff\xff\xff\x7f\x01\x02"),
        [C],
        ["1 track breaking off: kept up to there, the first at byte 31"],
    ),
    "format 0": (smf(NOTE + END, kind=0), [C], []),
    "format 0 with two tracks": (smf(NOTE + END, NOTE + END, kind=0), [C, C], []),
    "format 2 with one track": (smf(NOTE + END, kind=2), [C], []),
    "division 0": (smf(NOTE + END, division=0), [C], ["no ticks per quarter"]),
    "SMPTE without ticks": (smf(NOTE + END, division=0xE700), [C], ["no ticks per quarter"]),
}


@pytest.mark.parametrize("kind", TRAPS)
def test_traps_are_read_note_for_note(kind: str) -> None:
    data, expected, said = TRAPS[kind]
    score = read(data)
    assert notes(score) == expected
    assert len(score.remarks) == len(said), score.remarks
    for part in said:
        assert any(part in remark for remark in score.remarks), (part, score.remarks)
    assert reader.parse(data, "x.mid") == score


def test_programs_split_a_channel() -> None:
    score = read(smf(TWO_PROGRAMS + b"\0\x80\x3e\0\0\xc0\x05" + NOTE + END))
    assert [(t.program, t.is_drum) for t in score.tracks] == [(3, False), (5, False)]
    assert len(score.tracks[1]) == 2


@pytest.mark.parametrize(
    "event",
    [
        meta(0x51, b"\0\0\0"),  # tempo 0
        meta(0x51, b"\x07\xa1"),  # tempo of a wrong size
        meta(0x58, b"\0\x02\x18\x08"),  # 0/4
        meta(0x58, b"\x04\xc8\x18\x08"),  # 4 / 2^200
        meta(0x58, b"\x04"),
        meta(0x59, b"\x08\0"),  # 8 sharps
        meta(0x59, b"\xf8\0"),
        meta(0x59, b"\0\xff"),  # mode 255
        meta(0x59, b"\0"),
    ],
)
def test_what_cannot_be_is_left_out_and_said(event: bytes) -> None:
    score = read(smf(event + NOTE + END))
    assert notes(score) == [C]
    assert (score.tempos, score.metres, score.keys) == (((0, 120.0),), ((0, 4, 4),), ())
    assert score.remarks == ("1 change of tempo, metre or key that cannot be: left out",)


def test_metres_change_where_they_stand() -> None:
    change = EIGHTH + meta(0x58, b"\x03\x03\x18\x08")[1:]  # 3/8, in the middle of a bar
    score = read(smf(meta(0x58, b"\x01\x02\x18\x08") + change + change + NOTE + END))
    assert score.metres == ((0, 1, 4), (240, 3, 8))
    assert score.bar_lines().tolist() == [0, 240, 960]
    assert score.remarks == ()


@pytest.mark.parametrize(("frames", "tempo"), [(24, 120), (25, 120), (29, 120 / 1.001), (30, 120)])
def test_smpte_notes_sound_when_they_should(frames: int, tempo: float) -> None:
    rate = 40 * (30 / 1.001 if frames == 29 else frames)  # ticks a second
    division = (256 - frames) << 8 | 40
    ignored = meta(0x51, b"\x01\0\0")
    score = read(smf(ignored + b"\x83\x60" + NOTE[1:] + END, division=division))
    ((onset, duration, pitch, velocity),) = score.tracks[0].notes.tolist()
    assert (onset, duration, pitch, velocity) == (480, 480, 60, 64)
    assert score.tempos[0][1] == pytest.approx(tempo, rel=0.01)
    assert score.seconds == pytest.approx(960 / rate)
    assert str(frames) in score.remarks[0]


def test_patterns_of_format_2_come_one_after_another() -> None:
    fast = meta(0x51, b"\x03\xd0\x90") + meta(0x58, b"\x03\x02\x18\x08")
    score = read(smf(fast + NOTE + EIGHTH + END[1:], NOTE + END, fast + NOTE + END, kind=2))
    assert notes(score) == [C, [[720, 480, 60, 64]], [[1200, 480, 60, 64]]]
    assert score.tempos == ((0, 240.0), (720, 120.0), (1200, 240.0))
    assert score.metres == ((0, 3, 4), (720, 4, 4), (1200, 3, 4))
    assert score.remarks == ("format 2: its 3 patterns are laid one after another",)


def test_errors_say_the_byte() -> None:
    for data, offset in [
        (WHOLE[:13], 13),
        (WHOLE[:14], 14),
        (WHOLE[:24], 22),
        (smf(LATE + NOTE[1:] + END), 22),
        (smf(NOTE + LATE + ON + b"\0" + OFF + END), 31),
    ]:
        with pytest.raises(InputError) as caught:
            read(data)
        assert caught.value.offset == offset
        assert f"(at byte {offset})" in str(caught.value)


def test_20_000_notes_on_one_pitch() -> None:
    start = time.process_time()
    score = read(smf(b"\0" + ON + b"\x01\x3c\x40" * 19_999 + b"\x01\x3c\0" * 20_000 + END))
    assert time.process_time() - start < 1
    assert score.tracks[0].notes[:, 1].tolist() == [20_000] * 20_000


def paired(data: bytes) -> list[list[int]]:
    """Notes as mido's messages give them, first in, first out."""
    found = []
    for track in mido.MidiFile(file=io.BytesIO(data), clip=True).tracks:
        now, sounding = 0, defaultdict(list)
        for message in track:
            now += message.time
            if message.type == "note_on" and message.velocity:
                sounding[message.channel, message.note].append((now, message.velocity))
            elif message.type in ("note_on", "note_off"):
                waiting = sounding[message.channel, message.note]
                if waiting:
                    onset, velocity = waiting.pop(0)
                    found.append([onset, max(1, now - onset), message.note, velocity])
    return sorted(found)


def test_real_files_are_read_as_mido_and_symusic_read_them(samples: Path) -> None:
    for path in sorted(samples.glob("*.mid")):
        data = path.read_bytes()
        score = reader.parse(data, path.name, recipe=midi.read(path).recipe)
        assert score == read(data) == read(data, repair=False)
        if len(data) < 20_000:  # mido takes its time
            assert sorted(n for track in notes(score) for n in track) == paired(data)


@given(normal_scores())
def test_what_is_written_is_read(score: Score) -> None:
    data = midi.to_bytes(score)
    assert reader.parse(data, "x") == read(data, repair=False) == score


event = st.tuples(
    st.sampled_from([0, 0, 1, 5, 240]),  # ticks
    st.sampled_from(["on", "on", "off", "silent on", "program", "pedal", "text"]),
    st.sampled_from([0, 1, 9]),  # channel
    st.integers(60, 61),
    st.integers(1, 127),
)


def as_bytes(events: list[Any], running: bool) -> bytes:
    body, before = b"", 0
    for ticks, kind, channel, pitch, value in events:
        if kind == "text":
            message = meta(1, b"text")[1:]
        else:
            status = {"off": 0x80, "program": 0xC0, "pedal": 0xB0}.get(kind, 0x90) | channel
            message = {
                "silent on": bytes([pitch, 0]),
                "program": bytes([value]),
                "pedal": bytes([64, value]),
            }.get(kind, bytes([pitch, value]))
            if not (running and status == before):
                message = bytes([status]) + message
            before = status
        body += (b"\x81\x70" if ticks == 240 else bytes([ticks])) + message
    return body


def plainly(tracks: list[list[Any]], pedal: bool) -> list[tuple[int, ...]]:
    """What should be read, event by event: (is drum, onset, duration, pitch, velocity)."""
    found: list[list[int]] = []  # track, channel, onset, end, pitch, velocity
    pedals = []
    for number, events in enumerate(tracks):
        now, sounding = 0, []
        for ticks, kind, channel, pitch, value in events:
            now += ticks
            same = [n for n in sounding if n[1] == channel and n[4] == pitch]
            if kind == "on":
                sounding.append([number, channel, now, -1, pitch, value])
            elif kind in ("off", "silent on") and same:
                same[0][3] = now
                found.append(same[0])
                sounding.remove(same[0])
            elif kind == "pedal":
                pedals.append((now, channel, value >= 64))
        every = [*found, *sounding]
        for n in sounding:
            later = [m[2] for m in every if [*m[:2], m[4]] == [*n[:2], n[4]] and m[2] > n[2]]
            n[3] = min([now, *later])
        found += sounding
    last = max([sum(e[0] for e in events) for events in tracks])
    ends = [n[3] for n in found]
    for i, n in enumerate(found if pedal else []):
        mine = [p for p in sorted(pedals, key=lambda p: p[0]) if p[1] == n[1]]
        struck = [m[2] for m in found if m[1] == n[1] and m[4] == n[4] and m[2] > n[2]]
        for tick in range(n[3], last):
            moves = [down for at, _, down in mine if at <= tick]
            if not moves or not moves[-1] or any(at <= tick for at in struck):
                break
            ends[i] = tick + 1
    read = [
        (n[1] == 9, n[2], max(1, end - n[2]), *n[4:]) for n, end in zip(found, ends, strict=True)
    ]
    return sorted(read)


@settings(max_examples=150)
@given(st.lists(st.lists(event, max_size=14), min_size=1, max_size=2), st.booleans(), st.booleans())
def test_notes_and_pedals_event_by_event(tracks: list[Any], running: bool, pedal: bool) -> None:
    data = smf(*[as_bytes(events, running) + END for events in tracks])
    score = read(data, pedal=pedal)
    ours = sorted((t.is_drum, *n) for t in score.tracks for n in t.notes.tolist())
    assert ours == plainly(tracks, pedal)


def test_the_pedal_holds_until_it_goes_up_or_the_pitch_is_struck_again() -> None:
    down, up = b"\xb0\x40\x7f", b"\xb0\x40\0"
    held = b"\0" + ON + b"\x10" + down + b"\x10" + OFF + b"\x40" + up
    again = (
        b"\0" + ON + b"\x10" + down + b"\x10" + OFF + b"\x10" + ON + b"\x10" + OFF + b"\x10" + up
    )
    assert notes(read(smf(held + END)))[0][0][:2] == [0, 32]
    assert notes(read(smf(held + END), pedal=True))[0][0][:2] == [0, 96]
    assert [n[:2] for n in notes(read(smf(again + END), pedal=True))[0]] == [[0, 48], [48, 32]]
    elsewhere = smf(b"\0" + ON + b"\x20" + OFF + END, b"\x10" + down + b"\x50" + up + END)
    assert notes(read(elsewhere, pedal=True))[0][0][:2] == [0, 96]  # another track, one channel
    other = smf(b"\0" + ON + b"\x20" + OFF + END, b"\x10\xb1\x40\x7f" + b"\x50\xb1\x40\0" + END)
    assert notes(read(other, pedal=True))[0][0][:2] == [0, 32]
