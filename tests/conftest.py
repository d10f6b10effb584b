"""What the tests share: the sample pieces, the command line, and how hypothesis searches."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

# Before torch loads: tests run side by side, so that each has one core.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import torch
from commands import Done
from hypothesis import settings

from musegen.cli.main import run

# No deadline: a busy machine is slow now and then.
settings.register_profile("musegen", deadline=None, max_examples=60)
settings.load_profile("musegen")


def pytest_configure() -> None:
    """A job in the background starts with Ctrl-C ignored, which some tests are about."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of short real pieces."""
    return Path(__file__).parents[1] / "data" / "samples"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Done]]:
    """Runs the command line here; `train` sets up torch for the whole process, which is undone."""
    threads = torch.get_num_threads()

    def call(*arguments: object) -> Done:
        capsys.readouterr()
        code = run([str(a) for a in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Done(code, out, err)

    yield call
    torch.set_flush_denormal(False)
    torch.set_num_threads(threads)
