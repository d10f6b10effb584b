"""Pictures of figures rather than of music: densities, curves, self-similarity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from musegen.plot.figures import INK, LINE, Picture, legible, new_figure, panels, save
from musegen.plot.lanes import COLOURS

Lines = Mapping[str, tuple[Sequence[float], Sequence[float]]]  # places and values by name


def densities(
    sets: Mapping[str, Mapping[str, Any]], edges: Mapping[str, Any], titles: Mapping[str, str]
) -> Picture:
    """Histograms of each feature for each named set as PNG; the second set is the grey ground.

    Args:
        sets: values of each feature, by name of the set.
        edges: bin edges of each feature.
        titles: above each feature's histogram.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = panels(len(edges), 4, 3.4, 2.4)
    for ax, (feature, bins) in zip(axes, edges.items(), strict=True):
        found = [np.clip(values[feature], bins[0], bins[-1]) for values in sets.values()]
        shares = [np.histogram(v, bins)[0] / max(1, len(v)) for v in found]
        for i, (name, share) in enumerate(zip(sets, shares, strict=True)):
            ground = {"color": "#dadada", "fill": True, "zorder": 0}
            look = ground if i == 1 else {"color": COLOURS[i], "linewidth": 1.4}
            ax.stairs(share, bins, label=name, **look)
        some = np.flatnonzero(np.sum(shares, axis=0))
        if len(some):
            ax.set_xlim(bins[max(0, some[0] - 1)], bins[min(some[-1] + 2, len(bins) - 1)])
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=bool(bins[1] - bins[0] == 1)))
        ax.set_title(titles[feature], fontsize=8, loc="left", color=INK)
        ax.tick_params(labelsize=7, color=LINE)
        ax.set_yticks([])
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.spines["bottom"].set_color(LINE)
    axes[0].legend(fontsize=7, frameon=False)
    return save(figure)


def similarity(matrix: ArrayLike, title: str = "") -> Picture:
    """How alike the bars of a piece are, [bars, bars] from 0 to 1, as PNG: dark where they are."""
    cells = np.asarray(matrix, float)
    figure = new_figure(4.8, 4.3)
    ax = figure.subplots()
    edge = len(cells) + 0.5
    image = ax.imshow(cells, cmap="bone_r", vmin=0, vmax=1, extent=(0.5, edge, edge, 0.5))
    ax.set_xlabel("bar", fontsize=8, color=INK)
    ax.set_title(legible(title), fontsize=9, loc="left", color=INK, parse_math=False)
    ax.tick_params(labelsize=7, color=LINE)
    scale = figure.colorbar(image, ax=ax, shrink=0.6)
    scale.ax.tick_params(labelsize=7, color=LINE)
    ax.set_frame_on(False)
    scale.outline.set_visible(False)
    return save(figure)


def curves(
    panels_of: Mapping[str, Mapping[str, Sequence[float]]],
    x: Sequence[float],
    label: str,
    *,
    log: bool = False,
) -> Picture:
    """Lines over common places as PNG, a panel for each group of them.

    Args:
        panels_of: the lines of each panel by title, [len(x)] by name; names are told apart by the
            same colours in every panel.
        x: places.
        label: of the places.
        log: whether twice a place is as far from it everywhere, with a mark at each.
    """
    places = {
        title: {name: (x, values) for name, values in lines.items()}
        for title, lines in panels_of.items()
    }
    ticks = x if log else ()
    return _lines(places, label, {}, panels(len(panels_of), len(panels_of), 4.6, 3.2), ticks)


def progress(panels_of: Mapping[str, Lines], levels: Mapping[str, float], label: str) -> Picture:
    """Lines over places of their own as PNG, a panel for each group of them.

    Args:
        panels_of: the lines of each panel by title, (x, y) by name; names are told apart by the
            same colours in every panel.
        levels: where a panel of this title has a dashed line.
        label: of the places.
    """
    return _lines(panels_of, label, levels, panels(len(panels_of), 4, 3.2, 2.2))


def _lines(
    panels_of: Mapping[str, Lines],
    label: str,
    levels: Mapping[str, float],
    where: Any,
    ticks: Sequence[float] = (),
) -> Picture:
    figure, axes = where
    names = list(dict.fromkeys(name for lines in panels_of.values() for name in lines))
    for ax, (title, lines) in zip(axes, panels_of.items(), strict=True):
        for name, (x, y) in lines.items():
            look = COLOURS[names.index(name) % len(COLOURS)]
            ax.plot(x, y, label=name, color=look, linewidth=1.4, marker="o", markersize=2.5)
        if title in levels:
            ax.axhline(levels[title], color=INK, linewidth=1, linestyle="--")
        ax.set_title(legible(title), fontsize=8, loc="left", color=INK, parse_math=False)
        ax.set_xlabel(legible(label), fontsize=8, color=INK, parse_math=False)
        if len(ticks):
            ax.set_xscale("log")
            ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
            ax.minorticks_off()
        ax.tick_params(labelsize=7, color=LINE)
        ax.grid(color="#e6e6e6", linewidth=0.6)
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(LINE)
    axes[0].legend(fontsize=7, frameon=False)
    return save(figure)
