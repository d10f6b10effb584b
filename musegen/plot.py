"""Pictures: piano rolls and densities. The only importer of matplotlib."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from musegen.midi import write_atomic
from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Score

COLOURS = ("#2f6f9f", "#d1603d", "#5b8c5a", "#8e5ea2", "#c9a227", "#3f8f8b", "#b0446e", "#6b6b6b")
BARS_A_ROW, MOST_ROWS = 16, 32
_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def pitch_name(pitch: int) -> str:
    """60 is C4."""
    return f"{_NAMES[pitch % 12]}{pitch // 12 - 1}"


def draw(
    ax: Any,
    score: Score,
    title: str = "",
    *,
    span: tuple[int, int] | None = None,
    first_bar: int = 1,
) -> None:
    """A piano roll on matplotlib axes: beats across, pitches up, one colour a track.

    Args:
        ax: where to draw.
        score: what to draw.
        title: above it.
        span: lowest and highest pitch shown; those of the notes by default.
        first_bar: number of the first bar.
    """
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    lines = score.bar_lines() / score.ppq
    low, high = span or pitch_span(score)
    for i, track in enumerate(score.tracks):
        notes = track.notes
        if not len(notes):
            continue
        boxes = [
            Rectangle((on / score.ppq, p - 0.45), max(d / score.ppq - 0.02, 0.02), 0.9)
            for on, d, p in notes[:, [ONSET, DURATION, PITCH]].tolist()
        ]
        strength = 0.45 + 0.55 * notes[:, VELOCITY] / 127
        patches = PatchCollection(boxes, facecolor=COLOURS[i % len(COLOURS)], linewidth=0)
        patches.set_alpha(strength.tolist())
        ax.add_collection(patches)
    ax.set_xlim(lines[0], lines[-1])
    ax.set_ylim(low, high)
    for pitch in range(low, high + 1):
        if pitch % 12 in (1, 3, 6, 8, 10):
            ax.axhspan(pitch - 0.5, pitch + 0.5, color="#f1f1f1", zorder=0, linewidth=0)
    shown = lines if len(lines) <= 65 else lines[:: -(-len(lines) // 64)]
    for line in shown:
        ax.axvline(line, color="#cccccc", linewidth=0.8, zorder=0.5)
    ticks = [p for p in range(low, high + 1) if p % 12 == 0] or [low + 2]
    ax.set_yticks(ticks, [pitch_name(p) for p in ticks])
    every = max(1, (len(lines) - 1) // 16)
    ax.set_xticks(lines[:-1:every], [str(i + first_bar) for i in range(0, len(lines) - 1, every)])
    ax.tick_params(labelsize=7, length=2)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    if title:
        ax.set_title(title, fontsize=8, loc="left")


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # draws to memory: no window system, no global state
    return figure


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def pitch_span(score: Score) -> tuple[int, int]:
    """Lowest and highest pitch to show, with a little room; the octave from middle C for none."""
    notes = [t.notes[:, PITCH] for t in score.tracks if len(t)]
    if not notes:
        return 60, 72
    pitches = np.concatenate(notes)
    return int(pitches.min()) - 2, int(pitches.max()) + 2


def _width(score: Score) -> float:
    return float(np.clip(1.2 + 0.9 * (len(score.bar_lines()) - 1), 3.2, 16))


def png(score: Score, title: str = "") -> bytes:
    """A piano roll as PNG bytes; long music goes on in further rows, 16 bars each or more."""
    lines = score.bar_lines()
    row = max(BARS_A_ROW, -(-(len(lines) - 1) // MOST_ROWS))
    starts = range(0, len(lines) - 1, row)
    if len(starts) == 1:
        figure = _figure(_width(score), 2.6)
        draw(figure.subplots(), score, title)
        return _png(figure)
    figure = _figure(16, 1.9 * len(starts))
    axes = figure.subplots(len(starts), 1)
    span = pitch_span(score)
    for ax, start in zip(axes, starts, strict=True):
        end = lines[min(start + row, len(lines) - 1)]
        part = score.clip(int(lines[start]), int(end))
        draw(ax, part, title if start == 0 else "", span=span, first_bar=start + 1)
        ax.set_xlim(0, (lines[row] - lines[0]) / score.ppq)
    return _png(figure)


def pianoroll(
    score: Score, path: str | Path | None = None, *, title: str = "", force: bool = True
) -> Any:
    """Draw a piano roll: into a PNG file when `path` is given, else on new matplotlib axes."""
    if path is not None:
        return write_atomic(path, png(score, title), force=force)
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(_width(score), 2.6))
    draw(ax, score, title)
    return ax


def grid(scores: Sequence[Score], titles: Sequence[str], columns: int = 4) -> bytes:
    """Several piano rolls in one PNG."""
    columns = max(1, min(columns, len(scores)))
    rows = -(-len(scores) // columns)
    width = min(18.0, columns * max(map(_width, scores)))
    figure = _figure(width, 1.9 * rows)
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat[len(scores) :]:
        ax.axis("off")
    for ax, score, title in zip(axes.flat, scores, titles, strict=False):
        draw(ax, score, title)
    return _png(figure)


def densities(
    sets: Mapping[str, Mapping[str, Any]], edges: Mapping[str, Any], titles: Mapping[str, str]
) -> bytes:
    """Histograms of each feature for each named set, as PNG bytes."""
    columns = 4
    rows = -(-len(edges) // columns)
    figure = _figure(3.4 * columns, 2.4 * rows)
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat[len(edges) :]:
        ax.axis("off")
    for ax, (feature, bins) in zip(axes.flat, edges.items(), strict=False):
        for i, (name, values) in enumerate(sets.items()):
            v = np.clip(values[feature], bins[0], bins[-1])
            share = np.histogram(v, bins)[0] / max(1, len(v))
            ax.stairs(share, bins, color=COLOURS[i], label=name, linewidth=1.3, fill=False)
        ax.set_title(titles[feature], fontsize=8, loc="left")
        ax.tick_params(labelsize=7)
        ax.set_yticks([])
        for side in ("top", "right", "left"):
            ax.spines[side].set_visible(False)
    axes.flat[0].legend(fontsize=7, frameon=False)
    return _png(figure)
