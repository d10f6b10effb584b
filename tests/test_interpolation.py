"""Figure 3: the n-gram model counts what it should, and the curves mean what they say."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import tiny

from musegen import pretrained
from musegen.errors import InputError, ModelError
from musegen.evaluate.interpolation import MIXED, measure, mix, pairs
from musegen.metrics.ngram import NGram
from musegen.representations.trio import Trio


def test_ngrams_are_probabilities_after_seen_and_unseen_contexts() -> None:
    rng = np.random.default_rng(0)
    for order in (1, 2, 3, 5):
        counted = NGram(rng.integers(0, 3, (6, 9)), 4, order)
        for start in product(range(4), repeat=2):  # 3 is never seen
            every = np.array([[*start, last] for last in range(4)])
            before = counted.cost(every[:1, :2])[0] * 2
            p = np.exp(-(counted.cost(every) * 3 - before))
            assert p.sum() == pytest.approx(1)
            assert (p > 0).all()


def test_bigrams_by_hand() -> None:
    """Of a b, a b, a a: after the start a (3 times); after a: b twice, a once."""
    counted = NGram(np.array([[0, 1], [0, 1], [0, 0]]), 2, 2)
    # Three kinds of bigrams, (start a), (a b), (a a), with 3, 2, 1: n1 = 1, n2 = 1, discount 1/3.
    # Single symbols continue: a in two contexts, b in one: n1 = n2 = 1, discount 1/3.
    one = 1 / 3
    b = ((1 - one) + one * 2 * (1 / 2)) / 3
    a = ((2 - one) + one * 2 * (1 / 2)) / 3
    assert a + b == pytest.approx(1)
    start_a = ((3 - one) + one * 1 * a) / 3
    after_a_b = ((2 - one) + one * 2 * b) / 3
    cost = counted.cost(np.array([[0, 1]]))[0]
    assert cost == pytest.approx(-(math.log(start_a) + math.log(after_a_b)) / 2)


def test_the_order_of_symbols_matters_to_ngrams() -> None:
    data = tiny.windows("train")
    x = data.encode(np.arange(len(data)))
    counted = NGram(x, 90)
    shuffled = np.random.default_rng(0).permuted(x, axis=1)
    assert counted.cost(x).mean() < 0.5 * counted.cost(shuffled).mean()


def test_too_many_symbols_are_refused() -> None:
    with pytest.raises(ValueError, match="63 bits"):
        NGram(np.zeros((1, 4), int), 100_000, 4)


def test_curves_of_a_model_and_of_mixing() -> None:
    bundle = pretrained.load(tiny.bundle())
    held_out, training = tiny.windows("test"), tiny.windows("train")
    found = measure(bundle, held_out, training, n=8, seed=1, points=5)
    curves = found.numbers["curves"]
    assert list(curves) == [bundle.name, MIXED]
    for row in curves.values():
        assert row["cost"][0] == row["cost"][-1] == pytest.approx(1)
        assert len(row["distance"]) == 5
    distance = curves[MIXED]["distance"]
    assert distance[0] == 0
    assert (np.diff(distance) > 0).all()
    assert curves[MIXED]["cost"][2] > 1
    ends = np.take(curves[MIXED]["nats"], (0, 4))
    assert found.numbers["written"] == pytest.approx(ends.mean())
    assert found.pictures["interpolation.png"].startswith(b"\x89PNG")
    assert f"{distance[2]:7.3f}" in "\n".join(found.lines)
    again = measure(bundle, held_out, training, n=8, seed=1, points=5)
    assert again.numbers == found.numbers
    assert again.pictures == found.pictures


def test_two_models_see_the_same_pairs() -> None:
    one = pretrained.load(tiny.bundle())
    other = replace(one, name="other")
    data = tiny.windows("test")
    found = measure(one, data, data, against=other, n=4, points=3, temperature=0.0)
    curves = found.numbers["curves"]
    assert curves[one.name] == curves["other"]
    with pytest.raises(ModelError, match="name of the first"):
        measure(one, data, data, against=one)


def test_what_cannot_be_measured_is_refused() -> None:
    bundle, data = pretrained.load(tiny.bundle()), tiny.windows("test")
    with pytest.raises(InputError, match="training songs"):
        measure(bundle, data, None)
    with pytest.raises(ModelError, match="other windows"):
        measure(replace(bundle, representation=Trio(4)), data, data)
    with pytest.raises(ModelError, match="no latent"):
        measure(replace(bundle, model=None), data, data)
    with pytest.raises(InputError, match="too few"):
        pairs(1, 4, np.random.default_rng(0))


def test_pairs_are_of_different_windows() -> None:
    a, b = pairs(9, 100, np.random.default_rng(0))
    assert len(a) == len(b) == 4
    assert len({*a, *b}) == 8


def test_mixing_takes_whole_steps_of_either() -> None:
    a, b = np.zeros((50, 3, 16), int), np.ones((50, 3, 16), int)
    way = mix(a, b, np.array([0.0, 0.25, 1.0]), np.random.default_rng(0))
    assert way.mean((1, 2, 3)) == pytest.approx([0, 0.25, 1], abs=0.03)
