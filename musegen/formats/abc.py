"""Read tunes in ABC notation; the only importer of music21 beside the corpora inside its wheel.

music21 splits the text into tokens, the bars are made here: one voice in 4/4, 2/2 or 2/4, repeats
as written once, pickups set right, so that bar lines are true.
"""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from typing import Any

from musegen.errors import InputError
from musegen.score import Score, Track, as_notes

MAX_QUARTERS = 50_000  # seven hours at 120 bpm, for MIDI files too
MAX_TEXT = 20_000  # characters of a tune; music21 takes a second for four times as many

_METRES = {"C": 1, "C|": 1, "4/4": 1, "2/2": 1, "2/4": 2}  # factor that makes a bar four quarters


def parse(text: str, name: str) -> Score:
    """The first tune of an ABC text, bars in 2/4 with doubled note values.

    Raises:
        InputError: not ABC, no notes, several voices, or a metre other than 4/4, 2/2 and 2/4.
    """
    from music21 import abcFormat

    begins = [m.start() for m in islice(re.finditer(r"(?m)^X:", text), 2)]
    tune = text[slice(*begins)] if len(begins) > 1 else text[sum(begins) :]
    if len(tune) > MAX_TEXT:
        raise InputError(name, f"over {MAX_TEXT:,} characters, too long for a tune; split it")
    try:
        handler = abcFormat.ABCHandler()
        handler.parseHeaderForVersionInformation(tune[:100])
        handler.tokenize(tune)
        factor = _factor(handler.tokens, name)
        with contextlib.redirect_stderr(io.StringIO()) as said:
            handler.tokenProcess()
        score = _from_tokens(handler.tokens, factor, name)
    except InputError:
        raise
    except Exception:  # music21 raises many kinds on odd tunes
        raise InputError(name, "not understood as ABC notation; check the tune") from None
    odd = said.getvalue().count("Could not get pitch")
    remark = f"{odd:,} note{'s' * (odd > 1)} without the letter of a pitch: read as C"
    return replace(score, remarks=(remark,)) if odd else score


def _factor(tokens: list[Any], name: str) -> int:
    """What makes its bars four quarters; found before music21 goes on, which some metres stall."""
    headers = [t for t in tokens if hasattr(t, "tag")]
    for t in headers:
        t.preParse()
    tags = [(t.tag, t.data.strip()) for t in headers]
    metres = {data for tag, data in tags if tag == "M"}
    if any(tag == "V" for tag, _ in tags):
        raise InputError(name, "several voices")
    if len(metres) != 1 or not metres <= set(_METRES):
        found = ", ".join(sorted(metres))[:50] or "missing"
        raise InputError(name, f"metre {' '.join(found.split())}, not 4/4 or 2/4")
    return _METRES[metres.pop()]


def _from_tokens(tokens: list[Any], factor: int, name: str) -> Score:
    """A monophonic tune from music21's ABC tokens, all bars made four quarters long."""
    from music21 import pitch

    bars: list[list[tuple[Fraction, Fraction, int]]] = [[]]
    lengths, tie = [Fraction(0)], False
    for token in tokens:
        kind = type(token).__name__
        if kind == "ABCBar":
            bars.append([])
            lengths.append(Fraction(0))
        elif kind in ("ABCNote", "ABCChord", "ABCRest") and not getattr(token, "inGrace", False):
            length = Fraction(token.quarterLength).limit_denominator(96) * factor
            if token.activeTuplet:  # music21 leaves this to the maker of notes
                length *= Fraction(token.activeTuplet.tupletMultiplier())
            inner = max(token.subTokens, key=_height) if kind == "ABCChord" else token
            if not getattr(inner, "isRest", False) and inner.pitchName:
                number = int(pitch.Pitch(inner.pitchName).midi)
                if tie and bars[-1] and bars[-1][-1][2] == number:
                    at, old, _ = bars[-1][-1]
                    bars[-1][-1] = (at, old + length, number)
                else:
                    bars[-1].append((lengths[-1], length, number))
            lengths[-1] += length
            tie = getattr(inner, "tie", None) in ("start", "continue")
    return _whole_bars(bars, lengths, name)


def _height(note: Any) -> int:
    from music21 import pitch

    return int(pitch.Pitch(note.pitchName).midi) if note.pitchName else -1


def _whole_bars(bars: list[list[Any]], lengths: list[Fraction], name: str) -> Score:
    """Bars of any length set on a grid of four quarters: a short bar and the pickup after it are
    joined, a pickup at the start is set right, other short bars are padded, long bars rounded up.
    """
    whole, rows, now = Fraction(4), [], Fraction(0)
    kept = [(b, n) for b, n in zip(bars, lengths, strict=True) if n > 0]
    for i, (bar, length) in enumerate(kept):
        if i == 0 and length < whole:
            now = whole - length
        rows += [(now + at, duration, number) for at, duration, number in bar]
        now += length
        following = kept[i + 1][1] if i + 1 < len(kept) else whole
        joins = now % whole + following == whole
        if now % whole and not joins:
            now += whole - now % whole
    if not rows:
        raise InputError(name, "no notes")
    if now > MAX_QUARTERS:
        raise InputError(name, f"lasts over {MAX_QUARTERS:,} quarters; look for a wrong length")
    notes = [(round(on * 480), max(1, round(d * 480)), p, 80) for on, d, p in rows]
    return Score((Track(as_notes(notes), 40, name="Melody"),), 480, length=round(now * 480))
