"""Shards made by the workers of a Dask cluster (https://distributed.dask.org).

Sources and the prepared folder lie on a disk that all machines share, under the same path, and
musegen is installed on all of them. Workers of one thread each are best: a process reads one piece
at a time. A worker that ends is replaced by Dask, and its shard begun again; the marks beside the
shards tell which piece it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from musegen.errors import MusegenError
from musegen.prepare.shards import ATTEMPTS, LIMIT, Task, process_shard
from musegen.prepare.windows import Settings

_PATIENCE = 10  # seconds for the scheduler to answer
_AHEAD = 2  # shards at the cluster for each of its threads


def run(
    tasks: Iterable[Task],
    settings: Settings,
    folder: str | Path,
    address: str,
    limit: float = LIMIT,
) -> Iterator[tuple[Task, bool]]:
    """Make shards on a cluster; yields each task and whether it was made.

    Args:
        tasks: the shards; drawn from as workers get free.
        settings: what to cut.
        folder: the prepared folder.
        address: of the scheduler, such as tcp://10.0.0.1:8786.
        limit: seconds for an entry.

    Raises:
        MusegenError: Dask is not installed, nothing answers, or a shard cannot be made.
    """
    try:
        from distributed import Client, KilledWorker, as_completed
    except ImportError:
        raise MusegenError("--cluster needs Dask: pip install 'musegen[cluster]'") from None
    try:
        client = Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise MusegenError(
            f"{address}: no Dask scheduler answers there ({error}); start one with: dask scheduler"
        ) from None
    where, deaths = str(Path(folder).absolute()), Counter[int]()
    running: dict[Any, Task] = {}
    coming = iter(tasks)
    with client:
        results = as_completed(loop=client.loop)  # not that of another client here

        def submit(task: Task) -> None:
            arguments = (task.k, task.entries, settings, where, limit)
            future = client.submit(process_shard, *arguments, pure=False)
            running[future] = task
            results.add(future)

        def fill() -> None:
            room = _AHEAD * max(1, sum(client.nthreads().values())) - len(running)
            for task in islice(coming, max(room, 0)):
                submit(task)

        try:
            fill()
            for future in results:
                task = running.pop(future)
                try:
                    made = future.result()
                except KilledWorker:
                    deaths[task.k] += 1
                    if deaths[task.k] > ATTEMPTS * len(task.entries) + 3:
                        raise
                    submit(task)
                    continue
                yield task, bool(made)
                fill()
        except MusegenError:
            raise
        except Exception as error:  # whatever way a cluster has to fall apart
            raise MusegenError(
                f"{address}: the cluster failed ({type(error).__name__}: {error}); finished shards "
                "are kept: give the same command again"
            ) from error
        finally:
            client.cancel(list(running))
