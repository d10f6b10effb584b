"""Importing is cheap and silent, and every module imports."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

import musegen

HEAVY = ("torch", "numpy", "matplotlib", "symusic", "mido", "music21", "muspy", "scipy")
MODULES = [m.name for m in pkgutil.walk_packages(musegen.__path__, "musegen.")]


def loaded_by(code: str) -> set[str]:
    """The heavy packages that a fresh interpreter has after running code."""
    tail = f"\nimport sys; print('|'.join(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code + tail], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return {name for name in done.stdout.splitlines()[-1].split("|") if name}


@pytest.mark.parametrize(
    "code",
    [
        "import musegen; musegen.__version__; dir(musegen)",
        "from musegen.cli.main import run; run(['--help'])",
        "from musegen.cli.main import run; run(['--version'])",
        "from musegen.cli.main import run; run(['generate', '--help'])",
    ],
)
def test_help_loads_nothing_heavy(code: str) -> None:
    assert loaded_by(code) == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ["presets", "nosuch"],
        ["train", "nosuch", "--data", "x", "-o", "y"],
        ["train", "band", "--data", "nowhere", "-o", "y"],
        ["train", "band", "--data", "nowhere", "-o", "y", "--init", "nosuch"],
        ["evaluate", "nosuch", "--data", "nowhere"],
        ["evaluate", "--data", "nowhere"],
    ],
)
def test_wrong_names_and_places_are_told_without_torch(arguments: list[str]) -> None:
    code = "import sys, io; sys.stderr = io.StringIO(); from musegen.cli.main import run\n"
    code += f"assert run({arguments}) in (3, 4), sys.stderr.getvalue()\n"
    assert "torch" not in loaded_by(code)


def test_the_probe_sees_heavy_packages() -> None:
    assert "numpy" in loaded_by("import musegen; musegen.Score")


@pytest.mark.parametrize("name", MODULES)
def test_every_module_imports(name: str) -> None:
    importlib.import_module(name)


@pytest.mark.parametrize("name", musegen.__all__)
def test_public_names_resolve(name: str) -> None:
    assert getattr(musegen, name) is not None
    assert name in dir(musegen)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        musegen.nothing  # noqa: B018
