"""Broken and odd files: each is read or refused in one sentence that names it, soon and cheaply."""

from __future__ import annotations

import io
import itertools
import os
import resource
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from strategies import END, NOTE, meta, smf

from musegen import midi
from musegen.errors import InputError
from musegen.formats import quick
from musegen.score import Score
from musegen.segment import pick_melody

GOOD = smf(NOTE + END)
LATE = b"\xff\xff\xff\x7f"  # a delta time of 2^28 - 1 ticks
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(100)
LISTS = struct.pack("<I", len(GOOD) + 12), struct.pack("<I", len(GOOD))

REFUSED = {
    "empty": (b"", "is empty"),
    "text": (b"X:1\nT:a tune\n", "not a MIDI file"),
    "png": (PNG, "not a MIDI file"),
    "zip": (b"PK\x03\x04" + bytes(50), "not a MIDI file"),
    "header only in part": (GOOD[:9], "breaks off in its header"),
    "header cut at its last byte": (GOOD[:13], "breaks off in its header"),
    "header alone": (GOOD[:14], "breaks off before its first note"),
    "cut before the first note": (GOOD[:24], "breaks off before its first note"),
    "1,025 tracks": (smf(*[NOTE + END] * 1025), "has 1,025 tracks"),
    "late note": (smf(LATE + NOTE[1:] + END), "lasts 559,2"),
    "late metas": (smf(NOTE + (LATE + meta(6, b"m")[1:]) * 4 + END), "lasts 2,236,"),
    "ticks beyond 31 bits": (
        smf((LATE + meta(0x7F, b"m")[1:]) * 16 + NOTE + END),
        "lasts 8,947,849",
    ),
}


def read(data: bytes) -> Score:
    return midi.read(io.BytesIO(data), name="x.mid")


def peak_kb() -> int:
    """Most memory that this process ever held; KB on Linux."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def one_sentence(error: BaseException, name: object) -> None:
    text = str(error)
    assert text.startswith(f"{name}: ")
    assert "\n" not in text
    assert len(text) < 250
    assert "Traceback" not in text
    assert "Error" not in text


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_is_refused_soon_and_in_words(kind: str, tmp_path: Path) -> None:
    data, reason = REFUSED[kind]
    path = tmp_path / "broken.mid"
    path.write_bytes(data)
    start, peak = time.monotonic(), peak_kb()
    with pytest.raises(InputError, match=reason) as caught:
        midi.read(path)
    assert time.monotonic() - start < 30
    one_sentence(caught.value, path)
    assert caught.value.exit_code == 3
    assert peak_kb() - peak < 2**20


def test_every_truncation_keeps_what_came_before(samples: Path) -> None:
    whole = (samples / "bach_bwv66_6.mid").read_bytes()
    before = refused = 0
    for size in range(0, len(whole), 7):
        try:
            score = read(whole[:size])
        except InputError as error:
            one_sentence(error, "x.mid")
            refused += 1
            assert not before
            continue
        count = sum(map(len, score.tracks))
        assert count >= before
        assert score.remarks
        before = count
    assert before > 100
    assert refused < 20


def test_missing_files_and_folders(tmp_path: Path) -> None:
    for path, reason in [(tmp_path / "none.mid", "no such file"), (tmp_path, "is a folder")]:
        with pytest.raises(InputError, match=reason) as caught:
            midi.read(path)
        one_sentence(caught.value, path)
    with pytest.raises(InputError, match="cannot be read"):
        midi.read(tmp_path / ("n" * 300))
    with pytest.raises(InputError, match="cannot be read"):
        midi.read("a\0b.mid")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "mine.mid"
    path.write_bytes(GOOD)
    path.chmod(0)
    with pytest.raises(InputError, match="cannot be read") as caught:
        midi.read(path)
    one_sentence(caught.value, path)


def test_files_without_an_end() -> None:
    with pytest.raises(InputError, match="over 32 MB"):
        midi.read("/dev/zero")


def test_a_huge_file_is_not_read_whole(tmp_path: Path) -> None:
    path, peak = tmp_path / "huge.mid", peak_kb()
    with path.open("wb") as file:
        file.truncate(10 * 2**30)  # a hole: takes no room
    with pytest.raises(InputError, match="over 32 MB"):
        midi.read(path)
    with path.open("rb") as file, pytest.raises(InputError, match="over 32 MB"):
        midi.read(file)
    assert peak_kb() - peak < 2**17


def crowd(changes: int) -> bytes:
    """Changes of program, each with a note: symusic makes a track of each."""
    places = itertools.product(range(16), range(128))
    one = b"".join(bytes([0, 0xC0 | c, p, 0, 0x90 | c, 60, 64, 1, 60, 0]) for c, p in places)
    return smf(*[one + END] * (changes // 2048))


BOMBS: dict[str, tuple[Callable[[int], bytes], str]] = {
    "notes": (lambda n: smf(b"\0\x90\x3c\x40" + b"\1\x3c\0\0\x3c\x40" * (n // 6) + END), ""),
    "notes without offs": (lambda n: smf(b"\0\x90\x3c\x40" + b"\1\x3c\x40" * (n // 3) + END), ""),
    "markers": (lambda n: smf(b"\0\xff\x06\x01a" * (n // 5) + END), "changes of tempo"),
    "tempos": (lambda n: smf(b"\0\xff\x51\3\7\7\7" * (n // 7) + END), "changes of tempo"),
    "programs": (lambda n: crowd(n // 10), "tracks"),
    "tracks": (lambda n: smf(*[NOTE] * min(n // 17, 65_535)), "tracks"),
    "empty tracks": (lambda n: smf(*[b""] * min(n // 8, 65_535)), ""),
    "false tracks": (lambda n: GOOD + b"MTrkx" * (n // 5), "over 65,535 tracks"),
    "alien chunks": (lambda n: GOOD + b"abcd\0\0\0\0" * (n // 8), ""),
    "one long number": (lambda n: smf(b"\x81" * n), "breaks off"),
    "sysex": (lambda n: smf(b"\0\xf0\0" * (n // 3) + END), ""),
}


@pytest.mark.parametrize("size", [quick.MAX_WALK, quick.MAX_MIDI])
@pytest.mark.parametrize("kind", BOMBS)
def test_large_files_are_soon_read_or_refused(kind: str, size: int) -> None:
    make, reason = BOMBS[kind]
    data = make(size - 64)
    start, peak = time.process_time(), peak_kb()
    score, said = None, ""
    try:
        score = read(data)
    except InputError as error:
        said = str(error)
    assert time.process_time() - start < 30
    assert peak_kb() - peak < 2**20
    if size == quick.MAX_WALK:
        assert (score is None) == bool(reason)
    assert reason in said or "too large to mend" in said
    if score:
        assert score.bar_lines()[-1] >= score.end
        assert score.seconds >= 0


# Odd, yet music.

ODD = {
    "fewer tracks than claimed": smf(NOTE + END, claims=9),
    "more tracks than claimed": smf(NOTE + END, NOTE + END, claims=1),
    "no end of track": smf(NOTE),
    "RIFF wrapper": b"RIFF" + LISTS[0] + b"RMIDdata" + LISTS[1] + GOOD,
    "128 bytes before": bytes(128) + GOOD,
    "alien chunk": GOOD[:14] + b"XFIH\x00\x00\x00\x04abcd" + GOOD[14:],
    "bytes behind": GOOD + b"garbage",
    "late end of track": smf(NOTE + LATE + END[1:]),
    "format 0": smf(NOTE + END, kind=0),
    "note off as velocity 0": smf(b"\x00\x90\x3c\x40\x83\x60\x3c\x00" + END),
    "metre 0/4": smf(meta(0x58, b"\x00\x02\x18\x08") + NOTE + END),
    "metre 4/2^200": smf(meta(0x58, b"\x04\xc8\x18\x08") + NOTE + END),
    "metre 4/128": smf(meta(0x58, b"\x04\x07\x18\x08") + NOTE + END),
    "tempo 0": smf(meta(0x51, b"\x00\x00\x00") + NOTE + END),
    "8 sharps": smf(meta(0x59, b"\x08\x00") + NOTE + END),
    "8 flats": smf(meta(0x59, b"\xf8\x01") + NOTE + END),
    "no such mode": smf(meta(0x59, b"\x00\xff") + NOTE + END),
    "latin-1 name": smf(meta(3, b"Caf\xe9") + NOTE + END),
    "broken recipe": smf(meta(1, b"musegen {nonsense") + NOTE + END),
    "recipe of another type": smf(meta(1, b"musegen {1}") + NOTE + END),
    "recipe far too deep": smf(meta(1, b"musegen " + b'{"a":' * 3000) + NOTE + END),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_files_give_their_note_and_sane_maps(kind: str) -> None:
    score = read(ODD[kind])
    assert score.tracks[0].notes.tolist() == [[0, 480, 60, 64]]
    assert score.tempos == ((0, 120.0),)
    assert score.metres == ((0, 4, 4),)
    assert score.keys == ()
    assert score.recipe == {}
    assert score.bar_lines().tolist() == [0, 1920]
    assert midi.read(io.BytesIO(midi.to_bytes(score))).tracks[0].notes.tolist() == [
        [0, 480, 60, 64]
    ]


def test_a_note_of_no_length_lasts_a_tick() -> None:
    score = read(smf(b"\x00\x99\x24\x40\x00\x89\x24\x40" + END))
    assert score.tracks[0].notes.tolist() == [[0, 1, 36, 64]]
    assert score.tracks[0].is_drum


def test_before_the_first_event_holds_the_standards_default() -> None:
    late = (
        b"\x83\x60"
        + meta(0x51, b"\x03\xd0\x90")[1:]
        + b"\x00"
        + meta(0x58, b"\x03\x02\x18\x08")[1:]
    )
    score = read(smf(late + b"\x00\x90\x3c\x40\x83\x60\x80\x3c\x40" + END))
    assert score.tempos == ((0, 120.0), (480, 240.0))
    assert score.metres == ((0, 4, 4), (480, 3, 4))


def test_without_notes_it_is_read_and_the_melody_is_missed() -> None:
    for data in (smf(END), smf(), smf(meta(3, b"empty") + END)):
        score = read(data)
        assert score.tracks == ()
        with pytest.raises(ValueError, match="has no notes; give"):
            pick_melody(score)


def test_only_drums() -> None:
    score = read(smf(b"\x00\x99\x24\x40\x10\x89\x24\x40" + END))
    with pytest.raises(ValueError, match="has only drums; give"):
        pick_melody(score)


def test_the_command_line_says_what_was_mended(cli: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "a.mid"
    path.write_bytes(smf(NOTE + END, claims=9))
    done = cli("plot", path)
    assert done.err == f"{path}: tracks promised in the header: 9, found: 1\n"
    assert cli("plot", path, "--force", "-q").err == ""


def test_the_command_line_heeds_the_pedal(cli: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "a.mid"
    path.write_bytes(smf(b"\0\xb0\x40\x7f" + NOTE + b"\x83\x60\xb0\x40\0" + END))
    assert cli("info", path, "--json").json["seconds"] == 0.5
    assert cli("info", path, "--json", "--pedal").json["seconds"] == 1
