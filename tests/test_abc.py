"""Tunes in ABC: true bars, repeats once, and what is refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from musegen.errors import InputError
from musegen.formats import abc
from musegen.segment import step_runs

HEAD = "X:1\nT:Tune\nM:C|\nL:1/8\nK:C\n"


def tune(text: str, head: str = HEAD) -> list[list[int]]:
    return abc.parse(head + text + "\n", "x.abc").tracks[0].notes[:, :3].tolist()


NAMES = ["aird_white_cockade", "oneill_harvest_home", "oneill_masons_apron", "oneill_swallows_tail"]
NAMES += ["ryan_arkansas_traveller", "ryan_durangs_hornpipe", "ryan_fishers_hornpipe"]


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_a_pickup_and_sixteen_bars(name: str, samples: Path) -> None:
    text = (samples / f"{name}.abc").read_text()
    score = abc.parse(text, name)
    assert len(score.bar_lines()) - 1 == 17
    assert score.length == 17 * 1920
    onsets = score.tracks[0].notes[:, 0]
    assert 960 <= onsets[0] < 1920  # the pickup stands at the end of its bar
    assert set(range(1920, 17 * 1920, 1920)) <= set(onsets.tolist())  # each bar begins with a note
    ((line, bars),) = step_runs(score, score.tracks[0])
    assert bars == 17
    assert len(line) == len(onsets)  # nothing is lost on the grid of 16ths


def test_letters_octaves_lengths_and_keys() -> None:
    assert tune("C2D2 E2F2|c4 B,4|C8|") == [
        [0, 480, 60],
        [480, 480, 62],
        [960, 480, 64],
        [1440, 480, 65],
        [1920, 960, 72],
        [2880, 960, 59],
        [3840, 1920, 60],
    ]
    sharp = HEAD.replace("K:C", "K:D")
    assert [p for _, _, p in tune("F2=F2 ^G2_B2|", sharp)] == [66, 65, 68, 70]


def test_notes_in_two_four_are_doubled() -> None:
    head = "X:1\nT:Tune\nM:2/4\nL:1/16\nK:C\n"
    assert tune("C2D2 E2F2|", head) == tune("C2D2 E2F2|")


def test_broken_rhythm_and_triplets() -> None:
    assert tune("C>D E<F C4|")[:4] == [[0, 360, 60], [360, 120, 62], [480, 120, 64], [600, 360, 65]]
    assert tune("(3CDE C2 C4|")[:4] == [
        [0, 160, 60],
        [160, 160, 62],
        [320, 160, 64],
        [480, 480, 60],
    ]
    assert tune("(3(CDE) (3:2:3CDE C4|")[3:5] == [[480, 160, 60], [640, 160, 62]]


def test_ties_rests_chords_and_graces() -> None:
    assert tune("C4-C4|D8|")[0] == [0, 1920, 60]
    assert tune("C2-D2 E4|")[:2] == [[0, 480, 60], [480, 480, 62]]  # a tie to another pitch is none
    assert tune("C2z2 E4|") == [[0, 480, 60], [960, 960, 64]]
    assert tune("[CEG]4 {d}c4|") == [[0, 960, 67], [960, 960, 72]]


def test_repeats_are_written_once() -> None:
    assert tune("|:C8|D8:|:E8|F8:|") == tune("C8|D8|E8|F8|")


def test_a_repeat_inside_a_bar_joins_both_parts_of_it() -> None:
    found = tune("C2|D8|E6:|:F2|G8|A6:|")
    assert [on for on, _, _ in found] == [1440, 1920, 3840, 5280, 5760, 7680]


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (HEAD.replace("C|", "3/4"), "metre 3/4, not 4/4 or 2/4"),
        (HEAD.replace("C|", "6/8"), "metre 6/8, not 4/4 or 2/4"),
        (HEAD.replace("M:C|\n", ""), "metre missing, not 4/4 or 2/4"),
        (HEAD + "V:1\n", "several voices"),
    ],
)
def test_other_tunes_are_refused_in_words(head: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        tune("CDEF GABc|", head)
    assert str(caught.value) == f"x.abc: {said}"


@pytest.mark.parametrize("text", ["", "no music here", "\0\1\2", "X:1\nM:C|\nK:C\n"])
def test_what_is_no_tune_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^x\.abc: "):
        abc.parse(text, "x.abc")


def test_a_note_without_a_letter_is_told_of(capfd: pytest.CaptureFixture[str]) -> None:
    score = abc.parse(HEAD + "G A W2 c2 d2|", "x")
    assert score.tracks[0].notes[:, 2].tolist() == [67, 69, 60, 72, 74]
    assert score.remarks == ("1 note without the letter of a pitch: read as C",)
    assert capfd.readouterr() == ("", "")


def test_only_the_first_tune_of_a_file_is_read() -> None:
    both = HEAD + "C8|\n\n" + HEAD.replace("X:1", "X:2") + "D8|\n"
    assert abc.parse("% a book\n" + both, "x").tracks[0].notes[:, 2].tolist() == [60]


def bars(*quarters: float) -> list[int]:
    """Where bars of these lengths begin; each holds one note."""
    lengths = [Fraction(q) for q in quarters]
    held = [[(Fraction(0), n, 60)] if n else [] for n in lengths]
    score = abc._whole_bars(held, lengths, "x")
    assert score.length % 1920 == 0
    return [on // 480 for on in score.tracks[0].notes[:, 0].tolist()]


@pytest.mark.parametrize(
    ("lengths", "starts"),
    [
        ((4, 4, 4), [0, 4, 8]),
        ((1, 4, 4), [3, 4, 8]),  # a pickup
        ((1, 4, 3, 1, 4), [3, 4, 8, 11, 12]),  # a short bar and the pickup after it
        ((4, 3, 4), [0, 4, 8]),  # a short bar alone
        ((4, 5, 4), [0, 4, 12]),  # a long bar
        ((0, 4, 0, 4), [0, 4]),  # bars of nothing
        ((2, 4, 2, 2, 4), [2, 4, 8, 10, 12]),
    ],
)
def test_bars_of_any_length_are_set_on_the_grid(lengths: tuple, starts: list) -> None:
    assert bars(*lengths) == starts


def test_bars_without_end_are_refused() -> None:
    with pytest.raises(InputError, match="over 50,000 quarters"):
        bars(60_000)
