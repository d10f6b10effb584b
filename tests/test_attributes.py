"""Attributes on melodies whose values are known; vectors on latents that are the attributes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musegen.attributes import ATTRIBUTES, vectors
from musegen.representations.events import FIRST_ONSET, LOWEST


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


def test_vectors_point_from_little_to_much() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 90, (400, 32)).astype(np.uint8)
    x[rng.random(x.shape) < rng.random((400, 1))] = 0
    z = np.stack([attribute(x) for attribute in ATTRIBUTES.values()], axis=1)
    for i, vector in enumerate(vectors(z, x).values()):
        assert vector[i] > z[:, i].std()


def test_vectors_leave_the_other_attributes_alone() -> None:
    """Latents that mix the attributes: each vector is a step in its own only."""
    rng = np.random.default_rng(1)
    x = rng.integers(0, 90, (400, 32)).astype(np.uint8)
    x[rng.random(x.shape) < rng.random((400, 1))] = 0
    much = np.stack([attribute(x) for attribute in ATTRIBUTES.values()], axis=1)
    mix = rng.normal(size=(5, 12))
    found = np.stack(list(vectors(much @ mix, x).values()))
    back = found @ np.linalg.pinv(mix)
    assert np.allclose(back, np.diag(np.diag(back)), atol=1e-8)
    assert (np.diag(back) > much.std(0)).all()


def test_an_attribute_that_never_changes_moves_nothing() -> None:
    x = np.zeros((8, 32), np.uint8)
    z = np.random.default_rng(0).normal(size=(8, 3))
    assert not any(vector.any() for vector in vectors(z, x).values())
