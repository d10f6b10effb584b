"""Scores in notebooks: what is drawn and heard is inside the page."""

from __future__ import annotations

import base64
import io
import re
import wave
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from commands import FISHER
from tiny import tune

from musegen import midi
from musegen.score import Score, Track
from musegen.sound import show

SVG = "{http://www.w3.org/2000/svg}"


def sound(page: str) -> tuple[np.ndarray, int]:
    found = re.search(r'src="data:audio/wav;base64,([^"]+)"', page)
    assert found
    with wave.open(io.BytesIO(base64.b64decode(found[1]))) as file:
        data = np.frombuffer(file.readframes(file.getnframes()), np.uint8)
        return data.astype(float) / 127.5 - 1, file.getframerate()


def test_every_note_is_drawn_where_it_is() -> None:
    score = tune([60, 64, 67, 72])
    root = ET.fromstring(show.svg(score))
    rows = [[float(r.attrib[k]) for k in ("x", "y", "width")] for r in root.iter(f"{SVG}rect")]
    assert len(rows) == 4
    across = (show.WIDTH - show.LEFT) / 1920
    assert [row[0] for row in rows] == pytest.approx(
        [show.LEFT + i * 240 * across for i in range(4)], abs=0.06
    )
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)  # it rises
    assert all(row[0] + row[2] <= show.WIDTH for row in rows)


def test_a_page_needs_nothing_from_elsewhere_and_is_small() -> None:
    page = midi.read(FISHER)._repr_html_()
    assert not re.search(r"<script|href|https?://(?!www\.w3\.org/2000/svg)", page)
    assert len(page) < 600_000
    ET.fromstring(page.replace("controls ", 'controls="" '))
    heard, rate = sound(page)
    assert np.abs(heard).max() > 0.3
    seconds = midi.read(FISHER).seconds
    assert min(seconds, 30) < len(heard) / rate < min(seconds, 30) + 3


def test_long_music_is_heard_for_half_a_minute_and_says_so() -> None:
    page = show.to_html(tune([60, 62] * 400))
    heard, rate = sound(page)
    assert 29 < len(heard) / rate < 33
    assert "first 30 seconds" in page
    many = Score((Track([[i, 1, 60, 60] for i in range(show.NOTES + 500)]),))
    assert show.svg(many).count("<rect") == show.NOTES


def test_silence_and_odd_names_are_shown() -> None:
    assert "silence" in Score()._repr_html_()
    score = Score((Track([[0, 1, 0, 1], [0, 1, 127, 127]], name='<b>"&'), Track(is_drum=True)))
    root = ET.fromstring(show.svg(score))
    assert next(t.text for t in root.iter(f"{SVG}title")) == '<b>"&'
