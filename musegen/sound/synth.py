"""A small synthesiser of arrays: additive tones with an envelope for each family of General MIDI,
and drums of noise and gliding sines. It needs no soundfont and makes the same bytes anywhere.

The tables below are by ear: what tells a plucked string from a pad is how its overtones fall off
and how it begins and ends.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Score, Track

RATE = 22_050  # samples a second
TAIL = 1.0  # seconds after the last bar line, for what rings on
_Wave = NDArray[np.float32]

# For each family of eight programs: strengths of the overtones, seconds to rise, seconds in which a
# held note fades to half (0: it does not), seconds to end after the note.
_FAMILIES = (
    ((1, 0.6, 0.3, 0.2, 0.1, 0.05), 0.004, 0.7, 0.15),  # piano
    ((1, 0.1, 0.05, 0.4, 0.02), 0.002, 0.5, 0.3),  # chromatic percussion
    ((1, 0.7, 0.5, 0.5, 0.1, 0.3), 0.02, 0, 0.05),  # organ
    ((1, 0.5, 0.35, 0.25, 0.15, 0.1), 0.003, 0.5, 0.1),  # guitar
    ((1, 0.5, 0.2, 0.05), 0.005, 0.8, 0.06),  # bass
    ((1, 0.6, 0.45, 0.3, 0.25, 0.15, 0.1), 0.06, 0, 0.12),  # strings
    ((1, 0.6, 0.45, 0.3, 0.2, 0.1), 0.09, 0, 0.2),  # ensemble
    ((1, 0.8, 0.7, 0.5, 0.35, 0.2), 0.03, 0, 0.06),  # brass
    ((1, 0.1, 0.6, 0.1, 0.35, 0.05, 0.2), 0.03, 0, 0.06),  # reed
    ((1, 0.3, 0.08, 0.04), 0.04, 0, 0.06),  # pipe
    ((1, 0.5, 0.33, 0.25, 0.2, 0.16, 0.14), 0.01, 0, 0.06),  # synth lead
    ((1, 0.4, 0.3, 0.2, 0.1), 0.25, 0, 0.4),  # synth pad
    ((1, 0.3, 0.4, 0.1, 0.3), 0.1, 0, 0.4),  # effects
    ((1, 0.4, 0.5, 0.2, 0.3), 0.004, 0.4, 0.1),  # ethnic
    ((1, 0.1, 0.3, 0.05, 0.2), 0.002, 0.2, 0.1),  # percussive
    ((1, 0.2, 0.2, 0.2), 0.05, 0.5, 0.2),  # sound effects
)
# Drums: Hz it begins and ends at, seconds to fade to half, share of noise, brightness of the noise.
_KICK, _SNARE, _CLOSED = (110, 45, 0.07, 0.05, 0.2), (220, 170, 0.06, 0.7, 0.6), (0, 0, 0.02, 1, 1)
_OPEN, _CYMBAL, _TOM = (0, 0, 0.12, 1, 1), (0, 0, 0.35, 1, 0.9), (160, 90, 0.12, 0.1, 0.3)
_CLICK = (900, 800, 0.015, 0.3, 0.6)
_DRUMS = {35: _KICK, 36: _KICK, 38: _SNARE, 39: _SNARE, 40: _SNARE, 37: _CLICK}
_DRUMS |= {42: _CLOSED, 44: _CLOSED, 46: _OPEN, 69: _CLOSED, 70: _CLOSED, 82: _CLOSED}
_DRUMS |= dict.fromkeys((49, 51, 52, 53, 55, 57, 59), _CYMBAL)
_DRUMS |= dict.fromkeys((41, 43, 45, 47, 48, 50), _TOM)


def seconds_at(score: Score, ticks: NDArray[np.integer]) -> NDArray[np.float64]:
    """When ticks are, in seconds after the tempo map."""
    tempo = np.array([tick for tick, _ in score.tempos], np.float64)
    each = 60 / (np.array([qpm for _, qpm in score.tempos]) * score.ppq)
    begin = np.concatenate([[0.0], np.cumsum(np.diff(tempo) * each[:-1])])
    at = np.maximum(np.searchsorted(tempo, ticks, side="right") - 1, 0)
    return begin[at] + (ticks - tempo[at]) * each[at]


def synthesise(score: Score, rate: int = RATE, tail: float = TAIL) -> _Wave:
    """The sound of a score [samples], -1 to 1, from its start to its last bar line and `tail`.

    Args:
        score: the music.
        rate: samples a second.
        tail: seconds after the last bar line.
    """
    end = float(seconds_at(score, score.bar_lines()[-1:])[0])
    whole = np.zeros(max(1, round((end + tail) * rate)), np.float32)
    for track in score.tracks:
        _add(whole, score, track, rate)
    peak = float(np.abs(whole).max())
    if peak > 0:
        whole *= 0.8 / max(peak, 0.25)
    fade = min(len(whole), round(0.02 * rate))
    whole[len(whole) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return whole


def _add(whole: _Wave, score: Score, track: Track, rate: int) -> None:
    """Add a track's notes: equal ones are made once."""
    notes = track.notes
    on = np.round(seconds_at(score, notes[:, ONSET]) * rate).astype(int)
    off = np.round(seconds_at(score, notes[:, ONSET] + notes[:, DURATION]) * rate).astype(int)
    long = np.ones_like(on) if track.is_drum else np.maximum(off - on, 1)
    long = -(-long // (rate // 50)) * (rate // 50)  # lengths of 20 ms, so that many are equal
    kinds, which = np.unique(np.column_stack([notes[:, PITCH], long]), axis=0, return_inverse=True)
    order = np.argsort(which.ravel(), kind="stable")
    counts = np.bincount(which.ravel(), minlength=len(kinds))
    loud = (notes[:, VELOCITY] / 127.0) ** 1.5
    for (pitch, length), some in zip(kinds, np.split(order, np.cumsum(counts)[:-1]), strict=True):
        if track.is_drum:
            wave = drum(int(pitch), rate)
        else:
            wave = tone(int(pitch), int(length), track.program, rate)
        for i in some:
            piece = wave[: max(0, len(whole) - on[i])]
            whole[on[i] : on[i] + len(piece)] += np.float32(loud[i]) * piece


def tone(pitch: int, length: int, program: int, rate: int = RATE) -> _Wave:
    """A note of an instrument, held for `length` samples, and its end."""
    overtones, rise, half, fall = _FAMILIES[program // 8]
    released = round(fall * rate)
    t = np.arange(length + released, dtype=np.float32) / rate
    frequency = 440.0 * 2 ** ((pitch - 69) / 12)
    while frequency > 0.45 * rate:  # the top octave sounds one lower rather than not at all
        frequency /= 2
    wave = np.zeros(len(t), np.float32)
    for k, strength in enumerate(overtones, 1):
        if k * frequency < 0.45 * rate:
            # Struck and plucked overtones fade the faster the higher they are.
            fading = np.exp2(-t * (k**0.5) / half) if half else np.float32(1)
            wave += (
                np.float32(strength) * fading * np.sin(np.float32(2 * np.pi * k * frequency) * t)
            )
    envelope = np.minimum(1, t / rise)
    if released:
        envelope[length:] *= np.linspace(1, 0, released, dtype=np.float32) ** 2
    return wave * envelope * np.float32(0.3 / sum(overtones))


def drum(pitch: int, rate: int = RATE) -> _Wave:
    """A stroke of the General MIDI drum of a pitch."""
    begin, end, half, noise, bright = _DRUMS.get(pitch, _CLICK)
    t = np.arange(round(8 * half * rate), dtype=np.float32) / rate
    fading = np.exp2(-t / half)
    hiss = np.random.default_rng(pitch).standard_normal(len(t)).astype(np.float32)
    hiss -= np.float32(bright) * np.concatenate([[np.float32(0)], hiss[:-1]])
    glide = end * t + (begin - end) * 0.03 * (1 - np.exp(-t / 0.03))
    wave = (1 - noise) * np.sin(2 * np.pi * glide) + 0.4 * noise * hiss
    return (0.5 * fading * wave).astype(np.float32)
