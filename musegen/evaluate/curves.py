"""How runs went: figures of their logs over training, and of the music that they made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from musegen import plot, runs
from musegen.errors import InputError


def picture(folders: Sequence[Path], levels: Mapping[str, float]) -> bytes:
    """Statistics of music made at each checkpoint, then held-out figures, over steps, as PNG.

    Args:
        folders: of the runs, each a line in every panel.
        levels: held-out music's values, dashed.

    Raises:
        InputError: no log, or an empty one.
    """
    panels: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    names = [folder.name for folder in folders]
    for folder in folders:
        name = folder.name if names.count(folder.name) == 1 else str(folder)
        rows = runs.read_log(folder)
        if not rows:
            raise InputError(str(folder / "log.jsonl"), "is empty; wait for the first checkpoint")
        for row in rows:
            for figure, value in {**row.get("made", {}), **row.get("held_out", {})}.items():
                if figure != "loss":  # that of validation is one of the others, or their sum
                    x, y = panels.setdefault(figure, {}).setdefault(name, ([], []))
                    x.append(row["step"])
                    y.append(value)
    return plot.progress(panels, levels, "step")
