"""Broken and odd files: each is read or refused in one sentence that names it, soon and cheaply."""

from __future__ import annotations

import io
import os
import resource
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import END, NOTE, meta, smf

from musegen import abc, midi
from musegen.errors import InputError
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
    "header only in part": (GOOD[:9], "broken or truncated"),
    "header cut at its last byte": (GOOD[:13], "broken or truncated"),
    "note cut": (GOOD[:-8], "broken or truncated"),
    "claims 60,000 tracks": (smf(NOTE + END, claims=60_000), "claims 60000 tracks"),
    "60,000 tracks": (smf(*[NOTE + END] * 60_000), "claims 60000 tracks"),
    "late note": (smf(LATE + NOTE[1:] + END), "lasts 559,2"),
    "late metas": (smf(NOTE + (LATE + meta(6, b"m")[1:]) * 4 + END), "lasts 2,236,"),
    "ticks beyond 31 bits": (smf((LATE + meta(0x7F, b"m")[1:]) * 16 + NOTE + END), "lasts far"),
    "SMPTE": (smf(NOTE + END, division=0xE728), "SMPTE"),
    "division 0": (smf(NOTE + END, division=0), "SMPTE"),
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
    assert time.monotonic() - start < 2
    one_sentence(caught.value, path)
    assert caught.value.exit_code == 3
    assert peak_kb() - peak < 2**20


def test_every_truncation_is_read_or_refused(samples: Path) -> None:
    whole = (samples / "bach_bwv66_6.mid").read_bytes()
    refused = 0
    for size in range(0, len(whole), 7):
        try:
            read(whole[:size])
        except InputError as error:
            one_sentence(error, "x.mid")
            refused += 1
    assert refused > 50


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


def test_a_huge_file_is_not_even_opened(tmp_path: Path) -> None:
    path, peak = tmp_path / "huge.mid", peak_kb()
    with path.open("wb") as file:
        file.truncate(10 * 2**30)  # a hole: takes no room
    with pytest.raises(InputError, match="over 32 MB"):
        midi.read(path)
    with path.open("rb") as file, pytest.raises(InputError, match="over 32 MB"):
        midi.read(file)
    assert peak_kb() - peak < 2**17


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


def survives(data: bytes, name: str) -> bool:
    """Reads `data`, or sees it refused well; whatever is read must be usable."""
    try:
        score = midi.read(io.BytesIO(data), name=name)
    except InputError as error:
        one_sentence(error, name)
        return False
    lines = score.bar_lines()
    assert lines[-1] >= score.end
    assert score.seconds >= 0
    assert score.tempos[0][0] == score.metres[0][0] == 0
    assert "Score(" in repr(score)
    back = midi.read(io.BytesIO(midi.to_bytes(score)))
    assert len(back.tracks) == len(score.tracks)
    return True


@settings(max_examples=150)
@given(st.binary(max_size=300))
def test_any_bytes_behind_a_header(rest: bytes) -> None:
    survives(smf(rest), "x.mid")
    survives(GOOD[:8] + rest, "x.mid")
    survives(b"MThd" + rest, "x.mid")


small = ["bach_bwv66_6", "cc0_aloha_oe", "ryan_fishers_hornpipe", "freedm_d_shawn3"]
edits = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(["set", "cut", "put"]), st.binary(max_size=6)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=120)
@given(st.sampled_from(small), edits, st.booleans())
def test_mutated_real_files(name: str, changes: list, early: bool) -> None:
    folder = Path(__file__).parents[1] / "data" / "samples"
    data = bytearray((folder / f"{name}.mid").read_bytes())
    for place, how, value in changes:
        at = int(place * (min(len(data), 200) if early else len(data)))
        if how == "cut":
            del data[at : at + len(value)]
        else:
            data[at : at + (len(value) if how == "set" else 0)] = value
    survives(bytes(data), "x.mid")


@settings(max_examples=60)
@given(edits)
def test_mutated_tunes(changes: list) -> None:
    folder = Path(__file__).parents[1] / "data" / "samples"
    data = bytearray((folder / "oneill_masons_apron.abc").read_bytes())
    for place, how, value in changes:
        at = int(place * len(data))
        data[at : at + (len(value) if how != "put" else 0)] = b"" if how == "cut" else value
    try:
        score = abc.parse(bytes(data).decode("utf-8", "replace"), "x.abc")
    except InputError as error:
        one_sentence(error, "x.abc")
    else:
        assert sum(map(len, score.tracks))
