"""What the tests share: the sample pieces."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of short real pieces."""
    return Path(__file__).parents[1] / "data" / "samples"
