"""Scores in notebooks: a piano roll that is drawn by the browser, and a player. Both are inside the
page, so they need no network, and stay in a notebook that is saved or turned into a web page.
"""

from __future__ import annotations

import base64
import html
import io
import wave

import numpy as np

from musegen.names import instrument_name, pitch_name
from musegen.score import DURATION, ONSET, PITCH, VELOCITY, Score
from musegen.sound.synth import seconds_at, synthesise

RATE = 11_025  # samples a second of 8 bits: small, and good enough to hear what it is
LONGEST = 30.0  # seconds that can be heard in a notebook
NOTES = 4000  # that are drawn
WIDTH, HEIGHT, LEFT, FOOT = 760, 200, 34, 16  # pixels
COLOURS = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#66ccee", "#ccbb44")
DRUMS = "#777777"


def to_html(score: Score) -> str:
    """The roll and the player of a score."""
    told = html.escape(repr(score).removeprefix("Score"))
    if not any(len(track) for track in score.tracks):
        return f"<div>silence {told}</div>"
    return (
        f'<div style="max-width:{WIDTH}px">{svg(score)}{player(score)}<small>{told}</small></div>'
    )


def svg(score: Score) -> str:
    """A piano roll as inline SVG: bars numbered, each track in its colour, loud notes darker."""
    lines = score.bar_lines()
    end = max(int(lines[-1]), 1)
    some = [track.notes for track in score.tracks if len(track)]
    pitches = np.concatenate([notes[:, PITCH] for notes in some])
    low, high = int(pitches.min()) - 1, int(pitches.max()) + 1
    across, down = (WIDTH - LEFT) / end, (HEIGHT - FOOT) / (high - low + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{html.escape(repr(score))}" style="width:100%;background:#fff">'
        '<g font-family="sans-serif" font-size="10" fill="#666">'
    ]
    every = -(-len(lines) // 24)
    for i in range(0, len(lines), every):
        x = LEFT + int(lines[i]) * across
        parts.append(f'<path d="M{x:.1f} 0V{HEIGHT - FOOT}" stroke="#ddd"/>')
        if i + 1 < len(lines):
            parts.append(f'<text x="{x + 2:.1f}" y="{HEIGHT - 4}">{i + 1}</text>')
    for pitch in range(-(-low // 12) * 12, high + 1, 12):
        y = (high - pitch + 0.5) * down
        parts.append(f'<text x="0" y="{y + 4:.1f}">{pitch_name(pitch)}</text>')
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH}" stroke="#eee"/>')
    parts.append("</g>")
    left = NOTES
    for i, track in enumerate(score.tracks):
        colour = DRUMS if track.is_drum else COLOURS[i % len(COLOURS)]
        name = html.escape(track.name or instrument_name(track.program, track.is_drum))
        parts.append(f'<g fill="{colour}"><title>{name}</title>')
        notes = track.notes[: max(left, 0)]
        left -= len(notes)
        at = LEFT + notes[:, ONSET] * across
        wide = np.maximum(notes[:, DURATION] * across - 0.5, 1.5)
        up = (high - notes[:, PITCH]) * down
        dark = 0.35 + 0.65 * notes[:, VELOCITY] / 127
        tall = max(down - 0.5, 1.0)
        for row in np.column_stack([at, up, wide, dark]).tolist():
            parts.append(
                f'<rect x="{row[0]:.1f}" y="{row[1]:.1f}" width="{row[2]:.1f}" '
                f'height="{tall:.1f}" opacity="{row[3]:.2f}"/>'
            )
        parts.append("</g>")
    return "".join(parts) + "</svg>"


def player(score: Score) -> str:
    """A player of the music (its first half minute), the sound inside the page."""
    seconds = float(seconds_at(score, score.bar_lines()[-1:])[0])
    said = ""
    if seconds > LONGEST:
        until = int(np.searchsorted(seconds_at(score, np.arange(0, score.end, 60)), LONGEST)) * 60
        score, said = score.clip(0, until), f"<small>the first {LONGEST:g} seconds</small> "
    sound = synthesise(score, RATE, 0.5)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(RATE)
        file.writeframes(np.round(127.5 + 127 * sound).astype(np.uint8).tobytes())
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'{said}<audio controls style="width:100%" src="data:audio/wav;base64,{data}"></audio>'
