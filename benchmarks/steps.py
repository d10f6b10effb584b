"""Steps against quality, feature by feature: the same melodies, chords and first noise, more looks.

Overlapping areas with held-out windows, as `musegen evaluate piano-8bar` prints them, for each
number of steps, and the largest difference from the last. 1000 steps take some 20 s a piece.

Usage: python benchmarks/steps.py DATA [--model NAME] [-n N] [--steps 25 1000] [--seed S]
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from musegen import dataset, metrics, pretrained
from musegen.evaluate import diffusion
from musegen.optimisation import set_up_cpu
from musegen.samplers import Plan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--model", default="piano-8bar")
    parser.add_argument("-n", type=int, default=64)
    parser.add_argument("--steps", type=int, nargs="+", default=[25, 1000])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    set_up_cpu(given.threads)
    bundle = pretrained.load(given.model)
    roll = bundle.representation
    held_out = dataset.load(given.data, "test", roll)
    rng = np.random.default_rng(given.seed)
    truth = diffusion.pool(held_out.encode(np.arange(len(held_out))), roll)
    told = diffusion.chords_of(held_out, rng.choice(len(held_out), given.n, replace=False))
    rows = []
    for steps in given.steps:
        parts = []
        for i in range(0, given.n, diffusion.BATCH):  # a generator each: more steps draw more noise
            generator = torch.Generator().manual_seed(given.seed + i)
            some = None if told is None else told[i : i + diffusion.BATCH]
            size = min(diffusion.BATCH, given.n - i)
            parts.append(diffusion.generate(bundle.model, size, generator, some, Plan(steps)))
        made = np.concatenate(parts)
        found = diffusion.pool(made > 0, roll)
        rows.append(
            [metrics.overlapping_area(found[f], truth[f], diffusion.edges(f)) for f in truth]
        )
        print(f"{steps:5} steps: mean overlap {np.mean(rows[-1]):.3f}", flush=True)
    print(f"\n{'overlap with held-out':28}" + "".join(f"{k:>8}" for k in given.steps))
    for i, feature in enumerate(truth):
        print(f"{feature:28}" + "".join(f"{row[i]:8.3f}" for row in rows))
    away = np.abs(np.array(rows) - rows[-1]).max(1)
    print(f"{'largest difference':28}" + "".join(f"{a:8.3f}" for a in away))


if __name__ == "__main__":
    main()
