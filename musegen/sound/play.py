"""Scores to a MIDI port in time, and a loop of ever new pieces: other programs hear musegen as an
instrument that plays by itself. Needs the extra `[midi]`: mido with python-rtmidi.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from musegen.errors import MusegenError
from musegen.formats.smf import DRUM_CHANNEL
from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Score
from musegen.sound.synth import seconds_at

Message = tuple[float, bytes]  # seconds from the start, and what goes over the wire


def messages(score: Score) -> list[Message]:
    """Program changes, notes on and off of a score, in order; ends before beginnings.

    More than 15 pitched tracks share channels.
    """
    free = [c for c in range(16) if c != DRUM_CHANNEL]
    found: list[tuple[float, int, bytes]] = []
    pitched = 0
    for track in score.tracks:
        if track.is_drum:
            channel = DRUM_CHANNEL
        else:
            channel, pitched = free[pitched % len(free)], pitched + 1
        found.append((0.0, 0, bytes([0xC0 + channel, track.program])))
        notes = track.notes
        on = seconds_at(score, notes[:, ONSET])
        off = seconds_at(score, notes[:, ONSET] + notes[:, DURATION])
        for a, b, p, v in zip(on, off, notes[:, PITCH], notes[:, VELOCITY], strict=True):
            found.append((float(a), 2, bytes([0x90 + channel, int(p), int(v)])))
            found.append((float(b), 1, bytes([0x80 + channel, int(p), 64])))
    return [(at, data) for at, _, data in sorted(found, key=lambda e: e[:2])]


def length_of(score: Score) -> float:
    """Seconds to the last bar line."""
    return float(seconds_at(score, np.asarray(score.bar_lines()[-1:]))[0])


def play(
    pieces: Iterable[Score],
    send: Callable[[bytes], None],
    say: Callable[[str], None] = lambda text: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Send pieces one after the other, each from the bar line where the last one ended.

    The next piece is fetched while the last note of one sounds, so `pieces` may make music as it
    goes; when it takes too long, the next piece begins late and the silence is not made up for.
    However it ends, no note is left hanging.
    """
    sounding: dict[tuple[int, int], int] = {}
    begin = clock()
    try:
        for piece in pieces:
            begin = max(begin, clock())
            say(repr(piece))
            for at, data in messages(piece):
                wait = begin + at - clock()
                if wait > 0:
                    sleep(wait)
                kind, key = data[0] & 0xF0, (data[0] & 0x0F, data[1])
                if kind == 0x90:  # counted before it sounds, in case we are stopped here
                    sounding[key] = sounding.get(key, 0) + 1
                send(data)
                if kind == 0x80 and key in sounding:
                    sounding[key] -= 1
            begin += length_of(piece)
        rest = begin - clock()
        if rest > 0:
            sleep(rest)
    finally:
        for (channel, pitch), count in sounding.items():
            if count > 0:
                send(bytes([0x80 + channel, pitch, 0]))


def endless(make: Callable[[int], Score], seed: int) -> Iterator[Score]:
    """A new piece each time, from one seed after the other."""
    while True:
        yield make(seed)
        seed += 1


def _rtmidi() -> Any:
    try:
        import rtmidi
    except ImportError:
        raise MusegenError(
            "python-rtmidi is missing; install it: pip install 'musegen[midi]'"
        ) from None
    return rtmidi


def ports() -> list[str]:
    """Names of the ports that can be played to.

    Raises:
        MusegenError: there is no MIDI system here.
    """
    return list(_out().get_ports())


@contextmanager
def _silence() -> Iterator[None]:
    """Nothing on standard error, where JACK's library tells at length that no server runs."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _out() -> Any:
    rtmidi = _rtmidi()
    for api in rtmidi.get_compiled_api():
        try:
            with _silence():
                return rtmidi.MidiOut(api, name="musegen")
        except (OSError, SystemError):  # this one does not answer; perhaps another does
            continue
    raise MusegenError(
        "this computer has no MIDI system that answers (ALSA, JACK, CoreMIDI or Windows' own); on "
        "Linux load the module snd-seq, or start JACK"
    )


def open_port(
    name: str, virtual: bool = False
) -> tuple[Callable[[bytes], None], Callable[[], None]]:
    """A port to play to: one whose name contains `name`, or a new one of that name.

    Returns:
        What sends a message, and what closes the port.

    Raises:
        MusegenError: there is no such port, or no MIDI system.
    """
    out = _out()
    names = out.get_ports()
    if virtual:
        try:
            out.open_virtual_port(name)
        except (OSError, RuntimeError, SystemError):
            raise MusegenError(
                "this system has no virtual ports; install one (loopMIDI on Windows), and name it "
                "with --port"
            ) from None
    else:
        hits = [i for i, port in enumerate(names) if name.lower() in port.lower()]
        if not hits:
            there = ", ".join(names) if names else "none"
            raise MusegenError(f"no MIDI port {name!r}; there are: {there} (or use --virtual)")
        out.open_port(hits[0])
    return (lambda data: out.send_message(list(data))), out.close_port
