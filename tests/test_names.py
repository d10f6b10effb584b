"""Names of General MIDI against those of pretty_midi, and others."""

from __future__ import annotations

from musegen.names import (
    DRUMS,
    LOWEST_DRUM,
    PROGRAMS,
    drum_name,
    instrument_name,
    key_name,
    pitch_name,
    plain,
)


def letters(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def test_programs_are_those_of_general_midi() -> None:
    from pretty_midi.constants import INSTRUMENT_MAP

    assert [letters(n) for n in PROGRAMS] == [letters(n) for n in INSTRUMENT_MAP]
    assert instrument_name(0) == "Acoustic Grand Piano"
    assert instrument_name(127) == "Gunshot"
    assert instrument_name(5, is_drum=True) == "Drums"


def test_drums_are_those_of_general_midi() -> None:
    from pretty_midi.constants import DRUM_MAP

    short = {"Acoustic Bass Drum": "Bass Drum 2", "Acoustic Snare": "Snare 1"}
    short |= {"Electric Snare": "Snare 2", "Chinese Cymbal": "China"}
    theirs = [short.get(n, n).replace("Hi ", "High ").replace("Hi-", "High-") for n in DRUM_MAP]
    theirs = [n.replace(" Cymbal", "").replace("High Hat", "Hi-Hat") for n in theirs]
    theirs = [n.replace("Wood Block", "Woodblock") for n in theirs]
    theirs = [{"Closed High Hat": "Closed Hi-Hat"}.get(n, n) for n in theirs]
    assert [letters(n) for n in DRUMS] == [letters(n) for n in theirs]
    assert drum_name(LOWEST_DRUM) == "Bass Drum 2"
    assert (drum_name(38), drum_name(42), drum_name(81)) == (
        "Snare 1",
        "Closed Hi-Hat",
        "Open Triangle",
    )
    assert (drum_name(34), drum_name(82)) == ("key 34", "key 82")


def test_pitches() -> None:
    names = {0: "C-1", 21: "A0", 60: "C4", 61: "C#4", 108: "C8", 127: "G9"}
    assert {p: pitch_name(p) for p in names} == names


def test_keys_are_those_of_mido() -> None:
    from mido.midifiles.meta import _key_signature_decode

    for (sharps, minor), name in _key_signature_decode.items():
        assert key_name(sharps, bool(minor)) == name


def test_text_fits_into_a_line() -> None:
    assert plain("x" * 22, 22) == "x" * 22
    assert plain("x" * 23, 22) == "x" * 21 + "…"
    assert plain("a\x00b\x1b\n c", 9) == "a b c"
