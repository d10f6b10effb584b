"""Keys of piano rolls: which one, moves to another, and what given tracks say of all pitches.

Pitch classes are counted from the lowest pitch of the roll, a C in the preset "band".
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from musegen.models.patches import Grouped, merged

# How well each pitch class fits a key, from its tonic: probe tones of Krumhansl and Kessler 1982.
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)


def homeward(sounds: Tensor) -> Tensor:
    """Semitones, int64 [b], by which pitched tracks [b, k, t, p] come to C major or A minor: from
    -5 to 6, an octave more or less where they would leave the roll; 0 where there is no note.
    """
    heard = sounds.float().sum((1, 2))  # [b, p]
    pitches = heard.shape[1]
    found = torch.zeros(len(heard), 12, dtype=torch.float64, device=heard.device)
    found.index_add_(1, torch.arange(pitches, device=heard.device) % 12, heard.double())
    fits = torch.tensor([MAJOR, MINOR], dtype=torch.float64, device=heard.device)
    fits = fits - fits.mean(1, keepdim=True)
    fits = fits / fits.norm(dim=1, keepdim=True)
    turn = (torch.arange(12)[None] - torch.arange(12)[:, None]) % 12
    keys = fits[:, turn.to(heard.device)].flatten(0, 1)  # [24, 12]
    tonic = (found @ keys.T).argmax(1)
    away = torch.where(tonic < 12, -tonic, 21 - tonic) % 12
    by = torch.where(away > 6, away - 12, away)
    there = heard > 0
    lowest = there.int().argmax(1)
    highest = pitches - 1 - there.flip(1).int().argmax(1)
    by = torch.where((lowest + by < 0) & (highest + by + 12 < pitches), by + 12, by)
    by = torch.where((highest + by >= pitches) & (lowest + by >= 12), by - 12, by)
    return torch.where(there.any(1), by, 0)


def transposed(x: Tensor, by: Tensor, still: int, tracks: int) -> Tensor:
    """Rolls [b, channels, t, p] moved by semitones [b], but for the track `still` of `tracks`; what
    leaves the roll is gone. Differentiable.
    """
    if not bool(by.any()):
        return x
    pitches, most = x.shape[-1], int(by.abs().max())
    wide = F.pad(x, (most, most))
    places = (most - by).tolist()
    moved = torch.stack([w[..., s : s + pitches] for w, s in zip(wide, places, strict=True)])
    if still >= 0:
        moved[:, still::tracks] = x[:, still::tracks]
    return moved


class Harmony(nn.Module):
    """What given tracks say of each pitch at each step: logits [b, planes, k, m t, p].

    It hears, of the step, notes of the same pitch class octave by octave, notes at the eleven other
    distances, those of beat and bar, and drums; one hidden layer, which the latents of a bar turn
    up and down for each track. All pitch classes have the same weights, so what is learned of one
    chord holds for all, as no layer over patches of pitches does by itself.

    Args:
        width: of the hidden layer.
        latent: values of the latents of a bar.
        groups: of the latents, 1 or as many as tracks.
        size: planes, tracks, bars, beats to a bar, steps to a beat, pitches.
        drums: the track whose pitches are no pitches, -1 for none.
    """

    turn: Tensor

    def __init__(
        self, width: int, latent: int, groups: int, size: tuple[int, ...], drums: int
    ) -> None:
        super().__init__()
        planes, tracks, _, beats, beat, pitches = self.size = size
        self.drums, self.octaves, self.width = drums, -(-pitches // 12), width
        pitched = tracks - (drums >= 0)
        self.hear = Grouped(1, planes * pitched * self.octaves, width)
        self.around = Grouped(1, 12 * (planes * pitched + 2), width)
        self.place = nn.Parameter(torch.zeros(beats * beat, 1, width))
        self.known = Grouped(1, tracks, width)
        if drums >= 0:
            self.rhythm = Grouped(1, pitches, width)
        self.mood = Grouped(groups, latent, width, 0.1)
        self.say = Grouped(tracks, width, planes * self.octaves, 0.1)
        turn = (torch.arange(12)[:, None] - torch.arange(12)) % 12
        self.register_buffer("turn", turn, persistent=False)

    def forward(self, given: Tensor, latents: Tensor) -> Tensor:
        """Of rolls `given` [b, planes k, m t, p] with -1 elsewhere, and latents [g, b, m, z]."""
        planes, tracks, bars, beats, beat, pitches = self.size
        cells = given.unflatten(1, (planes, tracks))
        known = (cells[:, 0, :, 0, 0] >= 0).to(latents)  # [b, k]
        cells = cells.clamp(min=0).to(latents)
        pitched = [k for k in range(tracks) if k != self.drums]
        notes = F.pad(cells[:, :, pitched], (0, 12 * self.octaves - pitches)).flatten(1, 2)
        notes = notes.transpose(1, 2).unflatten(3, (self.octaves, 12))  # [b, m t, c, octaves, 12]
        classes = notes.sum(3)
        near = classes.sum(2).unflatten(1, (bars * beats, beat)).mean(2)  # of a beat
        wide = near.unflatten(1, (bars, beats)).mean(2)
        near, wide = near.repeat_interleave(beat, 1), wide.repeat_interleave(beats * beat, 1)
        classes = torch.cat([classes, near[:, :, None], wide[:, :, None]], dim=2)
        # One matrix of all distances from what is heard to what is said of: [c, from, to, width]
        turned = self.around.weight.view(-1, 12, self.width)[:, self.turn]
        h = classes.flatten(2) @ turned.reshape(-1, 12 * self.width)
        h = h.unflatten(2, (12, self.width))  # [b, m t, 12, width]
        h = h + self.hear(notes.flatten(2, 3).transpose(2, 3)[None])[0]
        if self.drums >= 0:
            h = h + self.rhythm(cells[None, :, -1, self.drums])[0][:, :, None]
        h = (
            h.unflatten(1, (bars, -1))
            + self.place
            + self.known(known[None])[0][:, None, None, None]
        )
        h = torch.relu(h).flatten(0, 1).flatten(1, 2)  # [b m, t 12, width]
        mood = merged([1 + self.mood(latents)], tracks).flatten(1, 2)  # [k, b m, width]
        say = mood[..., None] * self.say.weight[:, None]
        say = say.permute(1, 2, 0, 3).flatten(2)  # [b m, width, k planes octaves]
        out = torch.baddbmm(self.say.bias.view(1, 1, -1), h, say)
        out = out.view(len(given), bars, beats * beat, 12, tracks, planes, self.octaves)
        out = out.permute(0, 5, 4, 1, 2, 6, 3).flatten(5, 6).flatten(3, 4)
        return out[..., :pitches]
