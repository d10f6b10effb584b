"""The verbs of diffusion: what is kept, regions and windows, chords, words for bad input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import INFO, SAMPLES

from musegen.errors import InputError, ModelError, MusegenError
from musegen.midi import read
from musegen.models.diffusion import Denoiser
from musegen.pipeline import diffusion, painting
from musegen.pipeline.canvas import canvas
from musegen.pipeline.diffusion import DiffusionPipeline, progression
from musegen.pipeline.painting import bar_range, pitch_range
from musegen.presets import preset
from musegen.pretrained import Bundle, save
from musegen.representations.chords import from_sheet, parse
from musegen.representations.onsetroll import OnsetRoll
from musegen.score import ONSET, PITCH, Score, Track

QUICK: dict[str, Any] = {"steps": 2, "seed": 3}
BAR = 4 * 480


@cache
def pipeline() -> DiffusionPipeline:
    """The shipped sizes but thin, untrained, and noisy enough to write notes everywhere."""
    torch.manual_seed(0)
    usual: Any = preset("piano_8bar").model
    config = replace(usual, channels=8, heads=2, density=(0.1,) * 4)
    model = Denoiser(config)
    for p in model.parameters():
        if p.dim() > 1:
            torch.nn.init.normal_(p, std=0.12)
    return DiffusionPipeline(Bundle("tiny", model.eval(), preset("piano_8bar").representation))


@cache
def song(bars: int = 8, ppq: int = 480, seed: int = 0) -> Score:
    """A tune, chords below it and a drum, with notes off the grid."""
    rng = np.random.default_rng(seed)
    size = bars * 4 * ppq
    onsets = np.arange(0, size, ppq // 2) + rng.integers(-20, 20, 8 * bars).clip(0)
    tune = np.stack([onsets, np.full_like(onsets, ppq // 3), rng.integers(60, 84, len(onsets))], 1)
    tune = np.column_stack([tune, rng.integers(40, 120, len(tune))])
    chords = np.array([(b * ppq, ppq, 36 + i * 4, 61) for b in range(4 * bars) for i in range(3)])
    drum = np.array([(b * ppq, 60, 36, 100) for b in range(4 * bars)])
    tracks = (
        Track(tune, 40, name="Fiddle"),
        Track(chords, 5, name="Keys"),
        Track(drum, 0, True, "Kit"),
    )
    return Score(tracks, ppq, ((0, 97.0),), length=size)


def rows(score: Score, keep: Any = None) -> set[tuple[int, ...]]:
    """All notes with the number of their track."""
    found = {(i, *map(int, n)) for i, t in enumerate(score.tracks) for n in t.notes}
    return {r for r in found if keep is None or keep(r)}


def test_generate() -> None:
    made = pipeline().generate(3, bars=10, tempo=77.0, **QUICK)
    assert len(made) == 3
    for i, score in enumerate(made):
        assert [t.name for t in score.tracks] == ["Melody", "Piano"]
        assert score.length == 10 * BAR
        assert score.tempos == ((0, 77.0),)
        assert score.recipe["index"] == i
        assert max(t.end for t in score.tracks) > 8 * BAR
    again = pipeline().generate(3, bars=10, tempo=77.0, **QUICK)
    assert again == made
    assert pipeline().generate(3, bars=10, tempo=77.0, steps=2, seed=4) != made


def test_chords_are_told_and_written() -> None:
    p = pipeline()
    made = p.generate(1, chords="C G/B Am", **QUICK)[0]
    assert [c for _, c in made.chords[:4]] == ["C:maj", "G:maj/3", "A:min", "C:maj"]
    assert rows(made) != rows(p.generate(1, chords="free", **QUICK)[0])
    assert rows(made) == rows(p.generate(1, chords="C | G/B | Am", **QUICK)[0])
    with pytest.raises(InputError, match="not a chord"):
        p.generate(1, chords="C Hm", **QUICK)


def test_guidance_zero_is_no_chords() -> None:
    p = pipeline()
    told = p.generate(1, chords="C", guidance=0.0, **QUICK)[0]
    assert rows(told) == rows(p.generate(1, chords="free", **QUICK)[0])


def test_new_music_has_common_chords_of_its_seed() -> None:
    made = pipeline().generate(1, **QUICK)[0]
    assert len(made.chords) == 8
    assert (
        made.chords == tuple((i * BAR, c) for i, c in enumerate(from_sheet(progression(3)) * 2))[:8]
    )
    assert not pipeline().generate(1, chords="free", **QUICK)[0].chords
    for seed in range(40):
        assert {parse(c).root for c in from_sheet(progression(seed))} <= set(range(12))  # type: ignore[union-attr]
    assert len({progression(seed) for seed in range(40)}) > 20


def test_chords_are_heard_and_go_on() -> None:
    """A piece without symbols: C and G bars are heard as such, and four bars come again."""
    tones = {"C": (48, 52, 55, 60), "G": (43, 47, 50, 55), "F": (41, 45, 48, 53)}
    notes = [
        (b * BAR, BAR, p, 80) for b, c in enumerate(["C", "G", "F", "G", "C"]) for p in tones[c]
    ]
    piece = Score((Track(np.array(notes), 0, name="Piano"),), length=5 * BAR)
    page, _ = canvas(piece, pipeline().representation, track=None, name="it", more=5)
    found = page.chords()
    assert found.shape == (40, 36)
    roots = found[::4, :12].argmax(1).tolist()
    assert roots == [0, 7, 5, 7, 0, 7, 5, 7, 0, 7]


@given(
    st.integers(1, 8),
    st.integers(0, 7),
    st.sampled_from([None, (30, 55), (60, 71)]),
    st.sampled_from([None, "melody", "piano"]),
    st.sampled_from([480, 96, 50]),
)
@settings(deadline=None, max_examples=12)
def test_inpaint_keeps_what_begins_outside(
    first: int, more: int, pitch: Any, part: Any, ppq: int
) -> None:
    last = min(8, first + more)
    before = song(8, ppq)
    after = pipeline().inpaint(before, bars=(first, last), pitch=pitch, part=part, **QUICK)[0]
    before = before.resample(after.ppq)
    bar = 4 * after.ppq

    def step(row: tuple[int, ...]) -> int:
        return (2 * row[1 + ONSET] + after.ppq // 4) // (2 * (after.ppq // 4))

    def outside(row: tuple[int, ...]) -> bool:
        low, high = pitch or (24, 107)
        of = {None: (0, 1), "melody": (0,), "piano": (1,)}[part]
        return not (
            row[0] in of
            and (first - 1) * 16 <= step(row) < last * 16
            and low <= row[1 + PITCH] <= high
        )

    assert rows(after, outside) == rows(before, outside)
    new = rows(after) - rows(before)
    assert all((first - 1) * bar <= r[1] < last * bar for r in new)
    assert after.tempos == before.tempos
    assert after.recipe["verb"] == "inpaint"


@pytest.mark.parametrize(("part", "tracks"), [(None, 1), ("piano", 2)])
def test_a_tune_alone_stays_alone_unless_a_piano_is_asked_for(part: str, tracks: int) -> None:
    tune = replace(song(), tracks=song().tracks[:1])
    after = pipeline().inpaint(tune, bars="3-4", part=part, **QUICK)[0]
    assert len(after.tracks) == tracks
    assert after != tune


def test_inpaint_writes_something_new() -> None:
    after = pipeline().inpaint(song(), bars="3-4", **QUICK)[0]
    assert len(rows(after) - rows(song())) > 5


def test_continue_keeps_the_piece() -> None:
    before = song(5)
    one, two = pipeline().continue_(before, 2, bars=6, **QUICK)
    for after in (one, two):
        assert rows(after, lambda r: r[1] < 5 * BAR) == rows(before)
        assert after.length == 11 * BAR
        assert max(r[1] for r in rows(after)) > 9 * BAR
        assert after.tracks[2] == before.tracks[2]
    assert rows(one) != rows(two)


def test_accompany_keeps_the_melody() -> None:
    before = song(20)  # longer than a window
    after = pipeline().accompany(before, **QUICK)[0]
    assert after.tracks[0] == before.tracks[0]
    assert after.tracks[2] == before.tracks[2]
    assert not rows(after, lambda r: r[0] == 1) & rows(before)
    assert max(r[1] for r in rows(after, lambda r: r[0] == 1)) > 16 * BAR
    alone = replace(before, tracks=before.tracks[:1])
    piano = pipeline().accompany(alone, **QUICK)[0].tracks
    assert piano[0] == before.tracks[0]
    assert piano[1].name == "Piano"
    assert len(piano[1]) > 20


def test_vary_by_nothing_and_by_all() -> None:
    p, before = pipeline(), song(12)
    same = p.vary(before, 2, seed=1, amount=0.0)
    assert [rows(s) for s in same] == [rows(before)] * 2
    little, much = (p.vary(before, 1, amount=a, **QUICK)[0] for a in (0.02, 1.0))
    tune = p.representation.trackset

    def onsets(score: Score) -> Any:
        named = (replace(score.tracks[0], name="MELODY"), *score.tracks[1:2])
        roll = OnsetRoll(tune.name, bars=12, low=24, high=107)
        return roll.encode(replace(score, tracks=named))[:2] > 0

    a, b, c = onsets(before), onsets(little), onsets(much)
    assert (a & b).sum() / (a | b).sum() > 0.9
    assert (a & c).sum() / (a | c).sum() < 0.5


def test_interpolate_begins_and_ends_with_the_pieces() -> None:
    a, b = song(8), song(9, seed=1)
    made = pipeline().interpolate(a, b, steps=4, looks=3, seed=1)
    assert len(made) == 4
    assert rows(made[0]) == rows(a)
    assert rows(made[-1]) == rows(b.clip(0, 8 * BAR))
    assert all(s.end <= 8 * BAR for s in made)
    with pytest.raises(ValueError, match="at least 2"):
        pipeline().interpolate(a, b, steps=1)


def test_reconstruct_gives_the_window_back() -> None:
    """An untrained network leaves sure cells alone when the way up and down is fine enough."""
    found, figures = pipeline().reconstruct(song(8), steps=40)
    assert found.length == 8 * BAR
    assert figures["bars"] == 8
    assert figures["windows"] == [figures["accuracy"]]
    assert 0 < figures["accuracy"] <= 1


@pytest.mark.parametrize(
    ("free", "steps", "expected"),
    [
        ((0, 128), 128, [0]),
        ((64, 96), 128, [0]),
        ((160, 192), 384, [112]),
        ((0, 384), 384, [0, 64, 128, 192, 256]),
        ((128, 256), 256, [64, 128]),
        ((368, 384), 384, [256]),
    ],
)
def test_windows_cover_what_is_free(free: Any, steps: int, expected: list[int]) -> None:
    chosen = np.zeros(steps, np.bool_)
    chosen[slice(*free)] = True
    found = list(pipeline()._windows(chosen, steps))
    assert found == expected
    covered = np.zeros(steps, np.bool_)
    for start in found:
        covered[start : start + 128] = True
    assert covered[chosen].all()


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    pipeline().generate(2, bars=16, seed=1, steps=3, report=lambda *at: told.append(at))
    assert told[-1][0] == told[-1][1]
    assert [d for d, _ in told] == sorted(d for d, _ in told)


def verbs(n: int, **more: Any) -> Iterator[list[Score]]:
    for verb, options in (
        ("generate", {}),
        ("vary", {"amount": 0.9}),
        ("inpaint", {"bars": "3-4"}),
    ):
        music = () if verb == "generate" else (song(),)
        yield getattr(pipeline(), verb)(*music, n, **options, **more, **QUICK)


def test_a_piece_does_not_depend_on_how_many_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    few = list(verbs(1))
    monkeypatch.setattr(painting, "TOGETHER", 2)
    monkeypatch.setattr(diffusion, "TOGETHER", 2)
    for one, more in zip(few, verbs(3), strict=True):
        assert more[0] == one[0]
        assert len({str(rows(m)) for m in more}) == 3


def test_pieces_are_handed_over_as_soon_as_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(painting, "TOGETHER", 2)
    monkeypatch.setattr(diffusion, "TOGETHER", 2)
    events: list[Any] = []

    def report(done: int, total: int) -> None:
        events.append("step")

    def finished(index: int, score: Score) -> None:
        events.append((index, score))

    for made in verbs(3, report=report, finished=finished):
        a, b, c = enumerate(made)
        assert events == ["step", "step", a, b, "step", "step", c]
        events.clear()


def test_a_stopped_job_keeps_what_is_finished(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = pipeline().bundle
    model = save(tmp_path / "tiny", own.model, own.representation, INFO)
    asked = ["generate", "--model", model, "-n", 3, "--steps", 2, "--seed", 1, "-o"]
    assert cli(*asked, tmp_path / "whole").code == 0
    monkeypatch.setattr(painting, "TOGETHER", 1)
    fill, calls = Denoiser.fill, []

    def stopped(*music: Any, **options: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return fill(*music, **options)

    monkeypatch.setattr(Denoiser, "fill", stopped)
    done = cli(*asked, tmp_path / "some")
    assert done.code == 130
    assert "2 of 3 pieces are made and stay" in done.err
    names = sorted(p.name for p in (tmp_path / "some").iterdir())
    assert len(names) == 2
    for name in names:
        whole, some = ((tmp_path / folder / name).read_bytes() for folder in ("whole", "some"))
        assert whole == some


def test_a_real_file() -> None:
    path = sorted(SAMPLES.rglob("*.mid"))[0]
    before = read(path)
    after = pipeline().inpaint(before, bars="2", **QUICK)[0]
    assert len(after.tracks) >= len(before.tracks)


WALTZ = replace(song(), metres=((0, 3, 4),))


@pytest.mark.parametrize(
    ("verb", "music", "options", "words"),
    [
        ("inpaint", song(), {"bars": "9-10"}, "not in the piece; it has bars 1-8"),
        ("inpaint", song(), {"bars": "five"}, "no range; write 5-6"),
        ("inpaint", song(), {"pitch": "H3"}, "no range; write C3-C5"),
        ("inpaint", song(), {"pitch": "C9-C10"}, "no range|knows MIDI pitches"),
        ("inpaint", song(), {"pitch": (110, 120)}, "knows MIDI pitches 24-107"),
        ("inpaint", song(), {"part": "tuba"}, "melody and piano"),
        ("inpaint", WALTZ, {}, r"no bars of four quarters \(metre 3/4\)"),
        ("accompany", WALTZ, {}, "metre 3/4"),
        ("continue_", WALTZ, {}, "metre 3/4"),
        ("accompany", song(), {"track": "Flute"}, "no pitched track named 'Flute'"),
        ("vary", Score(), {}, "no pitched notes"),
        ("vary", song(), {"amount": 1.5}, "from 0"),
    ],
)
def test_bad_input_is_told(verb: str, music: Score, options: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        getattr(pipeline(), verb)(music, seed=1, steps=1, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sampler": "euler"}, "no sampler"),
        ({"steps": 0}, "steps go from 1"),
        ({"guidance": -1.0}, "guidance"),
        ({"bars": 10_000}, "at most 512"),
    ],
)
def test_bad_options_are_told(options: Any, words: str) -> None:
    with pytest.raises((ModelError, MusegenError), match=words):
        pipeline().generate(1, seed=1, **options)


def test_too_long_a_file_is_told() -> None:
    notes = np.array([(0, 480, 60, 80), (600 * BAR, 480, 60, 80)])
    with pytest.raises(InputError, match="at most 512"):
        pipeline().vary(Score((Track(notes),)), seed=1)


def test_ranges() -> None:
    assert bar_range("5-6") == (5, 6)
    assert bar_range(" 7 ") == (7, 7)
    assert pitch_range("C3-C5") == (48, 72)
    assert pitch_range("bb2-F#4") == (46, 66)
    assert pitch_range("30-50") == (30, 50)
