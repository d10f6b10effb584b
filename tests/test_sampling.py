"""Drawing symbols and walking between latents, against scipy and an independent nucleus."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import geometric_slerp
from scipy.stats import chisquare

from musegen.sampling import pick, slerp

LOGITS = torch.tensor([0.3, -1.0, 2.0, 0.0, 1.1, -4.0])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def softmax(logits: np.ndarray) -> np.ndarray:
    p = np.exp(logits - logits.max())
    return p / p.sum()


def nucleus(p: np.ndarray, top_p: float) -> set[int]:
    """The fewest likeliest symbols that reach top_p, one after the other."""
    kept, mass = set(), 0.0
    for i in sorted(range(len(p)), key=lambda i: -p[i]):
        if mass >= top_p:
            break
        kept.add(i)
        mass += p[i]
    return kept


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_are_the_softmax(temperature: float) -> None:
    n = 40_000
    drawn = pick(LOGITS.expand(n, -1), generator(1), temperature)
    counts = np.bincount(drawn.numpy(), minlength=len(LOGITS))
    expected = n * softmax(LOGITS.double().numpy() / temperature)
    assert chisquare(counts, expected * n / expected.sum()).pvalue > 0.001


def test_frequencies_differ_from_those_of_another_temperature() -> None:
    n = 40_000
    drawn = pick(LOGITS.expand(n, -1), generator(1), 1.0)
    counts = np.bincount(drawn.numpy(), minlength=len(LOGITS))
    assert chisquare(counts, n * softmax(LOGITS.double().numpy() / 1.2)).pvalue < 1e-6


def test_temperature_0_takes_the_largest_and_no_random_number() -> None:
    rows = torch.randn(50, 7, generator=generator(2))
    source = generator(3)
    before = source.get_state()
    assert torch.equal(pick(rows, source, 0.0), rows.argmax(-1))
    assert torch.equal(source.get_state(), before)


def test_impossible_symbols_are_never_drawn() -> None:
    logits = torch.tensor([-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf])
    assert set(pick(logits.expand(5000, -1), generator(4)).tolist()) == {1, 3}


@pytest.mark.parametrize("top_p", [0.05, 0.4, 0.63, 0.9, 0.999])
def test_top_p_keeps_exactly_the_nucleus(top_p: float) -> None:
    p = softmax(LOGITS.double().numpy())
    kept = nucleus(p, top_p)
    n = 40_000
    drawn = pick(LOGITS.expand(n, -1), generator(5), 1.0, top_p).numpy()
    assert set(drawn.tolist()) == kept
    ordered = sorted(kept)
    counts = np.bincount(drawn, minlength=len(p))[ordered]
    if len(kept) > 1:
        assert chisquare(counts, n * p[ordered] / p[ordered].sum()).pvalue > 0.001


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    rows = torch.randn(8, 9, generator=generator(6))
    other = rows.clone()
    other[3] = torch.randn(9, generator=generator(7))
    a, b = pick(rows, generator(8)), pick(other, generator(8))
    same = torch.arange(8) != 3
    assert torch.equal(a[same], b[same])


vectors = st.lists(st.floats(-1, 1), min_size=4, max_size=4)


@settings(max_examples=40, deadline=None)
@given(vectors, vectors)
def test_slerp_is_the_great_circle_of_scipy(a: list[float], b: list[float]) -> None:
    x, y = np.array(a), np.array(b)
    if min(np.linalg.norm(x), np.linalg.norm(y)) < 0.1:
        return
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)
    angle = np.arccos(np.clip(x @ y, -1, 1))
    if not 0.01 < angle < np.pi - 0.01:
        return
    t = np.linspace(0, 1, 7)
    ours = slerp(torch.tensor(x), torch.tensor(y), torch.tensor(t)).numpy()
    np.testing.assert_allclose(ours, geometric_slerp(x, y, t), atol=1e-9)


def test_slerp_keeps_lengths_of_vectors_between_those_of_the_ends() -> None:
    a = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    b = torch.tensor([[0.0, 2.0], [3.0, 0.0]])
    path = slerp(a, b, torch.linspace(0, 1, 5))
    assert path.shape == (5, 2, 2)
    expected = torch.tensor([2.0, 3.0]).expand(5, 2)
    torch.testing.assert_close(path.norm(dim=-1), expected)


def test_slerp_ends_are_exact() -> None:
    a, b = torch.randn(2, 3, 16, generator=generator(9))
    path = slerp(a, b, torch.tensor([0.0, 1.0]))
    assert torch.equal(path[0], a)
    assert torch.equal(path[1], b)


@pytest.mark.parametrize("factor", [1.0, 2.5, -1.0, 0.0])
def test_parallel_opposite_and_zero_vectors_give_numbers(factor: float) -> None:
    a = torch.tensor([[0.5, -1.0, 2.0]])
    path = slerp(a, factor * a, torch.linspace(0, 1, 5))
    assert torch.isfinite(path).all()
    if factor:
        torch.testing.assert_close(path[2], (1 + factor) / 2 * a)
