"""MuseGAN against a plain port with nn.Conv3d and nn.ConvTranspose3d, in one run.

The port is written for this in the way of public ones: the layers of MuseGAN's later code for the
same rolls and about as many parameters, 3-D convolutions over bars, steps and pitches, a loop over
tracks. Both train alike: n_critic updates of the critic with a gradient penalty, one of the
generator. With "musegan_48" the layers of both are the same; with "band" the port has them at the
default's size, and our critic is made wider, to the port's number of parameters.
With --given our networks have all that "band" ships with: some tracks are given in every batch,
encoded, and heard by the harmony network; the port makes music from noise as before. "sampling" is
one pass of the networks; "sampling as band-4bar" is what that bundle does for phrases from noise,
latents near those that were read, and one of two phrases chosen.
Rounds alternate and seconds are those of the processor, so that other load meets both alike.

Usage: python benchmarks/musegan.py [--preset band] [--given] [--batch 64] [--rounds N] [--json]
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from musegen.models.musegan import MuseGAN, MuseGANConfig
from musegen.objectives import Batch
from musegen.objectives.adversarial import Adversarial
from musegen.optimisation import optimiser, set_up_cpu
from musegen.pipeline import load
from musegen.pipeline.musegan import MuseGANPipeline
from musegen.presets import Training, preset
from musegen.train import one_step

Size = tuple[int, int, int]


def up(inner: int, outer: int, kernel: Size, stride: Size | None = None) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose3d(inner, outer, kernel, stride or kernel),
        nn.BatchNorm3d(outer),
        nn.ReLU(),
    )


def down(inner: int, outer: int, kernel: Size, stride: Size | None = None) -> nn.Sequential:
    return nn.Sequential(nn.Conv3d(inner, outer, kernel, stride or kernel), nn.LeakyReLU(0.2))


class Port(nn.Module):
    """Both networks; music is [b, planes tracks, bars steps, pitches] as ours."""

    def __init__(self, c: MuseGANConfig, width: int) -> None:
        super().__init__()
        self.c, self.width = c, width
        last = (1, 4, 3) if c.pitches == 84 else (1, 1, 2)
        stride = (1, 4, 2) if c.pitches == 84 else (1, 1, 2)
        fine = c.beat // 4 if c.pitches == 84 else c.beat  # steps that the branches grow by
        self.trunk = nn.Sequential(
            up(128, 4 * width, (c.bars, 1, 1)),
            up(4 * width, 2 * width, (1, 4, 3)),
            up(2 * width, width, last, stride),
        )
        self.pitch_time = nn.ModuleList(
            nn.Sequential(up(width, 32, (1, 1, 12)), up(32, 16, (1, fine, 1)))
            for _ in range(c.tracks)
        )
        self.time_pitch = nn.ModuleList(
            nn.Sequential(up(width, 32, (1, fine, 1)), up(32, 16, (1, 1, 12)))
            for _ in range(c.tracks)
        )
        self.out = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose3d(32, c.planes, 1), nn.BatchNorm3d(c.planes))
            for _ in range(c.tracks)
        )
        self.private_pt = nn.ModuleList(
            nn.Sequential(down(c.planes, 16, (1, 1, 12)), down(16, 32, (1, fine, 1)))
            for _ in range(c.tracks)
        )
        self.private_tp = nn.ModuleList(
            nn.Sequential(down(c.planes, 16, (1, fine, 1)), down(16, 32, (1, 1, 12)))
            for _ in range(c.tracks)
        )
        self.side = nn.ModuleList(down(64, 64, (1, 1, 1)) for _ in range(c.tracks))
        self.shared = nn.Sequential(
            down(64 * c.tracks, 128, last, stride), down(128, 256, (1, 4, 3))
        )
        self.chroma = nn.Sequential(down(c.tracks, 32, (1, 1, 12)), down(32, 64, (1, 4, 1)))
        self.onsets = nn.Sequential(
            down(c.tracks, 16, (1, fine, 1)), down(16, 32, (1, 4, 1)), down(32, 64, (1, 4, 1))
        )
        if c.pitches != 84:
            self.onsets = nn.Sequential(down(c.tracks, 16, (1, fine, 1)), down(16, 64, (1, 4, 1)))
        self.phrase = down(384, 512, (2, 1, 1), (1, 1, 1))
        self.score = nn.Linear(512 * (c.bars - 1), 1)

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, 128, generator=generator)

    def generate(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        h = self.trunk(z[:, :, None, None, None])
        made = [
            out(torch.cat([a(h), b(h)], 1))
            for a, b, out in zip(self.pitch_time, self.time_pitch, self.out, strict=True)
        ]
        x = torch.sigmoid(2 * torch.stack(made, 2))  # [b, planes, k, m, t, p]
        return x.flatten(3, 4).flatten(1, 2)

    def critic(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        c = self.c
        cells = 2 * x.unflatten(2, (c.bars, -1)) - 1
        cells = cells.unflatten(1, (c.planes, c.tracks))
        streams = []
        for k in range(c.tracks):
            h = cells[:, :, k]
            streams.append(
                self.side[k](torch.cat([self.private_pt[k](h), self.private_tp[k](h)], 1))
            )
        found = [self.shared(torch.cat(streams, 1))]
        sounds = (cells[:, 0] + 1) / 2
        beats = sounds.unflatten(3, (c.beats, -1)).sum(4)
        found.append(self.chroma(beats.unflatten(4, (-1, 12)).sum(4)))
        before = nn.functional.pad(sounds, (0, 0, 1, 0))[..., :-1, :]
        found.append(self.onsets((sounds - before).sum(4, keepdim=True)))
        h = self.phrase(torch.cat(found, 1))
        return self.score(h.flatten(1))[:, 0]

    def generator_parameters(self) -> Iterator[nn.Parameter]:
        for part in (self.trunk, self.pitch_time, self.time_pitch, self.out):
            yield from part.parameters()

    def critic_parameters(self) -> Iterator[nn.Parameter]:
        known = {id(p) for p in self.generator_parameters()}
        return (p for p in self.parameters() if id(p) not in known)


def count(parameters: Iterator[nn.Parameter]) -> int:
    return sum(p.numel() for p in parameters)


def nearest(c: MuseGANConfig, wanted: int) -> Port:
    """The port with as many parameters in its generator, or nearly."""
    ports = [Port(c, width) for width in range(32, 257, 4)]
    return min(ports, key=lambda p: abs(count(p.generator_parameters()) - wanted))


def training(model: nn.Module, batch: int, critics: int) -> Callable[[], None]:
    """One update of the generator and those of the critic before it."""
    objective = Adversarial(weight=5.0, n_critic=critics)
    settings = Training(10**6, batch, lr=2e-4, schedule="constant", betas=(0.5, 0.9), clip=0.0)
    phases = objective.phases(model.train())
    optimisers = [optimiser(p, settings, "cpu") for p in phases]
    noise = torch.Generator().manual_seed(0)
    x = (torch.rand(batch, *model_shape(model), generator=noise) < 0.01).to(torch.uint8)
    still = torch.zeros(batch, dtype=torch.long)
    done = [0]

    def step() -> None:
        for _ in range(critics):
            one_step(phases, optimisers, Batch(x, still, still), settings, 0, done[0])
            done[0] += 1

    return step


def model_shape(model: nn.Module) -> tuple[int, int, int]:
    config = model.c if isinstance(model, Port) else model.config
    assert isinstance(config, MuseGANConfig)
    return config.shape


def sampling(model: nn.Module, batch: int) -> Callable[[], None]:
    """Binary phrases from noise."""
    noise = torch.Generator().manual_seed(0)
    x = (torch.rand(batch, *model_shape(model), generator=noise) < 0.01).to(torch.uint8)

    @torch.no_grad()
    def draw() -> None:
        model.eval()
        if isinstance(model, MuseGAN):
            model.decode(model.prior(batch, noise), noise, model.ask(x, noise))
        else:
            assert isinstance(model, Port)
            (model.generate(model.prior(batch, noise)) > 0.5).to(torch.uint8)
        model.train()

    return draw


def shipped(batch: int) -> Callable[[], None]:
    """Phrases from noise as the shipped bundle makes them."""
    pipeline, seeds = load("band-4bar"), itertools.count()
    assert isinstance(pipeline, MuseGANPipeline)

    def draw() -> None:
        pipeline.rolls(batch, seed=next(seeds))

    return draw


def seconds(run: Callable[[], None]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="band", choices=["band", "musegan_48"])
    parser.add_argument("--given", action="store_true", help="with tracks given in every batch")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--critics", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    set_up_cpu(options.threads)
    torch.manual_seed(0)
    model = preset(options.preset).model
    assert isinstance(model, MuseGANConfig)
    critic = replace(model.critic, shift=0)
    if options.preset == "band":  # as many parameters as the port's
        critic = replace(critic, bar=309, phrase=(309, 4))
    config = replace(model, given="none", reader=0, critic=critic)
    ours = MuseGAN(config)
    wanted = count(ours.generator_parameters())
    if options.given:
        ours = MuseGAN(replace(config, given="any"))
    theirs = Port(config, 128) if options.preset == "musegan_48" else nearest(config, wanted)
    found: dict[str, object] = {
        "preset": options.preset,
        "batch": options.batch,
        "parameters of generator and critic": {
            name: [count(m.generator_parameters()), count(m.critic_parameters())]
            for name, m in (("ours", ours), ("port", theirs))
        },
    }
    tasks = {"training": lambda m: training(m, options.batch, options.critics)}
    tasks["sampling"] = lambda m: sampling(m, options.batch)
    if options.preset == "band" and not options.given:
        tasks["sampling as band-4bar"] = lambda m: (
            sampling(m, options.batch) if isinstance(m, Port) else shipped(options.batch)
        )
    for task, make in tasks.items():
        runs = {"ours": make(ours), "port": make(theirs)}
        times: dict[str, list[float]] = {name: [] for name in runs}
        for i in range(options.rounds + 1):
            for name, run in runs.items():
                spent = seconds(run)
                if i:  # the first is warm-up
                    times[name].append(spent)
        middle = {name: statistics.median(t) for name, t in times.items()}
        found[task] = {
            "seconds": {name: round(t, 4) for name, t in middle.items()},
            "ratio": round(middle["port"] / middle["ours"], 2),
        }
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for name, value in found.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
