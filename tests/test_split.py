"""Clusters against a plain comparison of all pairs; the split of clusters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musegen.prepare import split as module
from musegen.prepare.split import COMMON, Songs, assign, clusters
from musegen.prepare.windows import SKETCH


def songs(shapes: list[set[int]], marks: list[set[int]] | None = None, **more: object) -> Songs:
    """Songs that have these numbers for hashes of shapes, and these for titles."""
    n = len(shapes)
    marks = marks or [set()] * n
    kept = [sorted(s)[:SKETCH] for s in shapes]
    made = Songs(
        digest=np.array([f"{i * 7919 % 104729:064x}".encode() for i in range(n)], "S64"),
        marks=np.array([m for each in marks for m in sorted(each)], np.uint64),
        marked=np.repeat(np.arange(n), [len(m) for m in marks]),
        sketch=np.array([h for each in kept for h in each], np.uint64),
        shapes=np.array([len(each) for each in kept], np.int64),
        different=np.array([len(s) for s in shapes], np.int64),
        part=np.full(n, -1),
        before=np.full(n, -1),
        sample=np.zeros(n, bool),
        windows=np.array([len(s) for s in shapes], np.int64),
    )
    return replace(made, **more)  # type: ignore[arg-type]


def plainly(shapes: list[set[int]], marks: list[set[int]]) -> list[frozenset[int]]:
    """The group of each song, all pairs compared."""
    n = len(shapes)
    common = {h for h in set().union(*shapes) if sum(h in s for s in shapes) > COMMON}
    group = [{i} for i in range(n)]
    for a in range(n):
        for b in range(a):
            shared = len(shapes[a] & shapes[b] - common)
            variants = shared >= 2 and 4 * shared >= min(len(shapes[a]), len(shapes[b]))
            if (variants or marks[a] & marks[b]) and group[a] is not group[b]:
                group[a] |= group[b]
                for i in group[b]:
                    group[i] = group[a]
    return [frozenset(g) for g in group]


NUMBERS = st.sets(st.integers(0, 30).map(lambda i: i * 2**59 + i), max_size=12)


@pytest.mark.parametrize("batch", [1, 7, 2**23])
@given(
    st.lists(st.tuples(NUMBERS, st.sets(st.integers(0, 40), max_size=2)), min_size=1, max_size=14)
)
def test_groups_are_those_of_a_plain_comparison(batch: int, drawn: list) -> None:
    shapes, marks = [s for s, _ in drawn], [m for _, m in drawn]
    made = songs(shapes, marks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BATCH", batch)
        names = clusters(made)
    expected = plainly(shapes, marks)
    for i, group in enumerate(expected):
        assert {j for j in range(len(names)) if names[j] == names[i]} == group
        assert names[i] == min(made.digest[j] for j in group)


def test_a_shape_that_everybody_has_tells_nothing() -> None:
    stock = {1, 2, 3}
    alike = songs([stock | {100 + i} for i in range(COMMON)])
    assert len(set(clusters(alike))) == 1
    more = songs([stock | {100 + i} for i in range(COMMON + 1)])
    assert len(set(clusters(more))) == COMMON + 1


@pytest.mark.parametrize(("share", "together"), [(0.4, True), (0.15, False)])
def test_long_songs_are_compared_by_their_sketches(share: float, together: bool) -> None:
    """The share is of the smaller song's shapes, most of which the sketch of the larger lacks."""
    rng = np.random.default_rng(1)
    large = rng.integers(0, 2**64, 3000, np.uint64).tolist()
    for size in (100, 250, 2000):
        own = rng.integers(0, 2**64, size - int(share * size), np.uint64).tolist()
        small = set(own) | set(large[: int(share * size)])
        assert (len(set(clusters(songs([set(large), small])))) == 1) == together


def test_clusters_with_a_sample_are_for_testing() -> None:
    made = songs([{1, 2}, {1, 2}, {7}], sample=np.array([False, True, False]))
    names = clusters(made)
    assert names[0] == names[1] == b"sample-" + min(made.digest[:2])
    assert assign(names, made, (0.0, 0.0)).tolist() == [2, 2, 0]


@given(st.integers(1, 60), st.sampled_from([0.0, 0.01, 0.3]), st.sampled_from([0.0, 0.01, 0.3]))
def test_each_part_that_is_asked_for_gets_a_cluster(n: int, valid: float, test: float) -> None:
    made = songs([{i} for i in range(n)])
    names = clusters(made)
    part = assign(names, made, (valid, test))
    assert set(part.tolist()) <= {0, 1, 2}
    if n >= 3:
        assert (part == 1).any() == (valid > 0)
        assert (part == 2).any() == (test > 0)
    assert np.array_equal(part, assign(names[::-1], made, (valid, test))[::-1])


def test_the_split_of_the_corpus_goes_before_ours() -> None:
    given_ = np.array([0, 1, 2, -1, 2, 0])
    made = songs([{1}, {2}, {3}, {4}, {5, 6}, {5, 6}], part=given_)
    part = assign(clusters(made), made, (0.0, 0.0))
    assert part.tolist() == [0, 1, 2, 0, 2, 2]  # what is one tune stays out of training


def test_what_was_trained_on_before_is_not_held_out() -> None:
    """Parts of earlier folders go before a corpus' own, and of one tune the first part counts."""
    before = np.array([2, 1, 0, 2, -1, 0])
    made = songs([{1}, {2}, {3}, {4, 5}, {4, 5}, {4, 5}], before=before, part=np.full(6, 2))
    assert assign(clusters(made), made, (0.3, 0.3)).tolist() == [2, 1, 0, 0, 0, 0]
    old = songs([{1}, {2}, {3}], before=np.zeros(3, int))
    assert assign(clusters(old), old, (0.3, 0.3)).tolist() == [0, 0, 0]
    sample = songs([{1, 2}] * 3, before=np.array([0, 2, -1]), sample=np.array([False, True, False]))
    assert assign(clusters(sample), sample, (0.3, 0.3)).tolist() == [0, 2, 2]
