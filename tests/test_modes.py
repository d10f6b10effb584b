"""The toy of docs/gans.md: what it counts, and that a penalty keeps the modes that go without."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import modes


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def noise() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_real_points_are_good_and_of_all_modes() -> None:
    outcome = modes.judge(modes.real(4000, noise()))
    assert outcome.modes == modes.MODES
    assert outcome.good > 0.99
    distance = modes.centres().norm(dim=1)
    torch.testing.assert_close(distance, torch.full((8,), modes.RADIUS))


def test_missing_modes_and_bad_samples_are_counted() -> None:
    near = 0.01 * torch.randn(1000, 2, generator=noise())
    assert modes.judge(modes.centres()[3] + near)[1:] == (1, 1.0)
    assert modes.judge(near)[1:] == (0, 0.0)  # all in the middle
    few = torch.cat([near[:5] + modes.centres()[0], near[5:] + modes.centres()[1]])
    assert modes.judge(few)[1:] == (1, 1.0)  # half a percent is not enough
    assert modes.judge(torch.full((10, 2), float("nan")))[1:] == (0, 0.0)


def test_a_gradient_penalty_keeps_the_modes() -> None:
    """Deterministic on one machine; the thresholds leave room for another's rounding."""
    kept = {}
    for column in ("none", "gradient-penalty"):
        objective, normalised = modes.pair("wasserstein", column)
        kept[column] = modes.train(objective, normalised, seed=0, steps=1500)
    assert kept["none"].modes <= 3
    assert kept["gradient-penalty"].modes >= 6
    assert kept["gradient-penalty"].good > 3 * kept["none"].good


def test_the_picture_shows_every_pair(tmp_path: Path) -> None:
    objective = modes.pair("hinge", "spectral norm")
    outcome = modes.train(*objective, seed=0, steps=2)
    row = {column: [outcome] for column in modes.COLUMNS}
    assert modes.line("hinge", row).count("|") == len(modes.COLUMNS) + 2
    modes.draw(dict.fromkeys(modes.LOSSES, row), tmp_path / "modes.png")
    assert (tmp_path / "modes.png").read_bytes().startswith(b"\x89PNG")
