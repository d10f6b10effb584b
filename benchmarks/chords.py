"""How far the chords heard in notes agree with the labels of POP909, beat by beat.

Usage: python benchmarks/chords.py POP909.zip

Every fourth song is left out: the numbers in `chords.estimate` were chosen on those.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace

from musegen.corpora import Song, songs
from musegen.representations.chords import Chord, estimate, parse
from musegen.score import Score


def chords_of_beats(score: Score, beats: int) -> list[Chord | None]:
    at = {(2 * tick + score.ppq) // (2 * score.ppq): label for tick, label in score.chords}
    found, label = [], "N"
    for beat in range(beats):
        label = at.get(beat, label)
        found.append(parse(label))
    return found


def triad(chord: Chord | None) -> object:
    """Root and kind of the triad, None for a chord that is neither major nor minor."""
    above = {(t - chord.root) % 12 for t in chord.tones} if chord else set()
    for kind in ({0, 4, 7}, {0, 3, 7}):
        if chord and kind <= above:
            return chord.root, max(kind - {7})
    return None if chord else "none"


def main() -> None:
    read = [s for s in songs(sys.argv[1]) if isinstance(s, Song) and s.score.chords]
    held_out = [s.score for i, s in enumerate(read) if i % 4]
    print(f"{len(held_out)} songs      root   maj/min      bass     label     beats")
    for every in ("beat", "bar"):
        right, of = Counter(), Counter()
        for score in held_out:
            beats = max(score.chords[-1][0], score.end) // score.ppq
            heard = chords_of_beats(estimate(replace(score, chords=()), every), beats)
            for a, b in zip(chords_of_beats(score, beats), heard, strict=True):
                right["root"] += (a and a.root) == (b and b.root)
                right["bass"] += (a and a.bass) == (b and b.bass)
                right["label"] += a == b
                right["triad"] += triad(a) == triad(b) is not None
                of["triad"] += triad(a) is not None
                of["all"] += 1
        shares = [right[w] / of.get(w, of["all"]) for w in ("root", "triad", "bass", "label")]
        print(f"every {every:9}", *(f"{s:9.1%}" for s in shares), f"{of['all']:9,}")


if __name__ == "__main__":
    main()
