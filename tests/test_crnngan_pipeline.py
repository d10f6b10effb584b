"""C-RNN-GAN's verbs: lengths, seeds, chords, rhythms, continuations, paths between seeds."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from tiny import FOLDER, INFO, tune

from musegen import pretrained
from musegen.errors import InputError, ModelError, MusegenError, NothingGeneratedError
from musegen.midi import to_bytes
from musegen.models.crnngan import CRNNGAN, CRNNGANConfig
from musegen.pipeline import load
from musegen.pipeline.crnngan import CRNNGANPipeline
from musegen.representations.chords import from_sheet
from musegen.representations.tuples import Tuples
from musegen.score import DURATION, ONSET, PITCH, Score, Track

CONFIG = CRNNGANConfig(
    steps=12, hidden=16, layers=1, width=12, critic=8, critic_width=6, condition="beats"
)
TUNE = tune([60, 62, 64, 65] * 4, velocity=50, tempos=((0, 100.0),))


@cache
def pipeline(condition: str = "beats") -> CRNNGANPipeline:
    torch.manual_seed(0)
    model = CRNNGAN(replace(CONFIG, condition=condition))
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.3)
    with torch.no_grad():  # mostly short times, so that there are notes in a short piece
        model.head.logits[0].bias[:20] += 4
    path = FOLDER / f"performed-{condition}"
    pretrained.save(path, model, Tuples(12, bars=2), INFO, force=True)
    made = load(str(path))
    assert isinstance(made, CRNNGANPipeline)
    return made


def test_same_seed_same_bytes() -> None:
    first, again, other = (
        [to_bytes(s) for s in pipeline().generate(2, seed=seed, seconds=4)] for seed in (1, 1, 2)
    )
    assert first == again
    assert len({*first, *other}) == 4


def test_pieces_do_not_depend_on_how_many_are_made_with_them() -> None:
    one, two = (pipeline().generate(n, seed=3, bars=2) for n in (1, 2))
    assert one[0] == two[0]


@pytest.mark.parametrize(
    ("asked", "ticks"),
    [({"seconds": 3, "tempo": 120}, 6 * 384), ({"bars": 2}, 8 * 384), ({}, 40 * 384)],
)
def test_music_is_as_long_as_asked(asked: dict, ticks: int) -> None:
    (score,) = pipeline().generate(seed=1, **asked)
    assert score.length == score.end == ticks
    notes = score.tracks[0].notes
    assert (notes[:, ONSET] + notes[:, DURATION]).max() <= ticks
    assert notes[:, ONSET].max() > ticks / 2
    assert score.tempos == ((0, asked.get("tempo", 80.0)),)


@pytest.mark.parametrize("steps", [4, 12])
def test_quantized_music_is_on_the_grid(steps: int) -> None:
    free, placed = (pipeline().generate(seed=1, bars=2, quantize=q)[0] for q in (0, steps))
    on, off = placed.tracks[0].notes[:, ONSET], placed.tracks[0].notes[:, DURATION]
    assert (on % (384 // steps) == 0).all()
    assert (off % (384 // steps) == 0).all()
    assert (free.tracks[0].notes[:, DURATION] % (384 // steps) != 0).any()
    rows = placed.tracks[0].notes[:, [ONSET, PITCH]]
    assert len(np.unique(rows, axis=0)) == len(rows)
    with pytest.raises(MusegenError, match="divide"):
        pipeline().generate(seed=1, bars=2, quantize=5)


def test_chords_stand_in_the_score_and_change_the_music() -> None:
    free, told = (pipeline().generate(seed=1, bars=3, chords=c)[0] for c in ("", "C Am7"))
    assert told.chords == ((0, "C:maj"), (1536, "A:min7"), (3072, "C:maj"))
    assert told.tracks != free.tracks
    given = pipeline()._chords("C Am7", 0, 3 * 1536)
    assert given is not None
    assert given.shape == (1, 12, 36)
    tones = [np.flatnonzero(given[0, beat, 12:24]).tolist() for beat in (0, 3, 4, 8)]
    assert tones == [[0, 4, 7], [0, 4, 7], [0, 4, 7, 9], [0, 4, 7]]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("C Am F G", ("C:maj", "A:min", "F:maj", "G:maj")),
        ("| Bbmaj7 | F#m7b5/E , N.C. |", ("Bb:maj7", "F#:hdim7/b7", "N")),
        ("D:min/b3 G7/B", ("D:min/b3", "G:7/3")),
    ],
)
def test_lead_sheets(text: str, labels: tuple[str, ...]) -> None:
    assert from_sheet(text) == labels


@pytest.mark.parametrize("text", ["C H", "Cmoll", "|", "C//"])
def test_symbols_that_are_no_chords(text: str) -> None:
    with pytest.raises(InputError, match="is not a chord; write for example"):
        pipeline().generate(seed=1, bars=2, chords=text)


def test_a_continuation_begins_where_the_piece_ends() -> None:
    said: list[str] = []
    one, two = pipeline().continue_(TUNE, 2, seed=1, bars=2, say=said.append)
    assert one.tracks[0] == TUNE.tracks[0]
    assert (one.ppq, one.tempos) == (TUNE.ppq, TUNE.tempos)
    for score in (one, two):
        added = score.tracks[1].notes
        assert added[:, ONSET].min() >= TUNE.tracks[0].notes[:, ONSET].max()
        assert (added[:, ONSET] + added[:, DURATION]).max() <= score.length == 4 * 1920
    assert one.tracks[1] != two.tracks[1]
    assert said == ["heard the last 16 of 16 notes"]
    other = pipeline().continue_(TUNE.transpose(5), seed=1, bars=2)[0]
    assert other.tracks[1] != one.tracks[1]


def test_continuing_nothing_or_drums() -> None:
    drums = Score((Track(TUNE.tracks[0].notes, is_drum=True),))
    for score in (Score(), drums):
        with pytest.raises(InputError, match=r"x\.mid: has no pitched notes"):
            pipeline().continue_(score, seed=1, name="x.mid")


def test_the_ends_of_a_path_are_the_music_of_its_seeds() -> None:
    way = pipeline().interpolate(5, 6, steps=4, bars=2)
    for seed, end in ((5, way[0]), (6, way[-1])):
        assert end.tracks == pipeline().generate(seed=seed, bars=2)[0].tracks
    assert len({to_bytes(replace(s, recipe={})) for s in way}) == 4
    same = pipeline().interpolate(5, 5, steps=3, bars=2)
    rows = [s.tracks[0].notes for s in same]
    assert np.array_equal(rows[0][:8], rows[1][:8])
    with pytest.raises(ValueError, match="at least 2"):
        pipeline().interpolate(1, 2, steps=1)


@pytest.mark.parametrize("asked", [{"seconds": 1e9}, {"seconds": 0}, {"bars": -1}])
def test_lengths_that_cannot_be(asked: dict) -> None:
    with pytest.raises(MusegenError, match=r"at most .* seconds, for which there is memory"):
        pipeline().generate(seed=1, **asked)
    with pytest.raises(MusegenError, match="not both"):
        pipeline().generate(seed=1, seconds=1, bars=1)


def test_a_rhythm_is_played() -> None:
    rhythm = pipeline("rhythm")
    (score,) = rhythm.generate(seed=1, rhythm="1 1/2 (1/2) 2")
    notes = score.tracks[0].notes
    assert notes[:, : DURATION + 1].tolist() == [[0, 384], [384, 192], [768, 768]]
    assert score.tempos == ((0, 80.0),)
    again, other = (rhythm.generate(2, seed=s, rhythm="1 1/2 (1/2) 2") for s in (1, 2))
    assert again[0].tracks == score.tracks
    assert len({to_bytes(replace(s, recipe={})) for s in (*again, *other)}) == 4
    with pytest.raises(ModelError, match="takes no rhythm; try performance-rhythm"):
        pipeline().generate(seed=1, rhythm="1")
    assert rhythm.verbs() == ("generate",)
    for ask in (lambda: rhythm.continue_(TUNE, seed=1), lambda: rhythm.interpolate(1, 2)):
        with pytest.raises(ModelError, match="it can generate; try --model"):
            ask()


def test_a_rhythm_begins_again_until_the_end() -> None:
    (score,) = pipeline("rhythm").generate(seed=1, rhythm="1 (1/2) 2", bars=2)
    times = score.tracks[0].notes[:, : DURATION + 1]
    want = [[0, 384], [576, 768], [1344, 384], [1920, 768], [2688, 384]]
    assert times.tolist() == want
    assert score.length == 2 * 1536
    (score,) = pipeline("rhythm").generate(seed=1, rhythm="1 2", seconds=1, tempo=120)
    assert score.tracks[0].notes[:, : DURATION + 1].tolist() == [[0, 384], [384, 384]]


def test_the_rhythm_of_a_piece_at_its_pace() -> None:
    """All tracks with pitches, their bars as the length; tempo and metre are the piece's."""
    drums = Track(TUNE.tracks[0].notes, is_drum=True)
    waltz = replace(TUNE, tracks=(*TUNE.tracks, drums), metres=((0, 3, 4),))
    waltz = replace(waltz, tempos=((0, 100.0), (960, 90.0)))
    (score,) = pipeline("rhythm").generate(seed=1, rhythm=waltz, name="w.mid")
    notes = score.tracks[0].notes
    assert notes[:, ONSET].tolist() == [192 * i for i in range(16)]
    assert (notes[:, DURATION] == 192).all()
    assert score.tempos == ((0, 100.0), (768, 90.0))
    assert score.metres == ((0, 3, 4),)
    assert score.recipe["rhythm"] == "w.mid"
    (twice,) = pipeline("rhythm").generate(seed=1, rhythm=waltz, bars=4, tempo=70)
    assert twice.tracks[0].notes[16, ONSET] == 3 * 3 * 384  # the second time from a bar line on
    assert twice.tempos == ((0, 70.0),)


@pytest.mark.parametrize(
    ("rhythm", "said"),
    [
        ("", "rhythm: has no notes to take a rhythm from; write lengths in quarters, as 1 1/2"),
        ("(1) (2)", "rhythm: has no notes to take a rhythm from; write lengths in quarters"),
        *((text, f"'{text.split()[-1]}' is no length") for text in ("1 x", "1/0", "-1", "1 (1")),
        *((text, f"'{text}' is no length") for text in ("nan", "inf", "1e9", "0", "1/2/3", "(-1)")),
        ("(170) (170) 1", "rhythm: has a note or rest of over 170 quarters; shorten it"),
        (Score(), "w.mid: has no notes to take a rhythm from; give a piece that has pitched notes"),
    ],
)
def test_what_has_no_rhythm(rhythm: str | Score, said: str) -> None:
    named = {"name": "w.mid"} if isinstance(rhythm, Score) else {}
    with pytest.raises(InputError, match=re.escape(said)):
        pipeline("rhythm").generate(seed=1, rhythm=rhythm, **named)


def test_rhythms_of_more_notes_than_memory_holds() -> None:
    with pytest.raises(MusegenError, match="memory for 4,000,000 notes"):
        pipeline("rhythm").generate(seed=1, rhythm="1/384", bars=10_000)


def test_models_that_cannot_be_told_chords() -> None:
    with pytest.raises(ModelError, match="cannot be told chords"):
        pipeline("none").generate(seed=1, bars=1, chords="C")


def test_silence_is_said() -> None:
    made = pipeline("none")
    with pytest.raises(NothingGeneratedError):
        made._score(np.zeros((0, 4), np.int64), 10, 80.0, {}, "")


def test_verbs() -> None:
    assert pipeline().verbs() == ("generate", "interpolate", "continue")
