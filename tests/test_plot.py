"""Pictures: that they are PNGs or SVGs, show what they must, and leave no trace."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from strategies import one_track

from musegen import midi, plot
from musegen.errors import InputError, MusegenError
from musegen.plot.lanes import DRUM_ROW, lanes
from musegen.score import Score, Track

TUNE = one_track([(0, 480, 60, 80), (480, 960, 67, 120), (1920, 480, 59, 1)])


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


@pytest.fixture
def axes() -> Iterator[Any]:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    yield pyplot.subplots()[1]
    pyplot.close("all")


def test_a_picture_and_its_file(tmp_path: Path) -> None:
    data = plot.png(TUNE, "a title")
    width, height = size(data)
    assert width > height > 200
    path = TUNE.plot(tmp_path / "a.png", title="a title")
    assert Path(path).read_bytes() == data  # the same music gives the same bytes
    assert plot.png(TUNE.transpose(1), "a title") != data
    assert TUNE._repr_png_() == plot.png(TUNE)
    with pytest.raises(MusegenError, match="exists already"):
        plot.pianoroll(TUNE, tmp_path / "a.png", force=False)
    with pytest.raises(InputError, match=r"end it in \.png or \.svg"):
        TUNE.plot(tmp_path / "a.jpg")
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("name", ["bach_bwv66_6.mid", "freedoom_1_d_e1m1.mid"])
def test_vector_pictures(samples: Path, tmp_path: Path, name: str) -> None:
    score = midi.read(samples / name)
    score = plot.excerpt(score, 0, int(score.bar_lines()[4]))
    score = replace(score, tracks=tuple(t for t in score.tracks if len(t)))
    path = score.plot(tmp_path / "a.SVG")
    data = Path(path).read_bytes()
    root = ElementTree.fromstring(data)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert data == plot.picture(score, kind=".svg")  # no dates, no random names
    assert b"date" not in data.lower()
    pitched = sum(len(t) for t in score.tracks if not t.is_drum)
    hits = sum(len(t) for t in score.tracks if t.is_drum)

    def drawn(kind: str) -> int:
        groups = [g for g in root.iter() if g.get("id", "").startswith(kind)]
        return sum(len(g.findall(".//{*}use") or g.findall(".//{*}path")) for g in groups)

    assert (drawn("PolyCollection"), drawn("PathCollection")) == (pitched, hits)


def test_notebooks_show_pictures() -> None:
    png, svg = plot.png(TUNE), plot.picture(TUNE, kind=".svg")
    assert png._repr_png_() == png
    assert png._repr_svg_() is None
    assert svg._repr_svg_() == svg.decode()
    assert svg._repr_png_() is None
    assert repr(png) == f"Picture({len(png)} bytes)"


def test_titles_and_names_are_drawn_as_they_are() -> None:
    odd = [Track([(0, 480, 60, 80)], name=name) for name in ("$x^2_ \\frac{$", "\u4e2d\u0363\x00")]
    for score in (Score(tuple(odd)), Score((*odd, *[Track([(0, 9, 50, 9)])] * 4))):
        size(plot.png(score, "$ \x00 % \u4e2d " + "long " * 99))
        size(plot.grid([score], ["$x_$ \u4e2d"]))
    name = "$_^$ \u4e2d"
    size(plot.roll(np.ones((1, 8, 8)), names=[name], title=name))
    size(plot.similarity(np.ones((1, 1)), name))
    assert plot.legible("a\u4e2db\u266d") == "a\u25a1b\u266d"


def boxes(axes: Any) -> list[list[tuple[float, ...]]]:
    """Of each track: left, right and middle of its boxes."""
    from matplotlib.collections import PolyCollection

    found = []
    for collection in axes.collections:
        if isinstance(collection, PolyCollection):
            extents = [p.get_extents() for p in collection.get_paths()]
            found.append([(b.x0, round(b.x1, 1), round((b.y0 + b.y1) / 2, 6)) for b in extents])
    return found


def dots(axes: Any) -> list[list[tuple[float, float]]]:
    """Of each track of drums."""
    from matplotlib.collections import PathCollection

    kept = [c for c in axes.collections if isinstance(c, PathCollection)]
    return [[tuple(map(float, at)) for at in c.get_offsets()] for c in kept]


def test_every_note_is_a_box_at_its_place(axes: Any) -> None:
    score = Score((*TUNE.tracks, Track([(240, 240, 36, 9)]), Track([])))
    assert plot.draw(axes, score, "t") == [34]
    assert boxes(axes) == [[(0, 1, 60), (1, 3, 67), (4, 5, 59)], [(0.5, 1, 36)]]
    assert axes.get_xlim() == (0, 8)
    assert axes.get_ylim() == (34, 69)
    assert [t.get_text() for t in axes.get_yticklabels()] == ["C2", "C3", "C4"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "2"]
    assert axes.get_title(loc="left") == "t"


def test_bars_and_beats_have_lines(axes: Any) -> None:
    from matplotlib.collections import LineCollection

    plot.draw(axes, one_track([(0, 480, 60, 80)], metres=((0, 3, 4),), length=6 * 480), first_bar=9)
    at = [
        sorted(s[0][0] for s in c.get_segments())
        for c in axes.collections
        if isinstance(c, LineCollection)
    ]
    assert at == [[0, 3, 6], [1, 2, 3, 4, 5]]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["9", "10"]


def test_soft_notes_are_nearer_to_white(axes: Any) -> None:
    plot.draw(axes, one_track([(0, 480, 60, 20), (480, 480, 61, 120)]))
    (collection,) = [c for c in axes.collections if len(c.get_facecolor()) == 2]
    soft, loud = collection.get_facecolor()[:, :3]
    assert (soft > loud).all()
    assert (soft < 1).all()


def test_bands_have_lanes(axes: Any) -> None:
    lead = [(0, 480, 60, 80), (480, 480, 72, 80)]
    kit = Track([(0, 10, 36, 80), (240, 10, 42, 80)], is_drum=True)
    score = Score((Track(lead, name="Lead"), kit))
    top, bottom = plot.draw(axes, score)
    drums, pitched = lanes(score)[1], lanes(score)[0]
    assert bottom == 0
    assert top == drums.height + plot.GAP
    assert [y - top for _, _, y in boxes(axes)[0]] == [60 - pitched.low, 72 - pitched.low]
    assert dots(axes) == [[(0, 0.5 * DRUM_ROW), (0.5, 1.5 * DRUM_ROW)]]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["Lead", "Drums"]
    axes.clear()
    plot.draw(axes, score, shown=lanes(score))
    named = [t.get_text() for t in axes.get_yticklabels()]
    assert named == ["C4", "C5", "Bass Drum 1", "Closed Hi-Hat"]


def test_music_without_a_path_is_drawn_on_axes(axes: Any) -> None:
    drawn = TUNE.plot(title="x")
    assert drawn.get_title(loc="left") == "x"


def test_silence_and_odd_music_are_drawn() -> None:
    size(plot.png(Score()))
    size(plot.png(Score((Track([]),))))
    size(plot.png(one_track([(0, 1, 0, 1), (0, 1, 127, 127)])))
    size(plot.png(one_track([(0, 480, 60, 80)], metres=((0, 1, 64),))))


def test_later_rows_may_be_longer() -> None:
    """Rows of bars of different metres share one scale, in which the longest fits."""
    notes = [(0, 480, 60, 80), (16 * 960 + 16 * 1920 - 480, 480, 60, 80)]
    score = one_track(notes, metres=((0, 2, 4), (16 * 960, 4, 4)))
    svg = plot.picture(score, kind=".svg").decode()
    groups = ElementTree.fromstring(svg).iter()
    boxes = [g for g in groups if g.get("id", "").startswith("PolyCollection")]
    far = [float(x) for g in boxes for x in re.findall(r"[ML] ([\d.]+) ", _paths(g))]
    assert 950 < max(far) < 1008 - 14  # of 14 inches in points, 0.2 of them margin


def _paths(group: ElementTree.Element) -> str:
    return " ".join(p.get("d", "") for p in group.findall(".//{*}path"))


def test_huge_music_makes_no_huge_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plot, "TALLEST", 4.0)  # inches; 110 dots each
    many = Score(tuple(Track([(0, 480, 20 + i, 80)]) for i in range(20)))
    long = one_track([(0, 480, 0, 80), (120 * 1920, 480, 127, 80)])
    for score in (many, long):
        width, height = size(plot.png(score))
        assert height < 110 * (4 + 1)
        assert width <= 110 * 14


def test_resting_tracks_are_left_out_of_a_row() -> None:
    kit = Track([(1920 * i, 480, 36, 80) for i in range(32)], is_drum=True)
    short = Track([(0, 480, 60, 80)])
    both = size(plot.png(Score((kit, Track([(0, 480, 60, 80), (16 * 1920, 480, 60, 80)])))))[1]
    once = size(plot.png(Score((kit, short))))[1]
    assert once < both


def test_long_music_goes_on_in_further_rows(samples: Path) -> None:
    one = size(plot.png(one_track([(0, 480, 60, 80)], length=16 * 1920)))
    two = size(plot.png(one_track([(0, 480, 60, 80)], length=19 * 1920)))
    assert two[1] > one[1]
    width, height = size(plot.png(midi.read(samples / "cc0_aloha_oe.mid")))
    assert width * height < 2**24


@pytest.mark.parametrize("n", [1, 2, 5])
def test_several_in_one_picture(n: int) -> None:
    size(plot.grid([TUNE] * n, [str(i) for i in range(n)], columns=3))


def test_rolls_of_arrays() -> None:
    cells = np.zeros((3, 32, 20), np.uint8)
    cells[0, :8, 3] = 1
    cells[1, 8:, 19] = 127
    plain = plot.roll(cells, names=["a", "b"], low=24, title="t")
    size(plain)
    assert plot.roll(cells, names=["a", "b"], low=24, title="t") == plain
    onsets = np.zeros_like(cells)
    onsets[0, [0, 4], 3] = 1
    assert plot.roll(cells, names=["a", "b"], low=24, title="t", onsets=onsets) != plain
    size(plot.roll(cells[0], beat=8, bar=24))
    size(plot.roll(np.zeros((1, 4, 2), bool)))


def test_self_similarity() -> None:
    size(plot.similarity(np.eye(7), "t"))
    size(plot.similarity(np.ones((1, 1))))


def test_densities() -> None:
    edges = {"a": np.arange(5) - 0.5, "b": np.linspace(0, 1, 9)}
    sets = {
        "real": {"a": np.array([0, 1, 1, 99.0]), "b": np.array([0.5])},
        "made": {"a": np.array([2.0]), "b": np.zeros(0)},
    }
    size(plot.densities(sets, edges, {"a": "A", "b": "B"}))
    size(plot.densities({"none": {"a": np.zeros(0)}}, {"a": edges["a"]}, {"a": ""}))
