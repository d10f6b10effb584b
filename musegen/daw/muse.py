"""Scripts for MusE's Scripts menu: they change the notes of the selected part.

MusE runs a script as a program of its own, with a text file that it changes in place: lines such as
"NOTE tick pitch length velocity" beside some that tell of the part (MusE's scripting format 0.7).
"""

from __future__ import annotations

import sys
from typing import Any

from musegen import client

VERBS = {"generate": {"temperature": 1.0}, "vary": {"n": 1, "amount": 0.3}, "reconstruct": {}}


def change(text: str, verb: str, **options: Any) -> str:
    """The lines of a part with its notes replaced; lines of other kinds stay.

    Raises:
        ClientError: why there is no music; the part then stays as it is.
    """
    lines, told = text.splitlines(), _told(text)
    beat = int(told.get("BEATLEN", ["384"])[0])
    num, den = (int(n) for n in told.get("TIMESIG", ["4", "4"])[:2])
    drums = told.get("TYPE", ["MIDI"])[0] == "DRUM"
    length = int(told.get("PART", ["0", "0"])[1])
    bar = beat * 4 * num // den
    rows = [[int(word) for word in line.split()[1:5]] for line in lines if line.startswith("NOTE ")]
    length = length or max([t + d for t, _, d, _ in rows], default=bar)
    options = {**VERBS[verb], **options}
    music = []
    if verb == "generate":
        options.setdefault("bars", max(1, -(-length // (4 * beat))))
        options.setdefault("model", "drums-2bar" if drums else None)
    else:
        notes = [
            {"start": t / beat, "pitch": p, "duration": max(1, d) / beat, "velocity": max(1, v)}
            for t, p, d, v in rows
        ]
        music = [{"notes": notes, "drums": drums, "metre": [num, den], "length": length / beat}]
    made = client.wait(client.submit(verb, *music, reply=["notes"], **options))
    first = min((t for t, _, _, _ in rows), default=0) // bar * bar if music else 0
    kept = [line for line in lines if not line.startswith("NOTE ")]
    for note in client.notes_of(made["scores"][0]):
        start = first + round(note["start"] * beat)
        if start < length:
            long = min(max(1, round(note["duration"] * beat)), length - start)
            kept.append(f"NOTE {start} {note['pitch']} {long} {note['velocity']}")
    return "\n".join(kept) + "\n"


def _told(text: str) -> dict[str, list[str]]:
    words = [line.split() for line in text.splitlines()]
    return {row[0]: row[1:] for row in words if row and row[0] not in ("NOTE", "CONTROLLER")}


def main(verb: str, argv: list[str]) -> int:
    """Change the file that MusE names; it stays as it is when there is no music."""
    try:
        with open(argv[1], encoding="utf-8") as file:  # noqa: PTH123
            made = change(file.read(), verb)
        with open(argv[1], "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(made)
    except (client.ClientError, IndexError, OSError, ValueError) as error:
        sys.stderr.write(f"musegen: {error}\n")
        return 1
    return 0
