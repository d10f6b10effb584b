"""Features of drum loops and trios, on bars whose values are known."""

from __future__ import annotations

import numpy as np

from musegen.evaluate.features import DRUM_FEATURES, HARMONY, edges, features, overlaps, shuffled
from musegen.representations.drums import Drums
from musegen.representations.events import FIRST_ONSET, LOWEST
from musegen.representations.trio import Trio

KICK, SNARE, HAT, RIDE = 1 << 0, 1 << 1, 1 << 2, 1 << 8


def note(pitch: int) -> int:
    return pitch - LOWEST + FIRST_ONSET


def beat(bars: int = 2) -> np.ndarray:
    """Kick on 1 and 3, snare on 2 and 4, hats on eighths, one ride at the end."""
    x = np.zeros((1, 16 * bars), np.uint16)
    x[:, ::8] |= KICK
    x[:, 4::8] |= SNARE
    x[:, ::2] |= HAT
    x[:, -1] |= RIDE
    return x


def test_drums_are_counted_by_bar_by_step_and_by_place() -> None:
    found = features(beat(), Drums(2))
    assert tuple(found) == DRUM_FEATURES
    assert found["hits per bar"].tolist() == [12, 13]
    assert found["drums per bar"].tolist() == [3, 4]
    assert np.bincount(found["drums together"].astype(int)).tolist() == [0, 9, 8]
    assert found["kick"].tolist() == [0, 8] * 2
    assert found["snare"].tolist() == [4, 12] * 2
    assert found["hats"].tolist() == [*range(0, 16, 2), *range(0, 16, 2), 15]


def test_a_trio_has_features_of_each_voice_and_of_melody_above_bass() -> None:
    x = np.zeros((1, 3, 64), np.uint16)
    x[0, 0, [0, 8, 16]] = note(72), note(64), note(71)
    x[0, 1, [4, 12]] = note(36), note(43)
    x[0, 2] = beat(4)[0]
    found = features(x, Trio(4))
    assert found["melody pitch"].tolist() == [72, 64, 71]
    assert found["bass interval"].tolist() == [7]
    assert found[HARMONY].tolist() == [4, 4]  # E above C, B above G; the first C has no bass yet
    assert found["kick"].tolist() == [0, 8] * 4
    assert {area for name, area in overlaps(found, found).items() if len(found[name])} == {1.0}
    inside = [((v >= edges(n)[0]) & (v <= edges(n)[-1])).all() for n, v in _drums(found)]
    assert inside == [True] * (len(DRUM_FEATURES) + 1)


def _drums(found: dict[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    return [(name, found[name]) for name in (*DRUM_FEATURES, HARMONY)]


def test_shuffling_keeps_each_step_and_voice() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 90, (50, 3, 16)).astype(np.uint16)
    made = shuffled(x, np.random.default_rng(1))
    assert np.array_equal(np.sort(made, axis=0), np.sort(x, axis=0))
    assert not np.array_equal(made, x)
