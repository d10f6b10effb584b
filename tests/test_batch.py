"""Many jobs in one process, completion in shells, and the documents of --json as they are told."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from commands import environment, process

import musegen
from musegen import midi, pipeline

DOCS = Path(musegen.__file__).parents[1] / "docs" / "cli.md"


def written(folder: Path, *jobs: object) -> Path:
    """Jobs as a file; strings are lines as they are."""
    path = folder / "jobs.jsonl"
    lines = [job if isinstance(job, str) else json.dumps(job) for job in jobs]
    path.write_text("\n".join(lines) + "\n")
    return path


def tunes(folder: Path) -> list[str]:
    pitches = ([60, 62, 64, 65] * 4, [72, 71, 67, 64] * 4)
    return [str(tiny.tune(p).write(folder / f"{i}.mid")) for i, p in enumerate(pitches)]


def test_jobs_do_what_the_command_line_does(cli, tmp_path: Path, monkeypatch) -> None:
    loads: list[str] = []
    load = pipeline.load
    monkeypatch.setattr(pipeline, "load", lambda name: loads.append(name) or load(name))
    a, b = tunes(tmp_path)
    model = str(tiny.bundle())
    options = {"model": model, "n": 2, "seed": 3}
    jobs = written(
        tmp_path,
        "# a remark",
        {"verb": "generate", "options": options, "out": str(tmp_path / "new"), "id": 7},
        "",
        {
            "verb": "interpolate",
            "inputs": [a, b],
            "options": {**options, "n": 3, "track_a": "1", "png": True},
            "out": str(tmp_path / "way.mid"),
        },
        {"verb": "info", "inputs": [a], "options": {"metrics": False}},
    )
    done = cli("batch", jobs)
    assert done.code == 0
    assert "3 of 3 jobs are done" in done.err
    assert loads == [model]
    first, second, third = (json.loads(line) for line in done.out.splitlines())
    assert [r["line"] for r in (first, second, third)] == [2, 4, 5]
    assert (first["id"], "id" in second) == (7, False)
    assert first["said"] == ["seed 3"]
    assert third["result"]["verb"] == "info"
    alone = cli("generate", "--model", model, "-n", 2, "--seed", 3, "-o", tmp_path / "alone")
    for mine, other in zip(first["result"]["files"], alone.out.split(), strict=True):
        assert Path(mine["midi"]).read_bytes() == Path(other).read_bytes()
    assert [m for _, m in midi.read(tmp_path / "way.mid").markers] == ["1/3", "2/3", "3/3"]
    assert Path(second["result"]["files"][0]["png"]).is_file()


def test_a_bad_job_does_not_stop_the_others(cli, tmp_path: Path, monkeypatch) -> None:
    good = {"verb": "generate", "options": {"model": str(tiny.bundle()), "seed": 1}}
    out = {"out": str(tmp_path / "a.mid")}
    wrong = [
        ("no json", 2, "no JSON"),
        ([1], 2, "a job is an object"),
        ({"verb": "train"}, 2, "no jobs of verb 'train'"),
        ({"verb": "generate", "input": []}, 2, "no 'input', did you mean 'inputs'"),
        ({"verb": "generate", "inputs": "a.mid"}, 2, "inputs of a job must be a list"),
        ({"verb": "generate", "options": {"barz": 2}}, 2, "no option 'barz', did you mean 'bars'"),
        ({"verb": "generate", "options": {"bars": "two"}}, 2, "'two' is not a valid integer"),
        ({"verb": "generate", "out": "-"}, 2, "not standard input and output"),
        ({"verb": "vary", "inputs": [str(tmp_path / "no.mid")]}, 3, "no such file"),
        ({"verb": "generate", "options": {"model": "nobody"}}, 4, "no model 'nobody'"),
        (good | out, 1, "exists already"),
        ({"verb": "generate", "options": {"model": "broken"}}, 1, "ZeroDivisionError: at all"),
    ]
    load = pipeline.load

    def fails(name: str) -> object:
        if name == "broken":
            raise ZeroDivisionError("at all")
        return load(name)

    monkeypatch.setattr(pipeline, "load", fails)
    monkeypatch.setattr("musegen.cli.music.noun", lambda model: "music")
    jobs = [good | out, *(job for job, _, _ in wrong), good | {"out": str(tmp_path / "b.mid")}]
    done = cli("batch", written(tmp_path, *jobs))
    assert done.code == 1
    records = [json.loads(line) for line in done.out.splitlines()]
    assert [r["ok"] for r in records] == [True, *[False] * len(wrong), True]
    for record, (job, code, words) in zip(records[1:-1], wrong, strict=True):
        assert record["code"] == code, job
        assert words in record["error"], job
    assert (tmp_path / "a.mid").read_bytes() == (tmp_path / "b.mid").read_bytes()
    assert f"2 of {len(records)} jobs are done, {len(wrong)} failed" in done.err
    again = cli("batch", "--force", "-q", written(tmp_path, good | out))
    assert (again.code, again.err) == (0, "")


def test_jobs_come_through_standard_input_and_stay_when_stopped(tmp_path: Path) -> None:
    """Results come one by one; Ctrl-C ends with 130 and keeps what is there."""
    job = {"verb": "generate", "options": {"model": str(tiny.bundle()), "seed": 1}}
    jobs = [json.dumps(job | {"out": str(tmp_path / f"{i}.mid")}) for i in range(2000)]
    with subprocess.Popen(
        [sys.executable, "-m", "musegen", "batch", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
    ) as running:
        assert running.stdin
        assert running.stdout
        assert running.stderr
        running.stdin.write("\n".join(jobs))
        running.stdin.close()
        first = json.loads(running.stdout.readline())
        running.send_signal(signal.SIGINT)
        results = [first, *map(json.loads, running.stdout.read().splitlines())]
        err = running.stderr.read()
    assert running.returncode == 130
    assert "Traceback" not in err
    (count,) = re.findall(r"(\d+) of 2000 jobs are done", err)
    assert int(count) - len(results) in (0, 1)  # stopped before the last could be told
    assert 1 <= len(results) < 2000
    for result in results:
        midi.read(result["result"]["files"][0]["midi"])


# completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_that_asks_musegen(cli, shell: str) -> None:
    done = cli("completion", shell)
    assert done.code == 0
    assert f"_MUSEGEN_COMPLETE={shell}_complete" in done.out
    assert cli("completion", shell, "--json").json["script"] + "\n" == done.out
    assert cli("completion", "dos").code == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("musegen gene", {"generate"}),
        ("musegen generate --temp", {"--temperature", "--tempo"}),
        ("musegen continue --model ", {"performance"}),
        ("musegen vary --model melody-2", {"melody-2bar"}),
    ],
)
def test_verbs_options_and_models_are_completed(
    monkeypatch: pytest.MonkeyPatch, words: str, expected: set[str]
) -> None:
    monkeypatch.setenv("_MUSEGEN_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    done = process()
    found = {line.split(",")[1] for line in done.stdout.decode().splitlines()}
    assert expected <= found
    assert done.stderr == b""


# the documents of --json


def told(verb: str) -> set[str]:
    """The keys that docs/cli.md tells of a verb's document."""
    section = DOCS.read_text().partition("## JSON")[2]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| `")]
    cells = [keys for verbs, keys in rows if f"`{verb}`" in verbs]
    assert len(cells) == 1, verb
    if cells[0].strip().startswith("the same"):
        return told("generate") | set(re.findall(r"`(\w+)`", cells[0]))
    return set(re.findall(r"`(\w+)`", cells[0]))


def test_documents_have_the_keys_that_are_told(cli, tmp_path: Path) -> None:
    a, b = tunes(tmp_path)
    small = ("--model", tiny.bundle(), "--seed", 1)
    calls: list[tuple[object, ...]] = [
        ("generate", *small),
        ("interpolate", a, b, *small, "-n", 3),
        ("vary", a, *small, "-n", 1),
        ("blend", a, b, *small),
        ("grid", a, b, a, b, *small, "--size", 2),
        ("reconstruct", a, *small),
        ("models",),
        ("presets",),
        ("presets", "melody_2bar_small"),
        ("corpora",),
        ("info", a, "--metrics"),
        ("info", "melody-2bar"),
        ("plot", a),
        ("completion", "zsh"),
    ]
    for verb, *rest in calls:
        out = ("-o", tmp_path / str(verb)) if small[0] in rest else ()
        document = cli(verb, *rest, *out, "--json").json
        assert document["verb"] == verb
        keys = set(document) - {"schema", "verb"}
        assert keys
        assert keys <= told(str(verb)), verb


def test_models_of_the_table_are_those_that_verbs_take(cli) -> None:
    document = cli("models", "--json").json
    by_name = {row["name"]: row for row in document["models"]}
    for verb, name in document["defaults"].items():
        assert verb in by_name[name]["verbs"]
    lines = cli("models").out.splitlines()
    names = lines[0].split()
    assert names == list(by_name)
    for line in lines[4 : 4 + len(document["defaults"])]:
        verb, *marks = line.split()
        assert marks == [
            "default" if document["defaults"][verb] == name
            else "x" if verb in by_name[name]["verbs"] else "-"
            for name in names
        ]  # fmt: skip
