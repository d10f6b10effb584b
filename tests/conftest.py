"""What the tests share: the sample pieces, and how hypothesis searches."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# No deadline: a busy machine is slow now and then.
settings.register_profile("musegen", deadline=None, max_examples=60)
settings.load_profile("musegen")


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of short real pieces."""
    return Path(__file__).parents[1] / "data" / "samples"
