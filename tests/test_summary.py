"""What is said about a score."""

from __future__ import annotations

import json

from hypothesis import given
from strategies import normal_scores

from musegen.score import Score, Track
from musegen.summary import aligned, as_lines, summarise

LEAD = Track([(0, 480, 60, 80), (0, 480, 64, 100), (1920, 481, 72, 90)], 40, False, "Lead\x1b[1m")
KIT = Track([(3840, 10, 36, 64)], is_drum=True)
SONG = Score(
    (LEAD, KIT, Track(name="silent")),
    tempos=((0, 90.0), (1920, 120.5)),
    metres=((0, 4, 4), (3840, 6, 8)),
    keys=((0, 2, True), (1920, -3, False)),
    chords=((0, "C:maj"), (1920, "N")),
    markers=((1920, "verse"),),
    recipe={"verb": "generate", "seed": 3},
    remarks=("2 notes of no length: made one tick long",),
)


def test_every_field() -> None:
    told = summarise(SONG)
    lead, kit, silent = told.pop("tracks")
    assert lead == {
        "number": 1,
        "name": "Lead\x1b[1m",
        "program": 40,
        "instrument": "Violin",
        "drums": False,
        "notes": 3,
        "lowest": 60,
        "highest": 72,
        "velocity": 90.0,
        "polyphony": round((480 * 2 + 481) / (480 + 481), 2),
        "first_bar": 1,
        "last_bar": 2,
    }
    assert (kit["instrument"], kit["first_bar"], kit["last_bar"]) == ("Drums", 3, 3)
    assert silent["notes"] == 0
    assert silent["lowest"] is silent["polyphony"] is silent["last_bar"] is None
    assert told == {
        "ppq": 480,
        "bars": 3,
        "seconds": round(4 * 60 / 90 + (4 + 10 / 480) * 60 / 120.5, 3),
        "tempos": SONG.tempos,
        "metres": SONG.metres,
        "keys": SONG.keys,
        "chords": SONG.chords,
        "markers": SONG.markers,
        "melody_track": 1,
        "recipe": {"verb": "generate", "seed": 3},
        "remarks": SONG.remarks,
    }


def test_notes_up_to_a_bar_line_are_in_the_bar_before_it() -> None:
    track = Track([(1900, 20, 60, 80), (1920, 1920, 60, 80)])
    (told,) = summarise(Score((track,)))["tracks"]
    assert (told["first_bar"], told["last_bar"]) == (1, 2)


def test_lines_for_people() -> None:
    lines = as_lines("a.mid", SONG, summarise(SONG))
    assert lines == [
        "a.mid: 3 bars, 0:05 minutes, 480 ticks a quarter note",
        "tempo 90, from bar 2 120.5",
        "metre 4/4, from bar 3 6/8",
        "key Bm, from bar 2 Eb",
        "chords C:maj, from bar 2 N",
        "markers from bar 2 verse",
        "",
        "   name      instrument            notes  pitches  velocity  polyphony  bars",
        "1  Lead [1m  Violin                    3  C4 - C5        90        1.5  1 - 2  <- melody",
        "2            Drums                     1                 64        1.0  3 - 3",
        "3  silent    Acoustic Grand Piano      0",
        "",
        "made by musegen: verb=generate, seed=3",
        "",
        "note: 2 notes of no length: made one tick long",
    ]


def test_many_changes_are_counted() -> None:
    score = Score((LEAD,), tempos=tuple((480 * i, 100.0 + i) for i in range(20)))
    line = as_lines("x", score, summarise(score))[1]
    assert line.startswith("tempo 100, from bar 1 101,")
    assert line.endswith("from bar 2 107 and 12 changes more")


def test_silence() -> None:
    lines = as_lines("x", Score(), summarise(Score()))
    assert lines[-1] == "no notes"
    assert summarise(Score())["melody_track"] is None


@given(normal_scores(fewest=0))
def test_any_score_is_summed_up(score: Score) -> None:
    told = summarise(score)
    assert json.loads(json.dumps(told))["bars"] == told["bars"]
    for track in told["tracks"]:
        assert 1 <= track["first_bar"] <= track["last_bar"] <= told["bars"]
        assert track["polyphony"] >= 1
    assert all(line.isprintable() for line in as_lines("x", score, told))


def test_tables() -> None:
    rows = [["a", "long", "x"], ["bcd", "1"], []]
    assert aligned(rows) == ["a    long  x", "bcd  1", ""]
    assert aligned(rows, right={1}) == ["a    long  x", "bcd     1", ""]
