"""The server's routes, who may use them, and the process around them.

It listens on 127.0.0.1 alone. A request needs the token that stands, with the port, in a file that
only the user can read; one from a web page of another origin, or to another host name, is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from musegen import client
from musegen.errors import MusegenError
from musegen.server import page
from musegen.server.jobs import FullError, Job, Jobs, Limits
from musegen.server.tasks import parse
from musegen.version import __version__

MAX_BODY = 8 * 2**20
MAX_CONNECTIONS = 128
SLOW = 10.0  # seconds that a request may take to come in
OPEN = ("/", "/openapi.json")  # for anybody on this computer


def error(status: int, kind: str, message: str) -> JSONResponse:
    """An error as all routes tell it."""
    headers = {"Retry-After": "1"} if status in (429, 503) else None
    return JSONResponse({"error": {"kind": kind, "message": message}}, status, headers)


class Guard:
    """Lets in who has the token and comes from no other web page."""

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self.app, self.token = app, f"Bearer {token}".encode()
        self.hosts = {f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse or pass on."""
        if scope["type"] == "http":
            refusal = self._refusal(dict(scope["headers"]), scope["path"])
            if refusal is not None:
                return await refusal(scope, receive, send)
        await self.app(scope, receive, send)

    def _refusal(self, headers: dict[bytes, bytes], path: str) -> Response | None:
        if headers.get(b"host") not in self.hosts:
            return error(403, "Forbidden", "this server answers to 127.0.0.1 alone")
        origin = headers.get(b"origin")
        if origin is not None and origin.removeprefix(b"http://") not in self.hosts:
            return error(403, "Forbidden", "web pages of other origins may not ask")
        if path in OPEN:
            return None
        given = headers.get(b"authorization", b"")
        if not secrets.compare_digest(given, self.token):
            return error(401, "Unauthorized", "the token is missing or wrong; see server.json")
        return None


class Protocol(H11Protocol):
    """HTTP that does not wait for ever for a request to begin."""

    def connection_made(self, transport: Any) -> None:
        """Close connections that ask nothing."""
        super().connection_made(transport)
        self._late = self.loop.call_later(SLOW, self._close, transport)

    def _close(self, transport: Any) -> None:
        if getattr(self, "cycle", None) is None:
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it at once: many come and go in ten seconds."""
        self._late.cancel()
        super().connection_lost(exc)


class _Running(uvicorn.Server):
    """Leaves on SIGTERM and Ctrl-C as it does when it is asked to: with exit code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals end the serving, and are not raised again after it."""
        kinds = [signal.SIGINT, signal.SIGTERM]
        before = {kind: signal.signal(kind, self.handle_exit) for kind in kinds}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)


class Server:
    """The routes around a folder of jobs."""

    def __init__(self, folder: Path, port: int, limits: Limits | None = None) -> None:
        self.folder, self.port, self.token = folder, port, secrets.token_urlsafe(32)
        self.limits = limits
        self.touched = time.monotonic()
        self.leave = asyncio.Event()
        routes = [
            Route("/", self.page),
            Route("/openapi.json", self.openapi),
            Route("/v1/status", self.status),
            Route("/v1/models", self.models),
            Route("/v1/jobs", self.submit, methods=["POST"]),
            Route("/v1/jobs/{id}", self.job, methods=["GET", "DELETE"]),
            Route("/v1/jobs/{id}/result", self.result),
            Route("/v1/stop", self.stop, methods=["POST"]),
        ]
        told: Any = {HTTPException: _http_error, Exception: _bug}
        app = Starlette(routes=routes, exception_handlers=told, lifespan=self._life)
        self.app = Guard(app, self.token, port)

    @contextlib.asynccontextmanager
    async def _life(self, app: Starlette) -> AsyncIterator[None]:
        """Jobs are done while the server runs; its address is told while it can be reached."""
        self.jobs = Jobs(self.folder / "jobs", self.limits)
        work = asyncio.create_task(self.jobs.work())
        work.add_done_callback(lambda task: self.leave.set())
        about = {"protocol": client.PROTOCOL, "port": self.port, "token": self.token}
        about |= {"pid": os.getpid(), "version": __version__}
        address = self.folder / "server.json"
        private(address, json.dumps(about).encode())
        try:
            yield
        finally:
            with contextlib.suppress(OSError, ValueError):
                if json.loads(address.read_bytes())["token"] == self.token:
                    address.unlink()
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
            await self.jobs.stop()

    async def page(self, request: Request) -> Response:
        """What the server can do, for people."""
        return HTMLResponse(page.page(self.port))

    async def openapi(self, request: Request) -> Response:
        """What the server can do, for programs."""
        return JSONResponse(page.openapi(self.port))

    async def status(self, request: Request) -> Response:
        """How the server is."""
        jobs = self.jobs
        running = jobs.running.id if jobs.running else None
        told = {"version": __version__, "protocol": client.PROTOCOL, "pid": os.getpid()}
        told |= {"worker": jobs.worker, "waiting": len(jobs.queue), "running": running}
        return JSONResponse(told | {"kept": len(jobs.all)})

    async def models(self, request: Request) -> Response:
        """The shipped models."""
        from musegen import pretrained

        names = pretrained.names()
        rows = [{"name": name, "verbs": pretrained.verbs(name)} for name in names]
        return JSONResponse({"models": rows})

    async def submit(self, request: Request) -> Response:
        """Accept a job."""
        self.touched = time.monotonic()
        try:
            data = await asyncio.wait_for(_body(request), SLOW)
        except asyncio.TimeoutError:
            return error(408, "TimeoutError", f"the request took over {SLOW:g} seconds to come")
        except ClientDisconnect:  # nobody hears this
            return error(400, "ClientDisconnect", "the client went away")
        if data is None:
            limit = f"a request may have {MAX_BODY >> 20} MB"
            return error(413, "TooLarge", limit)
        try:
            body = json.loads(data)
            task = parse(body)
            job = self.jobs.accept(task, body.get("id"))
        except FullError as full:
            return error(429, "Full", str(full))
        except RecursionError:
            return error(400, "UsageError", "the JSON is nested too deeply")
        except ValueError as wrong:  # of JSON or of the task
            return error(400, "UsageError", str(wrong))
        return JSONResponse(self.jobs.told(job), 202)

    def _job(self, request: Request) -> Job:
        self.touched = time.monotonic()
        job = self.jobs.all.get(request.path_params["id"])
        if job is None:
            raise HTTPException(404, "no such job; results are kept for some hours only")
        return job

    async def job(self, request: Request) -> Response:
        """How a job is; DELETE gives it up."""
        job = self._job(request)
        if request.method == "DELETE":
            self.jobs.cancel(job)
        return JSONResponse(self.jobs.told(job))

    async def result(self, request: Request) -> Response:
        """What a job made."""
        job = self._job(request)
        if job.state != "done":
            return error(409, "NotDone", job.error.get("message", f"the job is {job.state}"))
        return FileResponse(self.jobs.result(job), media_type="application/json")

    async def stop(self, request: Request) -> Response:
        """Leave; what waits is done by the next server."""
        self.leave.set()
        return JSONResponse({"stopping": True, "waiting": len(self.jobs.queue)}, 202)


async def _body(request: Request) -> bytes | None:
    """The body of a request; None when it is too long."""
    told = request.headers.get("content-length", "0")
    if told.isdecimal() and int(told) > MAX_BODY:
        return None
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MAX_BODY:
            return None
    return bytes(data)


async def _http_error(request: Request, raised: Exception) -> Response:
    assert isinstance(raised, HTTPException)
    return error(raised.status_code, "HTTPError", raised.detail)


async def _bug(request: Request, raised: Exception) -> Response:
    return error(500, "InternalError", f"the server failed ({type(raised).__name__}); see its log")


def private(path: Path, data: bytes) -> None:
    """Write a file that only the user can read, whole or not at all."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    beside.replace(path)


def lock(folder: Path) -> Any:
    """Hold the folder for this process.

    Raises:
        MusegenError: another server has it.
    """
    file = (folder / "server.lock").open("a+b")
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise MusegenError(f"{folder}: a musegen server runs there already") from None
    return file


def serve(port: int = 0, idle: float = 0.0, limits: Limits | None = None, say: Any = None) -> None:
    """Serve until asked to stop, or for `idle` minutes after the last request.

    Args:
        port: 0 takes a free one.
        idle: minutes; 0 stays for ever.
        limits: how much is taken on.
        say: is told the address.

    Raises:
        MusegenError: another server runs, the port is taken, or there is no place for its files.
    """
    folder = Path(client.home())
    try:
        folder.mkdir(0o700, parents=True, exist_ok=True)
    except OSError as error:
        why = f"cannot be written ({error.strerror})"
        raise MusegenError(f"{folder}: {why}; set MUSEGEN_HOME to a folder of yours") from None
    held = lock(folder)
    private(folder / "python.txt", sys.executable.encode())
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name != "nt":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen(MAX_CONNECTIONS)  # before the address is told
    except OSError as taken:
        raise MusegenError(f"port {port} is taken ({taken.strerror}); choose another") from None
    port = listening.getsockname()[1]
    if say:
        say(f"serving on http://127.0.0.1:{port} (see there what it can do); token in {folder}")
    asyncio.run(_run(folder, port, idle, limits, listening))
    held.close()


async def _run(
    folder: Path, port: int, idle: float, limits: Limits | None, listening: socket.socket
) -> None:
    server = Server(folder, port, limits)
    config = uvicorn.Config(
        server.app,
        http=Protocol,
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=2,
    )
    running = _Running(config)

    async def leave() -> None:
        while not server.leave.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(server.leave.wait(), 1.0)
            busy = server.jobs.running or server.jobs.queue if running.started else True
            if idle and not busy and time.monotonic() - server.touched > idle * 60:
                break
        await asyncio.sleep(0.05)  # so that the last answer is out
        running.should_exit = True

    leaving = asyncio.create_task(leave())
    await running.serve([listening])
    leaving.cancel()
