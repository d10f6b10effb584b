"""The card of a bundle: what it is, from which music, under which licence, how it scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from musegen.corpora import CORPORA

GRID = "Bars of four quarters on a grid of 16ths: triplets are rounded, 3/4 and 6/8 are refused."
TASTE = "It knows the kinds of music that it was trained on, and nothing else."
PRIOR = (
    "The latent keeps far more than N(0, I) holds, so latents drawn from N(0, I) make poor music "
    "(see that column); `generate` draws from the decoder's own language model and encodes that."
)
CALLED = {"latents": "denoiser of latents"}  # families in a sentence
# What music of each representation is weak in.
WEAK = {
    "Melody": (
        GRID,
        "One note at a time, pitches 21 to 108, no dynamics: decoded notes all have one velocity.",
        TASTE,
        PRIOR,
    ),
    "Drums": (GRID, "Nine drums, no dynamics: decoded hits all have one velocity.", TASTE, PRIOR),
    "Groove": (
        GRID,
        "Of several notes of a class at once (a drum, an octave) it knows the loudest.",
        "Onsets that its data put on a grid it hardly moves: see how often they are on it.",
    ),
    "Trio": (
        GRID,
        "One note at a time in melody and bass, nine drums, no dynamics, no chords.",
        TASTE,
        PRIOR,
    ),
    "OnsetRoll": (
        GRID,
        "Two parts, pitches 24 to 107, no dynamics: new notes have their part's mean velocity.",
        "Melodies between bars that are kept leap too often; accompaniment is its strength.",
        "Without chords it wanders: tell them, or let them be heard in the file.",
        TASTE,
    ),
}


def training_info(data: Path, run: Path, preset: str, verbs: Sequence[str]) -> dict[str, Any]:
    """What a run knows of itself: preset, what it can do, data and its best held-out figures."""
    manifest = json.loads((data / "manifest.json").read_text())
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    best = min(rows, key=lambda row: float(row["held_out"]["loss"]))
    sources = sorted({c for part in manifest["corpora"].values() for c in part})
    return {
        "preset": preset,
        "verbs": list(verbs),
        "steps": best["step"],
        "windows": manifest["windows"],
        "songs": manifest["songs"],
        "corpora": {c: CORPORA[c].source for c in sources},
        "data_licences": {c: CORPORA[c].licence for c in sources},
        "data_sha256": manifest["sha256"],
        "held_out": {k: round(v, 4) for k, v in best["held_out"].items()},
    }


def card(family: str, kind: str, info: Mapping[str, Any]) -> str:
    """A card in Markdown from a bundle's info, with the table of `musegen evaluate` if there.

    Args:
        family: the networks' family.
        kind: the class of the representation.
        info: of the bundle; its "about", "use" (a command that makes music) and "weak" (Markdown)
            go before what is known of the kind.
    """
    weak_in = [x for x in WEAK.get(kind, (TASTE,)) if x != PRIOR or family == "musicvae"]
    known = "\n".join(f"- {line}" for line in weak_in)
    weak = info.get("weak", known)
    rows = "\n".join(
        f"- **{name}**: {source}; licence: {info['data_licences'][name]}"
        for name, source in info["corpora"].items()
    )
    figures = "\n".join(f"| {name} | {value:g} |" for name, value in info["held_out"].items())
    windows, songs = info["windows"], info["songs"]
    use = info["verbs"][0] + (" FILE" if info["verbs"][0] in ("groove", "drumify") else "")
    use = info.get("use", use)
    about = info.get("about", f"A {CALLED.get(family, family)} of {kind.lower()}")
    table = "Not measured yet: `musegen evaluate PATH --data PREPARED --card`."
    if lines := [*info.get("evaluation", []), *info.get("attribute test", [])]:
        table = "\n".join(["```", *lines, "```"])
    return f"""# A musegen bundle

{about}, preset `{info["preset"]}`, {info["steps"]} steps. It can
{", ".join(info["verbs"])}. Load it with `musegen.load("PATH")`, or
`musegen {use} --model PATH`. The weights are MIT licensed.

## Trained on

{rows}

{windows["train"]} windows of {songs["train"]} songs to train, {windows["valid"]} of
{songs["valid"]} to validate, {windows["test"]} of {songs["test"]} to test; songs were split before
windows were cut, variants of a tune on one side.

## Against test songs

{table}

## Held-out figures while training (validation songs)

| figure | value |
|---|---|
{figures}

## Where it is weak

{weak}
"""
