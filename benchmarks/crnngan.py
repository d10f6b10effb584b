"""C-RNN-GAN against a plain port of the same sizes, in one run: medians and their ratios.

The port is written for this, the way public PyTorch ports are: a generator of nn.LSTMCell in a loop
over time, also where true cells are known; a critic of nn.LSTM; both players trained on the graph
of one generation each. Rounds alternate, and what counts is time on processors, so that other load
matters little.

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

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities [b] of being real."""
        return torch.sigmoid(self.out(self.lstm(x)[0])).mean((1, 2))


def rounds(pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]], n: int) -> dict:
    """Median processor seconds of ours and the port's, and the port's over ours."""
    found = {}
    for name, both in pairs.items():
        timings: tuple[list[float], list[float]] = ([], [])
        for i in range(n + 1):
            for work, times in zip(both, timings, strict=True):
                start = time.process_time()
                work()
                if i:  # the first warms up
                    times.append(time.process_time() - start)
        ours, port = (statistics.median(t) for t in timings)
        ratio = statistics.median(p / o for o, p in zip(*timings, strict=True))
        found[name] = {"ours": ours, "port": port, "times": ratio}
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
    noise = torch.Generator().manual_seed(0)
    b, t, h = asked.batch, asked.events, asked.hidden
    x = torch.rand(b, t, NUMBERS)
    batch = Batch(x, torch.zeros(b), torch.zeros(b))
    ours = CRNNGAN(replace(PUBLISHED, hidden=h, critic=h, steps=t))
    generator, critic = Generator(h), Critic(h)
    sizes = [
        (sum(p.numel() for p in ours.generator_parameters()), generator),
        (sum(p.numel() for p in ours.critic_parameters()), critic),
    ]
    game = Recurrent().phases(ours)
    told = Recurrent(pretrain=10**9).phases(ours)[1]
    adams = [torch.optim.Adam(m.parameters(), fused=True) for m in (critic, generator)]
    mine = [torch.optim.AdamW(p.parameters, fused=True) for p in game]

    def our_step(phases: list, optimisers: list) -> None:
        for phase, adam in zip(phases, optimisers, strict=True):
            adam.zero_grad()
            phase.loss(batch, 0, noise)["loss"].backward()
            adam.step()

    def port_game() -> None:
        for player, adam in zip((critic, generator), adams, strict=True):
            adam.zero_grad()
            fake = generator(torch.rand(b, t, NUMBERS))
            if player is critic:
                loss = -(critic(x).log() + (1 - critic(fake.detach())).log()).mean()
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
        ours.eval()
        ours.decode(ours.prior(n, noise, 200))
        ours.train()

    found = rounds(
        {
            f"a step of the game, batch {b}": (lambda: our_step(game, mine), port_game),
            f"a step of pretraining, batch {b}": (lambda: our_step([told], mine[1:]), port_told),
            "200 events, one sequence": (lambda: our_sample(1), lambda: port_sample(1)),
            "200 events, 64 sequences": (lambda: our_sample(64), lambda: port_sample(64)),
        },
        asked.rounds,
    )
    if asked.json:
        print(json.dumps(found, indent=1))
        return
    parts = ", ".join(f"{n:,} and {sum(p.numel() for p in m.parameters()):,}" for n, m in sizes)
    print(f"weights of generator and critic, ours and the port's (two biases): {parts}")
    for name, row in found.items():
        print(
            f"{name:34} ours {row['ours']:8.4f} s   port {row['port']:8.4f} s   {row['times']:.2f}x"
        )


if __name__ == "__main__":
    main()
