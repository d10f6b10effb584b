"""The training loop, visible from top to bottom.

A run is a folder: config.json, log.jsonl, checkpoint.pt (everything needed to go on, bit for bit on
a CPU), and what the caller's `watch` draws. Every random number is a function of (seed,
step), so nothing but weights, optimisers and averages has to be saved.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from musegen import config as configs
from musegen.dataset import Windows
from musegen.errors import InputError, MusegenError
from musegen.midi import write_atomic
from musegen.models.musicvae import MusicVAE
from musegen.objectives import Batch, Objective, Phase
from musegen.presets import Preset, Training
from musegen.representations.events import VOCAB

MIN_WINDOWS = 32


@dataclass(frozen=True)
class Progress:
    """What the loop tells its caller after each step."""

    step: int
    total: int
    losses: dict[str, float]
    held_out: dict[str, float]


class Stopped(MusegenError):
    """The run was asked to stop and has saved; the exit code is 128 + the signal's number."""

    def __init__(self, out: Path, signum: int) -> None:
        super().__init__(f"{out}: stopped and saved; the same command goes on from here")
        self.exit_code = 128 + signum


def set_up_cpu(threads: int | None = None) -> None:
    """Settings that matter on CPUs: denormals are flushed (up to 8 times faster), and threads."""
    torch.set_flush_denormal(True)
    if threads:
        torch.set_num_threads(threads)


def train(
    preset: Preset,
    train_data: Windows,
    valid_data: Windows,
    out: str | Path,
    *,
    seed: int = 0,
    device: str | None = None,
    every: int = 500,
    report: Callable[[Progress], None] = lambda progress: None,
    watch: Callable[[MusicVAE, int], None] = lambda model, step: None,
) -> MusicVAE:
    """Train a preset, or go on where a run in `out` stopped; returns the averaged weights.

    Args:
        preset: model, representation, objective and training.
        train_data: windows to learn from.
        valid_data: windows of other songs, for held-out figures and the choice of weights.
        out: the run's folder.
        seed: of weights, order and noise.
        device: "cpu", "cuda" or "mps"; the best there is by default.
        every: steps between validations, checkpoints and calls of `watch`.
        report: called after each step.
        watch: called with the averaged model and the step at each validation.

    Raises:
        InputError: too little data, or windows of another length.
        MusegenError: settings that cannot be, the loss is not a number, the folder holds another
            run or cannot be written.
        Stopped: SIGINT or SIGTERM came; the checkpoint is written.
    """
    check(preset, every)
    if train_data.representation.bars != preset.representation.bars:
        bars = train_data.representation.bars
        raise InputError("data", f"has windows of {bars} bars, the preset wants others")
    if len(train_data) < MIN_WINDOWS or not len(valid_data):
        raise InputError(
            out,
            f"{len(train_data)} training and {len(valid_data)} held-out windows are too few "
            f"(at least {MIN_WINDOWS} and 1); give more MIDI files",
        )
    out = Path(out)
    device = device or best_device()
    counts = [len(train_data.of_style(s)) for s in train_data.styles]
    shares = tuple(round(c / sum(counts), 4) for c in counts)
    training, objective = preset.training, preset.objective
    known = replace(preset.model, styles=train_data.styles, shares=shares, shift=training.transpose)
    preset = replace(preset, model=known)
    torch.manual_seed(seed)
    try:
        model = MusicVAE(preset.model).to(device)
    except (RuntimeError, ValueError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise MusegenError(f"cannot train: there is no such model ({reason})") from None
    write_config(out, preset, seed, train_data.digest)
    average = MusicVAE(preset.model).to(device)
    average.load_state_dict(model.state_dict())
    phases = objective.phases(model)
    optimisers = [
        torch.optim.AdamW(
            p.parameters, lr=training.lr, weight_decay=training.weight_decay, fused=device != "mps"
        )
        for p in phases
    ]
    state: dict[str, Any] = {"step": 0, "best": math.inf, "best_weights": None}
    saved = load_checkpoint(out / "checkpoint.pt")
    if saved:
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        for optimiser, old in zip(optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(old)
        state = {k: saved[k] for k in state}
    trim_log(out, state["step"])

    def save() -> None:
        everything = {
            "model": model.state_dict(),
            "average": average.state_dict(),
            "optimisers": [o.state_dict() for o in optimisers],
            **state,
        }
        save_checkpoint(out / "checkpoint.pt", everything)

    with signals() as asked:
        while state["step"] < training.steps:
            step = state["step"]
            for optimiser in optimisers:
                for group in optimiser.param_groups:
                    group["lr"] = learning_rate(training, step)
            arrays = train_data.batch(step, training.batch, seed, training.transpose)
            batch = Batch(*(as_tensor(a, device) for a in arrays))
            losses = one_step(phases, optimisers, batch, training, seed, step)
            if not math.isfinite(sum(losses.values())):
                raise MusegenError(
                    f"{out}: the loss is not a number at step {step}; the checkpoint is intact, "
                    f"try a lower rate (--set training.lr={training.lr / 4:g})"
                )
            update_average(average, model, training, step)
            state["step"] = step = step + 1
            held_out: dict[str, float] = {}
            if step % every == 0 or step == training.steps:
                held_out = validate(objective, average, valid_data, seed, device)
                if held_out["loss"] < state["best"]:
                    weights = {k: v.clone() for k, v in average.state_dict().items()}
                    state |= {"best": held_out["loss"], "best_weights": weights}
                log(out, step, losses, held_out)
                save()
                watch(average, step)
            report(Progress(step, training.steps, losses, held_out))
            if asked:
                save()
                raise Stopped(out, asked[0])
    if state["best_weights"] is not None:
        average.load_state_dict(state["best_weights"])
    return average.eval()


def check(preset: Preset, every: int) -> None:
    """Refuse settings that contradict each other, in words, before any work.

    Raises:
        MusegenError: which settings cannot be.
    """
    model, training, bars = preset.model, preset.training, preset.representation.bars
    alone = round(preset.objective.unconditional * training.batch)
    rules = (
        (every >= 1, "--every must be at least 1"),
        (training.steps >= 1 and training.batch >= 1, "steps and batch must be at least 1"),
        (training.lr >= 0 and training.lr_final >= 0, "rates must be numbers from 0 up"),
        (training.transpose >= 0, "training.transpose must not be negative"),
        (model.vocab == VOCAB, f"model.vocab must be {VOCAB}"),
        (
            model.steps == preset.representation.steps,
            f"model.steps must be {preset.representation.steps}, which {bars} bars have",
        ),
        (
            model.unconditional == (preset.objective.unconditional > 0),
            "model.unconditional needs objective.unconditional above 0, and only then",
        ),
        (
            not model.unconditional or 0 < alone < training.batch,
            "objective.unconditional must leave windows of both kinds in a batch",
        ),
    )
    for holds, words in rules:
        if not holds:
            raise MusegenError(f"cannot train: {words}")


def one_step(
    phases: list[Phase],
    optimisers: list[torch.optim.AdamW],
    batch: Batch,
    training: Training,
    seed: int,
    step: int,
) -> dict[str, float]:
    """One update of every phase that is due; returns its losses as numbers."""
    found: dict[str, float] = {}
    for phase, optimiser in zip(phases, optimisers, strict=True):
        if not phase.due(step):
            continue
        losses = phase.loss(batch, step, noise(seed, step))
        optimiser.zero_grad()
        losses["loss"].backward()
        norm = torch.nn.utils.clip_grad_norm_(phase.parameters, training.clip)
        if torch.isfinite(norm):
            optimiser.step()
            phase.after()
        found |= {k: float(v.detach()) for k, v in losses.items()}
    return found


def noise(*place: int) -> torch.Generator:
    """A generator whose numbers depend on nothing but (seed, step)."""
    return torch.Generator().manual_seed(random.Random(str(place)).getrandbits(63))


def learning_rate(training: Training, step: int) -> float:
    """The rate of a step, see `Training`."""
    rise = min(1.0, (step + 1) / training.warmup) if training.warmup else 1.0
    if training.schedule == "exponential":
        fall = 0.9999**step
    else:
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, step / training.steps)))
    return rise * (training.lr_final + (training.lr - training.lr_final) * fall)


@torch.no_grad()
def update_average(average: MusicVAE, model: MusicVAE, training: Training, step: int) -> None:
    """Exponential moving average, short at the start so that it does not lag."""
    decay = min(training.ema, (1 + step) / (10 + step))
    weight = 1 - decay
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), weight)


@torch.no_grad()
def validate(
    objective: Objective, model: MusicVAE, data: Windows, seed: int, device: str, limit: int = 1024
) -> dict[str, float]:
    """Held-out figures of up to `limit` windows, always with the same noise."""
    model.eval()
    total: dict[str, float] = {}
    n = 0
    for i, (x, style) in enumerate(data.chunks(256, limit)):
        still = torch.zeros(len(x), dtype=torch.long, device=device)
        batch = Batch(as_tensor(x, device), as_tensor(style, device), still)
        figures = objective.held_out(model, batch, noise(seed, -1 - i))
        for key, value in figures.items():
            total[key] = total.get(key, 0.0) + float(value) * len(x)
        n += len(x)
    return {k: v / n for k, v in total.items()}


def as_tensor(x: Any, device: str) -> Tensor:
    """Integers of any width as int64 on the device."""
    return torch.from_numpy(x).to(device, torch.long)


def best_device() -> str:
    """The GPU when there is one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def signals() -> Iterator[list[int]]:
    """SIGINT and SIGTERM noted instead of raised, so that a step ends and is saved."""
    asked: list[int] = []
    old = {}
    try:
        for s in (signal.SIGINT, signal.SIGTERM):
            old[s] = signal.signal(s, lambda signum, _: asked.append(signum))
    except ValueError:  # not the main thread: nothing to catch
        pass
    try:
        yield asked
    finally:
        for s, handler in old.items():
            signal.signal(s, handler)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write beside and rename, so that a full disk or a kill leaves the last good one."""
    temporary = path.with_suffix(".part")
    try:
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        raise MusegenError(
            f"{path}: cannot be written ({error}); the last checkpoint is kept, make room"
        ) from None


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The state of a stopped run, or None."""
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        return state
    except Exception as error:
        kind = type(error).__name__
        raise MusegenError(f"{path}: broken checkpoint ({kind}); remove it to start anew") from None


def write_config(out: Path, preset: Preset, seed: int, data_digest: str) -> None:
    """config.json of a run; a resumed run must be the same one."""
    data = {"seed": seed, "data": data_digest, "preset": configs.to_dict(preset)}
    path = out / "config.json"
    text = json.dumps(data, indent=1) + "\n"
    if (out / "checkpoint.pt").exists():
        try:
            same = json.loads(path.read_text()) == json.loads(text)
        except (OSError, ValueError) as error:
            raise MusegenError(f"{path}: cannot be read ({error}); choose another --out") from None
        if not same:
            raise MusegenError(
                f"{out}: holds a run with another preset, data or seed; choose another --out"
            )
        return
    write_atomic(path, text.encode(), force=True)


def log(out: Path, step: int, losses: dict[str, float], held_out: dict[str, float]) -> None:
    """One line of log.jsonl."""
    row = {"step": step, "time": round(time.time(), 1), "train": losses}
    try:
        with (out / "log.jsonl").open("a") as file:
            file.write(json.dumps(row | {"held_out": held_out}) + "\n")
    except OSError as error:
        raise MusegenError(f"{out / 'log.jsonl'}: cannot be written ({error.strerror})") from None


def trim_log(out: Path, step: int) -> None:
    """Take out the rows after `step`, which a killed run wrote before its checkpoint."""
    path = out / "log.jsonl"
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except ValueError:  # cut short by the kill
            continue
    write_atomic(path, "".join(line + "\n" for line in kept).encode(), force=True)
