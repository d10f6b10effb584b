"""Read MusicXML scores, plain (.musicxml, .xml) and compressed (.mxl).

After the MusicXML 4.0 specification (W3C, 2021). What is decided here:

- Pitches sound as they are heard: parts of transposing instruments are transposed, microtones go
  to the nearest semitone. Cue notes are silent.
- Tied notes are one note. Grace notes sound before the beat, a thirty-second note each.
- Repeats with their endings are played out, as players do; one without a beginning goes back to the
  end of the one before. Da capo and dal segno are not played.
- A bar lasts as long as its metre says if a part fills it so, else as long as the music in it. A
  short first bar is a pickup: rests are put before it, so that bar lines are true.
- A part becomes a track for each program in it; what is unpitched or on channel 10 is drums. A part
  that tells no program has the one that its name tells ("Violin II").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from math import lcm
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from musegen.errors import InputError
from musegen.formats import archive
from musegen.formats.abc import MAX_QUARTERS
from musegen.formats.marks import Broken, number
from musegen.formats.notation import (
    AT,
    BAR,
    LOUD,
    START,
    STOP,
    TICKS,
    TIE,
    TRACK,
    Bar,
    Event,
    Piece,
    Reader,
)
from musegen.score import Notes, Score, Track, changes, metre_map

PPQ = 480  # at least; all durations of the file are whole ticks
MAX_PPQ = 2**16  # finer divisions are rounded
MAX_TAGS = 1_200_000  # some 65,000 notes
MAX_ATTRIBUTES = 600_000
MAX_PARTS = 1024
MAX_CONTAINER = 2**16  # bytes of the file that tells which member of a .mxl is the score
MAX_NOTES = 500_000  # with repeats played out
MAX_MARKS = 2**17  # of a kind, likewise
FORBIDDEN = tuple(f"<!{word}".encode() for word in ("ENTITY", "ATTLIST", "ELEMENT", "NOTATION"))


def parse(data: bytes, name: str, *, repeats: bool = True) -> Score:
    """The score in a MusicXML file, partwise or timewise, as bytes.

    Args:
        data: the file.
        name: what to call it in errors.
        repeats: play repeats out; False reads every bar once, as written.

    Raises:
        InputError: not MusicXML, broken, with a document type of its own, or too large.
    """
    root = _tree(_unpacked(data, name), name)
    try:
        parts = _parts(root)
        ppq, rounded = _resolution(root)
        piece = Piece(ppq)
        for index, (entry, measures) in enumerate(parts):
            Reader(piece, index, entry).read(measures)
        return _score(piece, repeats, rounded)
    except Broken as error:
        raise InputError(name, f"broken MusicXML ({error}); export it again") from None


def _unpacked(data: bytes, name: str) -> bytes:
    if not data.startswith(b"PK"):
        return data
    files = archive.members(data, name, lambda m: m.lower().endswith((".xml", ".musicxml")))
    wanted = ""
    container = files.pop("META-INF/container.xml", b"")
    if 0 < len(container) < MAX_CONTAINER:
        found = _tree(container, name).find(".//{*}rootfile")
        wanted = found.get("full-path", "") if found is not None else ""
    if wanted not in files:
        wanted = min(files, default="")
    if not wanted:
        raise InputError(name, "a zip without MusicXML in it; give a .mxl or .musicxml file")
    return files[wanted]


def _tree(data: bytes, name: str) -> Element:
    """The root element, with plain names; sizes are checked before anything is built."""
    if len(data) > archive.MAX_BYTES:
        raise InputError(name, f"over {archive.MAX_BYTES >> 20} MB; split the piece")
    encoding = None
    try:
        if data[:2] in (b"\xff\xfe", b"\xfe\xff") or 0 in data[:2]:
            kind = {0xFF: "utf-16", 0xFE: "utf-16", 0: "utf-16-be"}.get(data[0], "utf-16-le")
            data, encoding = data.decode(kind).encode(), "utf-8"
        if any(word in data for word in FORBIDDEN):
            raise InputError(name, "declares a document type of its own; export it again")
        if data.count(b"<") > MAX_TAGS or data.count(b"=") > MAX_ATTRIBUTES:
            raise InputError(name, f"over {MAX_TAGS:,} tags or {MAX_ATTRIBUTES:,} attributes")
        root = ElementTree.fromstring(data, ElementTree.XMLParser(encoding=encoding))
    except (ElementTree.ParseError, UnicodeError, LookupError, ValueError):
        raise InputError(name, "not understood as MusicXML; give a .musicxml file") from None
    if root.tag.startswith("{"):
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
    return root


def _parts(root: Element) -> list[tuple[Element, list[Element]]]:
    """Each part as its entry in the part list and its measures."""
    parts: dict[str, list[Element]] = {}
    if root.tag == "score-partwise":
        for part in root.findall("part"):
            parts.setdefault(part.get("id", ""), []).extend(part.findall("measure"))
    elif root.tag == "score-timewise":
        for i, measure in enumerate(root.findall("measure")):
            for part in measure.findall("part"):
                part.set("implicit", measure.get("implicit", "no"))
                bars = parts.setdefault(part.get("id", ""), [])
                if i * len(parts) > MAX_TAGS:
                    raise Broken("too many parts for so many measures")
                bars += [Element("measure") for _ in range(i - len(bars))] + [part]
    else:
        raise Broken(f"<{root.tag[:20]}> where a score belongs")
    if len(parts) > MAX_PARTS:
        raise Broken(f"over {MAX_PARTS:,} parts")
    entries = {e.get("id", ""): e for e in root.iterfind("part-list/score-part")}
    return [(entries.get(key, Element("score-part")), bars) for key, bars in parts.items()]


def _resolution(root: Element) -> tuple[int, bool]:
    """Ticks in a quarter that hold all durations, and whether they do not."""
    wanted = {max(1, number(e.text).numerator) for e in root.iter("divisions")}
    ppq = PPQ
    for divisions in sorted(wanted):
        if (finer := lcm(ppq, divisions)) <= MAX_PPQ:
            ppq = finer
    return ppq, any(ppq % d for d in wanted)


def _score(piece: Piece, repeats: bool, rounded: bool) -> Score:
    """The bars in playing order, as one piece of music."""
    bars, ppq = piece.bars, piece.ppq
    metres = _in_force(piece.metres, len(bars))
    lengths = []
    for bar, metre in zip(bars, metres, strict=True):
        whole = 4 * ppq * metre[0] // metre[1] if metre else 4 * ppq
        if whole in bar.extents:
            lengths.append(whole)
        else:
            lengths.append(max(bar.extents, default=0) or bar.spare or whole)
    order = np.array(_playing_order(bars) if repeats else range(len(bars)), np.int64)
    ticks = np.array(lengths, np.int64)[order]
    starts = np.cumsum(ticks) - ticks
    pickup = 0
    if len(order) and (first := metres[order[0]]):
        whole = 4 * ppq * first[0] // first[1]
        if ticks[0] < whole and (len(order) > 1 or bars[order[0]].is_pickup):
            pickup = int(whole - ticks[0])
    end = int(ticks.sum()) + pickup
    if end > MAX_QUARTERS * ppq:
        raise Broken(f"over {MAX_QUARTERS:,} quarters long")
    starts += pickup
    spans = [(int(s), int(t), metres[b]) for s, t, b in zip(starts, ticks, order, strict=True)]
    if pickup:
        spans[0] = (0, spans[0][1] + pickup, spans[0][2])

    def heard(events: list[Event]) -> list[tuple[int, Any]]:
        """Events at the ticks where they are played."""
        at: dict[int, list[tuple[int, Any]]] = {}
        for bar, tick, value in sorted(events, key=lambda e: e[:2]):
            at.setdefault(bar, []).append((tick, value))
        if sum(len(at.get(bar, ())) for bar in order.tolist()) > MAX_MARKS:
            raise Broken(f"over {MAX_MARKS:,} marks with repeats played out")
        played = zip(starts.tolist(), order.tolist(), strict=True)
        return [(start + tick, value) for start, bar in played for tick, value in at.get(bar, ())]

    def lasting(events: list[Event]) -> list[tuple[int, Any]]:
        """Events that, as written, hold in every later bar."""
        events = sorted(events, key=lambda e: e[:2])
        held = _in_force({bar + 1: value for bar, _, value in events}, len(bars))
        again = [(bar, 0, value) for bar, value in enumerate(held) if value is not None]
        return [(0 if tick <= pickup else tick, value) for tick, value in heard(again + events)]

    written = np.concatenate([np.empty((0, 7), np.int64), *piece.notes])
    notes = _joined(_played(written, order, starts))
    tracks = [
        Track(notes[notes[:, TRACK] == i][:, AT : LOUD + 1], program, is_drum, name)
        for (_, program, is_drum), (i, name) in piece.tracks.items()
    ]
    return Score(
        tracks=tuple(t for t in tracks if len(t)),
        ppq=ppq,
        tempos=changes(lasting(piece.tempos), (0, 120.0)),
        metres=metre_map(spans, ppq),
        keys=changes((t, *key) for t, key in lasting(piece.keys)),
        markers=tuple(heard(piece.markers)),
        chords=changes(heard(piece.chords)),
        length=end,
        remarks=tuple(_remarks(piece, len(order), pickup, rounded)),
    )


def _in_force(said: Mapping[int, Any], bars: int) -> list[Any]:
    """What holds in each bar, given what is said at some; None before the first."""
    held, now = [], None
    for bar in range(bars):
        now = said.get(bar, now)
        held.append(now)
    return held


def _playing_order(bars: list[Bar]) -> list[int]:
    """Bars in the order in which repeats and their endings let them sound."""
    times = [bar.times for bar in bars]
    for _, group in groupby(range(len(bars)), key=lambda i: bool(bars[i].ending)):
        run = list(group)
        if passes := max((n for i in run for n in bars[i].ending), default=0):
            for i in run:
                times[i] = min(times[i], 1) * passes
    order: list[int] = []
    at = start = 0
    turn = 1
    while at < len(bars):
        if len(order) > MAX_QUARTERS:
            raise Broken(f"over {MAX_QUARTERS:,} bars with repeats played out")
        bar = bars[at]
        if bar.forward and at != start:
            start, turn = at, 1
        if bar.ending and turn not in bar.ending:
            at += 1
            continue
        order.append(at)
        if turn < times[at]:
            at, turn = start, turn + 1
            continue
        at += 1
        if times[at - 1] or (bar.ending and not (at < len(bars) and bars[at].ending)):
            start, turn = at, 1
    return order


def _played(notes: Notes, order: NDArray[np.int64], starts: NDArray[np.int64]) -> Notes:
    """The notes of the bars in playing order, `AT` counted from the beginning."""
    notes = notes[np.argsort(notes[:, BAR], kind="stable")]
    counts = np.bincount(notes[:, BAR], minlength=int(order.max(initial=0)) + 1)
    first = (np.cumsum(counts) - counts)[order]
    counts = counts[order]
    if counts.sum() > MAX_NOTES:
        raise Broken(f"over {MAX_NOTES:,} notes with repeats played out")
    behind = np.cumsum(counts) - counts
    notes = notes[np.repeat(first - behind, counts) + np.arange(counts.sum())]
    ends = notes[:, AT] + notes[:, TICKS] + np.repeat(starts, counts)
    notes[:, AT] = np.maximum(ends - notes[:, TICKS], 0)  # grace notes before the very beginning
    notes[:, TICKS] = ends - notes[:, AT]
    return notes[notes[:, TICKS] > 0]


def _joined(notes: Notes) -> Notes:
    """Tied notes as one: each that stops a tie is added to the one that ends where it begins."""
    tied = np.flatnonzero(notes[:, TIE])
    tied = tied[np.argsort(notes[tied, AT], kind="stable")]
    waiting: dict[tuple[int, int, int], list[int]] = {}
    kept = np.ones(len(notes), bool)
    for i, (_, at, ticks, pitch, _, track, tie) in zip(
        tied.tolist(), notes[tied].tolist(), strict=True
    ):
        head = i
        if tie & STOP and (heads := waiting.get((track, pitch, at))):
            head = heads.pop(0)
            notes[head, TICKS] = at + ticks - notes[head, AT]
            kept[i] = False
        if tie & START:
            waiting.setdefault((track, pitch, at + ticks), []).append(head)
    return notes[kept]


def _remarks(piece: Piece, played: int, pickup: int, rounded: bool) -> Iterator[str]:
    counts = piece.counts
    if pickup:
        yield f"{pickup / piece.ppq:g} quarters of rest were put before the pickup"
    if played != len(piece.bars):
        yield f"repeats were played out: {len(piece.bars)} bars became {played}"
    if counts["jumps"]:
        yield "a da capo or dal segno was not played"
    if counts["graces"]:
        yield f"{counts['graces']} grace notes sound before the beat, a thirty-second note each"
    if counts["out of range"]:
        yield f"{counts['out of range']} notes beyond the range of MIDI were left out"
    if counts["chords"]:
        yield f"{counts['chords']} chord symbols that do not tell their notes became N"
    if rounded:
        yield f"times were rounded to {piece.ppq} ticks a quarter"
