"""Processes of this machine that make shards, one after the other, and may end at any moment."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path

from musegen.errors import MusegenError
from musegen.prepare.shards import ATTEMPTS, LIMIT, Task, path_of, process_shard, sweep
from musegen.prepare.windows import Settings


def run(
    tasks: Iterable[Task],
    settings: Settings,
    folder: str | Path,
    workers: int | None,
    limit: float = LIMIT,
) -> Iterator[tuple[Task, bool]]:
    """Make shards in processes of this machine; yields each task and whether it was made.

    A process that ends (a crash in a native reader, a kill) is replaced and its shard begun again.

    Args:
        tasks: the shards; drawn from as processes get free.
        settings: what to cut.
        folder: the prepared folder.
        workers: processes, None for one a core; 0 works in this one, where nothing guards against
            crashes.
        limit: seconds for an entry.

    Raises:
        MusegenError: a shard cannot be written, or processes do not even start.
    """
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    if not workers:
        for task in tasks:
            yield task, process_shard(task.k, task.entries, settings, folder)
        return
    coming, again, deaths = iter(tasks), deque[Task](), Counter[int]()
    idle: list[_Worker] = []
    busy: list[_Worker] = []
    try:
        while True:
            while len(busy) < workers:
                given = again.popleft() if again else next(coming, None)
                if given is None:
                    break
                worker = idle.pop() if idle else _Worker(settings, folder, limit)
                worker.give(given)
                busy.append(worker)
            if not busy:
                return
            ready = wait([x for w in busy for x in (w.pipe, w.process.sentinel)])
            for worker in [w for w in busy if {w.pipe, w.process.sentinel} & set(ready)]:
                made = worker.outcome()  # when it raises, this worker too is closed below
                busy.remove(worker)
                if made is None:
                    code = worker.close()
                    task = worker.task
                    deaths[task.k] += 1
                    if deaths[task.k] > ATTEMPTS * len(task.entries) + 3:
                        raise MusegenError(f"shard {task.k}: its processes end with code {code}")
                    again.append(task)
                else:
                    idle.append(worker)
                    yield worker.task, made
    finally:
        for worker in busy + idle:
            worker.close()


class _Worker:
    """A process that makes one shard after the other."""

    task: Task

    def __init__(self, settings: Settings, folder: str | Path, limit: float) -> None:
        self.folder = Path(folder)
        self.pipe, theirs = multiprocessing.Pipe()
        arguments = (theirs, settings, folder, limit, os.getpid())
        self.process = multiprocessing.Process(target=_serve, args=arguments, daemon=True)
        self.process.start()
        theirs.close()

    def give(self, task: Task) -> None:
        self.task = task
        with suppress(BrokenPipeError):  # then its outcome tells
            self.pipe.send(task)

    def outcome(self) -> bool | None:
        """Whether the shard was made; None when the process has ended instead."""
        try:
            made, problem = self.pipe.recv()
        except (EOFError, OSError):
            return None
        if problem:
            raise MusegenError(problem)
        return bool(made)

    def close(self) -> int | None:
        """End the process and remove what it had half written; returns its exit code."""
        self.pipe.close()
        self.process.terminate()
        self.process.join(5)
        self.process.kill()
        self.process.join()
        sweep(path_of(self.folder, self.task.k))
        return self.process.exitcode


def _serve(
    pipe: Connection, settings: Settings, folder: str | Path, limit: float, parent: int
) -> None:
    """The life of a worker: until its parent closes the pipe or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while True:
        while not pipe.poll(1):
            if os.getppid() != parent:  # killed; other workers may still hold its end of the pipe
                return
        try:
            task = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((process_shard(task.k, task.entries, settings, folder, limit), ""))
        except MusegenError as error:
            pipe.send((False, str(error)))
