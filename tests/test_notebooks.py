"""Every notebook runs from top to bottom."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def run(source: str, names: dict[str, Any]) -> Any:
    """Execute a cell; returns the value of its last line, as a notebook would show it."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_and_its_pictures_draw(path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(path.parent)
    monkeypatch.setenv("MUSEGEN_QUICK", "1")  # no more training than shows that it runs
    names: dict[str, Any] = {}
    shown = []
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            shown.append(run("".join(cell["source"]), names))
    pictures = [s._repr_png_() for s in shown if hasattr(s, "_repr_png_")]
    assert pictures
    assert all(p.startswith(b"\x89PNG") for p in pictures)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_stored_without_large_outputs(path: Path) -> None:
    assert path.stat().st_size < 200_000


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS
