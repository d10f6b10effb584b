"""The client in interpreters like those inside other programs: old, bare, and never waiting."""

from __future__ import annotations

import ast
import http.server
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import environment

import musegen.client
from musegen import client

SOURCE = Path(musegen.client.__file__)


def test_it_is_python_3_7_of_the_standard_library_alone() -> None:
    tree = ast.parse(SOURCE.read_text(), feature_version=(3, 7))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        if isinstance(node, ast.ImportFrom):
            found.add(str(node.module).split(".")[0])
    assert found <= set(sys.stdlib_module_names)
    assert not found & {"threading", "logging", "asyncio"}
    calls = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) if hasattr(n.func, "id")}
    assert "print" not in calls


def old_pythons() -> list[str]:
    names = ["python3.7", "python3.8", "python3.9"]
    folders = [Path(p) for p in Path("~/.pyenv/versions").expanduser().glob("3.[789].*/bin/python")]
    found = [path for name in names if (path := shutil.which(name)) and "shims" not in path]
    return sorted({*found, *map(str, folders)})


@pytest.mark.parametrize("python", [sys.executable, *old_pythons()[:1]])
def test_it_runs_without_any_package(python: str, tmp_path: Path) -> None:
    shutil.copy(SOURCE, tmp_path / "musegen_client.py")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport musegen_client as c\n"
    code += "job = c.submit('generate')\nassert c.poll(job)['state'] == 'failed', job.state\n"
    code += "assert 'pip install' in job.message, job.message\n"
    code += "import threading\nassert threading.active_count() == 1\n"
    code += "assert not {'numpy', 'torch', 'logging'} & set(sys.modules)\n"
    nowhere = {"MUSEGEN_HOME": str(tmp_path / "home"), "PATH": str(tmp_path)}
    done = subprocess.run(
        [python, "-I", "-S", "-W", "error", "-c", code], env=nowhere, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


class Server:
    """A server of plain HTTP whose answers a test writes down."""

    def __init__(self, home: Path) -> None:
        self.home, self.asked = home, []
        self.answers: dict[tuple[str, str], list[tuple[int, Any]]] = {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                outer.asked.append((self.command, self.path, body, dict(self.headers)))
                parts = self.path.split("/")
                key = "/".join(["*" if len(part) == 32 else part for part in parts])
                left = outer.answers[self.command, key]
                status, told = left.pop(0) if len(left) > 1 else left[0]
                data = told if isinstance(told, bytes) else json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, *words: Any) -> None:
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.tell()
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def tell(self, mode: int = 0o600, **more: Any) -> None:
        about = {"protocol": 1, "port": self.server.server_port, "token": "abc"} | more
        self.home.mkdir(exist_ok=True)
        (self.home / "server.json").write_text(json.dumps(about))
        (self.home / "server.json").chmod(mode)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    monkeypatch.setenv("MUSEGEN_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(client, "PAUSE", 0.001)
    served = Server(tmp_path / "home")
    yield served
    served.server.shutdown()
    served.server.server_close()


def finish(job: client.Job, seconds: float = 20) -> dict[str, Any]:
    until = time.monotonic() + seconds
    while client.poll(job)["state"] not in client.ENDED:
        assert time.monotonic() < until, client.poll(job)
        time.sleep(0.001)
    return client.poll(job)


QUEUED = (202, {"state": "queued", "place": 1, "progress": 0})
RUNNING = (200, {"state": "running", "progress": 0.5})
DONE = (200, {"state": "done", "progress": 1})
RESULT = (200, {"seed": 1, "scores": [{"midi": "TVRoZA==", "tracks": []}]})


def test_a_job_goes_from_the_queue_to_its_result(server: Server) -> None:
    server.answers = {
        ("POST", "/v1/jobs"): [QUEUED],
        ("GET", "/v1/jobs/*"): [QUEUED, RUNNING, DONE],
        ("GET", "/v1/jobs/*/result"): [RESULT],
    }
    job = client.submit("vary", b"MThd", n=2, seed=None, model="m")
    assert client.result(job) is None
    seen = {job.state}
    while job.state not in client.ENDED:
        seen.add(client.poll(job)["state"])
    assert seen <= {"starting", "sending", "queued", "running", "done"}
    assert finish(job) == {"state": "done", "progress": 1.0, "place": 0, "message": ""}
    assert client.result(job)["scores"][0]["midi"] == b"MThd"
    _, _, body, headers = server.asked[0]
    sent = json.loads(body)
    assert sent["inputs"] == [{"midi": "TVRoZA=="}]
    assert sent["options"] == {"n": 2}  # what is None is left out
    assert sent["id"] == job.id
    assert headers["Authorization"] == "Bearer abc"
    assert client.poll(job)["state"] == "done"  # and stays so


def test_a_full_server_is_asked_again_and_a_refusal_is_told(server: Server) -> None:
    server.answers = {
        ("POST", "/v1/jobs"): [(429, {}), (503, b"busy"), (401, {}), QUEUED],
        ("GET", "/v1/jobs/*"): [
            (200, {"state": "failed", "error": {"message": "no notes in it"}}),
        ],
    }
    job = client.submit("vary", [])
    assert finish(job)["message"] == "no notes in it"
    assert len({json.loads(body)["id"] for _, _, body, _ in server.asked if body}) == 1
    with pytest.raises(client.ClientError, match="no notes"):
        client.result(job)
    server.answers["POST", "/v1/jobs"] = [(400, {"error": {"message": "no verb 'x'"}})]
    assert finish(client.submit("x"))["message"] == "no verb 'x'"
    server.answers["POST", "/v1/jobs"] = [(500, b"<html>")]
    assert finish(client.submit("x"))["message"] == "the server answered 500"


def test_a_job_is_given_up(server: Server) -> None:
    server.answers = {
        ("POST", "/v1/jobs"): [QUEUED],
        ("GET", "/v1/jobs/*"): [RUNNING],
        ("DELETE", "/v1/jobs/*"): [(200, {"state": "cancelled"})],
    }
    job = client.submit("generate")
    while client.poll(job)["state"] != "running":
        time.sleep(0.001)
    client.cancel(job)
    assert finish(job)["state"] == "cancelled"
    assert server.asked[-1][0] == "DELETE"
    with pytest.raises(client.ClientError, match="cancelled"):
        client.wait(job)


@pytest.mark.skipif(os.name == "nt", reason="modes of files are of POSIX")
def test_a_token_that_others_can_read_is_not_used(server: Server) -> None:
    server.tell(0o644)
    assert "can be read by others" in finish(client.submit("generate"))["message"]
    server.tell(protocol=99)
    assert "another version" in finish(client.submit("generate"))["message"]
    assert server.asked == []


def test_nothing_waits_even_when_the_server_is_silent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import socket

    monkeypatch.setenv("MUSEGEN_HOME", str(tmp_path))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        about = {"protocol": 1, "port": silent.getsockname()[1], "token": "abc"}
        (tmp_path / "server.json").write_text(json.dumps(about))
        (tmp_path / "server.json").chmod(0o600)
        notes = [{"pitch": 60, "start": i, "duration": 1} for i in range(50_000)]
        job = client.submit("vary", notes)
        worked = []
        for _ in range(100):
            begun = time.thread_time()
            assert client.poll(job)["state"] == "sending"
            worked.append(time.thread_time() - begun)
        assert sorted(worked)[95] < 2 * client.BUDGET  # of processor time, on a busy machine too


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with this Python inside."""
    compiler, told = shutil.which("gcc"), sysconfig.get_config_vars()
    library = Path(told.get("LIBDIR", "")) / str(told.get("LDLIBRARY"))
    if not compiler or not told.get("Py_ENABLE_SHARED") or not library.exists():
        pytest.skip("needs gcc and a Python that is a shared library")
    program = tmp_path_factory.mktemp("host") / "host"
    command = [compiler, "-o", str(program), str(Path(__file__).with_name("embedded.c"))]
    command += ["-I", sysconfig.get_path("include"), str(library)]
    done = subprocess.run(
        [*command, f"-Wl,-rpath,{library.parent}"], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"cannot be compiled here: {done.stderr[-200:]}")
    return program


@pytest.mark.parametrize("life", ["same", "sub", "fresh"])
def test_it_runs_again_and_again_in_a_program_with_python_inside(
    life: str, host: Path, server: Server, tmp_path: Path
) -> None:
    """Twenty times in one interpreter, in a new sub-interpreter each, and after a new start."""
    server.answers = {
        ("POST", "/v1/jobs"): [QUEUED],
        ("GET", "/v1/jobs/*"): [DONE],
        ("GET", "/v1/jobs/*/result"): [RESULT],
    }
    script = tmp_path / "script.py"
    script.write_text(f"""
import sys, time
sys.path.insert(0, {str(SOURCE.parent)!r})
import client
job = client.submit("generate")
while client.poll(job)["state"] not in client.ENDED:
    time.sleep(0.001)
assert client.result(job)["scores"][0]["midi"] == b"MThd", job.message
""")
    given = environment() | {"MUSEGEN_HOME": str(server.home), "PYTHONHOME": sys.base_prefix}
    done = subprocess.run(
        [host, life, script, "20"], env=given, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sum(path.endswith("/result") for _, path, _, _ in server.asked) == 20


def test_a_host_gets_music_from_a_server_that_it_starts(tmp_path: Path) -> None:
    """The whole way in a bare process: start, submit, poll, result, stop."""
    home = tmp_path / "home"
    code = f"""
import sys, time
sys.path.insert(0, {str(SOURCE.parent)!r})
import client as c
job = c.submit("generate", n=2, seed=3, reply=["notes"])
while c.poll(job)["state"] not in c.ENDED:
    time.sleep(0.01)
made = c.result(job)
assert len(made["scores"]) == 2 and c.notes_of(made["scores"][0])
assert not {{"numpy", "torch", "musegen"}} & set(sys.modules)
"""
    given = environment() | {"MUSEGEN_HOME": str(home), "MUSEGEN_PYTHON": sys.executable}
    done = subprocess.run(
        [*(old_pythons() or [sys.executable])[:1], "-S", "-c", code],
        env=given,
        capture_output=True,
        text=True,
    )
    try:
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert json.loads((home / "server.json").read_text())["pid"]
    finally:
        stop = [sys.executable, "-m", "musegen", "stop", "--json"]
        ended = subprocess.run(stop, env=given, capture_output=True, text=True)
    assert json.loads(ended.stdout)["waiting"] == 0
