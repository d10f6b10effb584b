"""What ships: every bundle, no more than fits, and no module that needs what is not required."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from test_imports import MODULES

import musegen
from musegen import pretrained

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

PACKAGE = Path(musegen.__file__).parent
# Modules of an extra, which nothing imports before it is used; all others do with the base.
EXTRA = {"musegen.server.app"}
PROJECT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())


def shipped() -> set[Path]:
    """The package's files that go into the wheel, as pyproject.toml names them."""
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["musegen"]
    return set(PACKAGE.rglob("*.py")) | {f for p in patterns for f in PACKAGE.glob(p)}


def test_every_file_of_the_package_ships() -> None:
    ignored = ("__pycache__", ".pyc")
    all_files = {f for f in PACKAGE.rglob("*") if f.is_file() and not str(f).endswith(ignored)}
    assert all_files - shipped() == set()


@pytest.mark.parametrize("name", pretrained.names())
def test_every_bundle_ships_whole(name: str) -> None:
    names = {f.name for f in shipped() if f.parent == pretrained.SHIPPED / name}
    assert names == {"config.json", "model.safetensors", "README.md"}


def test_the_wheel_is_small_enough() -> None:
    """Weights of 16 bits hardly shrink when zipped, so the files tell the size of the wheel."""
    assert sum(f.stat().st_size for f in shipped()) < 100e6


def test_every_folder_of_code_is_a_package() -> None:
    """setuptools leaves out folders without `__init__.py`."""
    assert {
        f.parent for f in PACKAGE.rglob("*.py") if not (f.parent / "__init__.py").exists()
    } == set()


def closure(requirements: list[str]) -> set[str]:
    """Distributions that requirements bring, extras left out."""
    found: set[str] = set()
    rest = [r for r in requirements if "extra ==" not in r]
    while rest:
        words = re.match(r"[A-Za-z0-9._-]+", rest.pop())
        assert words
        name = re.sub(r"[-_.]+", "-", words[0]).lower()
        if name in found:
            continue
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # of another platform
            continue
        found.add(name)
        rest += [r for r in needs if "extra ==" not in r]
    return found


def packages() -> dict[str, set[str]]:
    """What can be imported, and the distributions that bring it, by the files that they installed:
    `metadata.packages_distributions` of Python 3.10 knows only those that declare it.
    """
    found: dict[str, set[str]] = {}
    for distribution in metadata.distributions():
        declared = (distribution.read_text("top_level.txt") or "").split()
        files = [f for f in distribution.files or () if f.suffix == ".py"]
        for package in declared or {f.parts[0].removesuffix(".py") for f in files}:
            name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
            found.setdefault(package, set()).add(name)
    return found


def test_every_module_imports_with_what_is_required() -> None:
    """In a process that refuses packages that the base dependencies do not bring."""
    allowed = closure(PROJECT["project"]["dependencies"])
    refused = sorted(
        package
        for package, distributions in packages().items()
        if not distributions & (allowed | {"musegen"}) and package != "tests"
    )
    assert {"pytest", "hypothesis"} <= set(refused)
    code = f"""
import importlib, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {refused!r}:
            raise ModuleNotFoundError(f"no {{name}} in a base install", name=name)
sys.meta_path.insert(0, Refuse())
for name in {sorted(set(MODULES) - {"musegen.__main__"})!r}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        print(name, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {line.split()[0] for line in done.stdout.splitlines()} == EXTRA, done.stdout
