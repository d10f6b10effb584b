"""Pictures: piano rolls of scores and arrays, densities, self-similarity.

The only importers of matplotlib are here (figures.py: what all share; charts.py: curves and
densities). Pictures are PNG or SVG files in memory, with the same bytes for
the same music.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from musegen.errors import InputError
from musegen.midi import write_atomic
from musegen.names import drum_name, instrument_name, plain
from musegen.plot.charts import curves, densities, progress, similarity
from musegen.plot.figures import (
    BEAT,
    GREY,
    GROUND,
    INK,
    LINE,
    Picture,
    legible,
    new_figure,
    panels,
    save,
)
from musegen.plot.lanes import COLOURS, Lane, bars_a_row, colour, excerpt, label, lanes, octaves
from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Score

__all__ = ["Picture", "curves", "densities", "draw", "grid", "pianoroll", "picture", "png", "roll"]
__all__ += ["progress", "similarity"]

KINDS = (".png", ".svg")
TALLEST = 56.0  # of all rows, inches
GAP = 3.0  # between lanes, semitones
HEAD, LEGEND, FOOT = 0.36, 0.2, 0.36  # above a picture, and below each row, inches


def picture(score: Score, title: str = "", kind: str = ".png", *, first_bar: int = 1) -> Picture:
    """A piano roll with names and bar numbers; long music goes on in further rows.

    A few pitched tracks lie over each other in their colours; bands have a lane a track, those that
    rest for a whole row left out. Drums are dots by the name of the drum. Loud notes are darker.

    Args:
        score: what to draw.
        title: above it.
        kind: ".png" or ".svg".
        first_bar: number of the first bar.
    """
    every, lines = lanes(score), score.bar_lines()
    bars, band = len(lines) - 1, len(every) > 1 or bool(every[0].keys)
    legend = not band and len(every[0].tracks) > 1
    left = 2.1 if band else 0.5  # inches
    whole = sum(lane.height + GAP for lane in every)
    unit = min(0.034 if band else float(np.clip(2 / whole, 0.04, 0.11)), TALLEST / whole)
    row = bars_a_row(bars, int(TALLEST / (whole * unit + FOOT)))
    starts = range(0, bars, row)
    ends = [min(i + row, bars) for i in starts]
    parts = [excerpt(score, *lines[[i, j]].tolist()) for i, j in zip(starts, ends, strict=True)]
    longest = max(lines[ends] - lines[starts])
    heard = [[n for n in every if not band or len(p.tracks[n.tracks[0]])] for p in parts]
    shown = [some or every[:1] for some in heard]
    inches = [unit * (sum(lane.height + GAP for lane in some) - GAP) for some in shown]
    width = 14.0 if len(starts) > 1 else float(np.clip(left + 0.4 + 0.85 * bars, 7, 14))
    y = height = sum(inches) + FOOT * len(parts) + HEAD + LEGEND * legend
    figure = new_figure(width, height, layout=None)
    _write_head(figure, score, title, legend=legend)
    y -= HEAD + LEGEND * legend
    for start, part, some, tall in zip(starts, parts, shown, inches, strict=True):
        y -= tall
        ax = figure.add_axes((left / width, y / height, 1 - (left + 0.2) / width, tall / height))
        bottoms = draw(ax, part, shown=some, first_bar=first_bar + start)
        ax.set_xlim(0, longest / score.ppq)
        for lane, bottom in zip(some, bottoms, strict=True) if band else ():
            _write_name(figure, score, lane, (y + unit * (bottom + lane.height / 2)) / height)
        y -= FOOT
    return save(figure, kind)


def draw(
    ax: Any,
    score: Score,
    title: str = "",
    *,
    shown: Sequence[Lane] | None = None,
    first_bar: int = 1,
) -> list[float]:
    """A piano roll on matplotlib axes: quarter notes across, pitches up, one colour a track.

    Args:
        ax: where to draw.
        score: what to draw.
        title: above it.
        shown: the lanes, from the top, each labelled with its pitches or drums; by default those of
            `lanes`, labelled with the names of the tracks where there are several.
        first_bar: number of the first bar.

    Returns:
        Where each lane has its bottom. With one lane of pitches y is the pitch.
    """
    small, shown = shown is None, lanes(score) if shown is None else shown
    lines = score.bar_lines() / score.ppq
    heights = [lane.height + GAP for lane in shown]
    bottoms = [sum(heights[i + 1 :]) for i in range(len(shown))]
    if len(shown) == 1 and not shown[0].keys:
        bottoms = [float(shown[0].low)]
    end, top = lines[-1], bottoms[0] + shown[0].height
    ticks: dict[float, str] = {}
    for lane, bottom in zip(shown, bottoms, strict=True):
        _draw_lane(ax, score, lane, bottom, end, len(shown) == 1)
        if small and len(shown) > 1:
            ticks[bottom + lane.height / 2] = legible(label(score, lane.tracks[0]))
            continue
        fine = len(shown) == 1 and lane.height <= 30
        names = {k: drum_name(k) for k in lane.keys} or octaves(lane.low + 1, lane.high, fine=fine)
        places = bottom + lane.heights(np.array(list(names)))
        ticks |= dict(zip(places.tolist(), names.values(), strict=True))
    ax.set_xlim(0, end)
    ax.set_ylim(bottoms[-1], top)
    ax.set_yticks(list(ticks), list(ticks.values()), parse_math=False)
    every = max(1, -(-(len(lines) - 1) // 20))
    visible = lines if len(lines) <= 65 else lines[::every]
    ax.vlines(visible, bottoms[-1], top, color=LINE, linewidth=0.7, zorder=0.6)
    if len(lines) <= 20:
        ax.vlines(np.arange(1, end), bottoms[-1], top, color=BEAT, linewidth=0.5, zorder=0.5)
    ax.set_xticks(lines[:-1:every], [str(i + first_bar) for i in range(0, len(lines) - 1, every)])
    ax.tick_params(axis="x", labelsize=7, length=2.5, color=LINE, labelcolor=INK)
    ax.tick_params(axis="y", labelsize=6 if len(shown) > 1 else 7, length=0, labelcolor=GREY)
    ax.set_frame_on(False)
    if title:
        ax.set_title(legible(title), fontsize=8, loc="left", color=INK, parse_math=False)
    return bottoms


def _draw_lane(ax: Any, score: Score, lane: Lane, bottom: float, end: float, zebra: bool) -> None:
    from matplotlib.collections import PolyCollection

    if zebra and not lane.keys:
        black = [p for p in range(lane.low, lane.high + 1) if p % 12 in (1, 3, 6, 8, 10)]
        ax.barh(black, end, 1.0, color=GROUND, zorder=0)
    else:
        ax.barh(bottom + lane.height / 2, end, lane.height, color=GROUND, zorder=0)
    for i in lane.tracks:
        notes = score.tracks[i].notes
        if not len(notes):
            continue
        x, y = notes[:, ONSET] / score.ppq, bottom + lane.heights(notes[:, PITCH])
        shades = _shades(colour(score, i), notes[:, VELOCITY])
        if lane.keys:
            ax.scatter(x, y, s=8, c=shades, linewidths=0, zorder=2, marker="D", clip_on=False)
            continue
        off = x + np.maximum(notes[:, DURATION] / score.ppq - 0.03, 0.03)
        half = 0.45 if zebra else 0.6
        under, over = y - half, y + half
        corners = np.stack([[x, under], [off, under], [off, over], [x, over]]).transpose(2, 0, 1)
        ax.add_collection(PolyCollection(list(corners), facecolors=shades, linewidths=0, zorder=2))


def _shades(colour: str, velocities: NDArray[Any]) -> NDArray[Any]:
    """Loud notes in the colour, soft ones nearer to white, [n, 3]."""
    from matplotlib.colors import to_rgb

    strength = (0.35 + 0.65 * velocities / 127)[:, None]
    return 1 - strength * (1 - np.array(to_rgb(colour)))


def _write_head(figure: Any, score: Score, title: str, *, legend: bool) -> None:
    """Title and facts; below them the names of overlaid tracks."""
    width, height = figure.get_size_inches()
    metres = {f"{n}/{d}" for _, n, d in score.metres}
    facts = [f"{len(score.bar_lines()) - 1} bars", f"♩ = {score.tempos[0][1]:.4g}"]
    facts.insert(1, next(iter(metres)) if len(metres) == 1 else "changing metre")

    def write(x: float, y: float, text: str, **look: Any) -> float:
        """Text at a place in inches; where it ends."""
        made = figure.text(x / width, 1 - y / height, legible(text), parse_math=False, **look)
        return float(made.get_window_extent().x1 / figure.dpi)

    x = write(0.1, 0.22, plain(title, int(7 * width)), size=10, color=INK, weight="bold")
    write(x + 0.15, 0.22, "   ".join(facts), size=8, color=GREY)
    x = 0.5
    for i, track in enumerate(score.tracks if legend else ()):
        if len(track):
            name = f"{i + 1} {label(score, i)}"
            x = 0.3 + write(x, 0.22 + LEGEND, name, size=8, color=colour(score, i))


def _write_name(figure: Any, score: Score, lane: Lane, y: float) -> None:
    """Name and instrument at the left of a lane."""
    i, (width, height) = lane.tracks[0], figure.get_size_inches()
    track, shift = score.tracks[i], 0.055 / height
    name, what = label(score, i), instrument_name(track.program, track.is_drum)
    same = {"x": 0.1 / width, "va": "center", "parse_math": False}
    high = y + shift * (name != what)
    figure.text(y=high, s=legible(name), size=7.5, weight="bold", color=colour(score, i), **same)
    if name != what:
        figure.text(y=y - 1.2 * shift, s=what, size=6, color=GREY, **same)


def png(score: Score, title: str = "") -> Picture:
    """The picture of a score as PNG."""
    return picture(score, title)


def pianoroll(
    score: Score,
    path: str | Path | None = None,
    *,
    title: str = "",
    force: bool = True,
    first_bar: int = 1,
) -> Any:
    """Draw a piano roll: into a file when `path` is given, else on new matplotlib axes.

    Raises:
        InputError: the path ends in something else than .png or .svg.
    """
    if path is not None:
        kind = Path(path).suffix.lower()
        if kind not in KINDS:
            raise InputError(path, "is no name of a picture; end it in .png or .svg")
        return write_atomic(path, picture(score, title, kind, first_bar=first_bar), force=force)
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(_width(score), 2.6))
    draw(ax, score, title, first_bar=first_bar)
    return ax


def _width(score: Score) -> float:
    return float(np.clip(1.2 + 0.9 * (len(score.bar_lines()) - 1), 3.2, 16))


def grid(scores: Sequence[Score], titles: Sequence[str], columns: int = 4) -> Picture:
    """Several piano rolls in one PNG."""
    columns = max(1, min(columns, len(scores)))
    figure, axes = panels(len(scores), columns, min(18 / columns, max(map(_width, scores))), 1.9)
    for ax, score, title in zip(axes, scores, titles, strict=False):
        draw(ax, score, title)
    return save(figure)


def roll(
    cells: ArrayLike,
    *,
    names: Sequence[str] = (),
    onsets: ArrayLike | None = None,
    low: int = 0,
    beat: int = 4,
    bar: int | None = None,
    title: str = "",
) -> Picture:
    """A pianoroll array as PNG, cell by cell: a strip a track, each with the pitches it uses.

    Args:
        cells: [track, time, pitch] or [time, pitch]; 0 is silence, larger is darker.
        names: of the tracks.
        onsets: of the same shape; cells where notes begin are drawn darkest.
        low: MIDI pitch of the lowest row.
        beat: steps to a beat.
        bar: steps to a bar; four beats by default.
        title: above it.
    """
    from matplotlib.colors import LinearSegmentedColormap

    values = np.asarray(cells, float)
    values = values[None] if values.ndim == 2 else values
    values = values / max(float(values.max(initial=0)), 1e-9)
    if onsets is not None:
        begins = np.asarray(onsets).reshape(values.shape) != 0
        values = np.where(begins, 1.0, 0.55 * values)
    tracks, time, pitches = values.shape
    used = [np.flatnonzero(track.any(axis=0)) for track in values]
    spans = [(max(0, u.min(initial=pitches) - 2), u.max(initial=0) + 3) for u in used]
    spans = [(a, min(b, pitches)) if a < b else (0, min(8, pitches)) for a, b in spans]
    sizes = [0.2 + 0.03 * (b - a) for a, b in spans]
    figure = new_figure(float(np.clip(time / 16, 6, 14)), sum(sizes) + 0.08 * tracks + 0.6)
    axes = figure.subplots(tracks, 1, sharex=True, squeeze=False, height_ratios=sizes)[:, 0]
    steps = np.arange(0, time + 1, beat)
    whole = steps % (bar or 4 * beat) == 0
    for i, (ax, (a, b)) in enumerate(zip(axes, spans, strict=True)):
        ramp = LinearSegmentedColormap.from_list("", ["#ffffff", COLOURS[i % len(COLOURS)]])
        look = {"cmap": ramp, "vmin": 0, "vmax": 1, "aspect": "auto", "interpolation": "nearest"}
        extent = (0, time, low + a - 0.5, low + b - 0.5)
        ax.imshow(values[i, :, a:b].T, origin="lower", extent=extent, **look)
        ax.vlines(steps, *extent[2:], colors=np.where(whole, LINE, BEAT), linewidth=0.6)
        named = octaves(low + a, low + b)
        ax.set_yticks(list(named), list(named.values()))
        ax.tick_params(labelsize=7, length=2, color=LINE)
        ax.spines[:].set_color(LINE)
        if i < len(names):
            look = {"rotation": 0, "ha": "right", "va": "center", "parse_math": False}
            ax.set_ylabel(legible(names[i]), fontsize=8, color=INK, **look)
    axes[0].set_title(legible(title), fontsize=9, loc="left", color=INK, parse_math=False)
    axes[-1].set_xticks(steps[whole & (steps < time)])
    axes[-1].set_xlabel("step", fontsize=8, color=INK)
    return save(figure)
