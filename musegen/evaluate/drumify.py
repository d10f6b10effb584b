"""Reports: how drums that are made for the melodies and basses of held-out songs answer them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from musegen import corpora
from musegen.errors import InputError, ModelError
from musegen.evaluate.features import Symbols, features, overlaps
from musegen.evaluate.report import Report
from musegen.pipeline import PIPELINES, taps
from musegen.pipeline.drumify import CHANCES, ranks
from musegen.pretrained import Bundle
from musegen.representations.drums import KITS, Drums
from musegen.score import Score
from musegen.segment import trio_tracks

Say = Callable[[str], None]
Taps: TypeAlias = NDArray[np.bool_]
PIECES = 4  # for each song and voice
VOICES = ("melody", "bass")
PLACES = ("nothing", "hats, ride or crash", "snare or tom", "kick")  # as `CHANCES`
OWN, OTHERS = "the song's own", "of other songs"


def songs_of(source: str, folder: str | Path, part: str) -> list[Score]:
    """The songs of a source that are in a part of a prepared folder, as melody, bass and drums.

    Raises:
        InputError: the folder is no prepared one, or none of its songs is in the source.
    """
    try:
        rows = map(json.loads, (Path(folder) / "songs.jsonl").read_text().splitlines())
        wanted = {row["name"] for row in rows if row["part"] == part}
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(folder, "not a prepared folder; make one with: musegen prepare") from None
    read = (corpora.read(e) for e in corpora.entries(source) if e.name in wanted)
    found = [trio_tracks(s.score) for s in read if isinstance(s, corpora.Song)]
    if not found:
        raise InputError(source, f"has none of the {part} songs of {folder}; name what it is of")
    return found


def measure(
    bundle: Bundle,
    held_out: Sequence[Score],
    training: Sequence[Score],
    *,
    seed: int = 0,
    temperature: float = 1.0,
    report: Say = lambda text: None,
) -> Report:
    """Drums for the melody and for the bass of each held-out song, by the model's `drumify`.

    Counted are windows in which the voice begins a note and the song's own drums play. The
    yardsticks are these drums, loops of training songs and, where the model makes some, loops that
    were not chosen.

    Args:
        bundle: the model.
        held_out: songs of melody, bass and drums that it was not trained on.
        training: songs that it was.
        seed: of what is drawn.
        temperature: of `drumify`.
        report: is told what is being done.

    Raises:
        InputError: no windows with a melody or bass and drums.
        ModelError: the model cannot drumify.
    """
    pipeline = PIPELINES[bundle.family](bundle)
    if "drumify" not in pipeline.verbs():
        raise ModelError(f"{bundle.name} cannot drumify; measure one that can")
    bars = bundle.representation.bars
    rng = np.random.default_rng(seed)
    old = np.concatenate([_drums(song, song, bars) for song in training])
    old = old[old.any(1)]
    free = old[:0]
    if "generate" in pipeline.verbs():
        loops = pipeline.generate(512, seed=seed)
        free = np.concatenate([_drums(song, song, bars) for song in loops])
    found: dict[str, dict[str, dict[str, float]]] = {}
    for voice, name in enumerate(VOICES):
        report(f"playing drums to the {name} of {len(held_out)} songs")
        sets: dict[str, list[tuple[Taps, Symbols]]] = defaultdict(list)
        for song in held_out:
            tapped, own = _taps(song, voice, bars), _drums(song, song, bars)
            some = tapped.any(1) & own.any(1)
            if not some.any():
                continue
            alone = Score(song.tracks[voice : voice + 1], song.ppq, song.tempos, song.metres)
            made = pipeline.drumify(
                alone, PIECES, seed=seed, temperature=temperature, alone=True, say=report
            )
            for one in made:
                sets["drumify"].append((tapped[some], _drums(one, song, bars)[some]))
            sets[OWN] += [(tapped[some], own[some])]
            for row, loops in (("loops at random", free), (OTHERS, old)):
                if len(loops):
                    drawn = loops[rng.integers(len(loops), size=some.sum())]
                    sets[row].append((tapped[some], drawn))
        if not sets:
            raise InputError("data", f"has no held-out songs with a {name} and drums")
        real = features(np.concatenate([x for _, x in sets[OWN]]), Drums(bars))
        found[name] = {row: _figures(pairs, real, bars) for row, pairs in sets.items()}
    chances = _chances(training, bars)
    numbers = {"drumify": found, "chances": chances}
    return Report(_table(found, chances), numbers, {"F1": found["melody"]["drumify"]["F1"]})


def _drums(score: Score, song: Score, bars: int) -> Symbols:
    """The drums of a score in the windows of a song as symbols, [w, t]."""
    windows, kit = taps.windows(song, bars), Drums(bars)
    hits = np.zeros((len(windows), kit.steps), np.uint16)
    for track in score.tracks:
        if track.is_drum:
            at = taps.places(song, track.notes, windows, KITS[kit.kit].class_of)
            np.bitwise_or.at(hits, (at.window, at.step), (1 << at.kind).astype(np.uint16))
    return hits


def _taps(song: Score, voice: int, bars: int) -> Taps:
    """Where a voice of a song begins notes in its windows, [w, t]."""
    windows = taps.windows(song, bars)
    tapped = np.zeros((len(windows), Drums(bars).steps), bool)
    at = taps.places(song, song.tracks[voice].notes, windows)
    tapped[at.window, at.step] = True
    return tapped


def _figures(
    pairs: list[tuple[Taps, Symbols]], real: dict[str, NDArray[np.float64]], bars: int
) -> dict[str, float]:
    """How drums answer taps, and how far they overlap with real ones.

    "answered" is the share of taps beside a hit, "F1" weighs that against hits beside no tap, both
    also for kick, snare and toms alone; "as before" is the share of steps that are as two bars
    before, in windows that follow each other.
    """
    tapped, drums = (np.concatenate(rows) for rows in zip(*pairs, strict=True))
    figures = {}
    for ending, hit in (("", drums > 0), (", strong", ranks(drums) >= 2)):
        both = float((hit & tapped).sum())
        figures[f"answered{ending}"] = both / int(tapped.sum())
        figures[f"F1{ending}"] = 2 * both / int(hit.sum() + tapped.sum())
    same = [x[1:] == x[:-1] for _, x in pairs]
    figures["as before"] = float(np.concatenate(same).mean())
    return figures | overlaps(features(drums, Drums(bars)), real)


def _chances(songs: Sequence[Score], bars: int) -> dict[str, list[float]]:
    """How often voices begin a note at a step, by what the drums of these songs play there, where
    both play in a window.
    """
    chances = {}
    for voice, name in enumerate(VOICES):
        taps_of, steps = np.zeros(len(CHANCES)), np.zeros(len(CHANCES))
        for song in songs:
            tapped, drums = _taps(song, voice, bars), _drums(song, song, bars)
            some = tapped.any(1) & drums.any(1)
            rank = ranks(drums[some])
            steps += np.bincount(rank.ravel(), minlength=len(CHANCES))
            taps_of += np.bincount(rank[tapped[some]], minlength=len(CHANCES))
        chances[name] = (taps_of / steps.clip(1)).round(3).tolist()
    return chances


def _table(
    found: dict[str, dict[str, dict[str, float]]], chances: dict[str, list[float]]
) -> list[str]:
    lines = []
    for voice, rows in found.items():
        columns = list(rows["drumify"])
        lines.append(f"drums for the {voice} of held-out songs")
        lines.append(f"  {'':18}" + "".join(f"{c:>18}" for c in columns))
        for row, figures in rows.items():
            lines.append(f"  {row:18}" + "".join(f"{figures[c]:18.2f}" for c in columns))
    lines.append("how often training songs begin a note, by what their drums play there")
    for voice, shares in chances.items():
        told = ", ".join(f"{p} {share:.2f}" for p, share in zip(PLACES, shares, strict=True))
        lines.append(f"  {voice}: {told}")
    return lines
