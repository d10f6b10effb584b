"""The folder of a training run: config.json, log.jsonl and checkpoint.pt, each whole or not at all.

The checkpoint holds everything needed to go on bit for bit on a CPU: weights, optimisers, averages
and the best weights so far.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from musegen import config as configs
from musegen.errors import InputError, MusegenError
from musegen.midi import write_atomic


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


def write_config(out: Path, preset: Any, seed: int, data_digest: str, init: str) -> None:
    """config.json of a run; a resumed run must be the same one.

    Raises:
        MusegenError: the folder holds a run of something else, or cannot be written.
    """
    data = {"seed": seed, "data": data_digest, "init": init, "preset": configs.to_dict(preset)}
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


def log(
    out: Path,
    step: int,
    losses: dict[str, float],
    held_out: dict[str, float],
    made: Mapping[str, float],
) -> None:
    """One line of log.jsonl; `made` are statistics of music that was made."""
    row = {"step": step, "time": round(time.time(), 1), "train": losses, "held_out": held_out}
    row |= {"made": dict(made)} if made else {}
    try:
        with (out / "log.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
    except OSError as error:
        raise MusegenError(f"{out / 'log.jsonl'}: cannot be written ({error.strerror})") from None


def read_log(out: Path) -> list[dict[str, Any]]:
    """The rows of log.jsonl.

    Raises:
        InputError: there is none, or it is broken.
    """
    path = out / "log.jsonl"
    try:
        rows: list[dict[str, Any]] = [json.loads(line) for line in path.read_text().splitlines()]
        return [{"step": int(row["step"]), **row} for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        kind = type(error).__name__
        raise InputError(str(path), f"is no log of a run ({kind}); name a run's folder") from None


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


def tensorboard(out: Path) -> Any:
    """A writer of event files for TensorBoard into the run's folder.

    Raises:
        MusegenError: the extra is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MusegenError(
            "TensorBoard is not installed; get it with: pip install 'musegen[tensorboard]'"
        ) from None
    return SummaryWriter(out / "tensorboard")


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
