"""Figures in memory that look alike, and how they become files."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

INK, GREY, LINE, BEAT, GROUND = "#333333", "#858585", "#c2c2c2", "#e6e6e6", "#f6f6f6"


class Picture(bytes):
    """An image file in memory; notebooks show it."""

    def __repr__(self) -> str:
        """Short: how large it is."""
        return f"Picture({len(self)} bytes)"

    def _repr_png_(self) -> bytes | None:
        return bytes(self) if self.startswith(b"\x89PNG") else None

    def _repr_svg_(self) -> str | None:
        return None if self.startswith(b"\x89PNG") else self.decode()


@cache
def glyphs() -> frozenset[int]:
    """Letters that the font has, upright and bold."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    fonts = [get_font(findfont(FontProperties(weight=w))) for w in ("normal", "bold")]
    return frozenset.intersection(*(frozenset(font.get_charmap()) for font in fonts))


def legible(text: str) -> str:
    """Text with a box for letters that the font lacks."""
    return "".join(c if ord(c) in glyphs() else "□" for c in text)


def new_figure(width: float, height: float, layout: Any = "constrained") -> Any:
    """An empty sheet of a size in inches that is drawn in memory."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout, facecolor="white")
    FigureCanvasAgg(figure)  # draws to memory: no window system, no global state
    return figure


def save(figure: Any, kind: str = ".png") -> Picture:
    """As a file in memory, without dates, versions or random names."""
    from matplotlib import rc_context

    buffer = io.BytesIO()
    metadata = {".png": {"Software": None}, ".svg": {"Date": None, "Creator": None}}[kind]
    with rc_context({"svg.hashsalt": "musegen", "svg.fonttype": "path"}):
        figure.savefig(buffer, format=kind[1:], dpi=110, metadata=metadata)
    return Picture(buffer.getvalue())


def panels(n: int, columns: int, width: float, height: float) -> tuple[Any, list[Any]]:
    """A figure with `n` axes, row by row, each of a size in inches."""
    rows = -(-n // columns)
    figure = new_figure(width * columns, height * rows)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax in axes[n:]:
        ax.axis("off")
    return figure, axes[:n]
