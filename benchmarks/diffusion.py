"""Processor time of a piece of 8 bars: the small network against Polyffusion's.

Looks of both networks are timed in turn in one run, so that what else the machine does hits both;
a piece is the median look times the number of looks, and what the sampler and the melody, which
is drawn first, add is measured by making one piece whole. Polyffusion's 41 M weights are random:
time does not depend on them.

Usage: python benchmarks/diffusion.py [--repeats N] [--threads N] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from musegen.models import build
from musegen.optimisation import set_up_cpu
from musegen.presets import preset
from musegen.samplers import Plan

STEPS, THEIRS, BATCH = 25, 50, 16


def seconds(work: Callable[[], Any]) -> float:
    """Of the processor, of one call: what else the machine does counts little."""
    start = time.process_time()
    work()
    return time.process_time() - start


@torch.no_grad()
def measure(repeats: int) -> dict[str, float]:
    """Medians in seconds, and ratios."""
    networks: list[Any] = [build(preset(n).model).eval() for n in ("piano_8bar", "polyffusion")]
    small, large = networks
    generator = torch.Generator().manual_seed(0)
    inputs = {m: m.prior(1, generator) for m in (small, large)}
    level = torch.tensor([500])
    looks: dict[Any, list[float]] = {small: [], large: []}
    for model in looks:
        model(inputs[model], level)
    for _ in range(repeats):
        for model, times in looks.items():
            times.append(seconds(lambda m=model: m(inputs[m], level)))  # type: ignore[misc]
    look, theirs = (statistics.median(looks[m]) for m in (small, large))
    plan, free = Plan(STEPS), torch.zeros(1, dtype=torch.bool)

    def piece(n: int) -> None:
        blank, chords = torch.full_like(inputs[small], -1), torch.zeros(n, small.config.beats, 36)
        small.fill(blank.expand(n, -1, -1, -1), free, generator, chords, plan=plan)

    def melody() -> None:
        chords = torch.zeros(1, small.config.beats, 36)
        small.lead.draw(torch.zeros(1, 0, dtype=torch.long), chords, generator)

    one, line = (
        statistics.median(seconds(work) for _ in range(repeats))
        for work in (lambda: piece(1), melody)
    )
    batch = statistics.median(seconds(lambda: piece(BATCH)) for _ in range(max(1, repeats // 2)))
    return {
        "small, a look": look,
        "large, a look": theirs,
        f"small, a piece of {STEPS} steps": one,
        "small, its melody": line,
        f"small, a piece of {STEPS} steps in a batch of {BATCH}": batch / BATCH,
        f"large, a piece of {THEIRS} steps": THEIRS * theirs,
        "times faster, a piece": THEIRS * theirs / one,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    set_up_cpu(arguments.threads)
    found = measure(arguments.repeats)
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        print(f"{name:45} {value:9.3f}")


if __name__ == "__main__":
    main()
