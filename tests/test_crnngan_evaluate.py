"""C-RNN-GAN's report: laws of its counts, and a whole report on tiny real data."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import tiny
from test_crnngan_pipeline import FOLDER, pipeline

from musegen import pretrained
from musegen.dataset import load
from musegen.errors import InputError
from musegen.evaluate import measure
from musegen.evaluate.crnngan import EDGES, densities, evaluate, patterns, shuffle, statistics
from musegen.prepare import prepare
from musegen.prepare.windows import Settings
from musegen.representations.tuples import Tuples


@cache
def folder() -> str:
    settings = Settings("performance", 2)
    out = tiny.FOLDER / "played-report"
    prepare([tiny.SAMPLES], out, settings, held_out=(0.25, 0.25), workers=0)
    return str(out)


def piece(seed: int = 0, n: int = 30) -> np.ndarray:
    rng = np.random.default_rng(seed)
    since = rng.choice([0, 96, 192], n)
    columns = (np.cumsum(since), rng.integers(50, 300, n), rng.integers(40, 80, n))
    return np.column_stack([*columns, rng.integers(20, 100, n)])


def test_patterns_are_the_same_in_any_key_and_a_little_early_or_late() -> None:
    a = piece()
    assert len(patterns([a])) == 30 - 7
    moved = a + np.array([0, 0, 5, 3])
    assert np.array_equal(patterns([a]), patterns([moved]))
    late = a + np.array([30, 7, 0, 0])
    assert np.array_equal(patterns([a]), patterns([late]))
    assert not np.isin(patterns([piece(1)]), patterns([a])).any()
    other = a.copy()
    other[10, 2] += 1
    assert np.isin(patterns([other]), patterns([a])).sum() == 23 - 8
    assert len(patterns([a[:7], a[:0]])) == 0


def test_shuffled_pieces_have_the_numbers_of_the_others() -> None:
    pieces = [piece(i, 10 + i) for i in range(5)]
    made = shuffle(pieces, np.random.default_rng(0))
    assert [len(p) for p in made] == [10, 11, 12, 13, 14]
    for name in ("duration", "pitch", "intensity"):
        got, want = densities(made)[name], densities(pieces)[name]
        assert sorted(got) == sorted(want)
        assert not np.array_equal(got, want)
    assert all((np.diff(p[:, 0]) >= 0).all() for p in made)


def test_densities_of_two_notes() -> None:
    found = densities([np.array([[0, 96, 60, 64], [96, 48, 64, 80]]), np.zeros((0, 4), int)])
    want = {
        "inter-onset": [96],
        "duration": [96, 48],
        "interval": [4],
        "pitch": [60, 64],
        "intensity": [64, 80],
    }
    assert {k: v.tolist() for k, v in found.items()} == want
    assert set(found) == set(EDGES)


def test_statistics_are_medians() -> None:
    pieces = [np.array([[0, 1, 60, 64], [0, 1, 60 + k, 64]]) for k in (1, 2, 9)]
    found = statistics([*pieces, np.zeros((0, 4), int)])
    assert (found["tone span"], found["polyphony"], found["unique tones"]) == (2, 1, 2)
    silent = statistics([np.zeros((0, 4), int)])
    assert list(silent) == list(found)
    assert np.isnan(list(silent.values())).all()


def network() -> pretrained.Bundle:
    """A tiny bundle with its network in torch, as `musegen evaluate` opens it."""
    pipeline("none")  # writes it
    return pretrained.load(FOLDER / "performed-none")


def test_a_report() -> None:
    bundle = network()
    held, training = (load(folder(), part, Tuples(12, bars=2)) for part in ("test", "train"))
    said: list[str] = []
    found = measure(
        bundle, held, training, n=20, seed=1, others={"other": bundle}, report=said.append
    )
    again = measure(bundle, held, training, n=20, seed=1, others={"other": bundle})
    assert found.lines == again.lines
    rows = found.numbers["statistics"]
    assert list(rows) == ["held-out", "real", "model", "other", "shuffle"]
    for row in found.numbers["overlap"].values():
        assert all(0 <= v <= 1 for v in row.values())
    assert found.numbers["overlap"]["shuffle"]["duration"] == pytest.approx(1)
    assert 0 <= found.numbers["copies"]["held-out"] < 1
    assert found.pictures["densities.png"].startswith(b"\x89PNG")
    assert said[0] == "drawing 20 sequences"
    same = evaluate(bundle, training, training, n=20)
    assert same.copies["held-out"] == 1
    assert all(v == 1 for v in same.overlap["real"].values())
    assert evaluate(bundle, held, None, n=5).copies == {}


def test_windows_of_another_kind_are_refused() -> None:
    with pytest.raises(InputError, match="--kind performance"):
        measure(network(), tiny.windows("test"), None)
