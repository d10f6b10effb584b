"""Which losses and regularisers keep all modes: eight Gaussians on a ring, a generator, a critic.

Every pair of the tables in musegen/objectives/adversarial.py, and spectral normalisation, trains
the same small networks with the same settings from the same seeds; nothing is tuned for a pair. A
sample is good when it lies within four standard deviations of a mode; a mode is kept when at least
one in a hundred samples is good and nearest to it. A second table changes settings that decide more
than the pair does.

Usage: python benchmarks/modes.py [PICTURE.png] [--steps N] [--seeds N]
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from musegen.layers import spectral
from musegen.objectives import Batch
from musegen.objectives.adversarial import LOSSES, Adversarial

MODES, RADIUS, SPREAD = 8, 2.0, 0.05
LATENT, WIDTH, BATCH, RATE = 8, 64, 128, 2e-3
STEPS, SEEDS, SAMPLES = 2500, 3, 2000
BASE = Adversarial(n_critic=2, weight=1.0, limit=0.1, radius=0.1)
BETAS = (0.5, 0.9)
COLUMNS = ("none", "clipping", "gradient-penalty", "dragan", "r1", "spectral norm")


class Ring(nn.Module):
    """A generator and a critic of points in the plane, two hidden layers each."""

    def __init__(self, normalised: bool = False) -> None:
        super().__init__()

        def layers(inputs: int, outputs: int, activation: nn.Module) -> nn.Sequential:
            first, second = nn.Linear(inputs, WIDTH), nn.Linear(WIDTH, WIDTH)
            return nn.Sequential(first, activation, second, activation, nn.Linear(WIDTH, outputs))

        self.generator = layers(LATENT, 2, nn.ReLU())
        self.scores = layers(2, 1, nn.LeakyReLU(0.2))
        if normalised:
            spectral(self.scores)

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, LATENT, generator=generator)

    def generate(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        return self.generator(z)

    def critic(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        return self.scores(x).squeeze(1)

    def generator_parameters(self) -> Iterable[nn.Parameter]:
        return self.generator.parameters()

    def critic_parameters(self) -> Iterable[nn.Parameter]:
        return self.scores.parameters()


class Outcome(NamedTuple):
    """Samples [n, 2], how many modes they keep, and which share of them is good."""

    samples: Tensor
    modes: int
    good: float


def centres() -> Tensor:
    """The modes [8, 2]."""
    angle = torch.arange(MODES) * (2 * math.pi / MODES)
    return RADIUS * torch.stack([angle.cos(), angle.sin()], 1)


def real(n: int, generator: torch.Generator) -> Tensor:
    """Points [n, 2] of the mixture."""
    which = torch.randint(MODES, (n,), generator=generator)
    return centres()[which] + SPREAD * torch.randn(n, 2, generator=generator)


def judge(samples: Tensor) -> Outcome:
    """Count modes and good samples."""
    distance, nearest = torch.cdist(samples, centres()).min(1)
    good = distance < 4 * SPREAD
    counts = torch.bincount(nearest[good], minlength=MODES)
    return Outcome(samples, int((counts >= 0.01 * len(samples)).sum()), good.float().mean().item())


def train(
    objective: Adversarial,
    normalised: bool,
    seed: int,
    steps: int = STEPS,
    betas: tuple[float, float] = BETAS,
) -> Outcome:
    """Train with a bare loop for so many updates of the critic, and judge what comes out."""
    torch.manual_seed(seed)  # of the weights
    model = Ring(normalised)
    noise = torch.Generator().manual_seed(seed)
    phases = objective.phases(model)
    adams = [torch.optim.Adam(p.parameters, RATE, betas, fused=True) for p in phases]
    none = torch.zeros(BATCH, dtype=torch.long)
    for step in range(steps):
        batch = Batch(real(BATCH, noise), none, none)
        for phase, adam in zip(phases, adams, strict=True):
            if phase.due(step):
                adam.param_groups[0]["lr"] = RATE * phase.rate * (1 - step / steps)
                adam.zero_grad()
                phase.loss(batch, step, noise)["loss"].backward()
                adam.step()
                phase.after()
    with torch.no_grad():
        return judge(model.generate(model.prior(SAMPLES, noise)))


def pair(loss: str, column: str) -> tuple[Adversarial, bool]:
    """The objective of a cell of the table, and whether its critic is spectrally normalised."""
    normalised = column == "spectral norm"
    regulariser = "none" if normalised else column
    return replace(BASE, loss=loss, regulariser=regulariser), normalised


Row = dict[str, list[Outcome]]  # the seeds' outcomes of each column


def line(name: str, row: Row) -> str:
    """Modes kept by each seed and their mean share of good samples, as a row of Markdown."""
    cells = []
    for outcomes in row.values():
        kept = " ".join(str(outcome.modes) for outcome in outcomes)
        cells.append(f"{kept} · {statistics.mean(o.good for o in outcomes):.0%}")
    return f"| {name} | {' | '.join(cells)} |"


def head(columns: Iterable[str]) -> str:
    """The first two lines of a table of Markdown."""
    columns = list(columns)
    return f"| | {' | '.join(columns)} |\n|---{'|---' * len(columns)}|"


def draw(found: dict[str, Row], path: Path) -> None:
    """Samples of the first seed of each pair over the real modes, as a picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.7 * len(COLUMNS), 1.8 * len(LOSSES)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(LOSSES), len(COLUMNS), sharex=True, sharey=True)
    for (i, loss), (j, column) in product(enumerate(LOSSES), enumerate(COLUMNS)):
        ax, first = axes[i, j], found[loss][column][0]
        ax.scatter(*centres().T.tolist(), s=90, facecolor="none", edgecolor="#d1603d", lw=0.8)
        ax.scatter(*first.samples.T.tolist(), s=1, color="#2f6f9f", alpha=0.35, linewidth=0)
        ax.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[], aspect="equal")
        ax.set_title(f"{first.modes} of {MODES}", fontsize=7, loc="right", pad=3)
        if i == 0:
            ax.set_title(column, fontsize=8, loc="left", pad=3)
        if j == 0:
            ax.set_ylabel(loss, fontsize=8)
        for side in ax.spines.values():
            side.set_color("#cccccc")
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    seeds, steps = range(options.seeds), options.steps
    print(head(COLUMNS))
    found: dict[str, Row] = {}
    for loss in LOSSES:
        found[loss] = {c: [train(*pair(loss, c), s, steps) for s in seeds] for c in COLUMNS}
        print(line(loss, found[loss]), flush=True)
    changes = {
        "momentum 0.9": (BASE, (0.9, 0.999)),
        "critic at a tenth of the rate": (replace(BASE, critic_rate=0.1), BETAS),
    }
    print("", head(changes), sep="\n")
    for regulariser in ("none", "r1"):
        row = {}
        for name, (changed, betas) in changes.items():
            objective = replace(changed, loss="non-saturating", regulariser=regulariser)
            row[name] = [train(objective, False, s, steps, betas) for s in seeds]
        print(line(f"non-saturating, {regulariser}", row), flush=True)
    print(
        f"\nmodes kept by seeds 0 to {options.seeds - 1}, of {MODES} · mean share of good samples;"
        f" {steps} updates of the critic, {steps // BASE.n_critic} of the generator;"
        f" {time.perf_counter() - start:.0f} s, of which {time.process_time():.0f} s on the CPU"
    )
    if options.picture:
        draw(found, options.picture)
        print(options.picture)


if __name__ == "__main__":
    main()
