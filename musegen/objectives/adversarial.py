"""Adversarial training as a table: losses times regularisers, for any generator and critic.

A critic c gives each x a score, high for real music; a generator makes x from noise z. Each step
updates the critic, some steps the generator. Every term of the critic's loss is a mean over the
batch and all of them are one number, so there is one backward and the gradients of several
processes can be averaged. "Scores" are what the network puts out, without a sigmoid.

`docs/gans.md` tells what the choices mean and shows them on a toy.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from musegen.errors import MusegenError
from musegen.objectives import Batch, Losses, Phase
from musegen.objectives.players import GAN, Composing, asked, made, shown, strangers

PATIENCE = 100  # steps without any sign of life after which a critic counts as dead


class Loss(NamedTuple):
    """What the critic minimises given scores of real and fake [b], and the generator of fake."""

    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


LOSSES: dict[str, Loss] = {
    # Goodfellow et al. 2014: D = sigmoid(c), the critic's -log D(x) - log(1 - D(x~)), and the
    # generator's -log D(x~) of section 3. Best critic: log p/q; at p = q: 2 log 2 and log 2.
    "non-saturating": Loss(
        lambda real, fake: F.softplus(-real).mean() + F.softplus(fake).mean(),
        lambda fake: F.softplus(-fake).mean(),
    ),
    # Arjovsky, Chintala, Bottou 2017: minus the difference of mean scores, whose maximum over
    # 1-Lipschitz critics is the distance W1(p, q). Unbounded without a regulariser.
    "wasserstein": Loss(
        lambda real, fake: fake.mean() - real.mean(),
        lambda fake: -fake.mean(),
    ),
    # Lim and Ye 2017; Miyato et al. 2018, equations 16, 17. Best critic: sign(p - q); at p = q: 2.
    "hinge": Loss(
        lambda real, fake: F.relu(1 - real).mean() + F.relu(1 + fake).mean(),
        lambda fake: -fake.mean(),
    ),
    # Mao et al. 2017, equation 9 (labels 0 and 1). Best critic: p / (p + q); at p = q: 1/4, 1/8.
    "least-squares": Loss(
        lambda real, fake: 0.5 * ((real - 1).square().mean() + fake.square().mean()),
        lambda fake: 0.5 * (fake - 1).square().mean(),
    ),
}


def between(real: Tensor, fake: Tensor, radius: float, generator: torch.Generator) -> Tensor:
    """One point on the line from each fake to a real, uniformly (Gulrajani et al. 2017)."""
    share = _on(real, torch.rand(len(real), generator=generator, device=generator.device))
    return torch.lerp(fake, real, share.view(-1, *[1] * (real.dim() - 1)))


def around(real: Tensor, fake: Tensor, radius: float, generator: torch.Generator) -> Tensor:
    """Real with Gaussian noise of standard deviation `radius` (Kodali et al. 2017).

    Their code takes half the standard deviation of the batch for it, which would tie the rows of a
    batch to each other and so make several processes differ from one.
    """
    noise = torch.randn(real.shape, generator=generator, device=generator.device)
    return real + radius * _on(real, noise)


def at_real(real: Tensor, fake: Tensor, radius: float, generator: torch.Generator) -> Tensor:
    """The real ones themselves (Mescheder, Geiger, Nowozin 2018)."""
    return real


def _on(like: Tensor, noise: Tensor) -> Tensor:
    return noise.to(like, non_blocking=True)


class Penalty(NamedTuple):
    """A cost of the slopes |dc/dx| [b] at points made of real and fake."""

    points: Callable[[Tensor, Tensor, float, torch.Generator], Tensor]
    cost: Callable[[Tensor], Tensor]


class Regulariser(NamedTuple):
    """What keeps a critic smooth: a penalty in its loss, a bound on its weights, or neither."""

    penalty: Penalty | None = None
    bounded: bool = False


REGULARISERS: dict[str, Regulariser] = {
    "none": Regulariser(),
    # Arjovsky et al. 2017, algorithm 1: after each update weights are clipped to [-limit, limit].
    "clipping": Regulariser(bounded=True),
    # Gulrajani et al. 2017, equation 3: weight * (slope - 1)^2.
    "gradient-penalty": Regulariser(Penalty(between, lambda slope: (slope - 1).square())),
    # The one-sided choice of their section 4, Petzka et al. 2018: weight * max(0, slope - 1)^2.
    "one-sided": Regulariser(Penalty(between, lambda slope: F.relu(slope - 1).square())),
    # Kodali et al. 2017: the same cost around the real ones only.
    "dragan": Regulariser(Penalty(around, lambda slope: (slope - 1).square())),
    # Mescheder et al. 2018, equation 9: weight / 2 * slope^2 at the real ones.
    "r1": Regulariser(Penalty(at_real, lambda slope: 0.5 * slope.square())),
}


@dataclass(frozen=True)
class Adversarial:
    """A generator against a critic. A step is one update of the critic.

    Attributes:
        loss: one of LOSSES.
        regulariser: one of REGULARISERS; spectral normalisation belongs to the model.
        weight: of the penalty: lambda of gradient penalty and DRAGAN, gamma of R1.
        interval: steps from one penalty to the next, which then weighs so many times more (lazy
            regularisation, Karras et al. 2020, who take 16).
        limit: largest absolute weight (clipping).
        radius: standard deviation of DRAGAN's noise, in units of x.
        n_critic: updates of the critic for each of the generator's.
        boost: the same where it is raised.
        boost_first: for how many updates of the generator it is raised at the start.
        boost_every: raised again at each so-manieth update of the generator; 0 for never. MuseGAN
            has 5, 100, 25, 500 (its later code 5, 50, 10, 0), WGAN the same as MuseGAN.
        critic_rate: the critic's learning rate over the generator's (two time scales, Heusel et
            al. 2017).
        warm: steps at the start in which there is no critic, and the generator learns as the
            decoder of an autoencoder alone (a model that reads latents; Larsen et al. 2016).
        recall: weight of that loss, per nat; afterwards it keeps samples various.
        beta: of the latents' divergence in it.
        strangers: share of the fakes that are real music beside given tracks of other music, where
            tracks are given.
    """

    loss: Literal["non-saturating", "wasserstein", "hinge", "least-squares"] = "wasserstein"
    regulariser: Literal["none", "clipping", "gradient-penalty", "one-sided", "dragan", "r1"] = (
        "gradient-penalty"
    )
    weight: float = 10.0
    interval: int = 1
    limit: float = 0.01
    radius: float = 0.5
    n_critic: int = 5
    boost: int = 100
    boost_first: int = 0
    boost_every: int = 0
    critic_rate: float = 1.0
    warm: int = 0
    recall: float = 0.0
    beta: float = 1.0
    strangers: float = 0.0

    def phases(self, model: nn.Module) -> list[Phase]:
        """The critic's phase at every step, then the generator's where it is due.

        Raises:
            MusegenError: counts that cannot be.
        """
        assert isinstance(model, GAN)
        if min(self.n_critic, self.boost, self.interval) < 1:
            raise MusegenError(
                "cannot train: objective.n_critic, boost and interval must be at least 1"
            )
        critic, generator = list(model.critic_parameters()), list(model.generator_parameters())
        regulariser = REGULARISERS[self.regulariser]

        def critic_loss(batch: Batch, step: int, noise: torch.Generator) -> Losses:
            return self.critic_loss(model, batch, step, noise)

        def generator_loss(batch: Batch, step: int, noise: torch.Generator) -> Losses:
            return self.generator_loss(model, batch, step, noise)

        def after() -> None:
            if regulariser.bounded:
                clip(critic, self.limit)

        exact = regulariser.penalty is not None
        return [
            Phase("critic", critic, critic_loss, self.critic_due, after, self.critic_rate, exact),
            Phase("generator", generator, generator_loss, self.generator_due),
        ]

    def critic_loss(
        self, model: GAN, batch: Batch, step: int, generator: torch.Generator
    ) -> Losses:
        """The critic's loss on a batch against as many fakes, with its penalty.

        Beside it: mean scores, the spread of the fakes' scores, and where there is a penalty its
        value (before the weight) and the mean slope that it saw.
        """
        x, given = asked(model, batch, step, generator)
        with torch.no_grad():
            fake = made(model, len(x), given, generator)
            real = x.to(fake)
            if given is not None and self.strangers:
                fake = strangers(real, given, fake, self.strangers)
            fake, real = shown(model, fake, generator), shown(model, real, generator)
        on_real, on_fake = _scores(model, real, given), _scores(model, fake, given)
        loss = LOSSES[self.loss].critic(on_real, on_fake)
        found = {"real": on_real.mean(), "fake": on_fake.mean()}
        if len(on_fake) > 1:
            found["spread"] = on_fake.std()
        penalty = REGULARISERS[self.regulariser].penalty
        if penalty is not None and step % self.interval == 0:
            points = penalty.points(real, fake, self.radius, generator)
            slope = slopes(lambda x: _scores(model, x, given), points)
            cost = penalty.cost(slope).mean()
            loss = loss + self.weight * self.interval * cost
            found |= {"penalty": cost, "slope": slope.mean()}
        return {"loss": loss} | {k: v.detach() for k, v in found.items()}

    def generator_loss(
        self, model: GAN, batch: Batch, step: int, generator: torch.Generator
    ) -> Losses:
        """The generator's loss on as many fakes as the batch has rows; none for the critic."""
        x, given = asked(model, batch, step, generator)
        found: Losses = {}
        cost = torch.zeros((), device=batch.x.device)
        if self.recall and isinstance(model, Composing):
            recalled = model.recall(x, given, generator)
            if recalled is not None:
                nats, divergence = recalled
                cost = self.recall * (nats + self.beta * divergence)
                found = {"nats": nats.detach(), "divergence": divergence.detach()}
        if step < self.warm:
            return {"loss": cost} | found
        with frozen(model.critic_parameters()):
            fake = made(model, len(x), given, generator)
            scores = _scores(model, shown(model, fake, generator), given)
        return {"loss": LOSSES[self.loss].generator(scores) + cost} | found

    def critic_due(self, step: int) -> bool:
        """Whether there is a critic at this step."""
        return step >= self.warm

    def generator_due(self, step: int) -> bool:
        """Whether the critic has had its updates for the generator's next one by this step."""
        done = step + 1 - self.warm
        if done <= 0:
            return True
        k = bisect_left(range(done), done, key=lambda k: self.critic_updates(k + 1))
        return k < done and self.critic_updates(k + 1) == done

    def critic_updates(self, k: int) -> int:
        """Updates of the critic before the generator's k-th (from 1), all in all."""
        raised = min(k, self.boost_first)
        if self.boost_every and k > raised:
            multiples = [-(-n // self.boost_every) for n in (raised, k)]
            raised += multiples[1] - multiples[0]
        return k * self.n_critic + raised * (self.boost - self.n_critic)

    def held_out(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Losses:
        """How far as many fakes are from a held-out batch: "loss" is their energy distance, "gap"
        the mean score of real less that of fake.
        """
        assert isinstance(model, GAN)
        x, given = asked(model, batch, None, generator)
        fake = made(model, len(x), given, generator)
        real = x.to(fake)
        gap = _scores(model, real, given).mean() - _scores(model, fake, given).mean()
        return {"loss": energy_distance(real.flatten(1), fake.flatten(1)), "gap": gap}

    def trouble(self, rows: Sequence[Mapping[str, float]]) -> str:
        """A dead critic in words: flat for PATIENCE steps, so the generator learns nothing."""
        sign = dead(rows)
        remedy = {
            "none": "objective.regulariser=gradient-penalty",
            "clipping": f"objective.limit={5 * self.limit:g}",
        }.get(self.regulariser, f"objective.weight={self.weight / 10:g}")
        return sign and f"the critic is dead ({sign}); try a lower training.lr or --set {remedy}"


def dead(rows: Sequence[Mapping[str, float]], patience: int = PATIENCE) -> str:
    """The sign of a dead critic in the last `patience` rows of its log, or nothing.

    A critic is dead when it has no slope that a generator could follow: it gives all fakes the same
    score, or its slope is gone where its penalty looks.
    """
    last = rows[-patience:]
    if len(last) < patience:
        return ""
    signs = {
        "critic spread": "all that is generated gets the same score",
        "critic slope": "its slope is 0",
    }
    for key, words in signs.items():
        values = [(row[key], abs(row.get("critic fake", 0.0))) for row in last if key in row]
        if values and all(value <= 1e-5 * max(1.0, scale) for value, scale in values):
            return f"{words} for {patience} steps"
    return ""


def slopes(critic: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """Norms [b] of the gradients of scores with respect to points [b, ...], differentiable.

    The root has a floor of 1e-12 under it: at slope 0 its own gradient would not be a number.
    """
    points = points.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return (gradient.flatten(1).square().sum(1) + 1e-12).sqrt()


@torch.no_grad()
def clip(parameters: Iterable[nn.Parameter], limit: float) -> None:
    """Bound every weight to [-limit, limit]."""
    for p in parameters:
        p.clamp_(-limit, limit)


@contextmanager
def frozen(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Compute nothing for these parameters' gradients in what is recorded inside."""
    trained = [p for p in parameters if p.requires_grad]
    for p in trained:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in trained:
            p.requires_grad_(True)


def energy_distance(a: Tensor, b: Tensor) -> Tensor:
    """2 E|a - b| - E|a - a'| - E|b - b'| of samples [n, d] and [m, d] (Szekely and Rizzo 2013).

    At least 0, and 0 where the samples are the same; unlike distances between means it grows when a
    sample lacks variety.
    """
    across, within_a, within_b = (torch.cdist(x, y).mean() for x, y in ((a, b), (a, a), (b, b)))
    return 2 * across - within_a - within_b


def _scores(model: GAN, x: Tensor, given: Tensor | None) -> Tensor:
    """At least float32, also where networks run in bfloat16."""
    scores = model.critic(x, given)
    return scores.to(torch.promote_types(scores.dtype, torch.float32))
