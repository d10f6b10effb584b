"""The shipped band does what its card says: all tracks play, phrases differ, yours is heard."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from tiny import SAMPLES

import musegen as mg
from musegen.evaluate.musegan import agree
from musegen.pipeline.musegan import MuseGANPipeline

BAR = 4 * 480
GUITAR = 2


@cache
def shipped() -> MuseGANPipeline:
    band = mg.load("band-4bar")
    assert isinstance(band, MuseGANPipeline)
    return band


def test_no_track_is_dead_and_phrases_differ() -> None:
    x = shipped().rolls(48, seed=0)[:, :5]
    plays = x.any((2, 3)).mean(0)
    assert (plays[[0, 2, 3, 4]] > 0.5).all()
    assert 0.02 < plays[1] < 0.6  # piano plays in few of the songs
    assert len({row.tobytes() for row in x}) == 48
    assert (x.mean((0, 2, 3)) < 0.06).all()  # no note soup


def test_it_plays_in_the_key_of_what_is_given() -> None:
    """Beside what was given tracks fit better than beside the same a tritone away."""
    band, roll = shipped(), shipped().representation
    song = mg.read(SAMPLES / "freedoom_1_d_e1m1.mid")
    lines = song.bar_lines()
    parts = [song.clip(int(lines[i]), int(lines[i + 4])) for i in range(8, 68, 8)]
    x = np.stack([roll.encode(part) for part in parts])
    x = x[x[:, GUITAR].any((1, 2))]
    assert len(x) >= 4
    known = (np.arange(10) % 5 == GUITAR)[:, None, None]
    given = np.where(known, x.astype(np.int8), np.int8(-1))
    made = band.rolls(len(x), seed=1, given=given)
    assert np.array_equal(made[:, [GUITAR, GUITAR + 5]], x[:, [GUITAR, GUITAR + 5]])
    others = made[:, [1, 3, 4]].any((2, 3))
    assert others.any(1).mean() > 0.7
    apart = np.where(known, np.roll(made, 6, axis=-1), made)
    fits, clashes = agree(made, roll, GUITAR), agree(apart, roll, GUITAR)
    assert fits["TD"] < clashes["TD"] - 0.2
    assert fits["shared"] > clashes["shared"] + 0.1


def test_it_accompanies_in_any_key() -> None:
    """A guitar a third higher gets the same band a third higher."""
    band, roll = shipped(), shipped().representation
    song = mg.read(SAMPLES / "freedoom_1_d_e1m1.mid")
    lines = song.bar_lines()
    x = roll.encode(song.clip(int(lines[56]), int(lines[60])))[None]
    known = (np.arange(10) % 5 == GUITAR)[:, None, None]
    first = np.where(known, x.astype(np.int8), np.int8(-1))
    drums = (np.arange(10) % 5 == 0)[:, None, None]
    higher = np.where(known, np.roll(first, 4, axis=-1), first)
    with torch.no_grad():
        one, other = (band.rolls(1, seed=1, given=g) for g in (first, higher))
    moved = np.where(drums, one, np.roll(one, 4, axis=-1))
    assert (moved[..., 12:-12] == other[..., 12:-12]).mean() > 0.995
    assert one[:, [1, 3, 4]].any()
