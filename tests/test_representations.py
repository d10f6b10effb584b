"""What holds for every representation of the table, on real music."""

from __future__ import annotations

import dataclasses
import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musegen import midi
from musegen.config import from_dict, to_dict
from musegen.representations import REPRESENTATIONS
from musegen.representations.chords import estimate
from musegen.score import Score

# The arrays that models are told of: shape and type of a segment as it comes.
ARRAYS = {
    "pianoroll": ((5, 64, 84), np.uint8),
    "onsetroll": ((4, 128, 84), np.int8),
    "melody": ((32,), np.uint8),
    "drums": ((32,), np.uint16),
    "trio": ((3, 256), np.uint16),
    "groove": ((32, 27), np.float32),
    "chords": ((32, 36), np.uint8),
    "tuples": ((100, 4), np.float32),
}
NAMES = list(REPRESENTATIONS)


@pytest.fixture(scope="module")
def scores() -> list[Score]:
    """Every sample piece with chords, from its beginning and from bar 9 on."""
    files = sorted((Path(__file__).parents[1] / "data" / "samples").glob("*.mid"))
    whole = [estimate(midi.read(file)) for file in files]
    later = [s.clip(int(s.bar_lines()[8]), s.end) for s in whole if len(s.bar_lines()) > 12]
    return whole + later


def test_the_table_is_complete() -> None:
    assert list(ARRAYS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_representation_is_its_config(name: str) -> None:
    kind = REPRESENTATIONS[name]
    assert dataclasses.is_dataclass(kind)
    assert kind.__dataclass_params__.frozen
    made = kind()
    assert from_dict(kind, to_dict(made)) == made


@pytest.mark.parametrize("name", NAMES)
def test_the_laws_hold_for_real_music(name: str, scores: list[Score]) -> None:
    representation = REPRESENTATIONS[name]()
    shape, dtype = ARRAYS[name]
    held = 0
    for score in scores:
        x = representation.encode(score)
        assert (x.shape, x.dtype) == (shape, dtype)
        kept = representation.project(score)
        assert representation.decode(x) == kept
        assert np.array_equal(representation.encode(kept), x)
        assert np.array_equal(representation.encode(score), x)
        held += bool((x > 0).any())
    assert held >= 7  # at least the bands


@pytest.mark.parametrize("name", NAMES)
def test_silence_is_nothing(name: str) -> None:
    representation = REPRESENTATIONS[name]()
    x = representation.encode(Score())
    assert x.shape == ARRAYS[name][0]
    assert not (x > 0).any()
    assert not any(len(t) for t in representation.decode(x).tracks)


# The one track of tuples holds unisons of several tracks, which no track of a MIDI file can.
@pytest.mark.parametrize("name", sorted({*NAMES} - {"tuples"}))
def test_what_is_kept_can_be_written_and_read(
    name: str, scores: list[Score], tmp_path: Path
) -> None:
    representation = REPRESENTATIONS[name]()
    for i, score in enumerate(scores[:8]):
        kept = representation.project(score)
        again: Any = midi.read(kept.write(tmp_path / f"{i}.mid"))
        full = [t for t in kept.resample(again.ppq).tracks if len(t)]
        assert [t.notes.tolist() for t in again.tracks if len(t)] == [
            t.notes.tolist() for t in full
        ]


@pytest.mark.parametrize("name", NAMES)
def test_no_windows_are_no_rows(name: str) -> None:
    representation = REPRESENTATIONS[name]()
    none = np.zeros((0, 5), np.int16)
    x = representation.encode_windows(none, np.zeros(0, np.int64), 3)
    assert x.shape == (3, *ARRAYS[name][0])
    assert not (x > 0).any()
    assert representation.encode_windows(none, np.zeros(0, np.int64), 0).shape[0] == 0


def test_the_examples_of_the_docs_are_true() -> None:
    page = Path(__file__).parents[1] / "docs" / "representations.md"
    failed, tried = doctest.testfile(str(page), module_relative=False)
    assert tried > 10
    assert not failed
    assert all(f"| `{name}` |" in page.read_text("utf-8") for name in NAMES)
