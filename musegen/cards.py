"""The card of a bundle: what it is, from which music, under which licence, how it scores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from musegen.corpora import CORPORA


def training_info(data: Path, run: Path, preset: str) -> dict[str, Any]:
    """What a run knows of itself: preset, data and its best held-out figures."""
    manifest = json.loads((data / "manifest.json").read_text())
    lines = (run / "log.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    best = min(rows, key=lambda row: float(row["held_out"]["loss"]))
    figures = {k: round(v, 4) for k, v in best["held_out"].items()}
    sources = sorted({c for part in manifest["corpora"].values() for c in part})
    return {
        "preset": preset,
        "verbs": ["generate", "interpolate", "reconstruct"],
        "windows": manifest["windows"],
        "songs": manifest["songs"],
        "corpora": {c: CORPORA[c].source for c in sources},
        "data_licences": {c: CORPORA[c].licence for c in sources},
        "data_sha256": manifest["sha256"],
        "held_out": figures,
    }


def training_card(info: Mapping[str, Any]) -> str:
    """A card in Markdown."""
    rows = "\n".join(
        f"- **{name}**: {source}; licence: {info['data_licences'][name]}"
        for name, source in info["corpora"].items()
    )
    figures = "\n".join(f"| {name} | {value:g} |" for name, value in info["held_out"].items())
    windows, songs = info["windows"], info["songs"]
    return f"""# A musegen bundle

MusicVAE for melodies, preset `{info["preset"]}`. Load it with `musegen.load("PATH")`, or
`musegen generate --model PATH`.

## Trained on

{rows}

{windows["train"]} windows of {songs["train"]} songs to train, {windows["valid"]} of
{songs["valid"]} to validate, {windows["test"]} of {songs["test"]} to test; songs were split before
windows were cut, variants of a tune on one side.

## Held-out figures while training (averaged weights, validation songs)

| figure | value |
|---|---|
{figures}

The table against test songs: `musegen evaluate PATH --data PREPARED`.
"""
