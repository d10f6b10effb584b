"""Statistics against scipy, muspy and closed forms."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate
from scipy.spatial.distance import cdist
from scipy.stats import entropy, gaussian_kde, norm
from strategies import rows

from musegen import metrics, midi
from musegen.representations.events import Melody, monophonic
from musegen.score import PITCH

window = st.one_of(rows(last=31, longest=16), rows(last=31, longest=16, fewest=1)).map(
    lambda r: monophonic(np.array(r, np.int64).reshape(-1, 4))
)


@given(window)
def test_pitch_class_entropy_is_scipys(notes: np.ndarray) -> None:
    value = metrics.pitch_class_entropy(notes)
    if not len(notes):
        assert value.tolist() == []
        return
    counts = [sum(p % 12 == c for p in notes[:, PITCH].tolist()) for c in range(12)]
    assert value == pytest.approx([entropy(counts, base=2)])


def test_muspy_agrees_on_entropy_and_scales() -> None:
    import muspy

    generator = np.random.default_rng(0)
    for n in (1, 2, 7, 30):
        for _ in range(8):
            pitches = generator.integers(40, 90, n)
            notes = np.column_stack([np.arange(n), np.ones(n), pitches, np.full(n, 80)]).astype(int)
            track = muspy.Track(notes=[muspy.Note(int(i), int(p), 1) for i, _, p, _ in notes])
            music = muspy.Music(tracks=[track])
            assert metrics.pitch_class_entropy(notes) == pytest.approx(
                [muspy.pitch_class_entropy(music)]
            )
            assert metrics.scale_consistency(notes) == pytest.approx(
                [muspy.scale_consistency(music)]
            )
            rate = muspy.pitch_in_scale_rate(music, 0, "major")
            assert metrics.scale_consistency(notes)[0] >= rate - 1e-12


@given(window)
def test_features_by_hand(notes: np.ndarray) -> None:
    listed = notes.tolist()
    assert metrics.notes_per_bar(notes).tolist() == [
        sum(r[0] // 16 == bar for r in listed) for bar in (0, 1)
    ]
    assert metrics.pitches(notes).tolist() == [r[2] for r in listed]
    assert metrics.durations(notes).tolist() == [r[1] for r in listed]
    pairs = list(pairwise(listed))
    assert metrics.intervals(notes).tolist() == [b[2] - a[2] for a, b in pairs]
    assert metrics.inter_onsets(notes).tolist() == [b[0] - a[0] for a, b in pairs]


def test_features_of_a_set_are_those_of_its_windows() -> None:
    one = np.array([[0, 4, 60, 80], [4, 4, 64, 80]])
    two = np.array([[16, 4, 62, 80]])
    found = metrics.features([one, two])
    assert set(found) == set(metrics.FEATURES)
    assert found["notes per bar"].tolist() == [2, 0, 0, 1]
    assert found["pitch"].tolist() == [60, 64, 62]
    assert found["scale consistency"].tolist() == [1, 1]
    assert all(len(v) == 0 for v in metrics.features([]).values())


@given(st.lists(st.floats(-50, 50), min_size=1), st.sampled_from(list(metrics.FEATURES)))
def test_a_set_overlaps_itself_wholly(values: list, name: str) -> None:
    a = np.array(values)
    assert metrics.overlapping_area(a, a, metrics.bins(name)) == pytest.approx(1)
    assert metrics.overlapping_area(a, np.repeat(a, 3), metrics.bins(name)) == pytest.approx(1)


def test_disjoint_and_empty_sets_share_nothing() -> None:
    bins = metrics.bins("pitch")
    a, b, none = np.full(9, 60.0), np.full(4, 61.0), np.zeros(0)
    assert metrics.overlapping_area(a, b, bins) == 0
    assert metrics.overlapping_area(a, none, bins) == 0
    assert metrics.overlapping_area(none, none, bins) == 0


def test_the_area_of_known_histograms() -> None:
    a = np.array([60, 60, 60, 62.0])  # 3/4, 0, 1/4
    b = np.array([60, 61, 61, 62, 62.0])  # 1/5, 2/5, 2/5
    expected = 1 / 5 + 0 + 1 / 4
    assert metrics.overlapping_area(a, b, metrics.bins("pitch")) == pytest.approx(expected)
    assert metrics.overlapping_area(b, a, metrics.bins("pitch")) == pytest.approx(expected)
    outside = np.array([0.0, 500.0])  # counted at the edges
    edges = np.array([21.0, 108.0])
    assert metrics.overlapping_area(outside, edges, metrics.bins("pitch")) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("notes per bar", 0, 16),
        ("pitch", 21, 108),
        ("interval", -24, 24),
        ("duration", 1, 32),
        ("inter-onset", 1, 32),
    ],
)
def test_each_count_has_a_bin_of_its_own(name: str, low: int, high: int) -> None:
    counts = np.histogram(np.arange(low, high + 1), metrics.bins(name))[0]
    assert counts.tolist() == [1] * (high - low + 1)


def test_bins_of_shares_and_entropy_hold_all_values() -> None:
    top = {"pitch-class entropy": np.log2(12), "scale consistency": 1.0}
    assert set(top) < set(metrics.FEATURES)
    for name, most in top.items():
        bins = metrics.bins(name)
        assert np.histogram([0, most], bins)[0].sum() == 2


def test_overlaps_of_sets() -> None:
    one = metrics.features([np.array([[0, 4, 60, 80], [4, 4, 64, 80]])])
    two = metrics.features([np.array([[0, 4, 61, 80], [4, 4, 65, 80]])])
    found = metrics.overlaps(one, two)
    assert found["pitch"] == 0
    others = [v for name, v in found.items() if name != "pitch"]
    assert others == pytest.approx([1] * 6)


def test_divergences_are_scipys_of_counts_and_a_half() -> None:
    bins = np.arange(-0.5, 4.5)
    a, b = np.array([0, 0, 1, 3.0]), np.array([1, 1, 1, 9.0])  # 9 is counted at the edge
    p, q = [2.5, 1.5, 0.5, 1.5], [0.5, 3.5, 0.5, 1.5]
    assert metrics.kl_divergence(a, b, bins) == pytest.approx(entropy(p, q))
    assert metrics.kl_divergence(b, a, bins) == pytest.approx(entropy(q, p))
    assert metrics.kl_divergence(a, a, bins) == 0
    assert np.isnan(metrics.kl_divergence(a, np.zeros(0), bins))
    one = metrics.features([np.array([[0, 4, 60, 80], [4, 4, 64, 80]])])
    two = metrics.features([np.array([[0, 4, 61, 80], [4, 4, 65, 80]])])
    found = metrics.divergences(one, two)
    assert {name for name, value in found.items() if value > 0} == {"pitch"}


@given(st.lists(window, min_size=1, max_size=6), st.integers(0, 9))
def test_shuffling_keeps_the_symbols_of_each_step(many: list, seed: int) -> None:
    for w in many:
        w[:, PITCH] = np.clip(w[:, PITCH], 21, 108)
    mixed = metrics.shuffled(many, np.random.default_rng(seed))
    assert len(mixed) == len(many)
    onsets = sorted((r[0], r[2]) for w in many for r in w.tolist())
    assert sorted((r[0], r[2]) for w in mixed for r in w.tolist()) == onsets
    assert all(np.array_equal(monophonic(w), w) for w in mixed)
    assert Melody().encode_steps(mixed[0]).shape == (32,)


def test_voices_are_muspys_polyphony() -> None:
    import muspy

    for notes in (
        [[0, 4, 60, 80], [0, 2, 64, 80], [10, 3, 67, 80]],
        [[2, 9, 60, 80], [3, 1, 50, 80], [5, 9, 51, 80], [6, 2, 52, 80], [20, 1, 60, 80]],
    ):
        listed = [muspy.Note(t, p, d) for t, d, p, _ in notes]
        piece = muspy.Music(tracks=[muspy.Track(notes=listed)])
        assert metrics.voices(np.array(notes)) == pytest.approx(muspy.polyphony(piece))
    assert np.isnan(metrics.voices(np.zeros((0, 4), int)))


# C-RNN-GAN's statistics.


def tune(*pitches: int, onsets: list[int] | None = None) -> np.ndarray:
    onsets = list(range(len(pitches))) if onsets is None else onsets
    return np.array([[t, 1, p, 80] for t, p in zip(onsets, pitches, strict=True)])


def test_scales_in_any_key() -> None:
    d_major = tune(62, 64, 66, 67, 69, 71, 73)
    assert metrics.scale_consistency(d_major) == [1]
    # From D upwards: all but C sharp, which lies below D within its octave.
    assert metrics.scale_consistency(d_major, paper=True) == pytest.approx([6 / 7])
    a_minor = tune(57, 59, 60, 62, 64, 65, 68)  # harmonic
    assert metrics.scale_consistency(a_minor) == pytest.approx([6 / 7])
    assert metrics.scale_consistency(a_minor, ["natural minor"]) == pytest.approx([6 / 7])
    assert metrics.scale_consistency(a_minor, metrics.SCALES) == [1]
    chromatic = tune(*range(60, 72))
    assert metrics.scale_consistency(chromatic, metrics.SCALES) == pytest.approx([7 / 12])
    assert metrics.scale_consistency(chromatic, metrics.SCALES, paper=True) == [7 / 12]  # C
    b = tune(71, 73, 75)
    assert metrics.scale_consistency(b, ["major"]) == [1]
    assert metrics.scale_consistency(b, ["major"], paper=True) == pytest.approx([2 / 3])


@given(st.lists(st.integers(0, 127), min_size=1, max_size=20), st.integers(-5, 6))
def test_scale_consistency_knows_no_key(pitches: list[int], semitones: int) -> None:
    low = [p % 100 + 10 for p in pitches]
    found = metrics.scale_consistency(tune(*low), metrics.SCALES)
    moved = metrics.scale_consistency(tune(*(p + semitones for p in low)), metrics.SCALES)
    assert found == moved
    paper = metrics.scale_consistency(tune(*low), metrics.SCALES, paper=True)
    in_c = max(sum(p % 12 in scale for p in low) / len(low) for scale in metrics.SCALES.values())
    assert in_c - 1e-12 <= paper[0] <= found[0]


@pytest.mark.parametrize(
    ("onsets", "right", "paper"),
    [
        ([0], 0, 0),
        ([0, 4, 8], 0, 0),
        ([0, 0, 4], 2 / 3, 2 / 4),  # one, two; two, one
        ([0, 4, 4], 2 / 3, 1 / 4),  # one; one, one, two
        ([0, 0, 0, 8, 8], 1, 4 / 6),  # one, two, three; three, one, two
        ([4, 0, 4], 2 / 3, 1 / 4),  # in any order
    ],
)
def test_polyphony(onsets: list[int], right: float, paper: float) -> None:
    notes = tune(*range(60, 60 + len(onsets)), onsets=onsets)
    assert metrics.polyphony(notes) == pytest.approx(right)
    assert metrics.polyphony(notes, paper=True) == pytest.approx(paper)
    assert np.isnan(metrics.polyphony(notes[:0]))


def test_repetitions() -> None:
    a, b, c = 60, 62, 64
    assert metrics.repetitions(tune(a, b, c, a, b, c)) == 1
    assert metrics.repetitions(tune(a, b, c, a, b, c, a, b, c)) == 3 + 1 + 1  # abc, bca, cab
    assert metrics.repetitions(tune(a, a, a, a, a, a)) == 1  # the others overlap
    assert metrics.repetitions(tune(a, b, a, b), 2) == 1
    assert metrics.repetitions(tune(a, b, a), 2) == 0
    assert metrics.repetitions(tune(a, b, a, b, a, b, c, c), paper=True) == 0
    eight = tune(a, b, c, a, b, c, 50, 51)
    assert (metrics.repetitions(eight), metrics.repetitions(eight, paper=True)) == (1, 1)
    late = tune(50, 51, a, b, c, a, b, c)
    assert (metrics.repetitions(late), metrics.repetitions(late, paper=True)) == (1, 0)
    assert metrics.repetitions(eight[:7], paper=True) == 0  # too short for the code to look


@given(st.lists(st.integers(60, 62), max_size=25), st.integers(1, 4))
def test_repetitions_by_looking_at_all_pairs(pitches: list[int], length: int) -> None:
    last = len(pitches) - length + 1
    pairs = [
        (i, j)
        for i in range(last)
        for j in range(i + length, last)
        if pitches[i : i + length] == pitches[j : j + length]
    ]
    notes = np.array([[t, 1, p, 80] for t, p in enumerate(pitches)]).reshape(-1, 4)
    assert metrics.repetitions(notes, length) == len(pairs)


def test_tone_statistics() -> None:
    onsets = [0, 0, 4, 8, 12, 16, 20, 24]
    notes = tune(60, 64, 66, 60, 64, 66, 60, 67, onsets=onsets)
    notes[:5, 3] = 50, 90, 70, 70, 49
    found = metrics.tone_statistics(notes)
    assert found == {
        "polyphony": 2 / 8,
        "scale consistency": 1.0,  # G major
        "3-tone repetitions": 2,  # 60 64 66 and 64 66 60
        "tone span": 7,
        "unique tones": 4,
        "intensity span": 41,
    }
    assert json.loads(json.dumps(found)) == found
    paper = metrics.tone_statistics(notes, paper=True)
    assert paper["polyphony"] == pytest.approx(2 / (8 + 7 - 1))
    assert paper["scale consistency"] == pytest.approx(6 / 8)  # C major without F sharp
    assert paper["3-tone repetitions"] == 2


# Yang and Lerch.


def test_descriptors_by_hand() -> None:
    notes = np.array([[0, 4, 60, 80], [4, 8, 72, 80], [12, 1, 61, 80], [16, 16, 60, 80]])
    found = metrics.describe(notes)
    assert {k: len(v) for k, v in found.items()} == {
        "pitch count": 1,
        "pitch range": 1,
        "pitch-class histogram": 12,
        "pitch-class transitions": 144,
        "mean interval": 1,
        "note count": 1,
        "mean inter-onset": 1,
        "note-length histogram": 12,
        "note-length transitions": 144,
    }
    numbers = {k: v.tolist() for k, v in found.items() if len(v) == 1}
    assert numbers == {
        "pitch count": [3],
        "pitch range": [12],
        "mean interval": [(12 + 11 + 1) / 3],
        "note count": [4],
        "mean inter-onset": [16 / 3],
    }
    assert found["pitch-class histogram"].tolist() == [28 / 29, 1 / 29] + [0] * 10
    follows = found["pitch-class transitions"].reshape(12, 12)
    assert {(i, j): follows[i, j] for i, j in np.argwhere(follows)} == {
        (0, 0): 1,
        (0, 1): 1,
        (1, 0): 1,
    }
    whole, half, quarter, sixteenth = 0, 1, 2, 4
    lengths = found["note-length histogram"]
    assert np.flatnonzero(lengths).tolist() == [whole, half, quarter, sixteenth]
    then = found["note-length transitions"].reshape(12, 12)
    assert np.argwhere(then).tolist() == [[half, sixteenth], [quarter, half], [sixteenth, whole]]
    none = metrics.describe(notes[:0])
    assert all((v == 0).all() for v in none.values())
    assert {k: v.shape for k, v in none.items()} == {k: v.shape for k, v in found.items()}


@pytest.mark.parametrize(
    ("duration", "name"), [(6, 6), (3, 7), (12, 5), (2, 3), (1, 4), (40, 0), (1.5, 8)]
)
def test_lengths_go_to_the_nearest_class(duration: float, name: int) -> None:
    notes = np.array([[0, duration * 6, 60, 80]]).astype(int)
    assert metrics.describe(notes, 96)["note-length histogram"][name] == 1
    dotted = metrics.describe(np.array([[0, 3, 60, 80]]))["note-length histogram"]
    assert dotted[7] == 1  # three sixteenths


def test_muspy_agrees_on_pitches() -> None:
    import muspy

    generator = np.random.default_rng(5)
    notes = np.column_stack([np.arange(20), np.ones(20), generator.integers(40, 80, (20, 2))])
    notes = notes.astype(int)
    piece = muspy.Music(tracks=[muspy.Track(notes=[muspy.Note(t, p, d) for t, d, p, _ in notes])])
    found = metrics.describe(notes)
    assert found["pitch count"] == muspy.n_pitches_used(piece)
    assert found["pitch range"] == muspy.pitch_range(piece)


def test_distances_are_scipys() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.random((5, 3)), generator.random((4, 3))
    assert metrics.distances(a, b) == pytest.approx(cdist(a, b).ravel())
    inside = [cdist(a, a)[i, j] for i in range(5) for j in range(5) if i != j]
    assert sorted(metrics.distances(a)) == pytest.approx(sorted(inside))


@given(st.lists(st.integers(0, 9), min_size=2, max_size=30).filter(lambda v: len(set(v)) > 1))
def test_kernel_density_is_scipys(values: list[int]) -> None:
    at = np.linspace(-3, 12, 50)
    expected = gaussian_kde(values)(at)
    assert metrics.kernel_density(np.array(values, float), at) == pytest.approx(expected)


def test_one_value_has_no_density() -> None:
    with pytest.raises(ValueError, match="two different values"):
        metrics.kernel_density(np.ones(5), np.ones(1))


@pytest.mark.parametrize("d", [1, 12])
def test_relative_measures_are_those_of_their_definition(d: int) -> None:
    generator = np.random.default_rng(d)
    a, b = generator.normal(0, 1, (12, d)), generator.normal(0.7, 1.5, (9, d))
    divergence, area = metrics.relative_measures(a, b)
    within = np.array([np.linalg.norm(x - y) for x in a for y in a if x is not y])
    within = within[within > 0]
    between = cdist(a, b).ravel()
    p, q = gaussian_kde(within), gaussian_kde(between)
    low, high = min(within.min(), between.min()), max(within.max(), between.max())
    fine = np.linspace(low, high, 20_001)
    expected = integrate.simpson(np.minimum(p(fine), q(fine)), x=fine)
    assert area == pytest.approx(expected, abs=2e-4)
    grid = np.linspace(low, high, 1000)
    assert divergence == pytest.approx(entropy(p(grid), q(grid)))
    published = metrics.relative_measures(a, b, paper=True)
    ranges = [np.linspace(v.min(), v.max(), 1000) for v in (within, between)]
    assert published[0] == pytest.approx(entropy(p(ranges[0]), q(ranges[1])))
    assert published[1] == area


def test_relative_measures_tell_like_from_unlike() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(0, 1, (2, 60, 4))
    near, far = metrics.relative_measures(a, b), metrics.relative_measures(a, b + 9)
    assert near[0] < 0.05
    assert near[1] > 0.85
    assert far[0] > 3
    assert far[1] < 0.05
    ones = np.ones((4, 1))
    assert metrics.relative_measures(ones, ones) == (0, 1)
    assert metrics.relative_measures(ones, ones + 1) == (np.inf, 0)


# A piece with itself.


def test_frame_overlaps_by_hand() -> None:
    # Windows of one bar: pitches 60, 62 (mean 61, deviation 1), then 63, 65 (64, 1).
    notes = np.array([[0, 2, 60, 80], [8, 2, 62, 80], [16, 2, 63, 80], [31, 2, 65, 80]])
    pitch, duration = metrics.frame_overlaps(notes, 2, width=1, hop=1)
    assert pitch == pytest.approx(2 * norm.cdf(-1.5), abs=1e-5)  # they cross half-way, at 62.5
    assert duration == pytest.approx(1)
    three = metrics.frame_overlaps(notes, 3, width=1, hop=1)  # then silence
    assert three == pytest.approx([pitch / 2, 1 / 2])
    four = metrics.frame_overlaps(notes, 4, width=1, hop=1)  # silence is like silence
    assert four == pytest.approx([(pitch + 1) / 3, 2 / 3])
    assert metrics.frame_overlaps(notes[:0], 3, width=1, hop=1).tolist() == [1, 1]
    assert np.isnan(metrics.frame_overlaps(notes, 1, width=1, hop=1)).all()


def test_frames_are_four_bars_two_bars_apart() -> None:
    generator = np.random.default_rng(0)
    onsets = np.sort(generator.integers(0, 9 * 16, 40))
    notes = np.column_stack([onsets, *generator.integers(1, 60, (2, 40)), onsets + 1])
    first, second, third = (notes[(notes[:, 0] >= s) & (notes[:, 0] < s + 64)] for s in (0, 32, 64))
    expected = []
    for column in (2, 1):
        for a, b in ((first, second), (second, third)):
            x, y = (norm(w[:, column].mean(), w[:, column].std() + 1e-6) for w in (a, b))
            grid = np.linspace(-200, 300, 100_001)
            expected.append(np.minimum(x.pdf(grid), y.pdf(grid)).sum() * (grid[1] - grid[0]))
    found = metrics.frame_overlaps(notes, 9)  # windows at bars 1, 3, 5
    assert found[0] == pytest.approx(np.mean(expected[:2]), abs=1e-4)
    assert found[1] == pytest.approx(np.mean(expected[2:]), abs=1e-4)
    assert metrics.frame_overlaps(notes, 8) == pytest.approx(found)
    assert metrics.frame_overlaps(notes, 7) != pytest.approx(found)


def test_consistency_and_variance() -> None:
    real = np.array([[0.8, 0.5], [0.6, 0.7], [np.nan, 0.1]])
    made = np.array([[0.5, 0.6], [0.2, 0.6], [0.2, 0.6]])
    consistency, variance = metrics.self_similarity_scores(made, real)
    assert consistency == pytest.approx([1 - 0.4 / 0.7, 1])
    assert variance == pytest.approx([0, 0])  # 0.02 for 0.01; 0 for 0.01
    narrow = np.array([[0.75, 0.6], [0.65, 0.6]])
    assert metrics.self_similarity_scores(narrow, real)[1] == pytest.approx([0.25, 0])
    same = metrics.self_similarity_scores(real, real)
    assert same[0].tolist() == same[1].tolist() == [1, 1]
    far = metrics.self_similarity_scores(made * 9, real)
    assert far[0].tolist() == [0, 0]
    assert np.isnan(metrics.self_similarity_scores(real[:1], real[:1])[1]).all()


def test_real_music_is_more_like_itself_than_random_notes(samples: Path) -> None:
    notes = np.array(midi.read(samples / "mutopia_maple_leaf_rag.mid").resample(4).tracks[0].notes)
    real = metrics.tone_statistics(notes)
    assert metrics.frame_overlaps(notes, 72).min() > 0.5
    notes[:, PITCH] = np.random.default_rng(0).integers(60, 92, len(notes))
    random = metrics.tone_statistics(notes)
    assert real["scale consistency"] > random["scale consistency"] + 0.1
    assert real["3-tone repetitions"] > 10 * random["3-tone repetitions"]
    assert real["polyphony"] == random["polyphony"]
