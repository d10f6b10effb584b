"""Several processes as torchrun starts them: who am I, and gradients averaged over all.

Without torchrun there is one process, and nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import distributed as dist
from torch import nn


@contextmanager
def processes(device: str | None = None) -> Iterator[str | None]:
    """Join the processes that torchrun started, if it did; gives this process's device."""
    if "WORLD_SIZE" not in os.environ or not dist.is_available():
        yield device
        return
    on_gpu = torch.cuda.is_available() and device in (None, "cuda")
    if on_gpu:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()  # without it a process may abort at its end


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if _several() else 0


def world() -> int:
    """Number of processes."""
    return dist.get_world_size() if _several() else 1


def wait() -> None:
    """Until all processes are here."""
    if _several():
        dist.barrier()


@torch.no_grad()
def mean_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace gradients by their mean over the processes, in one all_reduce of one flat tensor."""
    if not _several():
        return
    for p in parameters:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
    grads = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in grads])
    dist.all_reduce(flat)
    flat /= world()
    for g, mean in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
        g.copy_(mean.view_as(g))


def largest(number: int) -> int:
    """The largest of all processes' numbers."""
    if not _several():
        return number
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    box = torch.tensor([number], device=device)
    dist.all_reduce(box, dist.ReduceOp.MAX)
    return int(box)
