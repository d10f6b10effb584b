"""What single marks of MusicXML mean: numbers, metres, metronome marks, chord symbols.

Chord symbols become labels after Harte et al. (ISMIR 2005), root:shorthand(degrees)/bass. Roots and
intervals are counted in fifths (F -1, C 0, G 1), which keeps their spelling: a bass E under C is
"/3", a bass Eb under C minor is "/b3".
"""

from __future__ import annotations

import re
from fractions import Fraction
from math import isfinite
from xml.etree.ElementTree import Element

QUARTERS = {"long": 16.0, "breve": 8.0, "whole": 4.0, "half": 2.0, "quarter": 1.0}
QUARTERS |= {"eighth": 0.5, "16th": 0.25, "32nd": 0.125}
LONGEST = 256  # characters of a text that means something
METRES = ("1", "2", "4", "8", "16", "32", "64")
_LETTERS = "FCGDAEB"

# Kinds of MusicXML as shorthands, with degrees where the grammar has no shorthand. The functional
# kinds (Neapolitan, Tristan, ...) and "other" say nothing about their notes.
KINDS = {
    "major": ("maj", ""),
    "minor": ("min", ""),
    "augmented": ("aug", ""),
    "diminished": ("dim", ""),
    "dominant": ("7", ""),
    "major-seventh": ("maj7", ""),
    "minor-seventh": ("min7", ""),
    "diminished-seventh": ("dim7", ""),
    "augmented-seventh": ("aug", "b7"),
    "half-diminished": ("hdim7", ""),
    "major-minor": ("minmaj7", ""),
    "major-sixth": ("maj6", ""),
    "minor-sixth": ("min6", ""),
    "dominant-ninth": ("9", ""),
    "major-ninth": ("maj9", ""),
    "minor-ninth": ("min9", ""),
    "dominant-11th": ("9", "11"),
    "major-11th": ("maj9", "11"),
    "minor-11th": ("min9", "11"),
    "dominant-13th": ("9", "11,13"),
    "major-13th": ("maj9", "11,13"),
    "minor-13th": ("min9", "11,13"),
    "suspended-second": ("sus2", ""),
    "suspended-fourth": ("sus4", ""),
    "power": ("", "5"),
}


class Broken(Exception):
    """What is wrong, in a few words."""


def number(text: str | None, low: float = 0, high: float = 1e8) -> int | Fraction:
    """A number of the file, exact; decimals to a millionth."""
    value: int | Fraction
    try:
        value = int(text or "")
    except ValueError:
        try:
            real = float(text or "")
        except ValueError:
            raise Broken(f"{(text or '').strip()[:20]!r} where a number belongs") from None
        value = Fraction(real).limit_denominator(10**6) if isfinite(real) else -1
    if not low <= value <= high:
        raise Broken(f"{str(text).strip()[:20]!r} is out of range")
    return value


def likely(text: str | None, low: float, high: float) -> float | None:
    """A number that the music can do without: None when there is none, or no sane one."""
    try:
        return float(number(text, low, high)) if text else None
    except Broken:
        return None


def clean(text: str | None) -> str:
    """Printable text on one line, no longer than a name should be."""
    return " ".join("".join(c if c.isprintable() else " " for c in (text or "")[:LONGEST]).split())


def metre(time: Element) -> tuple[int, int] | None:
    """The metre of a <time>, sums such as 3+2/8 added up; None when it is free."""
    over = [(e.text or "")[:LONGEST] for e in time.findall("beats")]
    under = [(e.text or "").strip() for e in time.findall("beat-type")]
    if not over or len(over) != len(under) or not {*under} <= {*METRES}:
        return None
    den = max(map(int, under))
    beats = [sum(map(int, re.findall(r"\b\d{1,3}\b", text))) for text in over]
    num = sum(n * den // int(d) for n, d in zip(beats, under, strict=True))
    return (num, den) if 0 < num < 256 else None


def metronome(mark: Element) -> list[float]:
    """Quarters a minute of a <metronome> such as "dotted quarter = 60", if it tells them."""
    found = re.search(r"\d{1,4}(\.\d{1,6})?", mark.findtext("per-minute", "")[:LONGEST])
    unit = QUARTERS.get(mark.findtext("beat-unit", "").strip())
    if found is None or unit is None:
        return []
    dots = min(len(mark.findall("beat-unit-dot")), 3)
    qpm = float(found[0]) * unit * (2 - 0.5**dots)
    return [qpm] if 1 <= qpm <= 10_000 else []


def note_fifths(element: Element | None, kind: str) -> int | None:
    """The note in <root>, <bass> (`kind`) as a number of fifths above C, or None."""
    step = element.findtext(f"{kind}-step", "").strip() if element is not None else ""
    if element is None or step not in tuple(_LETTERS):
        return None
    return _LETTERS.index(step) - 1 + 7 * _alter(element.findtext(f"{kind}-alter"))


def chord_label(element: Element, transpose: int = 0) -> str | None:
    """The label of a <harmony>, moved by `transpose` fifths; None when its notes are not said."""
    kind = element.findtext("kind", "").strip()
    if kind == "none":
        return "N"
    root = note_fifths(element.find("root"), "root")
    if root is None or kind not in KINDS:
        return None
    shorthand, extra = KINDS[kind]
    degrees = [extra] if extra else []
    for degree in element.findall("degree"):
        value = degree.findtext("degree-value", "").strip()
        if not re.fullmatch(r"1[0-3]|[1-9]", value):
            continue
        how = degree.findtext("degree-type", "add").strip()
        if how == "subtract" or (how == "alter" and value == "5"):
            degrees.append(f"*{value}")
        if how != "subtract":
            degrees.append(_accidentals(_alter(degree.findtext("degree-alter"))) + value)
    bass = note_fifths(element.find("bass"), "bass")
    over = f"/{_degree(bass - root)}" if bass is not None and bass != root else ""
    inside = f"({','.join(degrees)})" if degrees else ""
    return f"{_name(root + transpose)}:{shorthand}{inside}{over}"


def _alter(text: str | None) -> int:
    return int(text) if text and re.fullmatch(r"\s*[+-]?[0-3]\s*", text) else 0


def _accidentals(number: int) -> str:
    return "#" * number or "b" * -number


def _name(fifths: int) -> str:
    return _LETTERS[(fifths + 1) % 7] + _accidentals((fifths + 1) // 7)


def _degree(fifths: int) -> str:
    return _accidentals((fifths + 1) // 7) + str(4 * fifths % 7 + 1)
