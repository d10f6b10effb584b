"""Pictures: that they are PNGs, show what they must, and leave no trace."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strategies import one_track

from musegen import midi, plot
from musegen.errors import MusegenError
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


def test_names_of_pitches() -> None:
    names = {0: "C-1", 21: "A0", 60: "C4", 61: "C#4", 108: "C8", 127: "G9"}
    assert {p: plot.pitch_name(p) for p in names} == names


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


def test_every_note_is_a_box_at_its_place(axes: Any) -> None:
    score = Score((*TUNE.tracks, Track([(240, 240, 36, 9)], is_drum=True), Track([])))
    plot.draw(axes, score, "t")
    assert [len(c.get_paths()) for c in axes.collections] == [3, 1]
    boxes = [p.get_extents() for c in axes.collections for p in c.get_paths()]
    found = sorted((round(b.x0, 6), round(b.x1, 1), round((b.y0 + b.y1) / 2, 6)) for b in boxes)
    assert found == [(0, 1, 60), (0.5, 1, 36), (1, 3, 67), (4, 5, 59)]
    assert axes.get_xlim() == (0, 8)
    assert axes.get_ylim() == (34, 69)
    assert [t.get_text() for t in axes.get_yticklabels()] == ["C2", "C3", "C4"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "2"]
    assert axes.get_title(loc="left") == "t"


def test_music_without_a_path_is_drawn_on_axes(axes: Any) -> None:
    drawn = TUNE.plot(title="x")
    assert drawn.get_title(loc="left") == "x"


def test_silence_and_odd_music_are_drawn() -> None:
    size(plot.png(Score()))
    size(plot.png(Score((Track([]),))))
    size(plot.png(one_track([(0, 1, 0, 1), (0, 1, 127, 127)])))
    size(plot.png(one_track([(0, 480, 60, 80)], metres=((0, 1, 64),))))


def test_long_music_goes_on_in_further_rows(samples: Path) -> None:
    one = size(plot.png(one_track([(0, 480, 60, 80)], length=16 * 1920)))
    two = size(plot.png(one_track([(0, 480, 60, 80)], length=17 * 1920)))
    assert two[1] > one[1]
    width, height = size(plot.png(midi.read(samples / "cc0_aloha_oe.mid")))
    assert width * height < 2**24


@pytest.mark.parametrize("n", [1, 2, 5])
def test_several_in_one_picture(n: int) -> None:
    size(plot.grid([TUNE] * n, [str(i) for i in range(n)], columns=3))


def test_densities() -> None:
    edges = {"a": np.arange(5) - 0.5, "b": np.linspace(0, 1, 9)}
    sets = {
        "real": {"a": np.array([0, 1, 1, 99.0]), "b": np.array([0.5])},
        "made": {"a": np.array([2.0]), "b": np.zeros(0)},
    }
    size(plot.densities(sets, edges, {"a": "A", "b": "B"}))
