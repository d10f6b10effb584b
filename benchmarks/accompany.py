"""Does a band go with music of another kind: band-4bar around POP909's piano.

    musegen prepare POP909-Dataset/POP909 --kind band --tracks duo --bars 8 -o data/duo
    python benchmarks/accompany.py --data data/duo

Of held-out windows of eight bars both halves are given to the model as its piano. How the other
pitched tracks agree with it (tonal distance, shared pitch classes to a bar: `evaluate.musegan`),
beside POP909's own melody, which the model does not hear, and beside both of other songs.
"""

from __future__ import annotations

import argparse

import numpy as np

from musegen import dataset, pretrained
from musegen.evaluate.musegan import agree
from musegen.optimisation import set_up_cpu
from musegen.pipeline.musegan import MuseGANPipeline, Roll
from musegen.representations.pianoroll import Pianoroll

PIANO, STRINGS = 1, 4


def phrases(data: str, part: str, roll: Pianoroll, n: int) -> Roll:
    """Phrases of four bars of songs spread evenly, with piano and melody as piano and strings."""
    duo = Pianoroll("duo", 4, bars=8, low=roll.low, high=roll.high, onsets=True)
    windows = dataset.load(data, part, duo)
    index = np.linspace(0, len(windows) - 1, min(n // 2, len(windows))).astype(np.int64)
    x = windows.encode(index)  # melody, piano, their onsets
    half = x.shape[2] // 2
    x = np.concatenate([x[:, :, :half], x[:, :, half:]])
    band = np.zeros((len(x), *roll.shape), np.uint8)
    band[:, [STRINGS, PIANO, 5 + STRINGS, 5 + PIANO]] = x
    return band[band[:, PIANO].any((1, 2))]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", required=True, help="a prepared folder of duos of eight bars")
    parser.add_argument("--model", default="band-4bar")
    parser.add_argument("--part", default="test")
    parser.add_argument("-n", type=int, default=512, help="phrases")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    set_up_cpu()
    pipeline = MuseGANPipeline(pretrained.load(options.model))
    roll = pipeline.representation
    real = phrases(options.data, options.part, roll, options.n)
    piano = (np.arange(len(real[0])) % 5 == PIANO)[:, None, None]
    told = np.where(piano, real.astype(np.int8), np.int8(-1))
    made = pipeline.rolls(len(told), seed=options.seed, given=told)
    other = np.random.default_rng(options.seed).permutation(len(real))
    rows = {
        "POP909's melody": real,
        "the melody of another song": np.where(piano, real, real[other]),
        "the band made for it": made,
        "the band made for another song": np.where(piano, real, made[other]),
    }
    print(f"{len(real)} phrases")
    print("| with the piano | TD | shared pitch classes |\n|---|---|---|")
    for name, x in rows.items():
        found = agree(x, roll, PIANO)
        print(f"| {name} | {found['TD']:.3f} | {found['shared']:.3f} |")
    bars = made[:, :5].reshape(len(made), 5, roll.bars, -1).any(3).mean((0, 2))
    names = roll.trackset.names
    print("bars played: " + ", ".join(f"{n} {v:.2f}" for n, v in zip(names, bars, strict=True)))


if __name__ == "__main__":
    main()
