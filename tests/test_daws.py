"""Files that musegen writes, opened by real programs: tracks, notes, tempo, metre and length.

Programs with windows run on an X server of their own (Xvfb), with a home folder of their own.
"""

from __future__ import annotations

import gzip
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
import pytest

from musegen import midi
from musegen.score import DURATION, ONSET, PITCH, Score, Track

PATIENCE = 60.0  # seconds for one window or file to appear; it takes about 2 on an idle machine
BEAT = 480
CHANGE = 4 * 4 * BEAT  # four bars of 4/4, then two of 3/4
STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}

pytestmark = pytest.mark.daw


def needs(*programs: str) -> Any:
    missing = [p for p in programs if not shutil.which(p)]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def band() -> Score:
    """Four parts that all end before the last bar line, with a change of tempo and metre."""
    beats = np.append(np.arange(0, CHANGE, BEAT), CHANGE + np.arange(4) * BEAT)
    bars = np.append(np.arange(4) * 4 * BEAT, CHANGE + np.arange(2) * 3 * BEAT)

    def track(at: Any, long: int, pitches: Any, velocity: int, **more: Any) -> Track:
        fill = np.full(len(at), long), pitches, np.full(len(at), velocity)
        return Track(np.column_stack([at, *fill]), **more)

    chords = np.repeat(bars, 3), np.tile([57, 60, 64], len(bars))
    return Score(
        (
            track(beats, 240, 69 + np.arange(len(beats)) % 5, 80, program=40, name="Fiddle"),
            track(chords[0], 960, chords[1], 60, program=0, name="Chords"),
            track(bars, 1200, 45 - np.arange(len(bars)) % 3, 70, program=32, name="Bass"),
            track(beats, 120, 36 + beats // BEAT % 2 * 2, 100, is_drum=True, name="Drums"),
        ),
        BEAT,
        tempos=((0, 96.0), (CHANGE, 140.0)),
        metres=((0, 4, 4), (CHANGE, 3, 4)),
        keys=((0, 0, True),),
        markers=((0, "A"), (CHANGE, "B")),
    )


def notes(track: Track) -> list[tuple[float, float, int]]:
    """(onset, duration, pitch) in quarters, sorted: what every program should find."""
    rows = track.notes[:, [ONSET, DURATION, PITCH]]
    return sorted((on / BEAT, long / BEAT, int(pitch)) for on, long, pitch in rows.tolist())


def surroundings(home: Path) -> dict[str, str]:
    """An environment that finds nothing of the user's, and titles of windows in English."""
    home.mkdir(mode=0o700, exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "DBUS_", "LC_"))}
    own = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home), "LC_ALL": "C.UTF-8"}
    return kept | own | {"QT_QPA_PLATFORM": "xcb", "LANGUAGE": "en"}


def until(find: Callable[[], Any], what: str, again: Callable[[], Any] = lambda: None) -> Any:
    """What `find` finds at last; every two seconds without it, `again` is tried."""
    end, next_try = time.monotonic() + PATIENCE, 0.0
    while time.monotonic() < end:
        if found := find():
            return found
        if time.monotonic() >= next_try:
            again()
            next_try = time.monotonic() + 2
        time.sleep(0.1)
    raise AssertionError(f"{what} did not appear")


@contextmanager
def running(*command: Any, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is gone afterwards, with all that it started."""
    process = subprocess.Popen(
        [str(c) for c in command],
        start_new_session=True,
        **({"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | options),
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)
        if process.stdout:
            process.stdout.close()


class Screen:
    """An X server's windows and keyboard."""

    def __init__(self, env: dict[str, str]):
        self.env = env

    def do(self, *command: str) -> str:
        with suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                ["xdotool", *command], env=self.env, capture_output=True, text=True, timeout=10
            )
            return done.stdout
        return ""

    def window(self, title: str) -> str:
        """The window with such a title, or nothing."""
        return next(iter(self.do("search", "--onlyvisible", "--name", title).split()), "")

    def press(self, title: str, key: str) -> None:
        if window := self.window(title):  # no window manager is there to give it the focus
            self.do("windowfocus", window, "key", key)

    def answer(self, title: str, text: str) -> None:
        """Types into a dialog's field in place of what is there, and leaves it."""
        self.press(title, "ctrl+a")
        self.do("type", text)
        self.do("key", "Return")


@contextmanager
def screen(home: Path) -> Iterator[Screen]:
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp"]
    with running(*command, stdout=subprocess.PIPE) as server:  # it chooses a free number itself
        assert server.stdout is not None
        assert select.select([server.stdout], [], [], PATIENCE)[0], "Xvfb did not start"
        number = server.stdout.readline().decode().strip()
        yield Screen(surroundings(home) | {"DISPLAY": f":{number}"})


def whole(pattern: str, folder: Path, open_: Callable[[Path], Any] = Path.open) -> Any:
    """The XML file in a folder, once it has been written to its end."""
    for path in folder.rglob(pattern):
        with suppress(ElementTree.ParseError, EOFError, OSError), open_(path) as file:
            return [ElementTree.parse(file).getroot()]
    return None


@needs("mscore3")
def test_musescore_shows_the_notes_and_bars(tmp_path: Path) -> None:
    score, home = band(), tmp_path / "home"
    file, made = midi.write(score, tmp_path / "tune.mid"), tmp_path / "tune.musicxml"
    env = surroundings(home) | {"QT_QPA_PLATFORM": "offscreen"}
    command = ["mscore3", "-o", str(made), str(file)]
    subprocess.run(command, env=env, capture_output=True, timeout=PATIENCE, check=True)
    root = ElementTree.parse(made).getroot()
    names = [e.text or "" for e in root.iter("part-name")]
    assert [n.rsplit(", ")[-1] for n in names] == [t.name for t in score.tracks]
    programs = [e.findtext("midi-instrument/midi-program") for e in root.iter("score-part")]
    assert programs == ["41", "1", "33", "1"]
    kit = {e.get("id"): e.findtext("midi-unpitched") for e in root.iter("midi-instrument")}
    parts = root.findall("part")
    for part, track in zip(parts, score.tracks, strict=True):
        found, lines, metres, tempos = in_musicxml(part, kit)
        assert found == [(on, pitch) for on, _, pitch in notes(track)]
        assert lines == [0, 4, 8, 12, 16, 19, 22]
        assert metres == [(0, "4", "4"), (16, "3", "4")]
        assert tempos == ([(0, 96), (16, 140)] if part is parts[0] else [])


def in_musicxml(part: Element, kit: dict[str | None, str | None]) -> tuple[list[Any], ...]:
    """A part's notes (onset, pitch), bar lines, metres and tempos, times in quarters."""
    begin = now = start = quarter = 0.0
    found, lines, metres, tempos = [], [0.0], [], []
    for measure in part:
        full = 0.0
        for e in measure:
            quarter = float(e.findtext("divisions") or quarter)
            long = float(e.findtext("duration") or 0) / (quarter or 1)
            if e.tag == "attributes" and (metre := e.find("time")) is not None:
                metres.append((now, metre.findtext("beats"), metre.findtext("beat-type")))
            if (sound := e.find("sound")) is not None and sound.get("tempo"):
                tempos.append((now, float(sound.get("tempo", ""))))
            if e.tag == "note":
                start = start if e.find("chord") is not None else now
                if e.find("rest") is None and e.find("tie[@type='stop']") is None:
                    instrument = e.find("instrument")
                    key = kit.get(instrument.get("id")) if instrument is not None else None
                    found.append((start, int(key) - 1 if key else sounding(e)))
                now = start + long
            elif e.tag in ("backup", "forward"):
                now += long if e.tag == "forward" else -long
            full = max(full, now - begin)
        begin = now = begin + full
        lines.append(begin)
    return sorted(found), lines, metres, tempos


def sounding(note: Element) -> int:
    step, octave = note.findtext("pitch/step", ""), note.findtext("pitch/octave", "")
    return STEPS[step] + int(note.findtext("pitch/alter") or 0) + 12 * (int(octave) + 1)


@needs("rosegarden", "Xvfb", "xdotool")
def test_rosegarden_opens_it_and_ends_on_the_bar(tmp_path: Path) -> None:
    score, home = band(), tmp_path / "home"
    file = midi.write(score, tmp_path / "tune.mid")
    with screen(home) as x, running("rosegarden", "--nosound", file, env=x.env, cwd=home):
        until(lambda: x.window("Welcome"), "Rosegarden's welcome")
        until(
            lambda: x.window("Save as"),
            "Rosegarden's dialog",
            lambda: (x.press("Welcome", "Escape"), x.press("tune.mid - ", "ctrl+s")),
        )
        (root,) = until(
            lambda: whole("tune.rg", home, gzip.open),
            "tune.rg",
            lambda: x.press("Save as", "Return"),
        )
    tick = 960  # to a quarter
    assert [e.get("label") for e in root.iter("track")] == [t.name for t in score.tracks]
    tempos = [(int(e.get("time")), round(int(e.get("tempo")) / 1e5)) for e in root.iter("tempo")]
    assert tempos == [(0, 96), (16 * tick, 140)]
    metres = [[int(v) for v in e.attrib.values()] for e in root.iter("timesignature")]
    assert metres == [[0, 4, 4], [16 * tick, 3, 4]]
    markers = [(int(e.get("time")), e.get("name")) for e in root.iter("marker")]
    assert markers == [(0, "A"), (16 * tick, "B")]
    segments = root.findall("segment")
    for segment, track in zip(segments, score.tracks, strict=True):
        assert (segment.get("start"), segment.get("endmarker")) == ("0", str(22 * tick))
        assert sorted(in_rosegarden(segment, tick)) == notes(track)
        assert "A minor" in {e.get("string") for e in segment.iter("property")}


def in_rosegarden(segment: Element, tick: int) -> Iterator[tuple[float, float, int]]:
    now = 0
    for element in segment:  # the events of a <chord> begin together
        long = 0
        for e in element.iter("event"):
            now = int(e.get("absoluteTime", now)) + int(e.get("timeOffset", 0))
            long = int(e.get("duration", 0))
            if e.get("type") == "note":
                pitch = next(p for p in e if p.get("name") == "pitch")
                yield now / tick, long / tick, int(pitch.get("int", ""))
        now += long


LMMS_SETTINGS = """<?xml version="1.0"?><!DOCTYPE lmms-config-file><lmms version="1.2.2">
<app configured="1" nommpz="1" disablebackup="1" openlastproject="0" nomsgaftersetup="1"/>
<mixer mididev="Dummy (no MIDI support)" audiodev="Dummy (no sound output)"/>
<paths workingdir="{home}/lmms/" defaultsf2="{home}/none.sf2"/></lmms>"""


@needs("lmms", "Xvfb", "xdotool")
def test_lmms_imports_tracks_notes_and_tempo(tmp_path: Path) -> None:
    score, home = band(), tmp_path / "home"
    file, settings = midi.write(score, tmp_path / "tune.mid"), tmp_path / "settings.xml"
    settings.write_text(LMMS_SETTINGS.format(home=home))
    (home / "lmms" / "projects").mkdir(parents=True)
    command = ["lmms", "--allowroot", "-c", settings, "--import", file]
    with screen(home) as x, running(*command, env=x.env, cwd=home):
        until(lambda: x.window(r"Untitled\*"), "LMMS's window")
        time.sleep(1.5)  # a key pressed while it still imports opens no dialog, nor does the next
        until(
            lambda: x.window("Save Project"),
            "LMMS's dialog",
            lambda: x.press(r"Untitled\*", "ctrl+s"),
        )
        (root,) = until(
            lambda: whole("tune*.mmp", home),
            "tune.mmp",
            lambda: x.answer("Save Project", "tune"),
        )
    tick = 48  # to a quarter
    tracks = root.findall("song/trackcontainer/track[@type='0']")
    assert [t.get("name") for t in tracks] == [t.name for t in score.tracks]
    players = [p for t in tracks for p in t.iter("sf2player")]
    patches = [(int(p.get("bank")), int(p.get("patch"))) for p in players]
    assert patches == [(128 * t.is_drum, t.program) for t in score.tracks]
    for element, track in zip(tracks, score.tracks, strict=True):
        found = [
            # Its octaves are numbered from another C: key 57 is A4, pitch 69.
            ((int(p.get("pos")) + int(n.get("pos"))) / tick, int(n.get("len")) / tick, key + 12)
            for p in element.iter("pattern")
            for n in p.iter("note")
            for key in [int(n.get("key"))]
        ]
        assert sorted(found) == notes(track)
    curves = {
        curve.get("name"): [
            (int(t.get("pos")) // tick, round(float(t.get("value")))) for t in curve.iter("time")
        ]
        for curve in root.iter("automationpattern")
    }
    assert curves["Tempo"] == [(0, 96), (16, 140)]
    assert curves["Numerator"] == [(0, 4), (16, 3)]
    assert curves["Denominator"] == [(0, 4), (16, 4)]
