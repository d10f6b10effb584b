"""The overview pictures of the docs, from what `make demo` wrote into out/ and from the models.

Usage: python docs/pictures.py FOLDER [more], which gets samples.png and interpolation.png, and with
"more" also drums.png, drumify.png, long.png and trios.png.
"""

from __future__ import annotations

import sys
from pathlib import Path

import musegen as mg
from musegen import plot
from musegen.midi import write_atomic

BARS = 4


def main(folder: str, more: str = "") -> None:
    """Draw both pictures and print their paths."""
    samples = [mg.read(p) for p in sorted(Path("out/melodies").glob("melody-*.mid"))]
    path = sorted(Path("out/interpolation").glob("interpolation-*.mid"))
    steps = [mg.read(p) for p in path]
    steps = [s.clip(*s.bar_lines()[[1, 1 + BARS]].tolist()) for s in steps]  # after the pickup
    n = len(steps)
    names = [f"{i} of {n}" for i in range(1, n + 1)]
    if n:
        names[0], names[-1] = "Fisher's Hornpipe (the input)", "The Swallow's Tail (the input)"
    pictures = {
        "samples.png": plot.grid(samples, [f"melody {i + 1}" for i in range(len(samples))], 2),
        "interpolation.png": plot.grid(steps, names, 2),
    }
    if more:
        loops = mg.load("drums-2bar").generate(8, seed=1)
        tunes = mg.load("melody-16bar").generate(4, seed=2, style="fiddle")
        trios = mg.load("trio-4bar").generate(8, seed=1)
        tune = mg.read("data/samples/ryan_fishers_hornpipe.mid")
        beats = mg.load("drums-2bar").drumify(tune, 2, seed=1)
        beats = [s.clip(*s.bar_lines()[[0, 8]].tolist()) for s in beats]
        pictures["drumify.png"] = plot.grid(beats, ["drums for Fisher's Hornpipe", "others"], 1)
        pictures["trios.png"] = plot.grid(trios, [f"trio {i + 1}" for i in range(8)], 2)
        songs = mg.load("melody-32bar").generate(4, seed=1)
        pictures["long-32.png"] = plot.grid(songs, [f"melody {i + 1}" for i in range(4)], 1)
        pictures["drums.png"] = plot.grid(loops, [f"loop {i + 1}" for i in range(8)], 4)
        pictures["long.png"] = plot.grid(tunes, [f"melody {i + 1}" for i in range(4)], 1)
    for name, data in pictures.items():
        print(write_atomic(Path(folder) / name, data, force=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
