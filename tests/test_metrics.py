"""Statistics against scipy, muspy and closed forms."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy
from strategies import rows

from musegen import metrics
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
