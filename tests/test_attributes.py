"""Attributes on melodies whose values are known; vectors on latents that are the attributes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import musegen
from musegen.attributes import ATTRIBUTES, DRUMS, vectors
from musegen.representations.events import FIRST_ONSET, LOWEST
from musegen.score import Score


def melody(**notes: int) -> np.ndarray:
    """32 steps with pitches at steps, as s4=60."""
    x = np.zeros((1, 32), np.uint8)
    for step, pitch in notes.items():
        x[0, int(step[1:])] = pitch - LOWEST + FIRST_ONSET
    return x


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (melody(), (1, 0, 0, 0, 0)),
        (melody(s0=60, s4=66, s8=64, s12=61), (0.5, 4 / 32, 11 / 3, 0, 0)),
        (melody(s1=60), (1, 1 / 32, 0, 1 / 16, 0)),
        (melody(s1=60, s2=60), (1, 2 / 32, 0, 0, 1 / 8)),
        (melody(s2=60, s4=72), (1, 2 / 32, 12, 0, 0)),
        (melody(s31=60, s30=60), (1, 2 / 32, 0, 1 / 16, 1 / 8)),
    ],
)
def test_values_that_are_known(x: np.ndarray, expected: tuple[float, ...]) -> None:
    found = [float(attribute(x)[0]) for attribute in ATTRIBUTES.values()]
    assert found == pytest.approx(expected)


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_each_melody_counts_for_itself(n: int, seed: int) -> None:
    x = np.random.default_rng(seed).integers(0, 90, (n, 32)).astype(np.uint8)
    x[np.random.default_rng(seed + 1).random(x.shape) < 0.6] = 0
    for attribute in ATTRIBUTES.values():
        assert attribute(x) == pytest.approx([float(attribute(row[None])[0]) for row in x])


def random_melodies(seed: int) -> np.ndarray:
    """400 melodies of 32 steps, some busy, some not."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 90, (400, 32)).astype(np.uint8)
    x[rng.random(x.shape) < rng.random((400, 1))] = 0
    return x


def test_vectors_point_to_more_and_are_equally_long() -> None:
    x = random_melodies(0)
    much = np.stack([attribute(x) for attribute in ATTRIBUTES.values()], axis=1)
    z = (much - much.mean(0)) / much.std(0)
    found = np.stack(list(vectors(z, x).values()))
    # 0.4 of the distance of two of them, which vary by 1 in each of 5 directions
    assert np.linalg.norm(found, axis=1) == pytest.approx(0.4 * np.sqrt(2 * 5))
    assert (np.diag(found) > 0.9).all()


def test_vectors_leave_the_other_attributes_alone() -> None:
    """Latents that mix the attributes: each vector is a step in its own only."""
    x = random_melodies(1)
    much = np.stack([attribute(x) for attribute in ATTRIBUTES.values()], axis=1)
    mix = np.random.default_rng(1).normal(size=(5, 12))
    found = np.stack(list(vectors(much @ mix, x).values()))
    back = found @ np.linalg.pinv(mix)
    assert np.allclose(back, np.diag(np.diag(back)), atol=1e-8)
    assert (np.diag(back) > 0).all()


def test_an_attribute_that_never_changes_moves_nothing() -> None:
    x = np.zeros((8, 32), np.uint8)
    z = np.random.default_rng(0).normal(size=(8, 3))
    assert not any(vector.any() for vector in vectors(z, x).values())


def test_loops_are_as_dense_as_they_have_hits() -> None:
    """Bass drum on the beats, and once a snare off the second eighth with nothing after it."""
    x = np.zeros((1, 32), np.uint16)
    x[0, ::4], x[0, 6], x[0, 8] = 1, 2, 0
    found = {name: float(attribute(x)[0]) for name, attribute in DRUMS.items()}
    assert found == {"density": 8 / 32, "syncopation-16": 0, "syncopation-8": 1 / 8}
    x[0, 6] = 0b11010
    assert float(DRUMS["density"](x)[0]) == 10 / 32


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_the_default_model_gives_more_of_what_is_asked_for_and_less(name: str) -> None:
    """Means of 32 variations of eight melodies that it made, of 1.5 and of -1 at most."""
    pipeline = musegen.load("melody-2bar")
    count = ATTRIBUTES[name]

    def much(scores: list[Score]) -> float:
        line = pipeline.representation
        return float(count(np.stack([line.encode(score) for score in scores])).mean())

    tunes = pipeline.generate(8, seed=5)
    kept, more, less = (
        much([v for tune in tunes for v in pipeline.vary(tune, 4, seed=1, attributes={name: by})])
        for by in (0.0, 1.5, -1.0)
    )
    assert less < kept < more
