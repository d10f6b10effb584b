"""The queue of the server: a job that was accepted is on disk until it is done.

A job is a file in the folder, written and flushed to disk before its acceptance is answered; its
result is another. A server that starts finds both: finished results are still there to fetch, and
what was waiting or half done is done (again, from the same seed, so with the same notes). Results
never pass through the server's memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from musegen.server.tasks import Task

STARTS = 3  # times that a job is begun before it is taken for the one that kills the server
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FILE = re.compile(r"(\d{12})-([A-Za-z0-9_-]{1,64})\.(job|result|error)")


class FullError(Exception):
    """The queue is full; the client may come again."""


@dataclass(frozen=True)
class Limits:
    """How much the server takes on.

    Attributes:
        jobs: that wait at once.
        waiting: bytes of the jobs that wait.
        kept: finished jobs whose results can still be fetched.
        kept_bytes: of their results.
        hours: after which a result is removed.
        minutes: that one job may take.
    """

    jobs: int = 1024
    waiting: int = 256 * 2**20
    kept: int = 2048
    kept_bytes: int = 512 * 2**20
    hours: float = 12.0
    minutes: float = 20.0


@dataclass
class Job:
    """A job: its place in time, its state and what of it is on disk."""

    id: str
    number: int
    state: str = "queued"
    progress: float = 0.0
    error: dict[str, Any] = field(default_factory=dict)
    bytes: int = 0
    ended: float = 0.0


class Jobs:
    """All jobs of a folder, and the one worker process that does them."""

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        self.folder, self.limits = folder, limits or Limits()
        folder.mkdir(0o700, parents=True, exist_ok=True)
        self.all: OrderedDict[str, Job] = OrderedDict()
        self.queue: OrderedDict[str, Job] = OrderedDict()
        self._last, self._woken = 0, asyncio.Event()
        self._worker: asyncio.subprocess.Process | None = None
        self.running: Job | None = None
        self._find()

    def _path(self, job: Job, ending: str) -> Path:
        return self.folder / f"{job.number:012d}-{job.id}.{ending}"

    def _find(self) -> None:
        """Take up what an earlier server left."""
        found: dict[str, Job] = {}
        for path in sorted(self.folder.iterdir()):
            match = _FILE.fullmatch(path.name)
            if not match:
                if path.name.startswith(".musegen-"):  # a file that was never whole
                    path.unlink()
                continue
            job = found.setdefault(match[2], Job(match[2], int(match[1])))
            status = path.stat()
            if match[3] == "job":
                job.bytes = max(job.bytes, status.st_size)
                continue
            job.state = "done" if match[3] == "result" else "failed"
            job.bytes, job.ended = status.st_size, status.st_mtime
            if match[3] == "error":
                with contextlib.suppress(OSError, ValueError):
                    job.error = json.loads(path.read_text())
        for job in sorted(found.values(), key=lambda j: j.number):
            self._last = max(self._last, job.number)
            self.all[job.id] = job
            if job.state == "queued":
                self.queue[job.id] = job
            else:
                self._path(job, "job").unlink(missing_ok=True)
        if self.queue:
            self._woken.set()

    def accept(self, task: Task, name: str | None) -> Job:
        """Put a task into the queue; it is on disk when this returns.

        A name that is known already gives the job that has it: asking twice does it once.

        Raises:
            FullError: too much is waiting.
            ValueError: the name is none.
        """
        if name is None:
            name = os.urandom(16).hex()
        if not isinstance(name, str) or not _ID.fullmatch(name):
            raise ValueError("id is up to 64 letters, digits, - and _")
        if name in self.all:
            return self.all[name]
        data = json.dumps(task.as_dict()).encode()
        waiting = sum(job.bytes for job in self.queue.values())
        if len(self.queue) >= self.limits.jobs or waiting + len(data) > self.limits.waiting:
            raise FullError(f"{len(self.queue)} jobs are waiting; come again in a moment")
        self._last += 1
        job = Job(name, self._last, bytes=len(data))
        path = self._path(job, "job")
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self.all[name] = self.queue[name] = job
        self._woken.set()
        return job

    def told(self, job: Job) -> dict[str, Any]:
        """How a job is, for JSON."""
        told = {"id": job.id, "state": job.state, "progress": round(job.progress, 3)}
        if job.state == "queued":
            told["place"] = list(self.queue).index(job.id) + (self.running is not None)
        return told | ({"error": job.error} if job.error else {})

    def result(self, job: Job) -> Path:
        """The file with a finished job's result."""
        return self._path(job, "result")

    def cancel(self, job: Job) -> None:
        """Give a job up; the worker is stopped when it is at it."""
        if job.state == "queued":
            self.queue.pop(job.id, None)
            self._end(job, "cancelled")
        elif job.state == "running":
            self._end(job, "cancelled")
            self._kill()

    async def work(self) -> None:
        """Do the jobs, one after the other, for ever."""
        await self._start()
        while True:
            await self._woken.wait()
            while self.queue:
                _, job = self.queue.popitem(last=False)
                self.running, job.state = job, "running"
                try:
                    await self._do(job)
                finally:
                    self.running = None
                self.tidy()
            self._woken.clear()

    async def _do(self, job: Job) -> None:
        path = self._path(job, "job")
        try:
            data = path.read_bytes()
            task = json.loads(data)
            begun = len(data) - len(data.rstrip()) + 1
            with path.open("ab") as file:  # a blank line for each time that it was begun
                file.write(b"\n")
        except (OSError, ValueError) as error:
            return self._end(job, "failed", _error(f"its file is broken: {error}"))
        if begun > STARTS:
            return self._end(job, "failed", _error("the server ended each time it was begun"))
        order = json.dumps({"task": task, "out": str(self.result(job))}) + "\n"
        try:
            await asyncio.wait_for(self._ask(job, order), self.limits.minutes * 60)
        except asyncio.TimeoutError:
            self._kill()
            self._end(job, "failed", _error(f"took over {self.limits.minutes:g} minutes"))
        except (OSError, EOFError, ValueError):
            self._kill()
            self._end(job, "failed", _error("the worker ended; see server.log"))

    async def _ask(self, job: Job, order: str) -> None:
        worker = self._worker
        if worker is None or worker.returncode is not None:
            worker = await self._start()
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(order.encode())
        await worker.stdin.drain()
        while job.state == "running":
            line = await worker.stdout.readline()
            if not line:
                raise EOFError
            answer = json.loads(line)
            job.progress = float(answer.get("progress", job.progress))
            if "done" in answer:
                self._end(job, "done")
            elif "error" in answer:
                self._end(job, "failed", answer["error"])

    async def _start(self) -> asyncio.subprocess.Process:
        command = [sys.executable, "-m", "musegen.server.worker"]
        pipe = asyncio.subprocess.PIPE
        apart: dict[str, Any] = {"creationflags": 0x08000000} if os.name == "nt" else {}
        self._worker = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=None, **apart
        )
        return self._worker

    def _kill(self) -> None:
        if self._worker is not None:
            with contextlib.suppress(ProcessLookupError):
                self._worker.kill()
            self._worker = None

    @property
    def worker(self) -> int | None:
        """The worker's process id."""
        return self._worker.pid if self._worker else None

    async def stop(self) -> None:
        """Stop the worker; what it was at is begun again by the next server."""
        worker = self._worker
        self._kill()
        if worker is not None:
            await worker.wait()

    def _end(self, job: Job, state: str, error: dict[str, Any] | None = None) -> None:
        if job.state == "cancelled":
            return
        job.state, job.ended, job.error = state, time.time(), error or {}
        job.bytes = 0
        if state == "done":
            job.progress, job.bytes = 1.0, self.result(job).stat().st_size
        if state == "failed":
            data = json.dumps(job.error).encode()
            with contextlib.suppress(OSError):  # a full disk must not stop the queue
                self._path(job, "error").write_bytes(data)
        self._path(job, "job").unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove old results, the oldest first, down to what may be kept."""
        ended = [j for j in self.all.values() if j.ended]
        size, count = sum(j.bytes for j in ended), len(ended)
        oldest = time.time() - self.limits.hours * 3600
        for job in sorted(ended, key=lambda j: j.ended):
            few = count <= self.limits.kept and size <= self.limits.kept_bytes
            if few and job.ended > oldest:
                break
            for ending in ("result", "error"):
                self._path(job, ending).unlink(missing_ok=True)
            del self.all[job.id]
            count, size = count - 1, size - job.bytes


def _error(message: str) -> dict[str, Any]:
    return {"kind": "ServerError", "message": message, "code": 1}
