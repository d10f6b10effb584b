"""C-RNN-GAN against a plain port of the same sizes, in one run: medians and their ratios.

The port is written for this, the way public PyTorch ports are: a generator of nn.LSTMCell in a loop
over time, also where true cells are known; a critic of nn.LSTM; both players trained on the graph
of one generation each, with log losses or with feature matching. Rounds alternate, and what counts
is time on processors, so that other load matters little.

The third column is the same matrix products and nothing else, into memory that is there already:
recurrences step by step, everything else over all steps at once. No program that makes them is
faster, so the port's time over it is how many times as fast as the port one can be.

Usage: python benchmarks/crnngan.py [--rounds N] [--hidden 350] [--batch 64] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from musegen import runtime
from musegen.models.crnngan import CRNNGAN
from musegen.objectives import Batch
from musegen.objectives.recurrent import Recurrent
from musegen.optimisation import set_up_cpu
from musegen.presets.crnngan import PUBLISHED

NUMBERS = 4


class Generator(nn.Module):
    """The port's generator."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.enter = nn.Linear(2 * NUMBERS, hidden)
        self.first, self.second = nn.LSTMCell(hidden, hidden), nn.LSTMCell(hidden, hidden)
        self.out = nn.Linear(hidden, NUMBERS)

    def forward(self, z: Tensor, true: Tensor | None = None) -> Tensor:
        """Cells [b, t, 4] from noise [b, t, 4], after the true ones where they are known."""
        states = [(z.new_zeros(len(z), self.hidden),) * 2 for _ in range(2)]
        previous, made = torch.rand_like(z[:, 0]), []
        for t in range(z.shape[1]):
            x = F.relu(self.enter(torch.cat([z[:, t], previous], -1)))
            states[0] = self.first(x, states[0])
            states[1] = self.second(F.dropout(states[0][0], 0.5, self.training), states[1])
            previous = self.out(states[1][0])
            made.append(previous)
            if true is not None:
                previous = true[:, t]
        return torch.stack(made, 1)


class Critic(nn.Module):
    """The port's critic."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(NUMBERS, hidden, 2, batch_first=True, bidirectional=True, dropout=0.5)
        self.out = nn.Linear(2 * hidden, 1)

    def features(self, x: Tensor) -> Tensor:
        """What feature matching compares."""
        return self.lstm(x)[0]

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities [b] of being real."""
        return torch.sigmoid(self.out(self.features(x))).mean((1, 2))


Shapes = list[tuple[int, int, int, int]]  # matrices [m, k] times [k, n], and how often


class Products:
    """The matrix products of both networks, and nothing else."""

    def __init__(self, hidden: int) -> None:
        self.h = hidden

    def lstm(self, n: int, t: int, inputs: int, back: str, fused: bool = True) -> Shapes:
        """An LSTM of n sequences of t steps, and what its gradients need: nothing ("no"), those of
        its "inputs", of its "weights", or "both"; not fused, it hears inputs step by step."""
        h, rows, times = self.h, n * t if fused else n, 1 if fused else t
        made = [(n, h, 4 * h, t), (rows, inputs, 4 * h, times)]
        if back != "no":
            made += [(n, 4 * h, h, t)]
        if back in ("inputs", "both"):
            made += [(rows, 4 * h, inputs, times)]
        if back in ("weights", "both"):
            made += [(4 * h, n * t, h, 1), (4 * h, n * t, inputs, 1)]
        return made

    def generator(self, n: int, t: int, back: str = "no", fused: bool = False) -> Shapes:
        return 2 * self.lstm(n, t, self.h, back, fused)

    def critic(self, n: int, t: int, back: str = "no") -> Shapes:
        above = "both" if back == "weights" else back  # its inputs are the first LSTM's outputs
        return 2 * (self.lstm(n, t, NUMBERS, back) + self.lstm(n, t, 2 * self.h, above))

    def game(self, n: int, t: int, matching: bool) -> Shapes:
        """A step: one generation, the critic on both sides, the critic for the generator."""
        made = self.generator(n, t, "both") + self.critic(2 * n, t, "weights")
        return made + self.critic(n, t, "inputs") + (self.critic(n, t) if matching else [])


def products(shapes: Shapes) -> Callable[[], None]:
    """What makes them."""
    cells = {s[:3]: [torch.rand(s[0], s[1]), torch.rand(s[2], s[1]).T] for s in shapes}
    outs = {s[:3]: torch.empty(s[0], s[2]) for s in shapes}

    def work() -> None:
        for *shape, times in shapes:
            (a, b), out = cells[tuple(shape)], outs[tuple(shape)]
            for _ in range(times):
                torch.mm(a, b, out=out)

    return work


def rounds(pairs: dict[str, tuple[Callable[[], object], ...]], n: int) -> dict:
    """Median processor seconds of ours, the port's and bare products; the port's over both."""
    found = {}
    for name, works in pairs.items():
        timings: list[list[float]] = [[] for _ in works]
        for i in range(n + 1):
            for work, times in zip(works, timings, strict=True):
                start = time.process_time()
                work()
                if i:  # the first warms up
                    times.append(time.process_time() - start)
        ours, port, bare = (statistics.median(t) for t in timings)
        times, most = (
            statistics.median(p / o for o, p in zip(timings[k], timings[1], strict=True))
            for k in (0, 2)
        )
        found[name] = {"ours": ours, "port": port, "products": bare, "times": times, "most": most}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hidden", type=int, default=350)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    set_up_cpu(torch.get_num_threads())
    torch.manual_seed(0)
    noise, draws = torch.Generator().manual_seed(0), runtime.Draws(0)
    b, t, h = asked.batch, asked.events, asked.hidden
    x = torch.rand(b, t, NUMBERS)
    batch = Batch(x, torch.zeros(b), torch.zeros(b))
    ours = CRNNGAN(replace(PUBLISHED, hidden=h, critic=h, steps=t))
    light = runtime.of(ours)  # what makes the music of a bundle
    generator, critic = Generator(h), Critic(h)
    sizes = [
        (sum(p.numel() for p in ours.generator_parameters()), generator),
        (sum(p.numel() for p in ours.critic_parameters()), critic),
    ]
    game = Recurrent().phases(ours)
    matched = Recurrent(matching="pairs", adversarial=0.0).phases(ours)
    told = Recurrent(pretrain=10**9).phases(ours)[1]
    adams = [torch.optim.Adam(m.parameters(), fused=True) for m in (critic, generator)]
    mine = [torch.optim.AdamW(p.parameters, fused=True) for p in game]

    def our_step(phases: list, optimisers: list) -> None:
        for phase, adam in zip(phases, optimisers, strict=True):
            adam.zero_grad()
            phase.loss(batch, 0, noise)["loss"].backward()
            adam.step()

    def port_game(matching: bool = False) -> None:
        for player, adam in zip((critic, generator), adams, strict=True):
            adam.zero_grad()
            fake = generator(torch.rand(b, t, NUMBERS))
            if player is critic:
                loss = -(critic(x).log() + (1 - critic(fake.detach())).log()).mean()
            elif matching:
                loss = F.mse_loss(critic.features(fake), critic.features(x).detach())
            else:
                loss = -critic(fake).log().mean()
            loss.backward()
            adam.step()

    def port_told() -> None:
        adams[1].zero_grad()
        F.mse_loss(generator(torch.rand(b, t, NUMBERS), x), x).backward()
        adams[1].step()

    @torch.no_grad()
    def port_sample(n: int) -> None:
        generator.eval()
        generator(torch.rand(n, 200, NUMBERS))
        generator.train()

    def our_sample(n: int) -> None:
        light.decode(light.prior(n, draws, 200))

    bare = Products(h)
    found = rounds(
        {
            f"the game, batch {b}": (
                lambda: our_step(game, mine),
                port_game,
                products(bare.game(b, t, False)),
            ),
            f"feature matching, batch {b}": (
                lambda: our_step(matched, mine),
                lambda: port_game(True),
                products(bare.game(b, t, True)),
            ),
            f"pretraining, batch {b}": (
                lambda: our_step([told], mine[1:]),
                port_told,
                products(bare.generator(b, t, "both", fused=True)),
            ),
            **{
                f"200 events, {n} at once": (
                    lambda n=n: our_sample(n),
                    lambda n=n: port_sample(n),
                    products(bare.generator(n, 200)),
                )
                for n in (1, 64)
            },
        },
        asked.rounds,
    )
    if asked.json:
        print(json.dumps(found, indent=1))
        return
    parts = ", ".join(f"{n:,} and {sum(p.numel() for p in m.parameters()):,}" for n, m in sizes)
    print(f"weights of generator and critic, ours and the port's (two biases): {parts}")
    for name, row in found.items():
        times = "   ".join(f"{k} {row[k]:8.4f} s" for k in ("ours", "port", "products"))
        print(f"{name:28} {times}   {row['times']:.2f}x of at most {row['most']:.2f}x")


if __name__ == "__main__":
    main()
