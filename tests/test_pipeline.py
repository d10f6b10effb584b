"""The tasks, Score in and Score out: ends as written, lengths, keys, seeds and recipes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import tiny
import torch
from tiny import SAMPLES, pipeline, tune

import musegen
from musegen import pretrained
from musegen.errors import InputError, ModelError, NothingGeneratedError
from musegen.midi import read, to_bytes
from musegen.pipeline import timeline
from musegen.pipeline.musicvae import MusicVAEPipeline
from musegen.representations.drums import Drums
from musegen.representations.events import Melody
from musegen.representations.trio import Trio
from musegen.sampling import slerp
from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Score, Track

BAR = 4 * 480
A = tune([60, 62, 64, 65, 67, 69, 71, 72] * 2, velocity=50, tempos=((0, 100.0),))
B = tune([72, 71, 69, 67, 65, 64, 62, 60] * 4, velocity=90, tempos=((0, 140.0),))
MAJOR = np.array([0, 2, 4, 5, 7, 9, 11])


def notes(score: Score) -> np.ndarray:
    (track,) = score.tracks
    return track.notes


def heard() -> tuple[list[str], object]:
    said: list[str] = []
    return said, said.append


# generate


def test_same_seed_same_bytes() -> None:
    first, again, other = (
        [to_bytes(s) for s in pipeline().generate(3, seed=seed, bars=4)] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert len(set(first)) == 3


@pytest.mark.parametrize("bars", [None, 1, 2, 3, 8])
def test_generated_melodies_have_the_asked_length(bars: int | None) -> None:
    scores = pipeline().generate(2, seed=4, bars=bars)
    assert len(scores) == 2
    for score in scores:
        length = (bars or 2) * BAR
        assert score.length == score.end == length
        assert len(score.bar_lines()) - 1 == (bars or 2)
        rows = notes(score)
        assert (rows[:, ONSET] + rows[:, DURATION] <= length).all()
        assert (rows[1:, ONSET] >= rows[:-1, ONSET] + rows[:-1, DURATION]).all()  # one at a time
        assert rows[:, ONSET].max() >= length - 2 * BAR


def test_a_melody_of_one_window_is_the_decoded_prior() -> None:
    p = pipeline()
    generator = torch.Generator().manual_seed(7)
    styles = p.bundle.model.draw_styles(2, generator, 1)
    z = p.bundle.model.prior(2, generator, styles)
    x = p.bundle.model.decode(z, generator, 0.8).numpy()
    expected = [p.representation.decode(row) for row in x]
    made = p.generate(2, seed=7, temperature=0.8, style="waltz", tempo=90)
    for score, want in zip(made, expected, strict=True):
        assert np.array_equal(notes(score), notes(want))
        assert score.tempos == ((0, 90.0),)


def test_longer_melodies_begin_with_the_short_one() -> None:
    short, long = (pipeline().generate(1, seed=9, bars=bars)[0] for bars in (2, 6))
    assert np.array_equal(notes(short), notes(long.clip(0, 2 * BAR)))


def test_longer_melodies_go_on_with_the_best_fitting_candidate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    p, tried = pipeline(), []
    misfit = p._misfit

    def note(before: np.ndarray, window: np.ndarray) -> float:
        tried.append((misfit(before, window), window))
        return tried[-1][0]

    monkeypatch.setattr(p, "_misfit", note)
    (score,) = p.generate(1, seed=12, bars=4)
    values = [value for value, _ in tried]
    assert len(set(values)) > 1
    best = p.representation.decode(tried[int(np.argmin(values))][1])
    assert np.array_equal(notes(score.clip(2 * BAR, 4 * BAR)), notes(best))


def test_leaps_strange_notes_and_silence_fit_badly() -> None:
    p = pipeline()

    def fit(first: list[int], then: list[int]) -> float:
        return p._misfit(*(p.representation.encode(tune(x)) for x in (first, then)))

    scale = [60, 62, 64, 65, 67, 69, 71, 72] * 2
    near, far = [x + 12 for x in scale], [x + 24 for x in scale]
    assert fit(scale, near) < fit(scale, far)
    assert fit(scale, near) < fit(scale, [72, 73, 75, 76, 78, 79, 81, 82] * 2)
    assert fit(scale, near) < fit(scale, near[:4])  # the second bar is silent
    nothing = np.zeros(32, np.uint8)
    assert p._misfit(p.representation.encode(tune(scale)), nothing) > fit(scale, far)


@pytest.mark.parametrize(
    ("key", "tonic", "sharps", "minor"), [("D", 2, 2, False), ("Cm", 0, -3, True)]
)
def test_key_transposes_to_the_best_fit(key: str, tonic: int, sharps: int, minor: bool) -> None:
    plain = pipeline().generate(4, seed=3, bars=4)
    keyed = pipeline().generate(4, seed=3, bars=4, key=key)
    profile = np.roll(  # Krumhansl and Kessler 1982
        [6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17]
        if minor
        else [6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88],
        tonic,
    )
    for old, new in zip(plain, keyed, strict=True):
        shift = set((notes(new)[:, PITCH] - notes(old)[:, PITCH]).tolist())
        assert len(shift) == 1
        assert -6 <= shift.pop() <= 5
        assert new.keys == ((0, sharps, minor),)
        weight = np.bincount(notes(new)[:, PITCH] % 12, notes(new)[:, DURATION], 12)
        fit = [np.corrcoef(np.roll(weight, s), profile)[0, 1] for s in range(12)]
        assert fit[0] == pytest.approx(max(fit))


def test_unknown_styles_name_the_nearest() -> None:
    with pytest.raises(ModelError, match="no style 'walz', did you mean 'waltz'"):
        pipeline().generate(1, seed=0, style="walz")


def test_nothing_generated_is_an_error() -> None:
    silent = MusicVAEPipeline(pretrained.load(tiny.silent_bundle()))
    with pytest.raises(NothingGeneratedError, match="no notes"):
        silent.generate(2, seed=0, bars=4)


def test_a_model_without_styles_generates_from_the_normal_prior() -> None:
    bundle = tiny.bundle(unconditional=False, styles=(), shares=())
    p = MusicVAEPipeline(pretrained.load(bundle))
    assert p.styles == ()
    assert len(p.generate(2, seed=1, bars=4)) == 2
    with pytest.raises(ModelError, match="there are none"):
        p.generate(1, seed=1, style="waltz")


# interpolate


@pytest.mark.parametrize("steps", [2, 3, 7])
def test_interpolation_starts_at_a_and_ends_at_b_as_written(steps: int) -> None:
    made = pipeline().interpolate(B, A, steps=steps, seed=1)
    assert len(made) == steps
    assert np.array_equal(notes(made[0]), notes(B))
    looped = np.concatenate([notes(A), notes(A) + np.array([2 * BAR, 0, 0, 0])])
    assert np.array_equal(notes(made[-1]), looped)
    for score in made:
        assert score.end == 4 * BAR
        assert score.tracks[0].program == 40
        assert score.tracks[0].name == "Fiddle"


def test_ends_keep_what_a_step_of_16ths_cannot_hold() -> None:
    """Triplets, grace notes, dynamics and chords are the writer's."""
    rows = np.array([[0, 160, 60, 33], [160, 160, 64, 44], [320, 160, 67, 55], [490, 7, 71, 99]])
    rows = np.vstack([rows, [[960, 960, 48, 20], [960, 960, 60, 120]]])
    free = Score((Track(rows, 73, name="Flute"),))
    made = pipeline().interpolate(free, A, steps=3, seed=1, fit="pad")
    assert np.array_equal(notes(made[0]), free.tracks[0].notes)
    assert made[0].tracks[0] == free.tracks[0]


def test_the_way_between_is_the_slerp_of_the_means() -> None:
    p = pipeline()
    other = tune([55, 60, 64, 67] * 4, velocity=70)
    made = p.interpolate(A, other, steps=5, seed=2, pace="linear")
    x = np.stack([p.representation.encode(s) for s in (A, other)]).astype(np.int64)
    mean, _ = p.bundle.model.encode(torch.from_numpy(x))
    for i in (1, 2, 3):
        z = slerp(mean[0], mean[1], torch.tensor([i / 4]))
        y = p.bundle.model.decode(z, torch.Generator(), 0.0)[0].numpy()
        assert np.array_equal(
            notes(made[i])[:, :VELOCITY], notes(p.representation.decode(y))[:, :VELOCITY]
        )


def test_tempo_and_velocity_go_from_a_to_b() -> None:
    made = pipeline().interpolate(A, B, steps=5, seed=1)
    assert [s.tempos[0][1] for s in made] == pytest.approx([100, 110, 120, 130, 140])
    loud = [float(notes(s)[:, VELOCITY].mean()) for s in made if len(notes(s))]
    assert loud == pytest.approx([50, 60, 70, 80, 90])
    fixed = pipeline().interpolate(A, B, steps=3, seed=1, tempo=77)
    assert {s.tempos for s in fixed} == {((0, 77),)}


def test_shorter_melodies_are_looped_or_padded() -> None:
    said, say = heard()
    looped = pipeline().interpolate(A, B, steps=2, seed=1, fit="loop", names=("a", "b"), say=say)
    assert "a: 2 bars, repeated to make 4" in said
    assert len(notes(looped[0])) == 2 * len(notes(A))
    padded = pipeline().interpolate(A, B, steps=2, seed=1, fit="pad", names=("a", "b"), say=say)
    assert "a: 2 bars, followed by rests to make 4" in said
    assert np.array_equal(notes(padded[0]), notes(A))
    assert padded[0].end == 4 * BAR


@pytest.mark.parametrize("bars", [1, 2, 3, 8])
def test_bars_cut_or_lengthen_both_to_exactly_so_many(bars: int) -> None:
    made = pipeline().interpolate(A, B, steps=3, seed=1, bars=bars)
    assert {s.end for s in made} == {bars * BAR}
    assert np.array_equal(notes(made[-1])[:8], notes(B)[:8])


def test_key_moves_both_ends() -> None:
    made = pipeline().interpolate(A, B, steps=3, seed=1, key="Eb")
    scale = set((MAJOR + 3) % 12)
    for end, source in ((made[0], A), (made[-1], B)):
        assert set((notes(end)[:, PITCH] % 12).tolist()) == scale
        assert np.ptp(notes(end)[: len(notes(source)), PITCH]) == np.ptp(notes(source)[:, PITCH])
    assert {s.keys for s in made} == {((0, -3, False),)}


def test_silent_bars_before_are_left_out() -> None:
    late = tune([60, 62, 64, 65], start=3 * BAR)
    made = pipeline().interpolate(late, A, steps=2, seed=1, fit="pad")
    assert notes(made[0])[0, ONSET] == 0


def test_other_resolutions_mean_the_same() -> None:
    fine = A.resample(96)
    made, again = (pipeline().interpolate(s, B, steps=4, seed=1) for s in (A, fine))
    assert [to_bytes(s) for s in made] == [to_bytes(s) for s in again]


def test_the_asked_track_is_taken() -> None:
    two = Score((A.tracks[0], Track(notes(B), 0, name="Keys")))
    for choice in ("keys", "2", 2):
        made = pipeline().interpolate(two, A, steps=2, seed=1, tracks=(choice, None))
        assert np.array_equal(notes(made[0]), notes(B))
    with pytest.raises(InputError, match="no pitched track named 'Voice'; there are 1 'Fiddle'"):
        pipeline().interpolate(two, A, seed=1, tracks=("Voice", None))


def test_files_in_other_metres_are_refused_by_name() -> None:
    waltz = read(SAMPLES / "mutopia_satie_gymnopedie_no1.mid")
    with pytest.raises(InputError, match=r"^satie: is in 3/4, .*give music in 4/4") as error:
        pipeline().interpolate(A, waltz, seed=1, names=("mine", "satie"))
    assert "mine" not in str(error.value)
    with pytest.raises(InputError, match="3/4"):
        pipeline().reconstruct(waltz, seed=1)
    with pytest.raises(InputError, match="has no notes"):
        pipeline().reconstruct(Score(), seed=1)
    drums = Score((Track(notes(A), is_drum=True),))
    with pytest.raises(InputError, match="only drums"):
        pipeline().reconstruct(drums, seed=1)


@pytest.mark.parametrize("wrong", [{"steps": 1}, {"fit": "stretch"}, {"key": "H"}])
def test_wrong_arguments_are_value_errors(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"2 steps|'loop' or 'pad'|not a key"):
        pipeline().interpolate(A, B, seed=1, **wrong)


def test_seed_matters_only_with_temperature() -> None:
    cold = [pipeline().interpolate(A, B, steps=4, seed=s)[1:3] for s in (1, 2)]
    assert [s.tracks for s in cold[0]] == [s.tracks for s in cold[1]]
    warm = [pipeline().interpolate(A, B, steps=4, seed=s, temperature=1.5)[1:3] for s in (1, 2)]
    assert [s.tracks for s in warm[0]] != [s.tracks for s in warm[1]]


# reconstruct


def test_reconstruction_is_the_decoded_mean_and_says_how_much_is_right() -> None:
    p = pipeline()
    made, figures = p.reconstruct(B, seed=1)
    x = (
        p.representation.encode(B.clip(0, 2 * BAR)),
        p.representation.encode(B.clip(2 * BAR, 4 * BAR)),
    )
    x = np.stack(x).astype(np.int64)
    mean, _ = p.bundle.model.encode(torch.from_numpy(x))
    y = p.bundle.model.decode(mean, torch.Generator(), 0.0).numpy()
    assert figures["windows"] == pytest.approx((x == y).mean(axis=1), abs=1e-4)
    assert figures["accuracy"] == pytest.approx((x == y).mean(), abs=1e-4)
    assert figures["bars"] == 4
    assert made.end == 4 * BAR
    assert made.tempos == B.tempos
    want = p.representation.decode(y.reshape(-1))
    assert np.array_equal(notes(made)[:, :VELOCITY], notes(want)[:, :VELOCITY])


def test_the_shipped_model_gives_a_held_out_tune_back() -> None:
    made, figures = musegen.load().reconstruct(read(SAMPLES / "oneill_harvest_home.mid"), seed=1)
    assert figures["accuracy"] > 0.9
    assert len(made.tracks[0])


# recipes and timelines


def test_recipes_tell_how_to_make_it_again() -> None:
    p = pipeline()
    options = {"bars": 4, "temperature": 0.7, "style": "march", "tempo": 95.0, "key": "G"}
    score = p.generate(3, seed=5, **options)[1]
    recipe = dict(score.recipe)
    assert (recipe.pop("verb"), recipe.pop("model")) == ("generate", "tiny")
    assert recipe.pop("version") == musegen.__version__
    index = recipe.pop("index")
    assert to_bytes(p.generate(**recipe)[index]) == to_bytes(score)

    choice = {"tracks": ("Fiddle", None), "names": ("a", "b")}
    more = {"fit": "pad", "bars": 2, "tempo": 99.0, "key": "Am", "temperature": 0.5}
    score = p.interpolate(A, B, steps=4, seed=6, **choice, **more)[2]
    recipe = dict(score.recipe)
    assert recipe.pop("verb") == "interpolate"
    index, _, _ = recipe.pop("index"), recipe.pop("model"), recipe.pop("version")
    recipe["names"] = tuple(recipe.pop("inputs"))
    assert to_bytes(p.interpolate(A, B, **recipe)[index]) == to_bytes(score)

    score, _ = p.reconstruct(A, seed=8, temperature=0.9, track="1", name="a.mid")
    assert dict(score.recipe) == {
        "version": musegen.__version__,
        "verb": "reconstruct",
        "model": "tiny",
        "seed": 8,
        "temperature": 0.9,
        "inputs": ["a.mid"],
        "track": "1",
    }


def test_a_timeline_is_one_after_the_other_with_markers() -> None:
    made = pipeline().interpolate(A, B, steps=3, seed=1)
    joined = timeline(made, ["1/3", "2/3", "3/3"])
    assert joined.end == 12 * BAR
    assert joined.markers == ((0, "1/3"), (4 * BAR, "2/3"), (8 * BAR, "3/3"))
    assert joined.tempos == ((0, 100.0), (4 * BAR, 120.0), (8 * BAR, 140.0))
    for i, score in enumerate(made):
        part = joined.clip(i * 4 * BAR, (i + 1) * 4 * BAR)
        assert np.array_equal(notes(part), notes(score))
    assert "index" not in joined.recipe
    assert joined.recipe["steps"] == 3


def test_the_pipeline_names_its_model() -> None:
    assert repr(pipeline()) == "Pipeline('tiny')"
    assert pipeline().styles == ("march", "waltz")


def test_even_pace_changes_as_much_at_every_step() -> None:
    """The largest change from one melody to the next is smaller than with equal latent steps."""

    def changes(pace: str) -> np.ndarray:
        tunes = [
            read(SAMPLES / f"{n}.mid") for n in ("ryan_fishers_hornpipe", "oneill_swallows_tail")
        ]
        made = musegen.load().interpolate(*tunes, steps=6, seed=1, pace=pace, bars=8)
        x = np.stack([Melody(8).encode(s) for s in made])
        return (x[1:] != x[:-1]).sum(axis=1)

    even, linear = changes("even"), changes("linear")
    assert even.max() < linear.max()
    assert even.std() < linear.std()


def test_even_pace_between_equal_melodies_and_over_two_steps() -> None:
    made = pipeline().interpolate(A, A, steps=4, seed=1)
    assert len({notes(s).tobytes() for s in made[1:-1]}) == 1
    assert len(pipeline().interpolate(A, B, steps=2, seed=1)) == 2
    with pytest.raises(ValueError, match="pace must be"):
        pipeline().interpolate(A, B, seed=1, pace="fast")


# vary, blend, grid; drums and trios


@cache
def others(kind: str) -> MusicVAEPipeline:
    """Pipelines of small random models of drums and of trios."""
    made = {
        "drums": (Drums(2), {"vocab": (512,)}),
        "trio": (Trio(2), {"vocab": (90, 90, 512)}),
        "long": (Melody(4), LONG),
    }
    representation, more = made[kind]
    model = tiny.network(tiny.config(**more), spread=0.2)
    where = pretrained.save(tiny.FOLDER / f"tiny-{kind}", model, representation, tiny.INFO)
    return MusicVAEPipeline(pretrained.load(where))


LONG = {
    "steps": 64,
    "segments": 2,
    "conductor": (16,),
    "context": 32,
    "encode_segments": True,
    "recall": 1,
}
LOOP = Score(
    (
        Track([(480 * i, 60, 36 + 2 * (i % 2), 90) for i in range(8)], is_drum=True),
        Track([(960 * i, 900, 36 + i, 80) for i in range(4)], 33, name="Bass"),
        Track([(240 * i, 240, 60 + i, 80) for i in range(16)], 80, name="Lead"),
    )
)


@pytest.mark.parametrize("kind", ["drums", "trio", "long"])
def test_every_kind_has_every_verb(kind: str) -> None:
    p = others(kind)
    tracks = {"drums": 1, "trio": 3, "long": 1}[kind]
    made = p.generate(2, seed=1, bars=6)
    assert [len(s.tracks) for s in made] == [tracks] * 2
    assert {s.length for s in made} == {6 * BAR}
    steps = p.interpolate(LOOP, made[0], steps=3, seed=1)
    taken = {"drums": [0], "trio": [2, 1, 0], "long": [2]}[kind]
    for mine, theirs in zip(steps[0].tracks, (LOOP.tracks[i] for i in taken), strict=True):
        first = mine.notes[mine.notes[:, ONSET] < 2 * BAR]
        assert np.array_equal(first, theirs.notes)
    again, figures = p.reconstruct(LOOP, seed=1)
    assert again.length == 2 * BAR
    assert 0 <= figures["accuracy"] <= 1
    verbs = {"generate", "reconstruct", "interpolate", "grid", "vary", "blend"}
    assert set(p.verbs()) == verbs | ({"drumify"} if kind == "drums" else set())


def test_of_trios_those_are_taken_in_which_all_play_in_one_scale() -> None:
    """Candidates in which a voice is silent, or that clash, stand behind one of three voices."""
    p = others("trio")
    trio = Trio(2)
    scale = [(240 * i, 240, 60 + (0, 2, 4, 5, 7, 9, 11, 12)[i % 8], 80) for i in range(16)]
    melody = Track(scale, 80, name="Melody")
    bass = [(960 * i, 900, 36, 80) for i in range(4)]
    drums = Track([(480 * i, 60, 36, 90) for i in range(8)], is_drum=True)
    whole = Score((melody, Track(bass, 33, name="Bass"), drums))
    black = [(on, long, 37 + i, v) for i, (on, long, _, v) in enumerate(bass)]
    worse = [
        replace(whole, tracks=tracks)
        for tracks in (
            (melody, drums),
            (melody, Track(bass, 33, name="Bass")),
            (Track([], 80, name="Melody"), *whole.tracks[1:]),
            (melody, Track(black, 33, name="Bass"), drums),
            (melody, Track(bass[:1], 33, name="Bass"), drums),
        )
    ]
    for place in range(len(worse) + 1):
        tried = [*worse[:place], whole, *worse[place:]]
        drawn = np.stack([trio.encode(score)[None] for score in tried])
        assert p._best(drawn, None, None, 0).tolist() == [place]


def test_drums_are_wanted_where_drums_are_known() -> None:
    with pytest.raises(InputError, match="has no drums"):
        others("drums").reconstruct(A, seed=0)
    said, say = heard()
    others("drums").reconstruct(LOOP, seed=0, say=say)
    assert said == ["input: took the drums, left out 2 other tracks"]
    said, say = heard()
    others("trio").reconstruct(A, seed=0, say=say)
    assert said == ["input: has no bass and no drums"]


def test_variations_are_different_and_the_nearest_comes_first() -> None:
    p = pipeline()
    made = p.vary(A, 4, seed=3, amount=0.5)
    assert len({to_bytes(s) for s in made}) == 4
    original = Melody(4).encode(A)
    changes = [int((Melody(4).encode(s) != original).sum()) for s in made]
    assert changes == sorted(changes)
    assert changes[0] > 0
    assert {s.tracks[0].program for s in made} == {40}
    assert {s.tempos for s in made} == {A.tempos}
    assert {v for s in made for v in notes(s)[:, VELOCITY]} == {50}
    assert [to_bytes(s) for s in p.vary(A, 4, seed=3, amount=0.5)] == [to_bytes(s) for s in made]


def test_an_amount_of_0_is_the_reconstruction() -> None:
    p = pipeline()
    again, _ = p.reconstruct(A, seed=0)
    (made,) = p.vary(A, 1, seed=0, amount=0)
    assert np.array_equal(notes(made)[:, :3], notes(again)[:, :3])


def test_a_blend_has_ends_as_written_and_the_interpolation_between() -> None:
    p = pipeline()
    assert np.array_equal(notes(p.blend(B, A, seed=0, weight=0)), notes(B))
    longer = notes(p.blend(A, B, seed=0, weight=1))
    assert np.array_equal(longer, notes(B))
    middle = p.blend(A, B, seed=0, weight=0.5)
    walk = p.interpolate(A, B, steps=3, seed=0, pace="linear")
    assert np.array_equal(notes(middle)[:, :3], notes(walk[1])[:, :3])
    assert middle.tempos == ((0, 120.0),)
    with pytest.raises(ValueError, match="weight must be from 0 to 1"):
        p.blend(A, B, seed=0, weight=1.5)


def test_a_grid_has_its_corners_as_written() -> None:
    p = pipeline()
    made = p.grid((A, B, B, A), size=3, seed=0)
    assert len(made) == 9
    for place, corner in ((2, B), (6, B)):
        assert np.array_equal(notes(made[place]), notes(corner))
    assert np.array_equal(notes(made[0])[: len(A.tracks[0])], notes(A))
    side = p.interpolate(A, B, steps=3, seed=0, pace="linear")
    assert np.array_equal(notes(made[1])[:, :3], notes(side[1])[:, :3])
    with pytest.raises(ValueError, match="at least 2 rows"):
        p.grid((A, B, B, A), size=1, seed=0)


def test_what_a_family_lacks_is_said() -> None:
    with pytest.raises(ModelError, match="tiny cannot continue, it can generate, recon"):
        pipeline().continue_(A)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = pipeline().nonsense
