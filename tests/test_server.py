"""`musegen serve`: the pipelines over HTTP, for friends only, and no accepted job is lost."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import FISHER, HARVEST
from served import Served

from musegen import midi, pipeline
from musegen.errors import InputError
from musegen.pipeline import PIPELINES
from musegen.score import Score, Track
from musegen.server import page, payload, worker
from musegen.server.tasks import OPTIONS, VERBS, parse

pytest.importorskip("starlette", reason="the extra [serve] is not installed")
pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("server")).start()
    yield served
    assert served.end(signal.SIGTERM) == 0
    assert "Traceback" not in served.log()
    assert not (served.home / "server.json").exists()


def as_midi(path: str) -> dict[str, str]:
    return {"midi": base64.b64encode(Path(path).read_bytes()).decode(), "name": Path(path).name}


def back(score: dict[str, object]) -> Score:
    return midi.read(io.BytesIO(base64.b64decode(str(score["midi"]))))


def test_it_makes_what_the_pipeline_makes(server: Served) -> None:
    made = server.result(server.submit("generate", n=2, seed=5, bars=2, temperature=0.8))
    expected = pipeline.load("melody-2bar").generate(2, seed=5, bars=2, temperature=0.8)
    assert made["model"] == "melody-2bar"
    assert made["seed"] == 5
    assert [back(score).tracks for score in made["scores"]] == [s.tracks for s in expected]
    for told, score in zip(made["scores"], expected, strict=True):
        assert base64.b64decode(told["midi"]) == midi.to_bytes(score)
        assert told["bars"] == 2
        rows = [
            [round(n["start"] * 480), round(n["duration"] * 480), n["pitch"], n["velocity"]]
            for n in told["tracks"][0]["notes"]
        ]
        assert rows == score.resample(480).tracks[0].notes.tolist()


def test_music_of_yours_comes_as_midi_or_as_notes(server: Served) -> None:
    tune = midi.read(FISHER).clip(0, 4 * 1920)
    notes = [
        {"pitch": p, "start": on / tune.ppq, "duration": d / tune.ppq, "velocity": v}
        for on, d, p, v in tune.tracks[0].notes.tolist()
    ]
    file = {"midi": base64.b64encode(midi.to_bytes(tune)).decode()}
    tempo = tune.tempos[0][1]
    jobs = [
        server.submit("vary", file, n=2, seed=3),
        server.submit("vary", {"notes": notes, "tempo": tempo}, n=2, seed=3),
    ]
    first, second = (server.result(job) for job in jobs)
    assert len(first["scores"]) == 2
    assert [s["tracks"][0]["notes"] for s in first["scores"]] == [
        s["tracks"][0]["notes"] for s in second["scores"]
    ]
    path = server.result(server.submit("interpolate", as_midi(FISHER), as_midi(HARVEST), steps=3))
    assert len(path["scores"]) == 3
    assert any("took track" in remark for remark in path["remarks"])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "Expecting value"),
        (b"\xff\x00garbage", "decode"),
        (b"[" * 100_000, "nested"),
        ([], "JSON object"),
        ({"verb": "generated"}, "generate"),
        ({"verb": "generate", "options": {"tempi": 3}}, "tempo"),
        ({"verb": "generate", "options": {"n": 10**9}}, "n goes from 1 to 64"),
        ({"verb": "generate", "options": {"n": True}}, "n takes integer"),
        (b'{"verb": "generate", "options": {"temperature": NaN}}', "temperature goes from 0"),
        ({"verb": "generate", "inputs": [{}]}, "takes 0 pieces of music, 1 came"),
        ({"verb": "vary", "inputs": {}}, "takes 1 pieces"),
        ({"verb": "generate", "id": "../../x"}, "64 letters"),
        ({"verb": "generate", "reply": ["wav"]}, "midi and notes"),
        ({"verb": "generate", "model": 3}, "model is"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(server: Served, body: object, words: str) -> None:
    status, told = server.ask("POST", "/v1/jobs", body)
    assert status == 400
    assert words in told["error"]["message"]


@pytest.mark.parametrize(
    ("verb", "piece", "options", "words"),
    [
        ("vary", {"midi": "????"}, {}, "not base64"),
        ("vary", {"midi": base64.b64encode(b"MThd nonsense").decode()}, {}, "piece 1"),
        ("vary", {"notes": [{"pitch": 200, "start": 0, "duration": 1}]}, {}, "pitch is 200"),
        ("vary", {"notes": [{"pitch": 60, "duration": 1}]}, {}, "lacks something: 'start'"),
        ("vary", {"notes": []}, {}, "no notes"),
        ("vary", {}, {}, "neither midi nor notes"),
        ("continue", {"notes": []}, {"amount": 0.5}, "takes no amount"),
        ("groove", {"notes": []}, {}, "groove"),
    ],
)
def test_what_cannot_be_done_fails_in_words(
    server: Served, verb: str, piece: object, options: dict[str, object], words: str
) -> None:
    told = server.wait(server.submit(verb, piece, **options))
    assert told["state"] == "failed"
    assert words in told["error"]["message"]
    status, _ = server.ask("GET", f"/v1/jobs/{told['id']}/result")
    assert status == 409


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/status", {"Authorization": ""}, 401),
        ("/v1/status", {"Authorization": "Bearer wrong"}, 401),
        ("/v1/status", {"Origin": "https://example.org"}, 403),
        ("/v1/status", {"Origin": "null"}, 403),
        ("/", {"Host": "evil.example"}, 403),
        ("/v1/nothing", {}, 404),
        ("/v1/jobs/nobody", {}, 404),
        ("/v1/jobs", {}, 405),
        ("/v1/status", {}, 200),
        ("/", {"Authorization": ""}, 200),
    ],
)
def test_who_may_ask(server: Served, path: str, headers: dict[str, str], status: int) -> None:
    found, told = server.ask("GET", path, headers=headers)
    assert found == status
    if status >= 400:
        assert set(told["error"]) == {"kind", "message"}


def test_it_listens_to_this_computer_alone_and_hides_its_token(server: Served) -> None:
    address = server.home / "server.json"
    assert stat.S_IMODE(address.stat().st_mode) == 0o600
    assert stat.S_IMODE(server.home.stat().st_mode) & 0o077 == 0 or os.name == "nt"
    port = server.address["port"]
    table = Path("/proc/net/tcp")
    bound = table.read_text().splitlines() if table.exists() else []
    mine = [line.split()[1] for line in bound if f":{port:04X} " in line.split()[1] + " "]
    assert all(place.startswith("0100007F") for place in mine)
    assert server.address["token"] not in server.log()


def test_bodies_that_are_too_large_are_refused(server: Served) -> None:
    status, told = server.ask("POST", "/v1/jobs", b"x" * (9 << 20))
    assert status == 413
    assert "8 MB" in told["error"]["message"]
    chunked = iter([b"x" * (1 << 20)] * 9)
    address = server.address
    with socket.create_connection(("127.0.0.1", address["port"])) as raw:
        head = f"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1:{address['port']}\r\n"
        head += f"Authorization: Bearer {address['token']}\r\nTransfer-Encoding: chunked\r\n\r\n"
        raw.sendall(head.encode())
        try:
            for part in chunked:
                raw.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        except OSError:
            pass  # it hung up on us
        raw.settimeout(5)
        with contextlib.suppress(ConnectionResetError):
            assert b" 413 " in raw.recv(4096)
    assert server.ask("GET", "/v1/status")[0] == 200


def test_garbage_and_clients_that_vanish_do_no_harm(server: Served) -> None:
    address = server.address
    place = ("127.0.0.1", address["port"])
    for data in (b"", b"\x00" * 1000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", os.urandom(4096)):
        with socket.create_connection(place) as raw:
            raw.sendall(data)
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1:{address['port']}\r\n"
    head += f"Authorization: Bearer {address['token']}\r\nContent-Length: 100000\r\n\r\n{{"
    for _ in range(20):
        with socket.create_connection(place) as raw:
            raw.sendall(head.encode())
    flood = [socket.create_connection(place) for _ in range(200)]
    for raw in flood:
        raw.close()
    until = time.monotonic() + 60
    while server.ask("GET", "/v1/status")[0] != 200:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_jobs_are_cancelled_waiting_or_under_way(server: Served) -> None:
    long = server.submit("generate", n=64, bars=64, seed=1)
    waiting = server.submit("generate", seed=2)
    _, told = server.ask("DELETE", f"/v1/jobs/{waiting}")
    assert told["state"] == "cancelled"
    until = time.monotonic() + 120
    while server.ask("GET", f"/v1/jobs/{long}")[1]["state"] == "queued":
        assert time.monotonic() < until
        time.sleep(0.02)
    _, told = server.ask("DELETE", f"/v1/jobs/{long}")
    assert told["state"] == "cancelled"
    assert server.result(server.submit("generate", seed=2))["scores"]  # by another worker
    assert server.wait(long)["state"] == "cancelled"


def test_the_same_id_is_the_same_job(server: Served) -> None:
    body = {"verb": "generate", "id": "mine", "options": {"seed": 8}}
    assert server.ask("POST", "/v1/jobs", body)[0] == 202
    assert server.ask("POST", "/v1/jobs", body | {"verb": "vary", "inputs": [{}]})[0] == 202
    assert server.result("mine")["verb"] == "generate"


def test_no_accepted_job_is_lost_when_the_server_dies(tmp_path: Path) -> None:
    served = Served(tmp_path / "home").start()
    jobs = {seed: served.submit("generate", seed=seed, bars=2) for seed in range(12)}
    assert served.wait(jobs[2])["state"] == "done"
    before = served.result(jobs[1])
    served.end(signal.SIGKILL)
    assert (served.home / "server.json").exists()  # of the dead: the next one replaces it
    served.start()
    made = {seed: served.result(job) for seed, job in jobs.items()}
    assert made[1] == before
    expected = pipeline.load("melody-2bar")
    for seed in (3, 11):
        again = base64.b64decode(made[seed]["scores"][0]["midi"])
        assert again == midi.to_bytes(expected.generate(1, seed=seed, bars=2)[0])
    running = served.submit("generate", n=64, bars=64, seed=1)
    waiting = served.submit("generate", seed=2)
    while served.ask("GET", f"/v1/jobs/{running}")[1]["state"] == "queued":
        time.sleep(0.02)
    begun = time.monotonic()
    assert served.end(signal.SIGTERM) == 0
    assert time.monotonic() - begun < 30  # it does not wait for the job
    served.start()
    assert served.ask("GET", f"/v1/jobs/{waiting}")[1]["state"] == "queued"
    served.ask("DELETE", f"/v1/jobs/{running}")
    assert served.result(waiting)["scores"]
    twice = Served(tmp_path / "home")
    with pytest.raises(AssertionError, match="runs there already"):
        twice.start()
    assert served.ask("POST", "/v1/stop")[0] == 202
    assert served.process is not None
    assert served.process.wait(timeout=90) == 0


def test_it_leaves_when_nobody_asks(tmp_path: Path) -> None:
    served = Served(tmp_path / "home", "--idle", "0.01").start()
    assert served.process is not None
    assert served.process.wait(timeout=90) == 0


def test_every_option_of_every_verb_is_known() -> None:
    import inspect

    ours = {"self", "name", "names", "say", "report", "finished"}  # not for users
    ours |= {"score", "a", "b", "corners"}  # music
    assert {verb.rstrip("_") for verb in pipeline.VERBS} == set(VERBS)
    for family in PIPELINES.values():
        methods = [getattr(family, verb) for verb in pipeline.VERBS if hasattr(family, verb)]
        assert methods
        for method in methods:
            takes = set(inspect.signature(method).parameters)
            assert takes - ours - set(OPTIONS) == set(), method


def test_the_page_and_the_description_name_all_there_is() -> None:
    told = page.openapi(1234)
    assert told["openapi"].startswith("3.1")
    job = told["components"]["schemas"]["Job"]["properties"]
    assert set(job["options"]["properties"]) == set(OPTIONS)
    assert job["verb"]["enum"] == list(VERBS)
    shown = page.page(1234)
    for name in (*OPTIONS, *VERBS, *(path for _, path in page.PATHS)):
        assert name in shown
    assert "http" not in shown.replace("http://127.0.0.1:1234", "")  # loads nothing from elsewhere


def test_a_task_is_complete_with_its_seed() -> None:
    first, second = parse({"verb": "generate"}), parse({"verb": "generate"})
    assert first.options["seed"] != second.options["seed"]
    assert parse({"verb": "interpolate", "options": {"seeds": [1, 2]}}).inputs == ()


def test_drums_and_pitches_among_notes_become_two_tracks() -> None:
    hit = {"pitch": 36, "start": 1, "duration": 0.25, "drums": True}
    tone = {"pitch": 60, "start": 0.5, "duration": 1.5, "velocity": 33}
    piece = {"notes": [hit, tone], "tempo": 90, "metre": [3, 4], "program": 40}
    score = payload.to_score(piece, "x")
    assert score.tracks == (
        Track([[240, 720, 60, 33]], 40, False),
        Track([[480, 120, 36, 90]], 40, True),
    )
    assert score.tempos == ((0, 90.0),)
    assert score.metres == ((0, 3, 4),)
    again = payload.to_score(payload.from_score(score, ["notes"]), "x")
    assert again.tracks == score.tracks
    with pytest.raises(InputError, match="metre"):
        payload.to_score(piece | {"metre": [3, 5]}, "x")


def test_a_verb_that_reads_music_takes_no_seeds() -> None:
    task = parse({"verb": "interpolate", "model": "melody-2bar", "options": {"seeds": [1, 2]}})
    with pytest.raises(ValueError, match="takes music, not seeds"):
        worker.perform(task.as_dict(), lambda share: None)
    task = parse({"verb": "interpolate", "model": "performance", "options": {"seeds": [1, 2]}})
    short = task.as_dict()
    short["options"] |= {"steps": 2, "seconds": 4.0}
    assert len(worker.perform(short, lambda share: None)["scores"]) == 2
