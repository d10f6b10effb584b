"""How near new piano rolls come to those that a model was trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from musegen.dataset import Windows

COPY = 0.8  # onset IoU with a training window from which music counts as copied


def copies(
    made: NDArray[Any],
    training: Windows,
    moved: int = 0,
    most: int = 128,
    tracks: slice = slice(None),
) -> dict[str, float]:
    """Onset IoU of pieces with their nearest training window, moved by at most so many keys; of
    some tracks alone.
    """
    k = made.shape[1] // 2
    struck = made[:most, :k][:, tracks] > 0
    onsets = torch.from_numpy(struck.reshape(len(struck), -1)).float()
    own, best = onsets.sum(1), torch.zeros(len(onsets))
    for i in range(0, len(training), 512):
        block = training.encode(np.arange(i, min(i + 512, len(training))))[:, :k][:, tracks] > 0
        for by in range(-moved, moved + 1):
            other = torch.from_numpy(np.roll(block, by, -1).reshape(len(block), -1)).float()
            both = onsets @ other.T
            either = (own[:, None] + other.sum(1) - both).clamp(min=1)
            best = torch.maximum(best, (both / either).max(1).values)
    return {
        "mean of the nearest": float(best.mean()),
        f"share over {COPY}": float((best > COPY).float().mean()),
    }


def searched(
    made: NDArray[Any], real: NDArray[Any], training: Windows, moved: int, lead: bool
) -> dict[str, dict[str, float]]:
    """Copies among new pieces, also moved by so many keys; and, where a melody is drawn first,
    of melodies in all keys, beside those of held-out songs: few notes are soon like others.
    """
    found = {"copies": copies(made, training, moved)}
    if lead:
        new, old = (copies(x, training, 6, tracks=slice(1)) for x in (made, real))
        found["copies of melodies"] = new | {f"{k}, held-out songs": v for k, v in old.items()}
    return found
