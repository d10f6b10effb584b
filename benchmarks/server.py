"""A thousand jobs through `musegen serve`, with a kill in the middle: is any lost, does it grow?

    python benchmarks/server.py [--jobs 1000] [--seed 0]

The server runs in a folder of its own. Half-way it is killed (SIGKILL) and started again. Told are
the jobs that were accepted and finished, the rate, how long a question to the server took, and the
memory of the server and its worker after each tenth.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


class Server:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = os.environ | {"MUSEGEN_HOME": str(home)}
        self.asked: list[float] = []

    def start(self) -> None:
        command = [sys.executable, "-m", "musegen", "serve", "-q"]
        self.process = subprocess.Popen(command, env=self.environment)
        while True:
            try:
                self.address = json.loads((self.home / "server.json").read_text())
                if self.address["pid"] == self.process.pid:
                    return
            except (OSError, ValueError):
                pass
            assert self.process.poll() is None
            time.sleep(0.02)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        begun = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.address["port"], timeout=60)
        token = {"Authorization": f"Bearer {self.address['token']}"}
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, token)
        response = connection.getresponse()
        told = json.loads(response.read())
        connection.close()
        self.asked.append(time.perf_counter() - begun)
        return response.status, told

    def megabytes(self) -> list[float]:
        """Resident memory of the server and of its worker."""
        worker = self.ask("GET", "/v1/status")[1]["worker"]
        page = os.sysconf("SC_PAGESIZE")
        pages = [
            int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            for pid in (self.process.pid, worker)
        ]
        return [round(n * page / 1e6, 1) for n in pages]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bars", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="musegen-server-") as folder:
        server = Server(Path(folder))
        server.start()
        begun = time.perf_counter()
        accepted: dict[str, int] = {}
        for i in range(given.jobs):
            options = {"seed": given.seed + i, "bars": given.bars}
            body = {"verb": "generate", "options": options, "reply": ["notes"]}
            status, told = server.ask("POST", "/v1/jobs", body)
            while status == 429:
                time.sleep(0.2)
                status, told = server.ask("POST", "/v1/jobs", body)
            assert status == 202, told
            accepted[told["id"]] = given.seed + i
        print(f"{len(accepted)} jobs accepted in {time.perf_counter() - begun:.1f} s")
        ids, killed, tenth = list(accepted), False, 0
        done: dict[str, Any] = {}
        while len(done) < len(ids):
            for job in [j for j in ids if j not in done][:20]:
                status, told = server.ask("GET", f"/v1/jobs/{job}")
                assert status == 200, (job, told)
                assert told["state"] != "failed", told
                if told["state"] == "done":
                    done[job] = server.ask("GET", f"/v1/jobs/{job}/result")[1]
                    assert done[job]["seed"] == accepted[job]
                    assert done[job]["scores"][0]["tracks"]
                    done[job] = True
            if len(done) * 10 // len(ids) > tenth:
                tenth = len(done) * 10 // len(ids)
                one, two = server.megabytes()
                print(f"{len(done):5} done: server {one} MB, worker {two} MB", flush=True)
            if not killed and len(done) * 2 > len(ids):
                killed = True
                server.process.send_signal(signal.SIGKILL)
                server.process.wait()
                begin = time.perf_counter()
                server.start()
                print(f"killed and started again in {time.perf_counter() - begin:.2f} s")
            time.sleep(0.05)
        spent = time.perf_counter() - begun
        print(
            f"{len(done)} of {len(accepted)} accepted jobs done, {len(done) / spent:.1f} a second"
        )
        quick = sorted(server.asked)
        print(
            f"{len(quick)} questions: median {statistics.median(quick) * 1e3:.1f} ms, "
            f"99 of 100 under {quick[len(quick) * 99 // 100] * 1e3:.1f} ms"
        )
        server.ask("POST", "/v1/stop")
        assert server.process.wait(timeout=30) == 0


if __name__ == "__main__":
    main()
