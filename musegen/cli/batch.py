"""batch, completion: many jobs in one process, and verbs completed by the shell."""

from __future__ import annotations

import io
import json
import time
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import click

from musegen.cli.common import Talk, models_kept, talk_options
from musegen.config import nearest
from musegen.errors import InputError, MusegenError

KEYS = ("verb", "inputs", "options", "out", "id")
OTHERS = ("info", "plot", "render", "export")  # verbs of jobs that make no new music


@click.command()
@click.argument("jobs", type=click.File(encoding="utf-8"))
@click.option("--force", is_flag=True, help="Overwrite existing files, in all jobs.")
@talk_options
@click.pass_context
def batch(ctx: click.Context, jobs: Any, force: bool, as_json: bool, quiet: bool) -> None:
    """Do the jobs of a file, one JSON object a line (- for standard input).

    A job has a verb, and if need be inputs, options (as on the command line, without dashes), out,
    and an id of your own. Models stay loaded from job to job. Each job's result is a JSON line on
    stdout, with or without --json; a job that fails does not stop the others. Ctrl-C keeps what is
    done.

    \b
    Examples:
      musegen batch jobs.jsonl > results.jsonl
    \b
    Lines of jobs.jsonl:
      {"verb": "generate", "options": {"n": 4, "bars": 8, "seed": 1}, "out": "songs"}
      {"verb": "interpolate", "inputs": ["a.mid", "b.mid"], "options": {"n": 5}, "out": "morph"}
    """
    talk = Talk(quiet, as_json=True)
    lines = [(i, line) for i, line in enumerate(jobs, 1) if line.strip() and line.strip()[0] != "#"]
    done = failed = 0
    try:
        with models_kept(), talk.bar(len(lines), "jobs") as bar:
            for number, line in lines:
                start = time.perf_counter()
                record = {"line": number, **_attempt(ctx, line, force)}
                record["seconds"] = round(time.perf_counter() - start, 3)
                done, failed = done + record["ok"], failed + (not record["ok"])
                talk.result("batch", record, ())
                if not record["ok"]:
                    talk.say(f"line {number}: {record['error']}")
                bar.update(1)
    finally:
        talk.say(f"{done} of {len(lines)} jobs are done" + (f", {failed} failed" if failed else ""))
    if failed:
        ctx.exit(1)


def _attempt(ctx: click.Context, line: str, force: bool) -> dict[str, Any]:
    """What became of a job: its result, or its error with the exit code that it would have."""
    record: dict[str, Any] = {}
    out, said = io.StringIO(), io.StringIO()
    try:
        job = _job(line)
        if "id" in job:
            record["id"] = job["id"]
        arguments = _arguments(ctx, job) + (["--force"] if force else [])
        root = ctx.find_root().command
        with (
            redirect_stdout(out),
            redirect_stderr(said),
            root.make_context("musegen", arguments) as inner,
        ):
            root.invoke(inner)
        record |= {"ok": True, "result": json.loads(out.getvalue())}
    except click.ClickException as error:
        record |= {"ok": False, "code": error.exit_code, "error": error.format_message()}
    except click.exceptions.Exit as error:
        record |= {"ok": False, "code": error.exit_code, "error": "ended early"}
    except MusegenError as error:
        record |= {"ok": False, "code": error.exit_code, "error": str(error)}
    except Exception as error:  # a fault of ours must not cost the user the other jobs
        record |= {"ok": False, "code": 1, "error": f"{type(error).__name__}: {error}"}
    return record | {"said": said.getvalue().splitlines()}


def _job(line: str) -> dict[str, Any]:
    """A line as an object with known keys.

    Raises:
        UsageError: it is none.
    """
    try:
        job = json.loads(line)
    except ValueError as error:
        raise click.UsageError(f"no JSON ({error})") from None
    if not isinstance(job, dict) or not isinstance(job.get("verb"), str):
        raise click.UsageError('a job is an object with a verb, as {"verb": "generate"}')
    for key in job:
        if key not in KEYS:
            raise click.UsageError(f"a job has no {key!r}{nearest(key, KEYS)}")
    kinds: dict[str, type] = {"inputs": list, "options": dict, "out": str}
    for key, kind in kinds.items():
        if not isinstance(job.get(key, kind()), kind):
            raise click.UsageError(f"{key} of a job must be a {kind.__name__}")
    return job


def _arguments(ctx: click.Context, job: dict[str, Any]) -> list[str]:
    """A job as arguments of the command line.

    Raises:
        UsageError: a verb that no job has, an option that the verb lacks, a stream.
    """
    from musegen.pipeline import VERBS

    root = ctx.find_root().command
    assert isinstance(root, click.Group)
    known = [v for v in (*(v.rstrip("_") for v in VERBS), *OTHERS) if v in root.list_commands(ctx)]
    verb, inputs, out = job["verb"], [str(i) for i in job.get("inputs", [])], job.get("out")
    if verb not in known:
        raise click.UsageError(f"no jobs of verb {verb!r}{nearest(verb, known)}")
    if "-" in (*inputs, out):
        raise click.UsageError("a job reads and writes files, not standard input and output")
    command = root.get_command(ctx, verb)
    assert command is not None
    options: dict[str, click.Option] = {}
    for option in command.params:
        if isinstance(option, click.Option):
            options |= {name.lstrip("-"): option for name in option.opts}
    arguments = [verb]
    for name, value in job.get("options", {}).items():
        key = name.replace("_", "-")
        if key not in options:
            raise click.UsageError(f"{verb} has no option {name!r}{nearest(name, options)}")
        flag = max(options[key].opts, key=len)
        if options[key].is_flag:
            arguments += [flag] if value else []
            continue
        for one in value if isinstance(value, list) else [value]:
            arguments += [flag, str(one)]
    arguments += ["-o", out] if out is not None else []
    return [*arguments, "--json", "--", *inputs] if inputs else [*arguments, "--json"]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@talk_options
@click.pass_context
def completion(ctx: click.Context, shell: str, as_json: bool, quiet: bool) -> None:
    """Print what makes SHELL complete verbs, options and models.

    \b
    bash, in ~/.bashrc:   eval "$(musegen completion bash)"
    zsh, in ~/.zshrc:     eval "$(musegen completion zsh)"
    fish, once:           musegen completion fish > ~/.config/fish/completions/musegen.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise InputError(shell, "cannot be completed by this version of click; use another shell")
    made = kind(ctx.find_root().command, {}, "musegen", "_MUSEGEN_COMPLETE")
    # Not `source()`, which looks for bash and its version by running it.
    script = made.source_template % made.source_vars()
    Talk(quiet, as_json).result("completion", {"shell": shell, "script": script}, [script])
