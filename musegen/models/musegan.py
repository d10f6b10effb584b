"""MuseGAN: bands of several tracks from noise or around given tracks (Dong et al., AAAI 2018).

A phrase of m bars and k tracks is made in two steps. The temporal model turns time-dependent noise
into a latent for each bar; the bar generators make each bar from it and from the time-independent
latents, which are the same in all bars (section 3.3):

    jamming    k generators, each with its own latents
    composer   one generator with shared latents makes all tracks
    hybrid     k generators, each with shared and own latents                          (section 3.2)

Sizes of a bar generator; after every layer but the last a normalisation and a rectifier:

    "96-step"  z 128 -> 1024 = [2, 1, 512] -> 512 (2, 1) -> 256 (2, 1) -> 256 (2, 1) -> 128 (2, 1)
               -> 128 (3, 1) -> 64 (1, 7) -> out (1, 12) = [96, 84]; temporal 1024 (2), 32 (3)
    "48-step"  z 128 -> [4 bars, 1, 1, 512] -> 256 (4, 3) -> 128 (4, 3, strides 4, 2) = [16, 7];
               each track pitch-time 32 (1, 12), 16 (3, 1) and time-pitch 32 (3, 1), 16 (1, 12)
               -> side by side, out (1, 1) = [48, 84]
    "band"     z 128 -> 256 -> [4, 6, 32]; pitch-time 12 (1, 12), out (4, 1) and time-pitch
               12 (4, 1), out (1, 12), added = [16, 72]; two planes, layer normalisation

Tracks that are given are encoded bar by bar into a map for each layer's input (section 3.4). The
refiner and binary neurons are BinaryMuseGAN's (Dong and Yang, ISMIR 2018).

Deviations from the published code, with reasons: music is 0 to 1, not -1 to 1 (an affine map; a
penalty's weight of 5 here is their 10 there, both losses being halved); temporal models of the
shared and of each track's latents have weights of their own, as the paper and unlike the code; maps
of the encoder have one width. Better, as defaults: an onset plane, so that repeated notes survive;
the output bias starts at the log odds of notes and knows pitch and step, else a generator goes
silent at once; tracks are given at random, so that one network accompanies any.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from musegen.models.musegan_bars import BarGenerator, Encoder, MuseGANConfig, Refiner, Temporal
from musegen.models.musegan_critic import Critic
from musegen.models.musegan_keys import Harmony, homeward, transposed
from musegen.models.patches import merged, nats, neurons

__all__ = ["MuseGAN", "MuseGANConfig"]

FURTHEST = 4.0  # from the middle that a value of a latent is read, in standard deviations


class MuseGAN(nn.Module):
    """Generator, encoder of given tracks, refiner and critic. Rolls are [b, planes k, m t, p]:
    channels of sounding cells of each track, then of onsets, from 0 to 1.
    """

    def __init__(self, config: MuseGANConfig) -> None:
        super().__init__()
        self.config = c = config
        self.slope = c.slope[0]
        _, _, shared_moving, own_moving = c.parts
        if c.temporal:
            if shared_moving:
                self.temporal = Temporal(1, shared_moving, c)
            if own_moving:
                self.temporals = Temporal(c.tracks, own_moving, c)
        self.encode = Encoder(c) if c.given != "none" else None
        self.bar = BarGenerator(c)
        size = (c.bars, c.beats, c.beat, c.pitches)
        if c.given != "none" and c.harmony:
            groups, sizes = 1 if c.composition == "composer" else c.tracks, (c.planes, c.tracks)
            self.harmony = Harmony(c.harmony, c.latent, groups, (*sizes, *size), c.drums)
        if c.refine != "none":
            self.refiner = Refiner(c)
        if c.reader:
            reading = replace(
                c.critic, separate=False, bar=c.reader, phrase=(c.reader, c.bars), own=True
            )
            values = 2 * len(self.moving())
            self.reader = Critic(reading, c.tracks, c.planes, size, values)
            self.register_buffer("memory", torch.randn(c.memory, values // 2))
            with torch.no_grad():  # latents start near the prior
                self.reader.score.weight.mul_(0.1)
                self.reader.score.bias[..., values // 2 :] = 0.5
        self.judge = Critic(c.critic, c.tracks, c.planes, size)

    memory: Tensor

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Latents [n, z]: shared, own, shared time-dependent, own time-dependent ones.

        Where latents are read from music, from those that were read in training (Ghosh et al.
        2020): they fill only a part of N(0, I), and elsewhere is no music. A smoothed bootstrap
        with the mean and covariance of those that are remembered (Silverman and Young 1987): from
        one of them, `apart` of the way to one of their Gaussian.
        """
        c = self.config
        shared, own, shared_moving, own_moving = c.parts
        size = shared + shared_moving + c.tracks * (own + own_moving)
        if c.reader:
            row = torch.randint(c.memory, (n,), generator=generator, device=generator.device)
            noise = torch.randn(n, c.memory, generator=generator, device=generator.device)
            center = self.memory.mean(0)
            kept = self.memory - center
            away = noise.to(kept) @ kept / math.sqrt(c.memory)
            return center + c.apart * away + math.sqrt(1 - c.apart**2) * kept[row.to(kept.device)]
        noise = torch.randn(n, size, generator=generator, device=generator.device)
        if c.truncate:  # by the inverse of the distribution: one draw for each number
            edge = torch.special.ndtr(torch.tensor(-c.truncate, device=noise.device))
            noise = torch.special.ndtri(edge + (1 - 2 * edge) * torch.special.ndtr(noise))
        return c.spread * noise.to(self.bar.bias)

    def moving(self) -> Tensor:
        """Which values of z are time-dependent, bool [z]."""
        c = self.config
        shared, own, shared_moving, own_moving = c.parts
        sizes = (shared, c.tracks * own, shared_moving, c.tracks * own_moving)
        return torch.arange(sum(sizes)) >= sizes[0] + sizes[1]

    def latents(self, z: Tensor) -> Tensor:
        """What the bar generators see of z [b, z]: [g, b, m, z']."""
        c = self.config
        shared, own, shared_moving, own_moving = c.parts
        sizes = (shared, c.tracks * own, shared_moving, c.tracks * own_moving)
        still, mine, moves, mine_moves = z.split(sizes, dim=1)
        seen = []
        if shared:
            seen.append(still[None, :, None].expand(-1, -1, c.bars, -1))
        if own:
            each = mine.unflatten(1, (c.tracks, own)).transpose(0, 1)
            seen.append(each[:, :, None].expand(-1, -1, c.bars, -1))
        if shared_moving:
            seen.append(self.temporal(moves[None]))
        if own_moving:
            seen.append(self.temporals(mine_moves.unflatten(1, (c.tracks, -1)).transpose(0, 1)))
        return merged(seen, 1 if c.composition == "composer" else c.tracks)

    def logits(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        """Before the output function, [b, planes, k, m t, p]. With a refiner, after it."""
        c = self.config
        maps = None
        if self.encode is not None and given is not None:
            maps = self.encode(given.to(z))
        latents = self.latents(z)
        out: Tensor = self.bar(latents, maps)
        if given is not None and hasattr(self, "harmony"):
            out = out + self.harmony(given, latents)
        if c.refine != "none":
            out = self.refiner(torch.sigmoid(out))
        return out

    def generate(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        """Rolls as the critic sees them in training; `draw` where neurons are stochastic."""
        return self.draw(z, given, None)

    def draw(self, z: Tensor, given: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """Rolls [b, planes k, m t, p] as the critic sees them in training."""
        c, out = self.config, self.logits(z, given)
        if c.output == "tanh":
            cells = torch.sigmoid(2 * out)
        elif c.output == "sigmoid":
            cells = torch.sigmoid(out)
        else:
            chance = None
            if c.output == "stochastic" and generator is not None:
                chance = torch.rand(out.shape, generator=generator, device=generator.device).to(out)
            cells = neurons(out, self.slope, chance)
        return self.kept(self.whole(cells), given)

    def whole(self, cells: Tensor) -> Tensor:
        """Planes of cells [b, planes, k, m t, p], held and struck, as a roll: what is struck sounds
        as well, and drums sound only where they are struck.
        """
        c = self.config
        if c.onsets:
            held, struck = cells.unbind(1)
            if c.drums >= 0:
                pitched = torch.arange(c.tracks, device=cells.device) != c.drums
                held = held * pitched.to(cells)[:, None, None]
            cells = torch.stack([held + struck - held * struck, struck], dim=1)
        return cells.flatten(1, 2)

    def kept(self, x: Tensor, given: Tensor | None) -> Tensor:
        """Rolls with the tracks that are given put in: `given` has -1 in all others."""
        return x if given is None else torch.where(given[..., :1, :1] < 0, x, given.to(x))

    @torch.no_grad()
    def decode(
        self,
        z: Tensor,
        generator: torch.Generator,
        given: Tensor | None = None,
        threshold: Tensor | float = 0.5,
        temperature: float = 0.0,
    ) -> Tensor:
        """Binary rolls uint8 [b, planes k, m t, p].

        Args:
            z: latents [b, z].
            generator: source of the draws.
            given: rolls with -1 in the tracks to be made.
            threshold: probabilities over it sound, in all tracks or each [k], or those of what is
                held and what is struck [planes, k].
            temperature: 0 cuts at the threshold; above, cells are drawn (Bernoulli), 1 with the
                probabilities as they are.
        """
        out = self.logits(z, given)
        slope = 2 if self.config.output == "tanh" else self.slope
        bar = torch.as_tensor(threshold, dtype=out.dtype, device=out.device).clamp(1e-6, 1 - 1e-6)
        level = bar.logit()[..., None, None] / slope
        if temperature > 0:
            chance = torch.rand(out.shape, generator=generator, device=generator.device).to(out)
            on = torch.sigmoid((out - level) * slope / temperature) > chance
        else:
            on = out > level
        roll = self.whole(on.to(torch.uint8))
        return self.kept(led(roll) if self.config.onsets else roll, given).to(torch.uint8)

    def critic(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        """Scores [b] of rolls; given tracks are part of them."""
        scores: Tensor = self.judge(x.unflatten(1, (self.config.planes, -1)))
        return scores[:, 0]

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation [b, z] of the latents that make rolls x (with `reader`)."""
        found = self.reader(x.to(self.bar.bias).unflatten(1, (self.config.planes, -1)))
        mean, spread = found.chunk(2, dim=1)
        # Nothing is read that the prior would not draw: unbounded means run away.
        return FURTHEST * torch.tanh(mean / FURTHEST), nn.functional.softplus(spread)

    def recall(
        self, x: Tensor, given: Tensor | None, generator: torch.Generator
    ) -> tuple[Tensor, Tensor] | None:
        """How badly rolls x are made again from what is read of them, in nats, and the divergence
        of the latents from the prior, both a phrase; None without `reader`.
        """
        if not self.config.reader:
            return None
        mean, std = self.read(x)
        noise = torch.randn(mean.shape, generator=generator, device=generator.device).to(mean)
        z = mean + std * noise
        if self.training:
            with torch.no_grad():
                row = torch.randint(len(self.memory), (len(z),), generator=generator)
                self.memory[row.to(z.device)] = z
        if given is not None:
            # What is read tells of all tracks, and nothing would be learned of what is given. So a
            # part of it, from none to all, is replaced by chance.
            share = torch.rand(len(z), 1, generator=generator, device=generator.device).to(z)
            center, other = self.memory.mean(0), self.prior(len(z), generator)
            chance = (1 - share.square()).sqrt() * (other - center)
            z = center + share * (z - center) + chance
        logits = self.logits(z, given).flatten(1, 2)
        logits = logits * 2 if self.config.output == "tanh" else logits
        truth = x.bool()
        if given is not None:  # what is given costs nothing
            logits = torch.where(given < 0, logits, -1e4)
            truth = truth & (given < 0)
        cost = nats(logits, truth) / len(x)
        divergence = 0.5 * (mean.square() + std.square() - 1) - std.clamp(min=1e-6).log()
        return cost, divergence.sum(1).mean()

    def ask(self, x: Tensor, generator: torch.Generator) -> Tensor | None:
        """What is given in training: some tracks of rolls x, -1 in the others, at random for each;
        None for nothing.
        """
        c, k = self.config, self.config.tracks
        if c.given == "none":
            return None
        if c.given == "some" and torch.rand((), generator=generator) < 0.5:
            return None
        u = torch.rand(len(x), k + 1, generator=generator, device=generator.device).to(x.device)
        if c.given in (
            "any",
            "some",
        ):  # one to k - 1 tracks, which ones by the order of random numbers
            many = 1 + (u[:, :1] * (k - 1)).long()
            known = u[:, 1:].argsort(1).argsort(1) < many
        else:
            sounds = x[:, :k].flatten(2).any(2)
            one = (u[:, 1:] + sounds).argmax(1) if c.given == "one" else int(c.given)
            known = torch.arange(k, device=x.device) == torch.as_tensor(one).view(-1, 1)
        known = known.expand(len(x), k).repeat(1, c.planes)[:, :, None, None]
        return torch.where(known, x.to(torch.int8), -torch.ones_like(x, dtype=torch.int8))

    def home(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        """Semitones [b] by which rolls x come to C major or A minor, by the given tracks where they
        have pitches, as in `accompany`; 0 for all without `home`.
        """
        c, k = self.config, self.config.tracks
        if not c.home:
            return torch.zeros(len(x), dtype=torch.long, device=x.device)
        pitched = [i for i in range(k) if i != c.drums]
        if given is None:
            return homeward(x[:, pitched])
        told = given[:, pitched].clamp(min=0)
        some = told.flatten(1).any(1).view(-1, 1, 1, 1)
        return homeward(torch.where(some, told, x[:, pitched]))

    def moved(self, x: Tensor, by: Tensor) -> Tensor:
        """Rolls, or given ones with -1 where nothing is given, moved by semitones but for drums."""
        there = transposed(x.clamp(min=0), by, self.config.drums, self.config.tracks)
        return torch.where(x[:, :, :1, :1] < 0, x, there) if x.dtype.is_signed else there

    def settle(self, x: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Music and what is given of it in the key in which all is learned."""
        by = self.home(x, given)
        return self.moved(x, by), None if given is None else self.moved(given, by)

    def augment(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Rolls as the critic is shown them, real and made alike (Zhao et al. 2020): each moved by
        some semitones but for its drums, and tracks taken out. Differentiable.
        """
        c, k = self.config, self.config.tracks
        if c.critic.shift:
            by = torch.randint(2 * c.critic.shift + 1, (len(x),), generator=generator)
            x = transposed(x, by - c.critic.shift, c.drums, k)
        if c.critic.drop:
            u = torch.rand(len(x), k, generator=generator, device=generator.device).to(x)
            x = x * (u >= c.critic.drop).to(x).repeat(1, c.planes)[:, :, None, None]
        return x

    def at(self, step: int) -> None:
        """Set what changes in the course of training: the slope of the neurons."""
        first, last, begin, end = self.config.slope
        along = min(1.0, max(0.0, (step - begin) / max(1, end - begin)))
        self.slope = first + (last - first) * along

    def generator_parameters(self) -> Iterator[nn.Parameter]:
        """What the generator's phase trains: all but the critic, or the refiner alone."""
        if self.config.refine == "frozen":
            return self.refiner.parameters()
        known = {id(p) for p in self.judge.parameters()}
        return (p for p in self.parameters() if id(p) not in known)

    def critic_parameters(self) -> Iterator[nn.Parameter]:
        """What the critic's phase trains."""
        return self.judge.parameters()


def led(x: Tensor) -> Tensor:
    """Rolls [b, 2 k, t, p] without cells that are held though nothing was struck: they are no note,
    and are not written. A step after the other, in bytes: several times faster than a cummax.
    """
    live = x.clone()
    sounds, struck = live.unflatten(1, (2, -1)).unbind(1)  # views
    sounds[:, :, 0] &= struck[:, :, 0]
    for t in range(1, x.shape[2]):
        sounds[:, :, t] &= sounds[:, :, t - 1] | struck[:, :, t]
    return live
