"""Do melodies fit their chords: shares of their notes that are tones of what sounds below."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from musegen.attributes import chord_tones
from musegen.dataset import Windows
from musegen.pretrained import Bundle

ROWS = ("real", "real, other chords", "model", "model, other chords", "model, no chords")


@torch.no_grad()
def harmony(
    bundle: Bundle, held_out: Windows, *, n: int = 512, seed: int = 0, temperature: float = 1.0
) -> dict[str, dict[str, float]]:
    """`chord_tones` of held-out melodies and of melodies made to their chords, beside both with
    the chords of other windows, and melodies that the model makes without being told any.
    """
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    index = rng.permutation(len(held_out))[:n]
    real, chords = held_out.encode(index), held_out.chord_symbols(index)
    others = np.roll(chords, len(index) // 2, axis=0)
    told, free = (
        made(bundle, len(index), generator, temperature, given)
        for given in (torch.from_numpy(chords), None)
    )
    pairs = ((real, chords), (real, others), (told, chords), (told, others), (free, chords))
    return {row: chord_tones(*pair) for row, pair in zip(ROWS, pairs, strict=True)}


def made(
    bundle: Bundle,
    n: int,
    generator: torch.Generator,
    temperature: float,
    given: torch.Tensor | None,
) -> NDArray[np.integer]:
    """`n` melodies of the prior, to chords [n, beats, 36] or to none."""
    model, parts = bundle.model, []
    for i in range(0, n, 256):
        here = None if given is None else given[i : i + 256]
        z = model.prior(min(256, n - i), generator, given=here)
        x = model.decode(z, generator, temperature, given=here)
        parts.append(x.numpy().astype(np.uint16))
    return np.concatenate(parts)


def table(rows: dict[str, dict[str, float]]) -> list[str]:
    """The shares in lines."""
    columns = list(next(iter(rows.values())))
    lines = ["share of notes that are tones of the chord"]
    lines.append(f"  {'':22}" + "".join(f"{name:>14}" for name in columns))
    for name, row in rows.items():
        lines.append(f"  {name:22}" + "".join(f"{row[c]:14.3f}" for c in columns))
    return lines
