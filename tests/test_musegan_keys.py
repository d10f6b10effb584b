"""Keys of rolls: found and moved to; given tracks are heard alike in all of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_musegan import TINY, model, music, noise

from musegen.models.musegan_keys import Harmony, homeward, transposed
from musegen.objectives.players import strangers

SCALE = torch.tensor([0, 2, 4, 5, 7, 9, 11])


def scale(tonic: int, start: int = 0, pitches: int = 36) -> torch.Tensor:
    """A rising major scale, longest on its tonic and fifth, in the second of two tracks."""
    x = torch.zeros(1, 2, 16, pitches)
    for step, degree in enumerate([0, 0, 0, 1, 2, 2, 3, 4, 4, 4, 5, 6, 0, 0]):
        x[0, 1, step, start + (tonic + int(SCALE[degree])) % 12] = 1
    return x


@pytest.mark.parametrize("tonic", range(12))
def test_every_major_key_finds_home(tonic: int) -> None:
    by = int(homeward(scale(tonic, start=12))[0])
    assert -5 <= by <= 6
    assert (tonic + by) % 12 == 0


def test_minor_keys_go_to_a_minor() -> None:
    x = torch.zeros(1, 1, 8, 36)
    for step, pitch in enumerate([16, 16, 16, 19, 23, 23, 16, 18]):  # E minor
        x[0, 0, step, pitch] = 1
    assert int(homeward(x)[0]) == 5


def test_music_at_the_edge_moves_by_an_octave_more() -> None:
    low, high = scale(4), scale(9, start=24)  # down by 4 and up by 3 would leave the roll
    assert int(homeward(low)[0]) == 8
    assert int(homeward(high)[0]) == -9
    for x in (low, high):
        assert transposed(x, homeward(x), -1, 2).sum() == x.sum()


def test_silence_stays() -> None:
    assert homeward(torch.zeros(2, 1, 8, 36)).tolist() == [0, 0]


def test_moves_leave_drums_and_come_back() -> None:
    x = music().float()
    x[..., :7] = 0
    x[..., -7:] = 0
    by = torch.tensor([-7, 3, 0, 7, 1, -2])
    moved = transposed(x, by, 0, 5)
    drums = torch.arange(10) % 5 == 0
    assert torch.equal(moved[:, drums], x[:, drums])
    assert torch.equal(moved[1, 1, :, 3:], x[1, 1, :, :-3])
    assert torch.equal(transposed(moved, -by, 0, 5), x)


def test_learning_is_at_home() -> None:
    """A phrase and the same a fifth higher are one phrase to the model."""
    net, x = model(replace(TINY, home=True, given="3")), music()
    x[..., :6] = 0
    x[..., -7:] = 0
    higher = transposed(x, torch.full((6,), 7), 0, 5)
    pitched = torch.arange(10) % 5 != 0
    given = [net.ask(v, noise()) for v in (x, higher)]
    for told in (None, given):
        (a, g), (b, h) = (
            net.settle(v, told[i] if told else None) for i, v in enumerate((x, higher))
        )
        octave = [torch.equal(a[i], b[i].roll(s, -1)) for i in range(6) for s in (0,)]
        same = (a[:, pitched].sum((1, 2)).unflatten(1, (2, 12)).sum(1)) == (
            b[:, pitched].sum((1, 2)).unflatten(1, (2, 12)).sum(1)
        )
        assert same.all(), octave
        assert (g is None) == (told is None)
        if g is not None and h is not None:
            assert torch.equal(g < 0, h < 0)


def harmony() -> Harmony:
    torch.manual_seed(1)
    return Harmony(8, 6, 5, (2, 5, 2, 4, 4, 36), 0)


def test_harmony_is_the_same_in_every_key() -> None:
    heard = torch.zeros(3, 2, 5, 32, 36, dtype=torch.int8)
    heard[:, :, 2, :, 12:19] = (torch.rand(3, 2, 32, 7, generator=noise()) < 0.2).to(torch.int8)
    heard[:, :, [1, 4]] = -1
    higher = torch.where(heard < 0, heard, heard.roll(5, -1))
    latents = torch.randn(5, 3, 2, 6, generator=noise(1))
    with torch.no_grad():
        said, moved = (harmony()(h.flatten(1, 2), latents) for h in (heard, higher))
    octaves = said.unflatten(-1, (3, 12)), moved.unflatten(-1, (3, 12))
    torch.testing.assert_close(octaves[0][..., :7], octaves[1][..., 5:])
    assert not torch.allclose(said, moved)


def test_harmony_hears_rhythm_beat_and_mood() -> None:
    net, latents = harmony(), torch.randn(5, 1, 2, 6, generator=noise(1))
    heard = torch.zeros(1, 2, 5, 32, 36, dtype=torch.int8)
    with torch.no_grad():
        silent = net(heard.flatten(1, 2), latents)
        for track, elsewhere in ((0, False), (2, True)):  # drums at once, pitches in all of a bar
            one = heard.clone()
            one[:, :, track, 5, 14] = 1
            changed = (net(one.flatten(1, 2), latents) != silent).flatten(0, 2).any(0).any(1)
            assert changed[5]
            assert bool(changed[[0, 15]].any()) == elsewhere
            assert not changed[16:].any()
        assert not torch.allclose(net(heard.flatten(1, 2), latents + 1), silent)


def test_strangers_play_beside_what_is_given() -> None:
    real = music().float()
    given = torch.full_like(real, -1)
    given[:, [2, 7]] = real[:, [2, 7]]
    fake = torch.zeros_like(real)
    mixed = strangers(real, given, fake, 0.5)
    assert torch.equal(mixed[3:], fake[3:])
    assert torch.equal(mixed[:3, [2, 7]], real[:3, [2, 7]])
    others = [i for i in range(10) if i not in (2, 7)]
    assert torch.equal(mixed[:3][:, others], real.roll(1, 0)[:3][:, others])
