"""What the parts of a MusicXML score say, measure by measure as written; used by musicxml.py."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from musegen.formats.abc import MAX_QUARTERS
from musegen.formats.marks import (
    LONGEST,
    Broken,
    chord_label,
    clean,
    likely,
    metre,
    metronome,
    number,
)
from musegen.names import PROGRAMS
from musegen.score import Notes

# Columns of the notes as written: bar, tick in it, ticks, pitch, velocity, track, ends of a tie.
BAR, AT, TICKS, PITCH, LOUD, TRACK, TIE = range(7)
START, STOP = 1, 2  # as bits
TIES = {"start": START, "stop": STOP, "continue": START | STOP}

GRACES = 8  # in a quarter
VELOCITY = 80  # where nothing is said
FORTE = 90  # MusicXML gives velocities in percent of it
DYNAMICS = {"pppp": 8, "ppp": 16, "pp": 33, "p": 49, "mp": 64, "mf": 80}
DYNAMICS |= {"f": 96, "ff": 112, "fff": 120, "ffff": 126}
SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
# Places of a drum kit on five lines (Weinberg 1998), for unpitched notes that name no MIDI key.
KIT = {"D4": 44, "E4": 35, "F4": 36, "A4": 43, "B4": 45, "C5": 38, "D5": 47, "E5": 50, "F5": 51}
KIT |= {"G5": 42, "A5": 49, "B5": 57}
SNARE = 38

Event = tuple[int, int, Any]  # bar, tick in it, value


@dataclass
class Bar:
    """A bar; `extents` are how far its parts go, `spare` counts what only fills it up, too."""

    extents: set[int] = field(default_factory=set)
    spare: int = 0
    is_pickup: bool = False
    forward: bool = False
    times: int = 0
    ending: frozenset[int] = frozenset()


@dataclass
class Piece:
    """Everything that was read so far."""

    ppq: int
    bars: list[Bar] = field(default_factory=list)
    notes: list[Notes] = field(default_factory=list)
    tracks: dict[tuple[int, int, bool], tuple[int, str]] = field(default_factory=dict)
    metres: dict[int, tuple[int, int] | None] = field(default_factory=dict)
    keys: list[Event] = field(default_factory=list)
    tempos: list[Event] = field(default_factory=list)
    chords: list[Event] = field(default_factory=list)
    markers: list[Event] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    keys_from: int | None = None  # the part that gives them


@dataclass
class _Instrument:
    program: int = 0
    is_drum: bool = False
    key: int | None = None

    def read(self, element: Element) -> None:
        """Take over what a <midi-instrument> says."""
        program = likely(element.findtext("midi-program"), 1, 128)
        key = likely(element.findtext("midi-unpitched"), 1, 128)
        self.program = self.program if program is None else int(program) - 1
        self.key = self.key if key is None else int(key) - 1
        self.is_drum |= element.findtext("midi-channel", "").strip() == "10"


def program_of(name: str) -> int:
    """The program whose name is in the part's, as in "Violin II" or "Clarinet in Bb"; else 0."""
    found = [i for i, program in enumerate(PROGRAMS) if program.lower() in name.lower()]
    return max(found, key=lambda i: len(PROGRAMS[i]), default=0)


class Reader:
    """Walks over the measures of one part; `at` is the tick in the bar, exact."""

    def __init__(self, piece: Piece, index: int, entry: Element) -> None:
        """`entry` is the part's <score-part>."""
        self.piece, self.index = piece, index
        self.name = clean(entry.findtext("part-name"))
        named = program_of(self.name) if entry.find(".//midi-program") is None else 0
        self.instruments: dict[str, _Instrument] = {}
        for e in entry.iter("score-instrument"):
            self.instruments[e.get("id", "")] = _Instrument(named)
        for e in entry.iter("midi-instrument"):
            self.instruments.setdefault(e.get("id", ""), _Instrument(named)).read(e)
        self.first = next(iter(self.instruments.values()), _Instrument(named))
        self.notes: list[tuple[int, ...]] = []
        self.graces: list[list[tuple[int, int, int]]] = []
        self.loud: list[tuple[int, int, int]] = []  # bar, tick, velocity
        self.cache: dict[str | None, int | Fraction] = {}
        self.at: int | Fraction = 0
        self.last: int | Fraction = 0
        self.furthest: int | Fraction = 0
        self.spare: int | Fraction = 0
        self.divisions: int | Fraction = 1
        self.transpose = 0
        self.ending: frozenset[int] = frozenset()

    def read(self, measures: list[Element]) -> None:
        """Add the part to the piece."""
        if len(measures) > MAX_QUARTERS:
            raise Broken(f"over {MAX_QUARTERS:,} bars")
        bars, longest = self.piece.bars, MAX_QUARTERS * self.piece.ppq
        handlers = {
            "note": self._note,
            "backup": self._backup,
            "forward": self._forward,
            "attributes": self._attributes,
            "direction": self._direction,
            "sound": self._sound,
            "harmony": self._harmony,
            "barline": self._barline,
        }
        bars += [Bar() for _ in range(len(measures) - len(bars))]
        for self.bar, measure in enumerate(measures):
            bar = bars[self.bar]
            bar.is_pickup |= measure.get("implicit") == "yes"
            bar.ending |= self.ending
            self.at = self.last = self.furthest = self.spare = 0
            for element in measure:
                if handle := handlers.get(element.tag):
                    handle(element)
            self._flush()
            if self.spare > longest:
                raise Broken(f"a bar of over {MAX_QUARTERS:,} quarters")
            bar.extents.add(round(self.furthest))
            bar.spare = max(bar.spare, round(self.spare))
        self._finish()

    def _finish(self) -> None:
        """Notes as an array, those without a velocity of their own after the dynamics."""
        notes = np.array(self.notes, np.int64).reshape(-1, 7)
        time = (notes[:, BAR] << 40) + notes[:, AT]
        loud = sorted(((bar << 40) + at, velocity) for bar, at, velocity in self.loud)
        velocity = np.array([VELOCITY, *(v for _, v in loud)])
        said = velocity[np.searchsorted([t for t, _ in loud], time, side="right")]
        notes[:, LOUD] = np.where(notes[:, LOUD] > 0, notes[:, LOUD], said)
        self.piece.notes.append(notes)

    def _ticks(self, duration: str | None) -> int | Fraction:
        ticks = self.cache.get(duration)
        if ticks is None:
            exact = Fraction(number(duration)) * self.piece.ppq / self.divisions
            ticks = exact.numerator if exact.denominator == 1 else exact
            self.cache[duration] = ticks
        return ticks

    def _move(self, ticks: int | Fraction, fills: bool = False) -> None:
        if self.graces:
            self._flush()
        self.at = max(0, self.at + ticks)
        self.spare = max(self.spare, self.at)
        if not fills:
            self.furthest = max(self.furthest, self.at)

    def _backup(self, element: Element) -> None:
        self._move(-self._ticks(element.findtext("duration")))

    def _forward(self, element: Element) -> None:
        # Some programs fill pickups up to a whole bar.
        fills = self.piece.bars[self.bar].is_pickup
        self._move(self._ticks(element.findtext("duration")), fills)

    def _note(self, element: Element) -> None:
        pitch = unpitched = None
        is_chord = is_grace = is_cue = fills = False
        ticks: int | Fraction = 0
        tie = 0
        instrument = self.first
        for child in element:
            tag = child.tag
            if tag == "pitch":
                pitch = child
            elif tag == "duration":
                ticks = self._ticks(child.text)
            elif tag == "chord":
                is_chord = True
            elif tag == "tie":
                tie |= TIES.get(child.get("type", ""), 0)
            elif tag == "notations":
                for tied in child.iterfind("tied"):
                    tie |= TIES.get(tied.get("type", ""), 0)
            elif tag == "unpitched":
                unpitched = child
            elif tag == "instrument":
                instrument = self.instruments.get(child.get("id", ""), instrument)
            elif tag == "rest":
                fills = child.get("measure") == "yes"
            elif tag == "grace":
                is_grace = True
            elif tag == "cue":
                is_cue = True
        onset = self.last if is_chord else self.at
        if not is_grace and not is_chord:
            self.last = self.at
            self._move(ticks, fills)
        if is_cue or (pitch is None and unpitched is None) or not (ticks or is_grace):
            return
        key = self._key(pitch, unpitched, instrument)
        if not 0 <= key <= 127:
            self.piece.counts["out of range"] += 1
            return
        velocity = likely(element.get("dynamics"), 0, 1000)
        loud = 0 if velocity is None else min(max(round(velocity * FORTE / 100), 1), 127)
        track = self._track(instrument, unpitched is not None)
        if not is_grace:
            start = round(onset)
            length = max(1, round(onset + ticks) - start)
            self.notes.append((self.bar, start, length, key, loud, track, tie))
        elif is_chord and self.graces:
            self.graces[-1].append((key, loud, track))
        else:
            self.graces.append([(key, loud, track)])

    def _key(
        self, pitch: Element | None, unpitched: Element | None, instrument: _Instrument
    ) -> int:
        """The MIDI key of a note, as it sounds."""
        if pitch is None:
            if instrument.key is not None:
                return instrument.key
            assert unpitched is not None
            place = [unpitched.findtext(f"display-{part}", "") for part in ("step", "octave")]
            return KIT.get("".join(place), SNARE)
        if instrument.is_drum and instrument.key is not None:
            return instrument.key
        semitone, octave, alter = -1, None, None
        for child in pitch:
            if child.tag == "step":
                semitone = SEMITONES.get((child.text or "").strip(), -1)
            elif child.tag == "octave":
                octave = child.text
            elif child.tag == "alter":
                alter = child.text
        if semitone < 0:
            raise Broken("a pitch without a step")
        written = semitone + 12 * (int(number(octave, -1, 11)) + 1)
        return written + (round(number(alter, -4, 4)) if alter else 0) + self.transpose

    def _track(self, instrument: _Instrument, unpitched: bool) -> int:
        key = (self.index, instrument.program, instrument.is_drum or unpitched)
        tracks = self.piece.tracks
        if key not in tracks:
            tracks[key] = len(tracks), self.name
        return tracks[key][0]

    def _flush(self) -> None:
        """Grace notes that wait are played, the last of them ending here."""
        each = self.piece.ppq // GRACES
        for i, together in enumerate(reversed(self.graces), 1):
            start = round(self.at) - i * each
            self.notes += [(self.bar, start, each, *note, 0) for note in together]
        self.piece.counts["graces"] += sum(map(len, self.graces))
        self.graces = []

    def _attributes(self, element: Element) -> None:
        if (divisions := element.findtext("divisions")) is not None:
            self.divisions = number(divisions, 1e-3) or 1
            self.cache = {}
        if (transpose := element.find("transpose")) is not None:
            chromatic = number(transpose.findtext("chromatic", "0"), -48, 48)
            octaves = number(transpose.findtext("octave-change", "0"), -10, 10)
            self.transpose = round(chromatic + 12 * octaves)
        if (key := element.find("key")) is not None:
            self._keys(key)
        if (time := element.find("time")) is not None:
            # In the middle of a bar it can only mean the next one.
            self.piece.metres.setdefault(self.bar + (self.spare > 0), metre(time))

    def _keys(self, key: Element) -> None:
        """Key signatures of the first part that has some."""
        sharps = likely(key.findtext("fifths"), -12, 12)
        if sharps is None or self.piece.keys_from not in (None, self.index):
            return
        self.piece.keys_from = self.index
        sharps = round(sharps) + self.fifths
        if abs(sharps) > 7:  # as written it would need double accidentals
            sharps -= 12 if sharps > 0 else -12
        minor = key.findtext("mode", "").strip() in ("minor", "aeolian")
        self.piece.keys.append((self.bar, round(self.at), (sharps, minor)))

    @property
    def fifths(self) -> int:
        """The transposition as a number of fifths, the nearest spelling."""
        return (self.transpose * 7 + 6) % 12 - 6

    def _direction(self, element: Element) -> None:
        at = self.at
        offset = element.find("offset")
        if offset is not None and offset.get("sound") == "yes":
            at += Fraction(number(offset.text, -1e6)) * self.piece.ppq / self.divisions
        where = self.bar, max(0, round(at))
        sound = element.find("sound")
        if sound is not None:
            self._sound(sound, where)
        said = sound.attrib if sound is not None else {}
        for kind in element.iterfind("direction-type/*"):
            if kind.tag == "dynamics" and "dynamics" not in said:
                self.loud += [(*where, DYNAMICS[e.tag]) for e in kind if e.tag in DYNAMICS]
            elif kind.tag == "metronome" and "tempo" not in said:
                self.piece.tempos += [(*where, qpm) for qpm in metronome(kind)]
            elif kind.tag == "rehearsal" and (text := clean(kind.text)):
                self.piece.markers.append((*where, text))

    def _sound(self, element: Element, where: tuple[int, int] | None = None) -> None:
        where = where or (self.bar, round(self.at))
        if qpm := likely(element.get("tempo"), 1, 10_000):
            self.piece.tempos.append((*where, qpm))
        velocity = likely(element.get("dynamics"), 0, 1000)
        if velocity is not None:
            self.loud.append((*where, min(max(round(velocity * FORTE / 100), 1), 127)))
        for e in element.iterfind("midi-instrument"):
            self.instruments.setdefault(e.get("id", ""), _Instrument()).read(e)
        if element.get("dacapo") or element.get("dalsegno"):
            self.piece.counts["jumps"] += 1

    def _harmony(self, element: Element) -> None:
        offset = likely(element.findtext("offset"), -1e6, 1e6) or 0
        at = max(0, round(self.at + offset * self.piece.ppq / self.divisions))
        label = chord_label(element, self.fifths)
        self.piece.counts["chords"] += label is None
        self.piece.chords.append((self.bar, at, label or "N"))

    def _barline(self, element: Element) -> None:
        bar = self.piece.bars[self.bar]
        for e in element.iterfind("ending"):
            if e.get("type") == "start":
                passes = re.findall(r"\b\d\d?\b", e.get("number", "")[:LONGEST])
                self.ending = frozenset(map(int, passes))
                bar.ending |= self.ending
            else:
                self.ending = frozenset()
        for e in element.iterfind("repeat"):
            if e.get("direction") == "forward":
                bar.forward = True
            else:
                bar.times = int(likely(e.get("times"), 2, 99) or 2)
