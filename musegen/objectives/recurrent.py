"""The training of C-RNN-GAN (Mogren 2016, section 3) on top of the table of adversarial losses.

First the generator alone learns to tell each next cell from the true ones before it ("pretraining",
by squared error in the paper, by likelihood where a network has one), on sequences that get longer;
then generator and critic play, where the paper's additions may be switched on: feature matching
(Salimans et al. 2016, section 3.1), freezing of whoever wins, and L2. Beyond the paper, the
likelihood may keep its place beside the game.

Whether a player is frozen follows from the last two losses, which the model keeps in its buffer
`last`, so that a resumed run goes on with the same decisions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch import distributed as dist

from musegen.errors import MusegenError
from musegen.objectives import Batch, Losses, Phase
from musegen.objectives.adversarial import (
    LOSSES,
    REGULARISERS,
    Adversarial,
    clip,
    energy_distance,
    frozen,
    slopes,
)

CELLS = 4  # by which sequences get longer, as published
WATCHED = 64  # sequences of a validation that are compared with generated ones


class Judge(Protocol):
    """A critic that shows what it looks at."""

    def features(self, seen: Tensor, exact: bool = False) -> tuple[Tensor, Tensor]:
        """Features [b, t, d], and where cells are."""
        ...

    def score(self, features: Tensor, here: Tensor) -> Tensor:
        """Scores [b] of features."""
        ...


class RecurrentGAN(Protocol):
    """What a model offers. Cells x are [b, t, numbers], `seen` is what its critic sees of them."""

    judge: Judge
    last: Tensor

    def prior(self, n: int, generator: torch.Generator, steps: int | None = None) -> Tensor:
        """Noise for `steps` cells."""
        ...

    def real(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        """Cells as the critic sees them [b, t, seen], zeros where x is."""
        ...

    def unroll(self, z: Tensor, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Cells made from noise and how the critic sees them."""
        ...

    def critic(self, seen: Tensor, given: Tensor | None = None, exact: bool = False) -> Tensor:
        """Scores [b]."""
        ...

    def likelihood(
        self, x: Tensor, z: Tensor, given: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of telling each next cell, and its parts."""
        ...

    def generator_parameters(self) -> Iterable[nn.Parameter]:
        """What makes music."""
        ...

    def critic_parameters(self) -> Iterable[nn.Parameter]:
        """What judges it."""
        ...


class _Shown(NamedTuple):
    """A batch as both players meet it: real cells as seen, noise, what is told, where cells are."""

    x: Tensor
    z: Tensor
    given: Tensor | None
    seen: Tensor
    here: Tensor


class _Made:
    """What the generator made in a step of the game for both players, part by part of the batch.

    Its weights are the same when the critic learns as when its own turn comes, so one recurrence
    serves both.
    """

    def __init__(self) -> None:
        self._kept: deque[tuple[int, Tensor]] = deque()

    def keep(self, step: int, fake: Tensor) -> Tensor:
        """Remember what will be asked for in the same step; older ones are forgotten."""
        while self._kept and self._kept[0][0] != step:
            self._kept.popleft()
        self._kept.append((step, fake))
        return fake

    def take(self, step: int) -> Tensor | None:
        """The next part of this step, if it was kept."""
        kept = self._kept.popleft() if self._kept else (-1, None)
        return kept[1] if kept[0] == step else None


@dataclass(frozen=True)
class Recurrent(Adversarial):
    """Pretraining, then a generator against a critic; the fields of `Adversarial` come first.

    Attributes:
        pretrain: steps of pretraining; as many as there are in all for the likelihood baseline.
        growth: steps after which the sequences of pretraining get 4 cells longer, beginning with 4;
            0 takes whole ones.
        likelihood: weight of the pretraining's loss beside the game.
        matching: "none"; "pairs": squared distances of the critic's features of a real and a made
            sequence, as published; "means": of their means over the batch (Salimans et al. 2016).
        matching_weight: its weight in the generator's loss; the paper's variant has nothing else.
        adversarial: weight of the game in the generator's loss; 0 with feature matching alone.
        freeze: a player rests while its loss is below this share of the other's; the paper has 0.7,
            0 is never.
        l2: weight of the sum of squared weights of each player.
        unguided: share of sequences that are told nothing, so that one network can do both.
        chosen: what decides which weights are best on held-out music: "likelihood", or the
            "distance" of generated from real sequences.
    """

    loss: Literal["non-saturating", "wasserstein", "hinge", "least-squares"] = "non-saturating"
    regulariser: Literal["none", "clipping", "gradient-penalty", "one-sided", "dragan", "r1"] = (
        "none"
    )
    n_critic: int = 1
    pretrain: int = 0
    growth: int = 0
    likelihood: float = 0.0
    matching: Literal["none", "pairs", "means"] = "none"
    matching_weight: float = 1.0
    adversarial: float = 1.0
    freeze: float = 0.0
    l2: float = 0.0
    unguided: float = 0.0
    chosen: Literal["likelihood", "distance"] = "likelihood"

    def phases(self, model: nn.Module) -> list[Phase]:
        """The critic's phase after pretraining, and the generator's.

        Raises:
            MusegenError: counts that cannot be.
        """
        gan = cast(RecurrentGAN, model)  # its judge is a module, which Python cannot check
        if min(self.n_critic, self.boost, self.interval) < 1 or self.pretrain < 0:
            raise MusegenError(
                "cannot train: objective.n_critic, boost and interval must be at least 1, "
                "objective.pretrain at least 0"
            )
        critic, generator = list(gan.critic_parameters()), list(gan.generator_parameters())
        regulariser, made = REGULARISERS[self.regulariser], _Made()

        def critic_due(step: int) -> bool:
            return step >= self.pretrain and not self.rests(gan, 0)

        def generator_due(step: int) -> bool:
            game = step - self.pretrain
            return game < 0 or (self.generator_due(game) and not self.rests(gan, 1))

        def after() -> None:
            if regulariser.bounded:
                clip(critic, self.limit)

        exact = regulariser.penalty is not None
        return [
            Phase(
                "critic",
                critic,
                lambda batch, step, noise: self.against(
                    gan, batch, noise, step, made if generator_due(step) else None
                ),
                critic_due,
                after,
                self.critic_rate,
                exact,
            ),
            Phase(
                "generator",
                generator,
                lambda batch, step, noise: self.making(gan, batch, noise, step, made),
                generator_due,
            ),
        ]

    def rests(self, model: RecurrentGAN, player: int) -> bool:
        """Whether the critic (0) or the generator (1) is frozen: it has won by far."""
        mine, other = (float(model.last[i]) for i in (player, 1 - player))
        return bool(self.freeze) and 0 < mine < self.freeze * other

    def cells(self, step: int, whole: int) -> int:
        """How long the sequences of a pretraining step are, of at most `whole` cells."""
        return min(whole, (1 + step // self.growth) * CELLS) if self.growth else whole

    def against(
        self,
        model: RecurrentGAN,
        batch: Batch,
        generator: torch.Generator,
        step: int,
        made: _Made | None = None,
    ) -> Losses:
        """The critic's loss on real sequences against as many made ones of the same lengths, which
        are kept in `made`, with their gradients, for the generator's turn.
        """
        shown = self._shown(model, batch, generator)
        with torch.set_grad_enabled(made is not None and torch.is_grad_enabled()):
            fake = model.unroll(shown.z, shown.given)[1] * shown.here
        fake = (made.keep(step, fake) if made else fake).detach()
        penalty = REGULARISERS[self.regulariser].penalty
        on_real, on_fake = model.critic(shown.seen), model.critic(fake)
        loss = LOSSES[self.loss].critic(on_real, on_fake)
        found = {"real": on_real.mean(), "fake": on_fake.mean()}
        if len(on_fake) > 1:
            found["spread"] = on_fake.std()
        self._remember(model, loss, LOSSES[self.loss].generator(on_fake))
        if penalty is not None and step % self.interval == 0:
            points = penalty.points(shown.seen, fake, self.radius, generator)
            slope = slopes(lambda x: model.critic(x, exact=True), points)
            cost = penalty.cost(slope).mean()
            loss = loss + self.weight * self.interval * cost
            found |= {"penalty": cost, "slope": slope.mean()}
        loss = loss + self._weights(model.critic_parameters())
        return {"loss": loss} | {k: v.detach() for k, v in found.items()}

    def making(
        self,
        model: RecurrentGAN,
        batch: Batch,
        generator: torch.Generator,
        step: int,
        made: _Made | None = None,
    ) -> Losses:
        """The generator's loss: that of pretraining, or that of the game, in which it goes on with
        what it `made` for the critic of this step from the same noise.
        """
        if step < self.pretrain:
            x = batch.x[:, : self.cells(step, batch.x.shape[1])].float()
            loss, parts = self._told(model, batch._replace(x=x), generator)
            found = {"told": loss} | parts
        else:
            shown = self._shown(model, batch, generator)
            fake = made.take(step) if made else None
            if fake is None:
                fake = model.unroll(shown.z, shown.given)[1] * shown.here
            loss, found = self._game(model, shown.seen, fake)
            if self.likelihood:
                told, parts = self._told(model, batch, generator)
                loss = loss + self.likelihood * told
                found |= {"told": told} | parts
        loss = loss + self._weights(model.generator_parameters())
        return {"loss": loss} | {k: v.detach() for k, v in found.items()}

    def _told(
        self, model: RecurrentGAN, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        x = batch.x.float()
        z = model.prior(len(x), generator, x.shape[1]).to(x)
        return model.likelihood(x, z, self._given(batch, generator))

    def _given(self, batch: Batch, generator: torch.Generator) -> Tensor | None:
        """What is told, nothing for a share of the rows."""
        if batch.given is None:
            return None
        given = batch.given.float()
        told = torch.rand(len(given), generator=generator) >= self.unguided
        return given * told.to(given).view(-1, *[1] * (given.dim() - 1))

    def _shown(self, model: RecurrentGAN, batch: Batch, generator: torch.Generator) -> _Shown:
        x = batch.x.float()
        given = self._given(batch, generator)
        seen = model.real(x, given)
        z = model.prior(len(x), generator, x.shape[1]).to(seen)
        here = (x != 0).any(-1, keepdim=True).to(seen)
        rhythm = getattr(getattr(model, "config", None), "condition", "") == "rhythm"
        return _Shown(x, z, x[..., :2] if rhythm else given, seen, here)

    def _game(self, model: RecurrentGAN, real: Tensor, fake: Tensor) -> tuple[Tensor, Losses]:
        """What the generator loses by what it made, and its parts; the critic looks once at each
        side, at the real one only where something follows from it.
        """
        judge, kind = model.judge, LOSSES[self.loss]
        with frozen(model.critic_parameters()):
            features, here = judge.features(fake)
            # Without its place in the loss the game is only told.
            scores = judge.score(features if self.adversarial else features.detach(), here)
            game = kind.generator(scores)
            loss, found = self.adversarial * game, {"game": game}
            if self.matching != "none" or self.freeze:
                with torch.no_grad():
                    wanted, there = judge.features(real)
                    on_real = judge.score(wanted, there)
                self._remember(model, kind.critic(on_real, scores), game)
            if self.matching != "none":
                found["matching"] = self._matched(wanted, features)
                loss = loss + self.matching_weight * found["matching"]
        return loss, found

    def _matched(self, wanted: Tensor, made: Tensor) -> Tensor:
        """Squared distances of the critic's features of real and of made sequences."""
        if self.matching == "means":
            wanted, made = wanted.mean(0), made.mean(0)
        return F.mse_loss(made.float(), wanted.float())

    def _weights(self, parameters: Iterable[nn.Parameter]) -> Tensor | float:
        if not self.l2:
            return 0.0
        return self.l2 * torch.stack([p.square().sum() for p in parameters]).sum()

    @torch.no_grad()
    def _remember(self, model: RecurrentGAN, critic: Tensor, generator: Tensor) -> None:
        """Keep the last losses; several processes agree on their mean, and so on who rests."""
        if not self.freeze:
            return
        last = torch.stack([critic.detach(), generator.detach()]).to(model.last)
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(last)
            last /= dist.get_world_size()
        model.last.copy_(last)

    def held_out(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Losses:
        """The loss of telling each next cell, and how far as many made sequences are from real
        ones: the energy distance of means and deviations over time of what the critic sees.
        """
        gan = cast(RecurrentGAN, model)
        x = batch.x.float()
        z = gan.prior(len(x), generator, x.shape[1]).to(x)
        told, parts = gan.likelihood(x, z, batch.given)
        few = Batch(x[:WATCHED], batch.style, batch.shift, batch.given)
        given = None if batch.given is None else batch.given[:WATCHED]
        shown = self._shown(gan, few._replace(given=given), generator)
        fake = gan.unroll(shown.z, shown.given)[1] * shown.here
        distance = energy_distance(_summary(shown.seen), _summary(fake))
        loss = told if self.chosen == "likelihood" else distance
        return {"loss": loss, "told": told, "distance": distance} | parts

    def trouble(self, rows: Sequence[Mapping[str, float]]) -> str:
        """A dead critic; not asked for where a player may rest."""
        return "" if self.freeze else super().trouble(rows)


def _summary(seen: Tensor) -> Tensor:
    """Means and deviations over time of sequences [b, t, seen], [b, 2 seen]."""
    return torch.cat([seen.mean(1), seen.std(1)], -1)
