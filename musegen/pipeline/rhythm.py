"""A rhythm as a user gives it: lengths in a line of text, or a score whose notes have it."""

from __future__ import annotations

import numpy as np

from musegen.errors import InputError, OptionError
from musegen.representations.tuples import LONGEST, PPQ, Tuples
from musegen.score import DURATION, ONSET, Notes, Score, cut

WRITE = "write lengths in quarters, as 1 1/2 (1) 2, rests in parentheses"


def rhythm_of(rhythm: str | Score, name: str = "rhythm") -> tuple[Notes, int]:
    """Notes that have a rhythm, and how long it is, both in ticks at 384 a quarter: a text as long
    as its lengths, a score as its bars.

    Raises:
        InputError: no notes, a length that cannot be read, or a rest too long for a cell.
    """
    wrong: type[InputError]
    if isinstance(rhythm, str):
        rows, length = _lengths(rhythm)
        wrong, name, hint = OptionError, "rhythm", WRITE
    else:
        rows = Tuples(1).notes(rhythm)
        length = int(rhythm.bar_lines()[-1]) * PPQ // rhythm.ppq
        wrong, hint = InputError, "give a piece that has pitched notes"
    if not len(rows):
        raise wrong(name, f"has no notes to take a rhythm from; {hint}")
    if max(np.diff(rows[:, ONSET], prepend=0).max(), rows[:, DURATION].max()) > LONGEST:
        raise wrong(name, f"has a note or rest of over {LONGEST // PPQ} quarters; shorten it")
    return rows, length


def repeated(rows: Notes, length: int, until: int) -> Notes:
    """A rhythm of `length` ticks, from the beginning again until a tick, at which it is cut."""
    times = -(-until // length)
    shift = np.repeat(np.arange(times) * length, len(rows))
    many = np.tile(rows, (times, 1))
    many[:, ONSET] += shift
    return cut(many, until)


def _lengths(text: str) -> tuple[Notes, int]:
    """Notes one after the other, and where the last one or a rest after it ends."""
    at, rows = 0, []
    for word in text.replace(",", " ").split():
        rest = word.startswith("(") and word.endswith(")")
        over, _, under = (word[1:-1] if rest else word).partition("/")
        try:
            length = round(float(over) / float(under or 1) * PPQ)
        except (ValueError, ZeroDivisionError, OverflowError):
            length = 0
        if not 1 <= length <= LONGEST:
            raise OptionError("rhythm", f"{word!r} is no length; {WRITE}")
        if not rest:
            rows.append((at, length, 60, 64))
        at += length
    return np.array(rows, np.int64).reshape(-1, 4), at
