"""A preset and its data brought together, before training begins."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from musegen.dataset import Windows
from musegen.errors import InputError, MusegenError
from musegen.models.crnngan import CRNNGAN
from musegen.models.diffusion import DiffusionConfig
from musegen.models.latents import LatentDenoiser, LatentsConfig
from musegen.models.musicvae import MusicVAE
from musegen.presets import Preset
from musegen.pretrained import Bundle
from musegen.representations.events import transpose
from musegen.representations.trio import Trio
from musegen.sizes import CRNNGANConfig, MusicVAEConfig

MIN_WINDOWS = 32
MEASURED = 512  # windows that tell how latents are distributed


def check_data(preset: Preset, train_data: Windows, valid_data: Windows, out: str | Path) -> None:
    """Refuse data that cannot be trained on, before training.

    Raises:
        InputError: too few windows, or windows of another kind than the preset's.
    """
    if train_data.representation.bars != preset.representation.bars:
        bars = train_data.representation.bars
        raise InputError("data", f"has windows of {bars} bars, the preset wants others")
    if len(train_data) < MIN_WINDOWS or not len(valid_data):
        raise InputError(
            out,
            f"{len(train_data)} training and {len(valid_data)} held-out windows are too few "
            f"(at least {MIN_WINDOWS} and 1); give more MIDI files",
        )


def begin(model: Any, init: Bundle, data: Windows, shift: int = 0) -> None:
    """Give a new network, of sizes that `fitted` found to fit, the weights of a bundle; one of
    latents meets those of the data, in all keys that it will be moved to.
    """
    if isinstance(model, LatentDenoiser) and isinstance(init.model, MusicVAE):
        (index,) = data.parts(MEASURED, MEASURED)
        model.adopt(init.model, torch.from_numpy(data.encode(index)))
    elif isinstance(model, (MusicVAE, CRNNGAN)):
        model.adopt(init.model)
    else:
        known = init.model.state_dict()
        fresh = model.state_dict()  # a prior of the melody, where theirs has none
        model.load_state_dict({k: v for k, v in fresh.items() if k.startswith("lead.")} | known)
    if isinstance(model, LatentDenoiser):
        moves = (
            transpose(x, np.full(len(x), move))
            for x, _ in data.chunks(128)
            for move in range(-shift, shift + 1)
        )
        model.remember(map(torch.from_numpy, moves))


def fitted(preset: Preset, data: Windows, init: Bundle | None) -> Preset:
    """The preset with what only the data knows: names and shares of the styles, the moves.

    Raises:
        MusegenError: the bundle to begin with has other sizes.
    """
    known: tuple[str, ...] = getattr(init and init.model.config, "styles", ())
    styles = known + tuple(s for s in data.styles if s not in known)
    # New music has every part, also where training music was found that lacks one.
    whole = np.flatnonzero(data.full) if isinstance(data.representation, Trio) else slice(None)
    kinds = np.bincount(data.style[whole], minlength=len(data.styles)).tolist()
    count = dict(zip(data.styles, kinds, strict=True))
    counts = [count.get(s, 0) for s in styles] if any(kinds) else [1] * len(styles)
    shares = tuple(round(c / sum(counts), 4) for c in counts)
    shift = preset.training.transpose
    facts: dict[str, Any] = {"styles": styles, "shares": shares, "shift": shift}
    wanted = {field.name for field in dataclasses.fields(preset.model)}
    facts = {name: fact for name, fact in facts.items() if name in wanted}
    preset = replace(preset, model=replace(preset.model, **facts))
    if isinstance(preset.model, LatentsConfig):
        preset = replace(preset, model=_on_top(preset.model, init))
        init = None if init is None or isinstance(init.model, MusicVAE) else init
    if init is not None:
        ours, theirs = preset.model, init.model.config
        if type(ours) is not type(theirs):
            raise MusegenError(f"cannot begin with {init.name}: it is of another family")
        theirs = replace(theirs, **{k: v for k, v in facts.items() if k != "shift"})
        if isinstance(ours, MusicVAEConfig) and isinstance(theirs, MusicVAEConfig):
            if ours.heard and ours.ear == theirs.ear:
                return preset
            ours = ours.part if theirs.segments < ours.segments and not ours.heard else ours
            ours = ours if theirs.control else replace(ours, control=0)
        if isinstance(ours, CRNNGANConfig):
            # No weight has the number of steps, and what is told can be something new.
            theirs = replace(theirs, steps=ours.steps, condition=ours.condition, cues=ours.cues)
        if isinstance(ours, DiffusionConfig) and isinstance(theirs, DiffusionConfig):
            sizes = theirs if theirs.lead else ours  # a lead may come later
            theirs = replace(theirs, lead=sizes.lead, lead_layers=sizes.lead_layers)
        for field in dataclasses.fields(theirs):
            mine, other = (getattr(c, field.name) for c in (ours, theirs))
            if mine != other:
                raise MusegenError(
                    f"cannot begin with {init.name}: its {field.name} is {other}, the preset's "
                    f"{mine}; train the preset {init.info.get('preset', '?')}"
                )
    return preset


def _on_top(model: LatentsConfig, init: Bundle | None) -> LatentsConfig:
    """A denoiser of latents of the autoencoder that a bundle is or has.

    Raises:
        MusegenError: there is none, or its windows have another length.
    """
    theirs = getattr(init and init.model, "config", None)
    theirs = theirs.autoencoder if isinstance(theirs, LatentsConfig) else theirs
    if init is None or not isinstance(theirs, MusicVAEConfig):
        raise MusegenError("cannot train: latents need a MusicVAE; give --init melody-2bar")
    wanted = model.autoencoder
    if (theirs.steps, theirs.vocab, theirs.segments) != (wanted.steps, wanted.vocab, 1):
        raise MusegenError(
            f"cannot begin with {init.name}: it is not of melodies of {wanted.steps // 16} bars"
        )
    return replace(model, autoencoder=theirs, kept=min(model.kept, theirs.latent))
