"""Chord symbols of MusicXML as labels after Harte et al. (ISMIR 2005).

A label is root:shorthand(degrees)/bass. Roots and intervals are counted in fifths (F -1, C 0, G 1),
which keeps their spelling: a bass E under C is "/3", a bass Eb under C minor is "/b3".
"""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element

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


def note_fifths(element: Element | None, kind: str) -> int | None:
    """The note in <root>, <bass> (`kind`) as a number of fifths above C, or None."""
    step = element.findtext(f"{kind}-step", "").strip() if element is not None else ""
    if element is None or step not in tuple(_LETTERS):
        return None
    return _LETTERS.index(step) - 1 + 7 * _alter(element.findtext(f"{kind}-alter"))


def label(element: Element, transpose: int = 0) -> str | None:
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
