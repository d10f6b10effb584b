"""Chord labels after Harte, chord arrays, and chords heard in notes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musegen import midi
from musegen.representations.chords import (
    NAMES,
    SHORTHANDS,
    Chord,
    Chords,
    estimate,
    name,
    parse,
    render,
)
from musegen.score import Score, Track

# All qualities of POP909's chord_midi.txt, which mir_eval 0.8.2 reads the same way.
POP909 = """
maj min sus2 min7 sus4 maj/3 maj/5 maj7 min/b3 min/5 sus4(b7) min7/b7 maj7/7 7 maj6 dim 7/b7
maj7/3 maj7/5 hdim7 7/5 min7/5 aug 7/3 min6 dim7 minmaj7
""".split()  # noqa: SIM905

pitch = st.integers(0, 11)
chords = st.builds(Chord, pitch, st.frozensets(pitch), pitch).map(
    lambda c: c._replace(tones=c.tones | {c.bass})
)
maybe = st.none() | chords
layouts = st.sampled_from(["full", "triad"])


def changes() -> st.SearchStrategy[tuple[tuple[int, str], ...]]:
    labels = maybe.map(name) | st.sampled_from(["X", "Gb:maj(9)", "B#:min", "Cb/3", "D:(3,b7)"])
    at = st.dictionaries(st.integers(0, 9000), labels, max_size=8)
    return at.map(lambda d: tuple(sorted(d.items())))


scores = st.builds(Score, ppq=st.sampled_from([89, 220, 480]), chords=changes())


@pytest.mark.parametrize(
    ("label", "root", "tones", "bass"),
    [
        ("C:maj", 0, {0, 4, 7}, 0),
        ("C", 0, {0, 4, 7}, 0),
        ("C/3", 0, {0, 4, 7}, 4),
        ("Gb:maj(9)", 6, {6, 10, 1, 8}, 6),
        ("B:min7", 11, {11, 2, 6, 9}, 11),
        ("E:maj/3", 4, {4, 8, 11}, 8),
        ("A:sus4(b7)", 9, {9, 2, 4, 7}, 9),
        ("D:maj/2", 2, {2, 6, 9, 4}, 4),
        ("F##:hdim7", 7, {7, 10, 1, 5}, 7),
        ("Cb:dim7", 11, {11, 2, 5, 8}, 11),
        ("Ab:min(*b3)/5", 8, {8, 3}, 3),
        ("D:(3,b7)", 2, {2, 6, 0}, 2),
        ("G:5", 7, {7, 2}, 7),
        ("G:1", 7, {7}, 7),
        ("C:13(#11)", 0, {0, 4, 7, 10, 2, 5, 9, 6}, 0),
    ],
)
def test_labels_by_hand(label: str, root: int, tones: set[int], bass: int) -> None:
    assert parse(label) == Chord(root, frozenset(tones), bass)


WRONG = "|H:maj|C:|C:major|C:maj(|C:maj()|C:maj/|C:maj/14|c:maj|C maj|C:maj(3,)|N/3|C:/3|C:maj:min"


@pytest.mark.parametrize("label", [*WRONG.split("|"), "C:(3,b7))", "C:maj\n", "Am", "C:maj(*)"])
def test_what_is_no_label_is_refused(label: str) -> None:
    with pytest.raises(ValueError, match="not a chord; write for example C:maj"):
        parse(label)


def test_no_chord_and_an_unknown_one() -> None:
    assert parse("N") is None
    assert parse("X") is None
    assert name(None) == "N"


@pytest.mark.parametrize("quality", POP909)
def test_labels_of_pop909_are_canonical(quality: str) -> None:
    for root in NAMES:
        assert name(parse(f"{root}:{quality}")) == f"{root}:{quality}"


@given(maybe)
def test_every_chord_has_one_label(chord: Chord | None) -> None:
    assert parse(name(chord)) == chord


def test_shorthands_are_told_apart() -> None:
    held = {s: parse(f"C:{s}").tones for s in SHORTHANDS}
    assert len(set(held.values())) == len(held)
    assert all(name(parse(f"C:{s}")) == f"C:{s}" for s in SHORTHANDS)


@given(scores, layouts, st.integers(1, 20))
def test_decoding_what_was_encoded_gives_the_projection(
    score: Score, layout: str, beats: int
) -> None:
    chords = Chords(beats, layout)
    x = chords.encode(score)
    assert x.shape == (beats, 36 if layout == "full" else 13)
    assert x.dtype == np.uint8
    assert chords.decode(x) == chords.project(score)
    assert chords.project(chords.project(score)) == chords.project(score)


@given(st.lists(maybe, min_size=1, max_size=16))
def test_every_canonical_array_comes_back(drawn: list) -> None:
    x = np.zeros((len(drawn), 36), np.uint8)
    for row, chord in zip(x, drawn, strict=True):
        if chord:
            row[[chord.root, 24 + chord.bass, *(12 + t for t in chord.tones)]] = 1
    chords = Chords(len(drawn))
    assert np.array_equal(chords.encode(chords.decode(x)), x)
    small = Chords(len(drawn), "triad")
    assert np.array_equal(
        small.encode(small.decode(small.encode(chords.decode(x)))), small.encode(chords.decode(x))
    )


def test_rows_by_hand() -> None:
    score = Score(chords=((0, "N"), (500, "A:min/b3"), (960, "C:7"), (1440, "G:sus4")))
    x = Chords(5).encode(score)
    assert [np.flatnonzero(row).tolist() for row in x] == [
        [],
        [9, 12, 16, 21, 24],
        [0, 12, 16, 19, 22, 24],
        [7, 12, 14, 19, 31],
        [7, 12, 14, 19, 31],
    ]
    small = Chords(5, "triad").encode(score)
    assert [np.flatnonzero(row).tolist() for row in small] == [[], [9, 12], [0], [7], [7]]
    back = Chords(5, "triad").decode(small)
    assert back.chords == ((0, "N"), (480, "A:min"), (960, "C:maj"), (1440, "G:maj"))
    assert back.length == 2400
    assert not back.tracks


def test_what_a_network_says_becomes_chords() -> None:
    x = np.zeros((4, 36), np.uint8)
    x[0, [2, 14, 18]] = 1  # no bass: the root
    x[1, [2, 14, 18, 33]] = 1  # a bass that is no tone
    x[2, [14, 18, 26]] = 1  # no root
    assert Chords(4).decode(x).chords == (
        (0, "D:1(3)"),
        (480, "D:maj/5"),
        (960, "N"),
    )


def test_a_wrong_label_is_told() -> None:
    with pytest.raises(ValueError, match="'Zmaj' is not a chord"):
        Chords(4).encode(Score(chords=((0, "Zmaj"),)))


@given(st.lists(scores, min_size=1, max_size=5), layouts)
def test_many_windows_at_once_equal_one_after_the_other(many: list, layout: str) -> None:
    chords = Chords(8, layout)
    rows = [chords.notes(score).astype(np.int16) for score in many]
    owner = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
    together = chords.encode_windows(np.concatenate(rows), owner, len(rows))
    assert np.array_equal(together, np.stack([chords.encode(score) for score in many]))


heard = st.sampled_from([f"{n}:{q}" for n in NAMES for q in ("maj", "min", "dim")])


@given(st.lists(heard, min_size=1, max_size=6), st.sampled_from(["beat", "bar"]))
def test_chords_are_heard_in_their_own_notes(labels: list[str], every: str) -> None:
    written = Score(chords=tuple((1920 * i, label) for i, label in enumerate(labels)))
    score = Score((render(Score(chords=written.chords, length=1920 * len(labels))),))
    assert estimate(score, every).chords == Chords(4 * len(labels)).project(written).chords


def test_a_chord_symbol_as_notes() -> None:
    score = Score(chords=((0, "N"), (480, "C:maj/3"), (960, "B:min")), length=1440)
    track = render(score, program=4, velocity=50)
    assert track.notes.tolist() == [
        [480, 480, 40, 50],
        [480, 480, 60, 50],
        [480, 480, 64, 50],
        [480, 480, 67, 50],
        [960, 480, 47, 50],
        [960, 480, 62, 50],
        [960, 480, 66, 50],
        [960, 480, 71, 50],
    ]
    assert (track.program, track.name) == (4, "Chords")
    assert len(render(Score(chords=((0, "C:maj"), (0, "N"))))) == 0


def test_the_gymnopedie_sways_between_two_sevenths(samples: Path) -> None:
    score = midi.read(samples / "mutopia_satie_gymnopedie_no1.mid")
    chords = estimate(score, "bar").chords
    assert [label for _, label in chords[:16]] == ["G:maj7", "D:maj7"] * 8
    lines = score.bar_lines()
    assert [tick for tick, _ in chords[:16]] == lines[:16].tolist()


def test_chords_follow_a_transposition(samples: Path) -> None:
    score = midi.read(samples / "freedoom_1_d_e1m1.mid")
    plain, moved = estimate(score), estimate(score.transpose(3))
    assert len(plain.chords) > 40
    beats = int(score.end / score.ppq) + 1
    x, y = (Chords(beats).encode(s).reshape(beats, 3, 12) for s in (plain, moved))
    assert np.array_equal(np.roll(x, 3, axis=2), y)


def test_without_pitched_notes_there_is_no_chord() -> None:
    drums = Track([(0, 480, 36, 80)], is_drum=True)
    assert estimate(Score((drums,))).chords == ((0, "N"),)
    assert estimate(Score()).chords == ((0, "N"),)
    late = Track([(9600, 480, p, 80) for p in (60, 64, 67)])
    assert estimate(Score((late,))).chords == ((0, "N"), (9600, "C:maj"))


@given(st.integers(24, 1000), st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 999))))
def test_any_music_can_be_heard(ppq: int, times: list) -> None:
    track = Track([(t, d, (t * 7 + d) % 128, 80) for t, d in times])
    for every in ("beat", "bar"):
        found = estimate(Score((track,), ppq, metres=((0, 7, 8), (900, 1, 32))), every).chords
        assert found[0][0] == 0
        assert all(a[0] < b[0] and a[1] != b[1] for a, b in pairwise(found))
        assert all(parse(label) or label == "N" for _, label in found)
