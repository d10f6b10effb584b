"""A client of `musegen serve` for scripts inside other programs: submit, poll, result.

One file of Python 3.7 and its standard library, which may be copied into a host's script folder.
It prints nothing and starts no thread, and no call but `wait` blocks for longer than a few
milliseconds: hosts call scripts on the thread that draws their windows, and an embedded Python
often cannot load numpy or torch a second time. The music is made in the server's process, which is
started when there is none.

    job = submit("vary", notes, n=4, amount=0.3)   # notes: [{"pitch": 60, "start": 0, ...}, ...]
    while poll(job)["state"] not in ENDED: ...      # from the host's timer
    for score in result(job)["scores"]: ...         # score["midi"]: bytes; score["tracks"]: notes

A note is a dict with `pitch` (0-127), `start` and `duration` (in quarter notes, as DAWs call beats)
and `velocity` (1-127). Music is bytes of a MIDI file, a list of notes, or a dict with `notes` or
`tracks` (each with `notes`, and perhaps `name`, `program`, `drums`) and perhaps `tempo`, `metre`,
`length` (in beats) and `name`.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import socket
import sys
import time
from typing import Any

PROTOCOL = 1
ENDED = ("done", "failed", "cancelled")
BUDGET = 0.004  # seconds that one call may work
PAUSE = 0.1  # seconds between two questions to the server
PATIENCE = 60.0  # seconds for a server to start
SILENCE = 20.0  # seconds without a byte after which a question is asked again
MAX_ANSWER = 256 * 2**20
_WAITING = {errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK, errno.EAGAIN, errno.ENOTCONN}
_WAITING |= {errno.EINVAL} if os.name == "nt" else set()
_started: list[Any] = []  # the server's process when we started it, and when


class ClientError(Exception):
    """What went wrong, in a sentence for the user."""


def home() -> str:
    """The user's own folder of the server: its port and token, its jobs and its log."""
    given = os.environ.get("MUSEGEN_HOME")
    if given:
        return given
    user = os.path.expanduser("~")
    if os.name == "nt":
        root = os.environ.get("LOCALAPPDATA") or os.path.join(user, "AppData", "Local")
    elif sys.platform == "darwin":
        root = os.path.join(user, "Library", "Application Support")
    else:
        root = os.environ.get("XDG_STATE_HOME") or os.path.join(user, ".local", "state")
    return os.path.join(root, "musegen")


def submit(
    verb: str,
    *music: Any,
    model: str | None = None,
    reply: Any = ("midi", "notes"),
    **options: Any,
) -> Job:
    """Ask for music; returns a `Job` at once.

    Args:
        verb: generate, interpolate, vary, continue ... as on the command line.
        music: what the verb takes: none, one, two or four pieces.
        model: name of a model; the server's choice by default.
        reply: what of each piece is wanted, "midi", "notes" or both.
        options: of the verb, as `n`, `seed`, `bars`, `temperature`.
    """
    given = {name: value for name, value in options.items() if value is not None}
    job = Job(verb)
    body = {"id": job.id, "verb": verb, "model": model, "reply": list(reply), "options": given}
    body["inputs"] = [_packed(piece) for piece in music]
    job._body = json.dumps(body).encode("utf-8")
    poll(job)
    return job


def poll(job: Job) -> dict[str, Any]:
    """Go on with a job for a few milliseconds; returns how it is.

    Returns `state` ("starting", "sending", "queued", "running", "done", "failed" or "cancelled"),
    `progress` (0 to 1), `place` (jobs before it) and `message` (why it failed).
    """
    until = time.monotonic() + BUDGET
    try:
        while job.state not in ENDED and job._step():
            if time.monotonic() > until:
                break
    except (ClientError, OSError, ValueError) as error:
        job._end("failed", str(error) or type(error).__name__)
    return {name: getattr(job, name) for name in ("state", "progress", "place", "message")}


def result(job: Job) -> Any:
    """What a finished job made: `scores`, `seed`, `model` and `remarks`; None while it is not done.

    Raises ClientError when the job failed or was cancelled.
    """
    if job.state in ("failed", "cancelled"):
        raise ClientError(job.message or "the job was " + job.state)
    return job._answer if job.state == "done" else None


def cancel(job: Job) -> dict[str, Any]:
    """Give a job up; poll it until its state is "cancelled" so that the server knows too."""
    job._cancelled = True
    return poll(job)


def wait(job: Job, timeout: float = 600.0) -> Any:
    """Block until a job is done; for scripts that are processes of their own.

    Raises:
        ClientError: the job failed, was cancelled or took longer than `timeout` seconds.
    """
    until = time.monotonic() + timeout
    while poll(job)["state"] not in ENDED:
        if time.monotonic() > until:
            raise ClientError(f"no answer within {timeout:g} seconds")
        time.sleep(0.01)
    return result(job)


def ask(path: str) -> Job:
    """A `Job` that fetches one of the server's pages, such as "/v1/models"."""
    job = Job("ask")
    job._path = path
    poll(job)
    return job


def notes_of(score: dict[str, Any]) -> list[dict[str, Any]]:
    """All notes of a score of a result in one list; each has the `drums` of its track."""
    return [dict(n, drums=t["drums"]) for t in score["tracks"] for n in t["notes"]]


class Job:
    """A question that is under way; see `poll`."""

    def __init__(self, verb: str) -> None:
        self.verb, self.id = verb, base64.b16encode(os.urandom(16)).decode().lower()
        self.state, self.progress, self.place, self.message = "starting", 0.0, 0, ""
        self._body, self._answer, self._path = b"", None, ""  # type: bytes, Any, str
        self._exchange = None  # type: _Exchange | None
        self._accepted = self._cancelled = self._done = False
        self._next, self._begun, self._tries = 0.0, time.monotonic(), 0

    def _end(self, state: str, message: str = "") -> None:
        self.state, self.message = state, message
        self._body = b""
        if self._exchange:
            self._exchange.close()
            self._exchange = None

    def _step(self) -> bool:
        """One move; whether another could follow at once."""
        now = time.monotonic()
        if self._exchange is None:
            if self._cancelled and not self._accepted and self.state == "starting":
                self._end("cancelled")
                return False
            return now >= self._next and self._open(now)
        try:
            response = self._exchange.step(now)
        except OSError as error:
            self._exchange.close()
            self._exchange = None
            self._next = now + 3 * PAUSE
            if error.errno != errno.ECONNREFUSED:
                self._tries += 1
            elif now - self._begun < PATIENCE:
                _start_server()
            if self._tries > 5 or now - self._begun > PATIENCE:
                raise ClientError(f"the musegen server does not answer: {error}") from None
            return False
        if response is None:
            return False
        self._exchange = None
        self._begun, self._tries = now, 0
        return self._take(now, *response)

    def _open(self, now: float) -> bool:
        """Ask the next question, or start the server."""
        server = _find_server()
        if server is None:
            if now - self._begun > PATIENCE:
                raise ClientError(
                    "the musegen server did not start; see " + os.path.join(home(), "server.log")
                )
            _start_server()
            self._next = now + PAUSE
            return False
        if self._path:
            self._exchange = _Exchange(server, "GET", self._path)
        elif not self._accepted:
            self._exchange = _Exchange(server, "POST", "/v1/jobs", self._body)
        elif self._cancelled:
            self._exchange = _Exchange(server, "DELETE", "/v1/jobs/" + self.id)
        else:
            ending = "/result" if self._done else ""
            self._exchange = _Exchange(server, "GET", "/v1/jobs/" + self.id + ending)
        self.state = "sending" if self.state == "starting" else self.state
        return True

    def _take(self, now: float, status: int, answer: Any) -> bool:
        """Act on an answer."""
        if status in (429, 503):  # full for now
            self._next = now + 5 * PAUSE
            return False
        if status == 401 and self._tries < 3:  # another server meanwhile, with a new token
            self._tries += 1
            self._next = now + PAUSE
            return False
        if status >= 400:
            error = answer.get("error", {}) if isinstance(answer, dict) else {}
            raise ClientError(error.get("message") or f"the server answered {status}")
        if self._path or self._done:
            self._answer, self.progress = _unpacked(answer), 1.0
            self._end("done")
            return False
        self._accepted, self._body = True, b""
        self.progress, self.place = answer.get("progress", 0.0), answer.get("place", 0)
        if answer["state"] in ("failed", "cancelled"):
            self._end(answer["state"], answer.get("error", {}).get("message", ""))
            return False
        self._done = answer["state"] == "done"  # and its result is still to fetch
        self.state = "running" if self._done else answer["state"]
        self._next = now + (0 if self._done else PAUSE)
        return self._done


class _Exchange:
    """One question and its answer over HTTP, never waiting for either."""

    def __init__(self, server: Any, method: str, path: str, body: bytes = b"") -> None:
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{server['port']}"]
        lines += [f"Authorization: Bearer {server['token']}", f"Content-Length: {len(body)}"]
        lines += ["Content-Type: application/json", "Connection: close", "", ""]
        self._out = memoryview("\r\n".join(lines).encode("ascii") + body)
        self._in = bytearray()
        self._address = ("127.0.0.1", server["port"])
        self._connected, self._heard = False, time.monotonic()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setblocking(False)

    def close(self) -> None:
        self._socket.close()

    __del__ = close  # when a job is forgotten half-way

    def step(self, now: float) -> Any:
        """(status, answer) once it is there, None before; an OSError when nobody answers."""
        if now - self._heard > SILENCE:
            raise OSError(errno.ETIMEDOUT, "no answer")
        if not self._connected:
            code = self._socket.connect_ex(self._address)
            if code in _WAITING or code in (10035, 10037):
                return None
            if code not in (0, errno.EISCONN, 10056):
                code = errno.ECONNREFUSED if code == 10061 else code
                raise OSError(code, os.strerror(code))
            self._connected = True
        try:
            while len(self._out):
                sent = self._socket.send(self._out[: 2**18])
                self._out, self._heard = self._out[sent:], now
                if time.monotonic() > now + BUDGET:
                    return None
        except BlockingIOError:
            pass
        except OSError:
            self._out = self._out[:0]  # refused half-way: the reason is there to read
        try:
            while True:
                part = self._socket.recv(2**18)
                self._heard = now
                if not part:
                    break
                self._in += part
                if len(self._in) > MAX_ANSWER:
                    raise ClientError("the server's answer is too long")
                if time.monotonic() > now + BUDGET:
                    return None
        except BlockingIOError:
            return None
        self.close()
        return self._parsed()

    def _parsed(self) -> tuple[int, Any]:
        head, _, body = bytes(self._in).partition(b"\r\n\r\n")
        words = head.split(b"\r\n")[0].split()
        if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
            raise OSError(errno.EPROTO, "no answer of a musegen server")
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length" and len(body) < int(value):
                raise OSError(errno.ECONNRESET, "the answer broke off")
        try:
            return int(words[1]), json.loads(body.decode("utf-8"))
        except ValueError:
            return int(words[1]), {}


def _find_server() -> dict[str, Any] | None:
    """Port and token of the running server, or None when there is none."""
    path = os.path.join(home(), "server.json")
    try:
        with open(path, "rb") as file:
            if os.name != "nt":
                status = os.fstat(file.fileno())
                if status.st_mode & 0o077 or status.st_uid != os.getuid():
                    raise ClientError(path + " can be read by others; remove it")
            server = json.loads(file.read().decode("utf-8"))
        if server["protocol"] != PROTOCOL:
            raise ClientError("the musegen server is of another version; stop it: musegen stop")
        return {"port": int(server["port"]), "token": str(server["token"])}
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError):
        return None


def _command() -> list[str]:
    """How to start the server: with the Python that has musegen, never with the host itself."""
    serve = ["-m", "musegen", "serve", "--detached"]
    given = os.environ.get("MUSEGEN_PYTHON")
    if given:
        return [given, *serve]
    try:
        with open(os.path.join(home(), "python.txt"), encoding="utf-8") as file:
            known = file.read().strip()
        if os.path.isfile(known):
            return [known, *serve]
    except OSError:
        pass
    if __name__ == "musegen.client" and os.path.basename(sys.executable).startswith("python"):
        return [sys.executable, *serve]
    import shutil

    found = shutil.which("musegen")
    if not found:
        raise ClientError(
            "musegen was not found; install it with: pip install musegen[serve], "
            "then start once: musegen serve"
        )
    return [found, "serve", "--detached"]


def _start_server() -> None:
    """Start the server unless we did a moment ago; it lives on when the host ends."""
    now = time.monotonic()
    if _started:
        process, when = _started
        if process.poll() is None or now - when < 3.0:
            return
        if process.returncode:
            raise ClientError(
                "the musegen server did not start; see " + os.path.join(home(), "server.log")
            )
    import subprocess

    os.makedirs(home(), 0o700, exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONHOME"}
    apart = {"start_new_session": True}  # type: dict[str, Any]
    if os.name == "nt":
        apart = {"creationflags": 0x00000200 | 0x08000000}  # own group, no window
    with open(os.path.join(home(), "server.log"), "ab") as log:
        process = subprocess.Popen(
            _command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, **apart
        )
    _started[:] = [process, now]


def _packed(piece: Any) -> dict[str, Any]:
    """A piece of music as JSON holds it."""
    if isinstance(piece, (bytes, bytearray)):
        return {"midi": base64.b64encode(bytes(piece)).decode("ascii")}
    if isinstance(piece, dict):
        midi = piece.get("midi")
        return dict(piece, **_packed(midi)) if isinstance(midi, (bytes, bytearray)) else piece
    return {"notes": list(piece)}


def _unpacked(answer: Any) -> Any:
    for score in answer.get("scores", []) if isinstance(answer, dict) else []:
        if "midi" in score:
            score["midi"] = base64.b64decode(score["midi"])
    return answer
