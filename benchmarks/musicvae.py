"""MusicVAE against a plain port with the same weights, in one run: medians and their ratios.

The port is written for this, the way public PyTorch ports are: an encoder of nn.LSTM; a conductor
and a bar's decoder of nn.LSTMCell, one bar after the other and one step after the other, also where
the true symbols are known. Its sampler calls nn.LSTM once for each step. Both get the weights of
ours, and their logits and greedy symbols are compared first. Rounds alternate, and what counts is
time on processors, so that other load matters little. Two rows are of something else: sampling in
NumPy, as `musegen generate` does it, and training the architecture of melody-16bar (its encoder
reads two bars at a time) beside the port of the published one.

Usage: python benchmarks/musicvae.py [--sizes small|port] [--batch 32] [--rounds 3] [--json]
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

from musegen import pretrained, runtime
from musegen.models.musicvae import MusicVAE, MusicVAEConfig
from musegen.objectives import Batch
from musegen.objectives.variational import ELBO, cross_entropy, gaussian_kl
from musegen.optimisation import set_up_cpu

# As large as the ports are that train in a day on one GPU: 19 million parameters.
PORT = MusicVAEConfig(
    steps=256,
    latent=512,
    encoder=512,
    layers=2,
    decoder=(512, 512),
    segments=16,
    conductor=(512, 512),
)


# Fit for a CPU, 1.16 million.
SMALL = MusicVAEConfig(
    steps=256,
    latent=256,
    encoder=128,
    decoder=(256,),
    embedding=64,
    segments=16,
    conductor=(192,),
    context=128,
)


class Port(nn.Module):
    """Hierarchical MusicVAE with the published readout, step by step."""

    def __init__(self, ours: MusicVAE) -> None:
        super().__init__()
        c = self.config = ours.config
        (voice,) = ours.voices
        self.table = nn.Embedding(*voice.table.weight.shape)
        self.table.requires_grad_(voice.table.weight.requires_grad)
        width = self.table.embedding_dim
        self.encoder = nn.LSTM(width, c.encoder, c.layers, batch_first=True, bidirectional=True)
        self.posterior = nn.Linear(2 * c.encoder, 2 * c.latent)
        self.lead = nn.Linear(c.latent, 2 * sum(c.conductor))
        self.conductor = _cells(1, c.conductor)
        self.tell = nn.Linear(c.conductor[-1], c.context) if c.context else nn.Identity()
        self.initial = nn.Linear(c.told, 2 * sum(c.decoder))
        self.decoder = _cells(width + c.told, c.decoder)
        self.logits = nn.Linear(c.decoder[-1], c.vocab[0])
        named = {"tell": getattr(ours, "tell", None), "table": voice.table}
        named |= {name: getattr(ours, name) for name in ("encoder", "posterior", "lead")}
        named |= {"initial": voice.initial, "logits": voice.logits}
        for name, layer in named.items():
            if layer is not None:
                getattr(self, name).load_state_dict(layer.state_dict())
        for cells, layers in ((self.conductor, ours.conductor), (self.decoder, voice.layers)):
            for cell, layer in zip(cells, layers, strict=True):
                weights = {k.removesuffix("_l0"): v for k, v in layer.state_dict().items()}
                cell.load_state_dict(weights)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior of symbols [b, t]."""
        _, (last, _) = self.encoder(self.table(x))
        mean, spread = self.posterior(torch.cat([last[-2], last[-1]], -1)).chunk(2, -1)
        return mean, F.softplus(spread)

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        """Logits [b, t, v] after the true symbols [b, t]."""
        leading = _begin(self.lead(z), self.config.conductor)
        size, logits = self.config.steps // self.config.segments, []
        for bar in x.split(size, dim=1):
            told = self.tell(_step(self.conductor, leading, z.new_zeros(len(z), 1)))
            states = _begin(self.initial(told), self.config.decoder)
            token = told.new_zeros(len(z), self.table.embedding_dim)
            for t in range(size):
                h = _step(self.decoder, states, torch.cat([token, told], -1))
                logits.append(self.logits(h))
                token = self.table(bar[:, t])
        return torch.stack(logits, 1)


def _cells(inputs: int, units: tuple[int, ...]) -> nn.ModuleList:
    sizes = (inputs, *units[:-1])
    return nn.ModuleList(nn.LSTMCell(i, d) for i, d in zip(sizes, units, strict=True))


def _begin(lines: Tensor, units: tuple[int, ...]) -> list[tuple[Tensor, Tensor]]:
    parts = torch.tanh(lines).split([d for d in units for _ in "hc"], -1)
    return list(zip(parts[::2], parts[1::2], strict=True))


def _step(cells: nn.ModuleList, states: list[tuple[Tensor, Tensor]], x: Tensor) -> Tensor:
    for i, cell in enumerate(cells):
        states[i] = cell(x, states[i])
        x = states[i][0]
    return x


@torch.no_grad()
def called_per_step(model: MusicVAE, z: Tensor) -> Tensor:
    """The likeliest symbols [b, t] by nn.LSTM, called once for each layer and step."""
    (voice,), segments = model.voices, model.config.segments
    told_all = model.conduct(z).unflatten(0, (len(z), segments))
    symbols = []
    for u in range(segments):
        told = told_all[:, u]
        views, parts = voice.views(told), voice.states(told)
        shortcut = voice.view_to_logits(views) if voice.view_to_logits is not None else None
        states = [(h[None], c[None]) for h, c in zip(parts[::2], parts[1::2], strict=True)]
        states = [(h.contiguous(), c.contiguous()) for h, c in states]
        token = told.new_zeros(len(z), voice.table.embedding_dim)
        for t in range(voice.steps):
            h = torch.cat([token, views[:, t]], -1)[:, None]
            for i, layer in enumerate(voice.layers):
                h, states[i] = layer(h, states[i])
            logits = voice.logits(h[:, 0])
            symbols.append((logits if shortcut is None else logits + shortcut[:, t]).argmax(-1))
            token = voice.table(symbols[-1])
    return torch.stack(symbols, 1)


def compared(both: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median processor seconds of each and of their ratio."""
    times: dict[str, list[float]] = {name: [] for name in both}
    for i in range(rounds + 1):
        for name, work in both.items():
            start = time.process_time()
            work()
            if i:  # the first warms up
                times[name].append(time.process_time() - start)
    ratios = [p / o for o, p in zip(times["ours"], times["port"], strict=True)]
    found = {name: statistics.median(each) for name, each in times.items()}
    return found | {"times": statistics.median(ratios)}


def training(
    config: MusicVAEConfig, b: int, rounds: int, other: MusicVAEConfig | None = None
) -> dict[str, float]:
    """A step of training with the true symbols known, both from the same weights, or of another
    architecture of ours beside the port.
    """
    torch.manual_seed(0)
    noise, loss = torch.Generator().manual_seed(0), ELBO(beta=0.2, beta_rate=0.0, free_bits=256)
    ours = MusicVAE(config)
    port = Port(ours)
    x = torch.randint(config.vocab[0], (b, config.steps), generator=noise)
    z = torch.randn(2, config.latent, generator=noise)
    with torch.no_grad():
        assert torch.allclose(ours(z, x[:2])[0], port(z, x[:2]), atol=1e-4), "other logits"
    ours = ours if other is None else MusicVAE(other)
    adams = [torch.optim.AdamW(m.parameters(), fused=True) for m in (ours, port)]

    def our_step() -> None:
        adams[0].zero_grad()
        loss.loss(ours, Batch(x, torch.zeros(b), torch.zeros(b)), 1, noise)["loss"].backward()
        adams[0].step()

    def port_step() -> None:
        adams[1].zero_grad()
        mean, std = port.encode(x)
        logits = port(mean + std * torch.randn(mean.shape, generator=noise), x)
        kl = gaussian_kl(mean, std).mean()
        (cross_entropy([logits], x).mean() + loss.beta * F.relu(kl - 177.4)).backward()
        adams[1].step()

    found = compared({"ours": our_step, "port": port_step}, rounds)
    counts = [sum(p.numel() for p in m.parameters() if p.requires_grad) for m in (ours, port)]
    assert other or counts[0] == counts[1]
    return found | {"parameters": counts[0], "examples a second": b / found["ours"]}


def sampling(model: MusicVAE, n: int, rounds: int, light: bool = False) -> dict[str, float]:
    """Greedy symbols of n melodies, equal for nearly all steps: sums are rounded differently. With
    `light` ours are made in NumPy.
    """
    noise = torch.Generator().manual_seed(0)
    z = model.prior(n, noise)
    twin = runtime.of(model) if light else None

    def ours() -> Tensor:
        if twin is not None:
            return torch.from_numpy(twin.decode(z.numpy(), runtime.Draws(0), 0.0))
        return model.decode(z, noise, 0.0)

    same = float((ours() == called_per_step(model, z)).float().mean())
    assert same > 0.95, f"only {same:.3f} of the symbols are equal"
    both = {"ours": ours, "port": lambda: called_per_step(model, z)}
    return compared(both, rounds) | {"equal": same}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", choices=("small", "port"), default="port")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    set_up_cpu(torch.get_num_threads())
    config = PORT if asked.sizes == "port" else SMALL
    torch.manual_seed(0)
    large, shipped = MusicVAE(config).eval(), pretrained.load("melody-16bar").model
    own = replace(shipped.config, unconditional=False, recall=0)
    found = {
        f"a step of training, batch {asked.batch}": training(config, asked.batch, asked.rounds),
        **{f"16 bars, {n} at once": sampling(large, n, asked.rounds) for n in (1, 16)},
        **{f"melody-16bar, {n} at once": sampling(shipped, n, asked.rounds) for n in (1, 16)},
        **{f"in NumPy, {n} at once": sampling(shipped, n, asked.rounds, True) for n in (1, 16)},
        "a step of melody-16bar's own": training(config, asked.batch, asked.rounds, own),
    }
    if asked.json:
        print(json.dumps(found, indent=1))
        return
    for name, row in found.items():
        more = "".join(f"   {k} {row[k]:,.4g}" for k in list(row)[3:])
        print(
            f"{name:30} ours {row['ours']:8.4f} s   port {row['port']:8.4f} s   "
            f"{row['times']:.2f}x{more}"
        )


if __name__ == "__main__":
    main()
