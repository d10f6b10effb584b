"""To and from the objects of pretty_midi, pypianoroll and muspy; the only importer of the three.

Each conversion keeps all that both sides can hold, at exactly its tick:

    pretty_midi   notes, programs, drums, names, tempos, metres, keys (12 roots), markers as texts;
                  times are seconds there, so what lies between ticks is rounded to the nearest
    pypianoroll   notes on its grid, apart in each pitch (see `to_pypianoroll`), programs, drums,
                  names, tempos, bars (of a metre only its length)
    muspy         everything but the length of silence behind the last note; chords and markers are
                  annotations of the groups "chord" and "marker"
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from musegen.errors import InputError
from musegen.formats import cells, toolkits
from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Notes, Score, Track, changes

if TYPE_CHECKING:
    from muspy import Music
    from pretty_midi import PrettyMIDI
    from pypianoroll import Multitrack

MAX_CELLS = 2**30  # of piano rolls, in bytes
LAST_TICK = 10**7 - 1  # of pretty_midi
RECIPE = "musegen {"  # how a text begins that holds a score's recipe, as in our MIDI files


def to_pretty_midi(score: Score) -> PrettyMIDI:
    """A pretty_midi.PrettyMIDI with the ticks, and so the seconds, of the score.

    A score that is longer than pretty_midi's ten million ticks is resampled to fewer.
    """
    import pretty_midi

    last = max([score.end, *(e[0] for e in score.tempos + score.metres + score.keys)])
    if last > LAST_TICK:
        score = score.resample(max(1, score.ppq * LAST_TICK // (last + score.ppq)))
    midi = pretty_midi.PrettyMIDI(
        resolution=score.ppq, initial_tempo=score.tempos[0][1], charset="utf-8"
    )
    # No public way leads to tempo changes.
    midi._tick_scales = [(t, 60.0 / (qpm * score.ppq)) for t, qpm in score.tempos]
    midi._update_tick_to_time(min(last, LAST_TICK) + 1)
    seconds = _Clock(midi._tick_scales).seconds
    for track in score.tracks:
        on, off = track.notes[:, ONSET], track.notes[:, ONSET] + track.notes[:, DURATION]
        rows = (track.notes[:, [VELOCITY, PITCH]].tolist(), seconds(on), seconds(off))
        instrument = pretty_midi.Instrument(track.program, track.is_drum, track.name)
        instrument.notes = [
            pretty_midi.Note(velocity, pitch, start, end)
            for (velocity, pitch), start, end in zip(*rows, strict=True)
        ]
        midi.instruments.append(instrument)
    for (_, num, den), time in _at(score.metres, seconds):
        midi.time_signature_changes.append(pretty_midi.TimeSignature(num, den, time))
    for (_, sharps, minor), time in _at(score.keys, seconds):
        number = _root(sharps, minor) + 12 * minor
        midi.key_signature_changes.append(pretty_midi.KeySignature(number, time))
    texts = list(_at(score.markers, seconds))
    if score.recipe:
        texts.insert(0, ((0, "musegen " + json.dumps(score.recipe, sort_keys=True)), 0.0))
    midi.text_events = [pretty_midi.Text(text, time) for (_, text), time in texts]
    return midi


def from_pretty_midi(midi: PrettyMIDI) -> Score:
    """The score of a pretty_midi.PrettyMIDI, in its ticks.

    Notes of velocity 0 are silent and left out; those of no length last a tick.
    """
    clock = _Clock(midi._tick_scales)

    def events(found: list[Any], value: Any) -> list[tuple[Any, ...]]:
        times = clock.ticks([e.time for e in found])
        return [(t, *value(e)) for t, e in zip(times.tolist(), found, strict=True)]

    def key(change: Any) -> tuple[int, bool]:
        minor, root = divmod(change.key_number, 12)
        return (7 * (root + 3 * minor) + 5) % 12 - 5, bool(minor)

    tracks = []
    for instrument in midi.instruments:
        notes = [n for n in instrument.notes if n.velocity > 0]
        on, off = (clock.ticks([getattr(n, end) for n in notes]) for end in ("start", "end"))
        others = np.array([(n.pitch, n.velocity) for n in notes], np.int64).reshape(-1, 2)
        rows = np.column_stack([on, np.maximum(off - on, 1), others])
        name = str(instrument.name).strip()
        tracks.append(Track(rows, int(instrument.program), bool(instrument.is_drum), name))
    texts = events(midi.text_events, lambda e: (e.text,))
    return Score(
        tracks=tuple(tracks),
        ppq=int(midi.resolution),
        tempos=changes((t, _tempo(scale, midi.resolution)) for t, scale in midi._tick_scales),
        metres=changes(
            events(midi.time_signature_changes, lambda e: (e.numerator, e.denominator)), (0, 4, 4)
        ),
        keys=changes(events(midi.key_signature_changes, key)),
        markers=tuple(e for e in texts if not e[1].startswith(RECIPE)),
        recipe=next((_recipe(e[1]) for e in texts if e[1].startswith(RECIPE)), {}),
    )


def _recipe(text: str) -> Mapping[str, Any]:
    try:
        recipe = json.loads(text.removeprefix("musegen "))
    except (ValueError, RecursionError):
        return {}
    return recipe if isinstance(recipe, dict) else {}


def _root(sharps: int, minor: bool) -> int:
    """The pitch class of a key's tonic."""
    return (7 * sharps - 3 * minor) % 12


class _Clock:
    """Ticks to seconds and back along a tempo map, without a sum that drifts."""

    def __init__(self, scales: list[tuple[int, float]]) -> None:
        """`scales` are (tick, seconds a tick from there on)."""
        ordered = dict(sorted(scales))
        self.starts = np.array(list(ordered), np.float64)
        self.scales = np.array(list(ordered.values()), np.float64)
        self.times = np.append(0.0, np.cumsum(np.diff(self.starts) * self.scales[:-1]))

    def seconds(self, ticks: Any) -> list[float]:
        ticks = np.asarray(ticks, np.float64)
        i = np.searchsorted(self.starts, ticks, side="right") - 1
        return (self.times[i] + (ticks - self.starts[i]) * self.scales[i]).tolist()

    def ticks(self, seconds: Any) -> NDArray[np.int64]:
        seconds = np.asarray(seconds, np.float64)
        i = np.maximum(np.searchsorted(self.times, seconds, side="right") - 1, 0)
        ticks = self.starts[i] + (seconds - self.times[i]) / self.scales[i]
        return np.rint(ticks).astype(np.int64)


def _at(events: tuple[tuple[Any, ...], ...], seconds: Any) -> Any:
    return zip(events, seconds([e[0] for e in events]), strict=True)


def _tempo(scale: float, ppq: int) -> float:
    """Quarters a minute: whole microseconds a quarter, or a short decimal, where that is meant."""
    microseconds = scale * ppq * 1e6
    if abs(microseconds - round(microseconds)) < 1e-6 * max(1.0, microseconds * 1e-6):
        return 6e7 / round(microseconds)
    qpm = 6e7 / microseconds
    return round(qpm, 6) if abs(qpm - round(qpm, 6)) < 1e-9 else qpm


def to_pypianoroll(score: Score, resolution: int = 24) -> Multitrack:
    """A pypianoroll.Multitrack: rolls [steps, 128] of velocities, uint8, with tempo and downbeats.

    As pypianoroll does, a note gives its last step away when the next of its pitch follows at
    once, so that they stay apart; a note of one step keeps it. Of notes that overlap in one pitch
    the later one wins. Drums keep their length.

    Args:
        score: music of any length.
        resolution: steps in a quarter; times are rounded to them.

    Raises:
        ValueError: the rolls would take over 1 GB.
    """
    import pypianoroll

    score = score.resample(resolution)
    steps = score.end
    if steps * 128 * max(1, len(score.tracks)) > MAX_CELLS:
        raise ValueError(f"rolls of {steps:,} steps take over 1 GB; use a lower resolution")
    starts, qpm = np.array([t for t, _ in score.tempos]), [q for _, q in score.tempos]
    starts = np.minimum(starts, steps)
    downbeat = np.zeros(steps, bool)
    lines = score.bar_lines()
    downbeat[lines[lines < steps]] = True
    return pypianoroll.Multitrack(
        resolution=resolution,
        tempo=np.repeat(np.array(qpm, np.float64), np.diff(starts, append=steps)),
        downbeat=downbeat,
        tracks=[
            pypianoroll.StandardTrack(t.name, t.program, t.is_drum, _roll(t.notes, steps))
            for t in score.tracks
        ],
    )


def _roll(notes: Notes, steps: int) -> NDArray[np.uint8]:
    notes = notes[np.lexsort((notes[:, DURATION], notes[:, ONSET], notes[:, PITCH]))]
    on, pitch = notes[:, ONSET], notes[:, PITCH]
    same = np.append(np.diff(pitch) == 0, np.zeros(min(1, len(notes)), bool))
    until = np.where(same, np.roll(on, -1) - 1, steps)
    lengths = np.maximum(np.minimum(notes[:, DURATION], until - on), 1)
    roll = np.zeros((steps, 128), np.uint8)
    behind = np.cumsum(lengths) - lengths
    step = np.repeat(on - behind, lengths) + np.arange(lengths.sum())
    roll[step, np.repeat(pitch, lengths)] = np.repeat(notes[:, VELOCITY], lengths)
    return roll


def from_pypianoroll(multitrack: Multitrack) -> Score:
    """The score of a pypianoroll.Multitrack, a tick a time step; see
    `musegen.formats.cells` for how cells become notes.

    Raises:
        InputError: an array is not as pypianoroll wants it.
    """
    rolls = []
    for track in multitrack.tracks:
        roll = np.asarray(track.pianoroll)
        if roll.ndim != 2 or roll.shape[1] != 128:
            raise InputError("pypianoroll.Multitrack", "a piano roll is not of 128 pitches")
        steps, pitches = np.nonzero(roll)
        about = (track.program, track.is_drum, track.name)
        rolls.append(cells.Roll(steps, pitches, roll[steps, pitches], *about))
    length = max((len(t.pianoroll) for t in multitrack.tracks), default=0)
    return cells.from_rolls(
        rolls,
        multitrack.resolution,
        multitrack.tempo,
        multitrack.downbeat,
        length,
        "pypianoroll.Multitrack",
    )


def to_muspy(score: Score) -> Music:
    """A muspy.Music with the ticks of the score, barlines and beats filled in."""
    import muspy

    lines = score.bar_lines()
    beats = replace(score, metres=tuple((t, 1, den) for t, _, den in score.metres)).bar_lines()
    return muspy.Music(
        resolution=score.ppq,
        tempos=[muspy.Tempo(t, qpm) for t, qpm in score.tempos],
        key_signatures=[
            muspy.KeySignature(t, _root(sharps, minor), "minor" if minor else "major", sharps)
            for t, sharps, minor in score.keys
        ],
        time_signatures=[muspy.TimeSignature(*e) for e in score.metres],
        barlines=[muspy.Barline(t) for t in lines[:-1].tolist()],
        beats=[muspy.Beat(t) for t in beats[beats < lines[-1]].tolist()],
        annotations=[muspy.Annotation(t, text, "marker") for t, text in score.markers]
        + [muspy.Annotation(t, label, "chord") for t, label in score.chords],
        tracks=[
            muspy.Track(
                track.program,
                track.is_drum,
                track.name,
                [muspy.Note(on, p, length, v) for on, length, p, v in track.notes.tolist()],
            )
            for track in score.tracks
        ],
    )


def from_muspy(music: Music) -> Score:
    """The score of a muspy.Music, in its time steps.

    Notes of velocity 0 are silent and left out; those of no length last a step.

    Raises:
        InputError: a value is impossible, such as a pitch over 127.
    """
    return toolkits.from_muspy(music.to_ordered_dict(deepcopy=False), "muspy.Music")
