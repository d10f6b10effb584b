"""Losses, penalties and schedules against closed forms and finite differences; the toy's modes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import get_args, get_type_hints

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from musegen.config import from_dict, override, to_dict
from musegen.errors import MusegenError
from musegen.objectives import Batch
from musegen.objectives.adversarial import (
    LOSSES,
    PATIENCE,
    REGULARISERS,
    Adversarial,
    dead,
    energy_distance,
    slopes,
)
from musegen.optimisation import optimiser
from musegen.presets import Training
from musegen.train import one_step

B, D, Z = 6, 5, 3
PENALTIES = [name for name, r in REGULARISERS.items() if r.penalty is not None]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Threads only get in each other's way on such small tensors."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def noise(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Toy(nn.Module):
    """A generator and a critic of vectors, in double precision; the critic may be linear."""

    def __init__(self, slope: float | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fake = nn.Linear(Z, D)
        self.score: nn.Module = nn.Sequential(nn.Linear(D, 7), nn.Tanh(), nn.Linear(7, 1))
        if slope is not None:
            self.score = nn.Linear(D, 1)
            with torch.no_grad():
                self.score.weight.mul_(slope / self.score.weight.norm().clamp(min=1e-9))
        self.double()

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, Z, generator=generator).double()

    def generate(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        return self.fake(z)

    def critic(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        return self.score(x).squeeze(1)

    def generator_parameters(self) -> Iterable[nn.Parameter]:
        return self.fake.parameters()

    def critic_parameters(self) -> Iterable[nn.Parameter]:
        return self.score.parameters()


def batch(n: int = B) -> Batch:
    still = torch.zeros(n, dtype=torch.long)
    return Batch(torch.randn(n, D, generator=noise(9)).double(), still, still)


def floats(losses: dict[str, Tensor]) -> dict[str, float]:
    return {k: v.item() for k, v in losses.items()}


# Losses.

REAL, FAKE = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-2.0, 0.25])


def softplus(x: float) -> float:
    return math.log(1 + math.exp(x))


@pytest.mark.parametrize(
    ("name", "critic", "generator"),
    [
        (
            "non-saturating",
            (softplus(-2) + softplus(-0.5) + softplus(1)) / 3 + (softplus(-2) + softplus(0.25)) / 2,
            (softplus(2) + softplus(-0.25)) / 2,
        ),
        ("wasserstein", -0.875 - 0.5, 0.875),
        ("hinge", (0 + 0.5 + 2) / 3 + (0 + 1.25) / 2, 0.875),
        ("least-squares", (1 + 0.25 + 4) / 6 + (4 + 0.0625) / 4, (9 + 0.5625) / 4),
    ],
)
def test_losses_by_hand(name: str, critic: float, generator: float) -> None:
    assert LOSSES[name].critic(REAL, FAKE).item() == pytest.approx(critic, rel=1e-6)
    assert LOSSES[name].generator(FAKE).item() == pytest.approx(generator, rel=1e-6)


# Counts of real and fake at five places; a critic is then a score for each place.
P, Q = torch.tensor([4, 1, 3, 2, 6]), torch.tensor([1, 5, 3, 4, 3])
p, q = P / P.sum(), Q / Q.sum()


def at(name: str, scores: Tensor) -> Tensor:
    return LOSSES[name].critic(scores.repeat_interleave(P), scores.repeat_interleave(Q))


M = (p + q) / 2
DIVERGENCE = float((p * (p / M).log() + q * (q / M).log()).sum() / 2)  # Jensen-Shannon


@pytest.mark.parametrize(
    ("name", "best", "value"),
    [
        ("non-saturating", (p / q).log(), 2 * math.log(2) - 2 * DIVERGENCE),
        ("hinge", (p - q).sign(), 2 - float((p - q).abs().sum())),
        ("least-squares", p / (p + q), float((p * q / (p + q)).sum() / 2)),
    ],
)
def test_the_best_critic_is_the_published_one(name: str, best: Tensor, value: float) -> None:
    assert at(name, best).item() == pytest.approx(value, rel=1e-5)
    for seed in range(50):  # the losses are convex in the scores: no better one nearby, none at all
        other = best + 0.3 * torch.randn(5, generator=noise(seed))
        assert at(name, other) >= at(name, best) - 1e-6


@pytest.mark.parametrize(
    ("name", "score", "critic", "generator"),
    [
        ("non-saturating", 0.0, 2 * math.log(2), math.log(2)),
        ("wasserstein", 0.3, 0.0, -0.3),
        ("hinge", 0.7, 2.0, -0.7),
        ("least-squares", 0.5, 0.25, 0.125),
    ],
)
def test_at_equilibrium(name: str, score: float, critic: float, generator: float) -> None:
    same = torch.full((4,), score)
    assert LOSSES[name].critic(same, same).item() == pytest.approx(critic, abs=1e-6)
    assert LOSSES[name].generator(same).item() == pytest.approx(generator)


def test_a_unit_slope_critic_between_two_points_sees_their_distance() -> None:
    a, b = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    unit = (b - a) / 5
    loss = LOSSES["wasserstein"].critic((b * unit).sum(1), (a * unit).sum(1))
    assert loss.item() == pytest.approx(-5.0)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_pulls_the_right_way(name: str) -> None:
    real, fake = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    LOSSES[name].critic(real, fake).backward()
    assert (real.grad < 0).all()  # up with real
    assert (fake.grad >= 0).all()  # down with fake, or where it belongs
    fake.grad = None
    LOSSES[name].generator(fake).backward()
    assert (fake.grad < 0).all()


# Penalties.


@pytest.mark.parametrize("slope", [0.0, 0.25, 1.0, 3.0])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gradient-penalty", lambda s: (s - 1) ** 2),
        ("one-sided", lambda s: max(0.0, s - 1) ** 2),
        ("dragan", lambda s: (s - 1) ** 2),
        ("r1", lambda s: s**2 / 2),
    ],
)
def test_penalties_of_a_linear_critic(name: str, expected: object, slope: float) -> None:
    model = Toy(slope)
    plain = floats(Adversarial(regulariser="none").critic_loss(model, batch(), 0, noise()))
    found = floats(
        Adversarial(regulariser=name, weight=7.0).critic_loss(model, batch(), 0, noise())
    )
    assert found["slope"] == pytest.approx(slope, abs=2e-6)
    assert found["penalty"] == pytest.approx(expected(slope), abs=5e-6)
    assert found["loss"] == pytest.approx(plain["loss"] + 7 * expected(slope), abs=5e-5)
    assert {k: found[k] for k in ("real", "fake", "spread")} == {
        k: plain[k] for k in ("real", "fake", "spread")
    }


@pytest.mark.parametrize("name", PENALTIES)
def test_a_flat_critic_still_has_numbers_for_gradients(name: str) -> None:
    model = Toy(0.0)
    Adversarial(regulariser=name).critic_loss(model, batch(), 0, noise())["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in model.critic_parameters())


def points(name: str, real: Tensor, fake: Tensor, radius: float = 0.5) -> Tensor:
    return REGULARISERS[name].penalty.points(real, fake, radius, noise(3))


def test_where_penalties_look() -> None:
    real, fake = torch.zeros(4000, 2, 3), torch.ones(4000, 2, 3)
    share = points("gradient-penalty", real, fake)
    assert (share == share[:, :1, :1]).all()  # one share for a whole row
    share = share[:, 0, 0]
    assert 0 <= share.min() < 0.01
    assert 0.99 < share.max() <= 1
    assert share.mean().item() == pytest.approx(0.5, abs=0.02)
    assert share.var().item() == pytest.approx(1 / 12, abs=0.005)
    one, two = (points(n, real, fake) for n in ("one-sided", "gradient-penalty"))
    assert torch.equal(one, two)
    near = points("dragan", real + 2, fake, radius=0.25)
    assert near.mean().item() == pytest.approx(2, abs=0.01)
    assert near.std().item() == pytest.approx(0.25, abs=0.01)
    assert torch.equal(points("r1", real, fake), real)


def test_slopes_are_those_of_each_row() -> None:
    x = torch.randn(5, 2, 3, generator=noise())
    found = slopes(lambda x: (0.5 * x.square()).flatten(1).sum(1), x)
    torch.testing.assert_close(found, x.flatten(1).norm(dim=1))


@pytest.mark.parametrize("name", PENALTIES)
def test_penalties_are_means_of_the_costs_of_rows(name: str) -> None:
    model, x = Toy(), batch()
    found = Adversarial(regulariser=name).critic_loss(model, x, 0, noise())
    drawn = noise()
    fake = model.generate(model.prior(B, drawn))
    places, cost = REGULARISERS[name].penalty
    each = slopes(model.critic, places(x.x, fake, 0.5, drawn))
    assert each.std() > 0.01
    torch.testing.assert_close(found["slope"], each.mean())
    torch.testing.assert_close(found["penalty"], torch.stack([cost(s) for s in each]).mean())


@pytest.mark.parametrize("name", REGULARISERS)
@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_finite_differences(loss: str, name: str) -> None:
    """Of both phases, the penalty's double backward among them."""
    model = Toy()
    objective = Adversarial(loss=loss, regulariser=name, weight=2.0)
    for phase in objective.phases(model):

        def value(phase: object = phase) -> Tensor:
            return phase.loss(batch(), 0, noise(5))["loss"]

        model.zero_grad()
        value().backward()
        for parameter in phase.parameters:
            flat, grad = parameter.data.view(-1), parameter.grad.view(-1)
            for i in range(0, len(flat), 5):
                old = flat[i].item()
                ends = []
                for d in (1e-6, -1e-6):
                    flat[i] = old + d
                    ends.append(value().item())
                flat[i] = old
                assert grad[i].item() == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-6)


def test_lazy_penalties_weigh_more_and_come_seldom() -> None:
    model = Toy(3.0)
    each, lazy = (Adversarial(regulariser="r1", weight=2.0, interval=n) for n in (1, 4))
    plain = Adversarial(regulariser="none")
    base = floats(plain.critic_loss(model, batch(), 0, noise()))["loss"]
    found = [floats(lazy.critic_loss(model, batch(), s, noise())) for s in range(9)]
    extra = [f["loss"] - base for f in found]
    assert [s for s, f in enumerate(found) if "penalty" in f] == [0, 4, 8]
    once = floats(each.critic_loss(model, batch(), 0, noise()))["loss"] - base
    assert extra == pytest.approx([4 * once, 0, 0, 0, 4 * once, 0, 0, 0, 4 * once])


# Phases.


def test_each_phase_trains_its_part_alone() -> None:
    model = Toy()
    critic, generator = Adversarial().phases(model)
    assert (critic.name, generator.name) == ("critic", "generator")
    critic.loss(batch(), 0, noise())["loss"].backward()
    assert all(p.grad is None for p in model.generator_parameters())
    assert all(p.grad.abs().sum() for p in [*model.critic_parameters()][:-1])
    model.zero_grad(set_to_none=True)
    generator.loss(batch(), 0, noise())["loss"].backward()
    assert all(p.grad is None for p in model.critic_parameters())
    assert all(p.grad.abs().sum() for p in model.generator_parameters())
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("name", REGULARISERS)
def test_phases_say_what_the_loop_must_know(name: str) -> None:
    critic, generator = Adversarial(regulariser=name, critic_rate=4.0).phases(Toy())
    assert critic.exact == (name in PENALTIES)
    assert (critic.rate, generator.rate, generator.exact) == (4.0, 1.0, False)
    assert all(critic.due(s) for s in range(20))


def test_clipping_bounds_the_critic_after_its_updates() -> None:
    model = Toy()
    before = [p.clone() for p in model.generator_parameters()]
    critic, _ = Adversarial(regulariser="clipping", limit=0.05).phases(model)
    assert max(p.abs().max() for p in model.critic_parameters()) > 0.05
    kept = [p.abs() < 0.05 for p in model.critic_parameters()]
    inside = [p[k].clone() for p, k in zip(model.critic_parameters(), kept, strict=True)]
    critic.after()
    assert max(p.abs().max() for p in model.critic_parameters()) == 0.05
    for p, k, old in zip(model.critic_parameters(), kept, inside, strict=True):
        assert torch.equal(p[k], old)
    assert all(map(torch.equal, before, model.generator_parameters()))
    old = [p.clone() for p in model.parameters()]
    Adversarial(limit=0.01).phases(model)[0].after()  # no clipping in other pairs
    assert all(map(torch.equal, old, model.parameters()))


def test_all_noise_is_the_generators() -> None:
    for objective in (Adversarial(), Adversarial(regulariser="dragan")):
        critic, generator = objective.phases(Toy())
        state = torch.get_rng_state()
        for phase in (critic, generator):
            a, b, c = (phase.loss(batch(), 0, noise(s))["loss"].item() for s in (1, 1, 2))
            assert a == b != c
        assert torch.equal(state, torch.get_rng_state())


class Listening(Toy):
    """Remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Tensor | None] = []

    def generate(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        self.heard.append(given)
        return super().generate(z)

    def critic(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        self.heard.append(given)
        return super().critic(x)


@pytest.mark.parametrize("name", PENALTIES)
def test_conditions_reach_every_call(name: str) -> None:
    model, wanted = Listening(), torch.ones(B, 2)
    conditioned = batch()._replace(given=wanted)
    objective = Adversarial(regulariser=name)
    for phase in objective.phases(model):
        phase.loss(conditioned, 0, noise())
    objective.held_out(model, conditioned, noise())
    assert len(model.heard) == 4 + 2 + 3
    assert all(given is wanted for given in model.heard)


def test_a_batch_of_bytes_is_as_good_as_floats() -> None:
    model = Toy()
    rolls = torch.randint(0, 2, (B, D), generator=noise(), dtype=torch.uint8)
    still = torch.zeros(B, dtype=torch.long)
    for name in PENALTIES:
        objective = Adversarial(regulariser=name)
        a, b = (
            floats(objective.critic_loss(model, Batch(x, still, still), 0, noise()))
            for x in (rolls, rolls.double())
        )
        assert a == b


# Schedules.


def updates(objective: Adversarial, steps: int) -> list[int]:
    """Critic updates before each of the generator's, as the loop counts them."""
    due = [s for s in range(steps) if objective.generator_due(s)]
    return [b - a for a, b in zip([-1, *due], due, strict=False)]


def test_published_schedules() -> None:
    musegan = Adversarial(n_critic=5, boost=100, boost_first=25, boost_every=500)
    expected = [100 if k < 25 or k % 500 == 0 else 5 for k in range(1100)]
    assert updates(musegan, sum(expected)) == expected
    newer = Adversarial(n_critic=5, boost=50, boost_first=10)
    assert updates(newer, 1000) == [50] * 10 + [5] * 100
    assert updates(Adversarial(n_critic=5), 17) == [5, 5, 5]
    assert updates(Adversarial(n_critic=1), 4) == [1, 1, 1, 1]


@given(
    n=st.integers(1, 7), boost=st.integers(1, 9), first=st.integers(0, 9), every=st.integers(0, 9)
)
def test_schedules_count_as_a_loop_would(n: int, boost: int, first: int, every: int) -> None:
    expected = [boost if k < first or (every and k % every == 0) else n for k in range(40)]
    objective = Adversarial(n_critic=n, boost=boost, boost_first=first, boost_every=every)
    assert updates(objective, sum(expected)) == expected


@pytest.mark.parametrize("change", ["n_critic=0", "boost=0", "interval=-1"])
def test_counts_that_cannot_be_are_refused(change: str) -> None:
    with pytest.raises(MusegenError, match="interval must be at least 1"):
        override(Adversarial(), [change]).phases(Toy())


def test_every_choice_has_its_entry_and_comes_back_from_its_config() -> None:
    hints = get_type_hints(Adversarial)
    assert get_args(hints["loss"]) == tuple(LOSSES)
    assert get_args(hints["regulariser"]) == tuple(REGULARISERS)
    changed = override(Adversarial(), ["loss=hinge", "regulariser=r1", "boost_first=3"])
    assert from_dict(Adversarial, to_dict(changed)) == changed


# A dead critic.


def alive(n: int = 2 * PATIENCE) -> list[dict[str, float]]:
    row = {"critic loss": 0.1, "critic fake": -3.0, "critic spread": 0.02, "critic slope": 0.9}
    return [dict(row) for _ in range(n)]


def test_a_lively_critic_is_no_trouble() -> None:
    assert dead(alive()) == ""
    rows = alive()
    for row in rows[-PATIENCE + 1 :]:
        row["critic spread"] = row["critic slope"] = 0.0
    assert dead(rows) == ""  # not for long enough
    rows[-1]["critic spread"] = 0.02
    rows[-1]["critic slope"] = 0.3
    rows[0]["critic spread"] = 0.0
    assert dead(rows) == ""  # it came back
    assert Adversarial().trouble(rows) == ""
    assert Adversarial().trouble([]) == ""


@pytest.mark.parametrize(
    ("key", "words"), [("critic spread", "the same score"), ("critic slope", "its slope is 0")]
)
def test_a_flat_critic_is_dead(key: str, words: str) -> None:
    rows = alive()
    for row in rows[-PATIENCE:]:
        row[key] = 1e-6
    assert words in dead(rows)
    assert dead(rows[-PATIENCE + 1 :]) == ""
    for row in rows:  # a penalty that comes seldom
        if key == "critic slope" and row is not rows[-1]:
            del row[key]
    assert words in dead(rows)


def test_flat_is_meant_relative_to_the_scores() -> None:
    rows = [row | {"critic fake": -1e6, "critic spread": 1.0} for row in alive()]
    assert "the same score" in dead(rows)


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ("regulariser=none", "objective.regulariser=gradient-penalty"),
        ("regulariser=clipping", "objective.limit=0.05"),
        ("regulariser=dragan", "objective.weight=1"),
    ],
)
def test_trouble_says_what_to_try(change: str, remedy: str) -> None:
    rows = [row | {"critic spread": 0.0} for row in alive()]
    words = override(Adversarial(), [change]).trouble(rows)
    assert words.startswith("the critic is dead (all that is generated gets the same score for 100")
    assert words.endswith(f"try a lower training.lr or --set {remedy}")


def test_a_critic_of_zeros_is_found_dead_in_its_own_log() -> None:
    model = Toy(0.0)
    phase = Adversarial().phases(model)[0]
    row = {f"critic {k}": v for k, v in floats(phase.loss(batch(), 0, noise())).items()}
    assert "the same score" in Adversarial().trouble([row] * PATIENCE)
    assert "its slope is 0" in dead([row | {"critic spread": 1.0}] * PATIENCE)


def test_the_loop_trains_both_and_logs_what_trouble_reads() -> None:
    model, objective = Toy(), Adversarial(n_critic=2, weight=1.0)
    training = Training(steps=80, batch=B, lr=0.05, lr_final=0.0, betas=(0.5, 0.9), clip=0.0)
    phases = objective.phases(model)
    optimisers = [optimiser(phase, training, "cpu") for phase in phases]
    before = objective.held_out(model, batch(), noise())["loss"].item()
    rows = [one_step(phases, optimisers, batch(), training, 0, step) for step in range(80)]
    critic = {f"critic {k}" for k in ("loss", "real", "fake", "spread", "penalty", "slope")}
    assert set(rows[0]) == critic
    assert set(rows[1]) == critic | {"generator loss"}
    assert objective.trouble(rows) == ""
    assert objective.held_out(model, batch(), noise())["loss"].item() < 0.5 * before


# Held-out figures.


def test_energy_distance_by_hand() -> None:
    a, b = torch.tensor([[0.0], [2.0]]), torch.tensor([[5.0]])
    assert energy_distance(a, b).item() == pytest.approx(2 * (5 + 3) / 2 - 1)
    assert energy_distance(a, a).item() == pytest.approx(0)
    spread = torch.randn(500, 3, generator=noise())
    other = torch.randn(500, 3, generator=noise(1))
    collapsed = torch.zeros(500, 3)
    assert 0 <= energy_distance(spread, other) < 0.02 < 0.2 < energy_distance(spread, collapsed)


def test_held_out_figures() -> None:
    model, x = Toy(), batch()
    found = Adversarial().held_out(model, x, noise(1))
    fake = model.generate(model.prior(B, noise(1)))
    torch.testing.assert_close(found["loss"], energy_distance(x.x, fake))
    torch.testing.assert_close(found["gap"], model.critic(x.x).mean() - model.critic(fake).mean())
    one = Batch(*(t[:1] for t in x if t is not None))
    assert Adversarial().held_out(model, one, noise(1))["loss"].isfinite()
