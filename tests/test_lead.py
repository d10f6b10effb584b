"""The prior of a melody: symbols and cells, one step at a time as all at once, what it leaves."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_diffusion_model import TINY, gen, network
from torch import Tensor, nn

from musegen import fitting
from musegen.models.diffusion import Denoiser
from musegen.models.lead import FIRST, HOLD, REST, Lead, ahead, entropy
from musegen.objectives import Batch
from musegen.objectives.diffusion import Diffusion
from musegen.presets import check, preset
from musegen.pretrained import Bundle
from musegen.samplers import Plan

STEPS, KEYS, TOLD = 16, 12, 36
LED = replace(TINY, planes=4, single=(0,), density=(0.05, 0.1, 0.05, 0.1), lead=32, lead_layers=2)


@cache
def lead(seed: int = 0) -> Lead:
    torch.manual_seed(seed)
    found = Lead(STEPS, KEYS, TOLD, 32, 2)
    for p in found.parameters():
        nn.init.normal_(p, std=0.3)
    return found.eval()


def chords(n: int, seed: int = 0) -> Tensor:
    return (torch.rand(n, STEPS // 4, TOLD, generator=gen(seed)) > 0.8).float()


@st.composite
def melodies(draw: st.DrawFn) -> Tensor:
    """Symbols of a melody: a key is held only while it sounds."""
    found, sounds = [], False
    for _ in range(STEPS):
        symbol = draw(st.integers(REST, FIRST + KEYS - 1))
        symbol = REST if symbol == HOLD and not sounds else symbol
        sounds = symbol != REST
        found.append(symbol)
    return torch.tensor([found])


@given(melodies())
def test_cells_say_what_symbols_say(symbols: Tensor) -> None:
    x = lead().cells(symbols)
    assert x.shape == (1, 2, STEPS, KEYS)
    assert ((x > 0).sum((1, 3)) == (symbols != REST)).all()
    assert (lead().read(x) == symbols).all()


def test_a_key_that_nothing_struck_is_silent() -> None:
    x = torch.full((1, 2, STEPS, KEYS), -1.0)
    x[0, 1, :4, 5] = 1  # held over from before
    x[0, 0, 8, 3] = x[0, 1, 9, 3] = 1
    x[0, 1, 12, 3] = 1  # held again after silence
    expected = torch.zeros(1, STEPS, dtype=torch.long)
    expected[0, 8], expected[0, 9] = FIRST + 3, HOLD
    assert (lead().read(x) == expected).all()


def test_a_step_hears_those_before_it_alone() -> None:
    symbols = torch.randint(FIRST + KEYS, (1, STEPS), generator=gen())
    other = symbols.clone()
    other[:, 9:] = FIRST + 1
    a, b = (lead()(s, chords(1)) for s in (symbols, other))
    torch.testing.assert_close(a[:, :10], b[:, :10])
    assert not torch.allclose(a[:, 10], b[:, 10])


def test_chords_of_this_beat_and_the_next_are_heard() -> None:
    symbols, told = torch.full((1, STEPS), FIRST), chords(1)
    other = told.clone()
    other[:, 3] = 1 - other[:, 3]
    a, b = (lead()(symbols, t) for t in (told, other))
    torch.testing.assert_close(a[:, :8], b[:, :8])
    assert not torch.allclose(a[:, 8], b[:, 8])
    assert torch.equal(lead()(symbols, None), lead()(symbols, torch.zeros_like(told)))


@pytest.mark.parametrize("begun", [0, 7, 16])
def test_drawn_steps_are_those_of_the_chances(begun: int) -> None:
    """Step by step with memories, as by inverting the distribution of all steps at once."""
    known = torch.randint(FIRST + KEYS, (3, begun), generator=gen(1))
    found = lead().draw(known, chords(3), gen(2))
    assert (found[:, :begun] == known).all()
    with torch.no_grad():
        share = lead()(found, chords(3)).softmax(-1).cumsum(-1)
    chance = torch.rand(3, STEPS, generator=gen(2))
    expected = (share < chance[..., None]).sum(-1)
    assert (found[:, begun:] == expected[:, begun:]).all()


def test_temperature_is_of_the_keys_alone() -> None:
    """At nought the likeliest begins; whether any begins does not hang on it."""
    none = torch.zeros(200, 0, dtype=torch.long)
    told = chords(1).expand(200, -1, -1)
    found = lead().draw(none, told, gen(), 0.0)
    with torch.no_grad():
        odds = lead()(found, told)
    struck = found >= FIRST
    assert 0.1 < struck.float().mean() < 1
    assert (found[struck] == odds[struck][:, FIRST:].argmax(-1) + FIRST).all()
    usual = lead().draw(none, told, gen())
    kinds = [torch.bincount(s[:, 0].clamp(max=FIRST), minlength=3) for s in (found, usual)]
    assert torch.equal(*kinds)  # the same chances meet the same shares


def test_a_melody_does_not_hang_on_others_in_the_batch() -> None:
    none = torch.zeros(2, 0, dtype=torch.long)
    both = lead().draw(none, chords(2), [gen(1), gen(2)])
    alone = lead().draw(none[1:], chords(2)[1:], [gen(2)])
    assert (both[1:] == alone).all()


def test_knowing_nothing_costs_the_log_of_the_symbols() -> None:
    model = Lead(STEPS, KEYS, TOLD, 32, 1).eval()
    nn.init.zeros_(model.last.weight)
    nn.init.zeros_(model.last.bias)
    cost = entropy(model, torch.randn(2, 2, STEPS, KEYS, generator=gen()), None)
    assert float(cost.detach()) == pytest.approx(math.log(FIRST + KEYS), rel=1e-5)


def roll(n: int = 2) -> Tensor:
    symbols = torch.full((n, STEPS), HOLD)
    symbols[:, ::4] = FIRST + 5
    x = torch.full((n, 4, STEPS, KEYS), -1.0)
    x[:, [0, 2]] = lead().cells(symbols)
    x[:, 1, ::4, 2] = 1
    return x


def test_a_new_melody_goes_on_from_what_is_kept() -> None:
    mask = torch.zeros(1, 1, STEPS, 1, dtype=torch.bool)
    mask[:, :, :8] = True
    x, kept = ahead(lead(), roll(), mask, None, gen())
    assert kept[:, [0, 2]].all()
    assert not kept[:, [1, 3], 8:].any()
    assert torch.equal(x[:, :, :8], roll()[:, :, :8])
    symbols = lead().draw(lead().read(roll()[:, [0, 2]])[:, :8], None, gen())
    assert torch.equal(x[:, [0, 2]], lead().cells(symbols))


@pytest.mark.parametrize("kind", ["middle", "piano kept", "some keys", "melody kept", "a hole"])
def test_else_the_denoiser_decides(kind: str) -> None:
    """Where what comes after, or a piano beside it, is there the lead would not hear it."""
    mask = torch.zeros(1, 4, STEPS, KEYS, dtype=torch.bool)
    if kind == "middle":
        mask[:, :, :4] = mask[:, :, 12:] = True
    elif kind == "a hole":
        mask[:, :, 4:12] = True
    elif kind == "some keys":
        mask[..., :3] = True
    else:
        mask[:, [1, 3] if kind == "piano kept" else [0, 2]] = True
    x, kept = ahead(lead(), roll(), mask, None, gen())
    assert torch.equal(x, roll())
    assert torch.equal(kept, mask)


def test_filling_keeps_what_the_lead_drew() -> None:
    model = network(LED)
    assert model.lead is not None
    blank, mask = torch.full((2, 4, STEPS, KEYS), -1.0), torch.zeros(1, dtype=torch.bool)
    own = [gen(3), gen(4)]
    x = model.fill(blank, mask, own, chords(2), plan=Plan(2), temperature=1.0)
    own = [gen(3), gen(4)]
    symbols = model.lead.draw(torch.zeros(2, 0, dtype=torch.long), chords(2), own)
    assert torch.equal(x[:, [0, 2]], model.lead.cells(symbols))
    untold = model.fill(blank, mask, gen(), plan=Plan(2))
    assert torch.equal(untold, model.fill(blank, mask, gen(), plan=Plan(2), temperature=None))
    alone = model.fill(blank, mask, gen(), chords(2), plan=Plan(2), temperature=None)
    same = network(replace(LED, lead=0)).eval()
    same.load_state_dict({k: v for k, v in model.state_dict().items() if "lead." not in k})
    assert torch.equal(alone, same.fill(blank, mask, gen(), chords(2), plan=Plan(2)))


def test_it_learns_alone_around_a_denoiser_that_is_there() -> None:
    model = network(LED).train()
    assert model.lead is not None
    was = {k: v.clone() for k, v in model.state_dict().items()}
    objective = Diffusion(LED.schedule, "x0", error="entropy", learn="lead")
    (phase,) = objective.phases(model)
    adam = torch.optim.Adam(phase.parameters, lr=3e-3)
    batch = Batch(roll(8), torch.zeros(8), torch.zeros(8), chords(1).expand(8, -1, -1))
    costs = []
    for step in range(40):
        loss = phase.loss(batch, step, gen(step))["loss"]
        adam.zero_grad()
        loss.backward()
        adam.step()
        costs.append(float(loss.detach()))
    assert costs[-1] < 0.3 * costs[0]
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, was[k])}
    assert changed
    assert all(k.startswith("lead.") for k in changed)


def test_both_learn_together_by_default() -> None:
    model, batch = network(LED).train(), Batch(roll(), torch.zeros(2), torch.zeros(2), chords(2))
    found = Diffusion(LED.schedule, "x0", error="entropy").loss(model, batch, gen())
    found["loss"].backward()
    assert set(found) == {"loss", "lead"}
    assert all(p.grad is not None for p in model.parameters())


def test_training_may_begin_with_a_denoiser_that_has_none() -> None:
    usual = preset("piano_8bar")
    old = network(replace(LED, lead=0))
    wanted = replace(usual, model=LED)

    class Data:
        styles, style, full = ("",), np.zeros(4, int), np.ones(4, bool)
        representation = usual.representation

    bundle = Bundle("old", old, usual.representation)
    assert fitting.fitted(wanted, Data(), bundle).model == LED  # type: ignore[arg-type]
    new = Denoiser(LED)
    was = {k: v.clone() for k, v in new.state_dict().items()}
    fitting.begin(new, bundle, Data())  # type: ignore[arg-type]
    for name, value in new.state_dict().items():
        expected = was[name] if name.startswith("lead.") else old.state_dict()[name]
        assert torch.equal(value, expected)


def test_sizes_that_cannot_be() -> None:
    for wrong in (replace(LED, single=()), replace(LED, lead=40)):
        with pytest.raises(ValueError, match="lead"):
            Denoiser(wrong)
    usual = preset("piano_8bar")
    assert isinstance(usual.objective, Diffusion)
    alone = replace(usual, objective=replace(usual.objective, learn="lead"))
    check(alone)
    model = replace(usual.model, lead=0)  # type: ignore[type-var]
    with pytest.raises(Exception, match="lead"):
        check(replace(alone, model=model))
