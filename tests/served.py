"""A real server process in a folder of its own, for the tests that talk to one."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from commands import environment


class Served:
    """`musegen serve` as a process; `home` holds its address, jobs and log."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.home = home
        self.environment = environment() | {"MUSEGEN_HOME": str(home)}
        self.arguments = arguments or ("--idle", "10")  # none stays behind
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Served:
        command = [sys.executable, "-m", "musegen", "serve", *self.arguments]
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until = time.monotonic() + 120
        while self.process.poll() is None and time.monotonic() < until:
            try:
                if json.loads((self.home / "server.json").read_text())["pid"] == self.process.pid:
                    return self
            except (OSError, ValueError):
                pass
            time.sleep(0.02)
        raise AssertionError(self.log())

    def log(self) -> str:
        return (self.home / "server.log").read_text()

    @property
    def address(self) -> dict[str, Any]:
        return json.loads((self.home / "server.json").read_text())

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status and JSON of one request, with the token unless `headers` say otherwise."""
        address = self.address
        connection = http.client.HTTPConnection("127.0.0.1", address["port"], timeout=60)
        given = {"Authorization": f"Bearer {address['token']}"} | (headers or {})
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        connection.request(method, path, data, given)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        kind = response.getheader("content-type", "")
        return response.status, json.loads(text) if kind.startswith("application/json") else text

    def submit(self, verb: str, *inputs: Any, **options: Any) -> str:
        status, told = self.ask(
            "POST", "/v1/jobs", {"verb": verb, "options": options, "inputs": inputs}
        )
        assert status == 202, told
        return told["id"]

    def wait(self, job: str, seconds: float = 200) -> dict[str, Any]:
        """The job when it has ended."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            status, told = self.ask("GET", f"/v1/jobs/{job}")
            assert status == 200, told
            if told["state"] in ("done", "failed", "cancelled"):
                return told
            time.sleep(0.02)
        raise AssertionError(f"{told}\n{self.log()}")

    def result(self, job: str) -> dict[str, Any]:
        told = self.wait(job)
        assert told["state"] == "done", told
        status, made = self.ask("GET", f"/v1/jobs/{job}/result")
        assert status == 200
        return made

    def end(self, number: int) -> int:
        """Send a signal and wait."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=60)
