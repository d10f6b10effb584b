"""Attribute vectors of a latent: learned from training windows, and the paper's test of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import torch

from musegen import attributes
from musegen.dataset import Windows
from musegen.errors import InputError, ModelError
from musegen.evaluate.report import Report
from musegen.pretrained import Bundle
from musegen.sizes import MusicVAEConfig

Changes: TypeAlias = dict[str, dict[str, list[float]]]  # of each [subtracted, added], by vector
LEARNED = 8192  # windows at most


@torch.no_grad()
def measure(
    bundle: Bundle,
    training: Windows | None,
    *,
    n: int = 256,
    seed: int = 0,
    report: Callable[[str], None] = lambda text: None,
) -> Report:
    """Learn the vectors that `vary --attribute` adds, and test them (Roberts et al. 2018, section
    5.5): each is subtracted from and added to `n` latents of the prior; what is decoded is counted.

    Args:
        bundle: a MusicVAE of melodies or drums.
        training: windows of the training songs.
        n: latents.
        seed: of the prior.
        report: is told what is being done.

    Raises:
        InputError: no training windows.
        ModelError: another model.
    """
    model, kind = bundle.model, type(bundle.representation).__name__
    if kind not in attributes.OF or not isinstance(model.config, MusicVAEConfig):
        raise ModelError(f"{bundle.name} has no attributes; there are some of melodies and drums")
    if training is None or not len(training):
        raise InputError("data", "has no training windows; give the folder that training had")
    named, generator = attributes.OF[kind], torch.Generator().manual_seed(seed)
    x = np.concatenate([x for x, _ in training.chunks(256, LEARNED)])
    report(f"encoding {len(x)} training windows")
    means = [
        model.encode(torch.from_numpy(x[i : i + 256].astype(np.int64)))[0]
        for i in range(0, len(x), 256)
    ]
    found = attributes.vectors(torch.cat(means).double().numpy(), x, named)
    usual = {name: float(attribute(x).std()) for name, attribute in named.items()}
    report(f"moving {n} latents both ways along {len(found)} vectors")
    z = model.prior(n, generator)

    def counted(latents: torch.Tensor) -> dict[str, float]:
        made = model.decode(latents, generator, 0.0).numpy()
        return {name: float(attribute(made).mean()) for name, attribute in named.items()}

    before = counted(z)
    percent: Changes = {}
    deviations: Changes = {}
    for name, vector in found.items():
        step = torch.from_numpy(vector).to(z)
        after = counted(z - step), counted(z + step)
        percent[name] = {k: [100 * (a[k] / max(before[k], 1e-9) - 1) for a in after] for k in named}
        deviations[name] = {
            k: [(a[k] - before[k]) / max(usual[k], 1e-9) for a in after] for k in named
        }
    numbers: dict[str, Any] = {"per cent": percent, "deviations": deviations}
    learned = {"attributes": {k: [round(float(v), 4) for v in row] for k, row in found.items()}}
    return Report(table(numbers), numbers, {}, learned=learned)


def table(numbers: Mapping[str, Changes]) -> list[str]:
    """The matrices in lines: what is subtracted and added down, what changes across."""
    lines = []
    for title, unit, places in (
        ("change in per cent", "per cent", 0),
        ("in standard deviations of training windows", "deviations", 2),
    ):
        rows = numbers[unit]
        lines.append(f"attribute vectors subtracted / added: {title}")
        lines.append(f"  {'':16}" + "".join(f"{name:>16}" for name in rows))
        for name, row in rows.items():
            cells = [f"{less:+.{places}f} / {more:+.{places}f}" for less, more in row.values()]
            lines.append(f"  {name:16}" + "".join(f"{cell:>16}" for cell in cells))
    return lines
