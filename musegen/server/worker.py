"""The process that keeps models warm and makes the music: tasks in, results into files.

It reads a JSON line for each task on standard input ("task", and "out", the file to write) and
answers with JSON lines on standard output: {"progress": 0.4} while it works, then {"done": true}
or {"error": {...}}. It ends when its input does.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from musegen.errors import MusegenError

WARM = 4  # models that stay in memory


@lru_cache(WARM)
def _pipeline(model: str) -> Any:
    from musegen import pipeline

    return pipeline.load(model)


def perform(task: Mapping[str, Any], progress: Callable[[float], None]) -> dict[str, Any]:
    """Do a task, as `tasks.Task.as_dict` holds it; returns the result for JSON.

    Raises:
        MusegenError: why it cannot be done.
        ValueError: an option cannot be so.
    """
    from musegen.pipeline import default
    from musegen.server import payload
    from musegen.server.tasks import OPTIONS

    verb, options = task["verb"], dict(task["options"])
    names = tuple(_name(piece, i) for i, piece in enumerate(task["inputs"]))
    music = [
        payload.to_score(piece, name) for piece, name in zip(task["inputs"], names, strict=True)
    ]
    model, seed = task["model"] or default(verb, options, music), options.pop("seed")
    remarks = [f"{n}: {r}" for n, s in zip(names, music, strict=True) for r in s.remarks]
    more = {"seed": seed, "say": remarks.append, "names": names, "name": (*names, "")[0]}
    more["report"] = lambda done, total: progress(done / max(1, total))
    scores, figures = _pipeline(model).ask(verb, music, options, more, OPTIONS)
    told = [payload.from_score(score, task["reply"]) for score in scores]
    result = {"verb": verb, "model": model, "seed": seed, "remarks": remarks}
    return {**result, **figures, "scores": told}


def _name(piece: Mapping[str, Any], i: int) -> str:
    name = piece.get("name")
    return name[:100] if isinstance(name, str) and name else f"piece {i + 1}"


def error_of(error: Exception) -> dict[str, Any]:
    """An exception for JSON: what a user can act on is said in its words."""
    if isinstance(error, MusegenError):
        return {"kind": type(error).__name__, "message": str(error), "code": error.exit_code}
    if isinstance(error, ValueError):
        return {"kind": "UsageError", "message": str(error), "code": 2}
    text = f"the worker failed on this job ({type(error).__name__}: {error}); see server.log"
    return {"kind": "InternalError", "message": text[:2000], "code": 1}


def main() -> None:
    """Work until standard input ends."""
    import traceback

    from musegen.midi import write_atomic

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides when to stop
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints does not go between the answers

    def answer(line: Mapping[str, Any]) -> None:
        try:
            answers.write(json.dumps(line) + "\n")
            answers.flush()
        except BrokenPipeError:  # the server is gone; the next one does the job again
            os._exit(0)

    from musegen import pipeline  # noqa: F401  loads before the first job comes

    answer({"ready": True})
    for line in sys.stdin.buffer:
        order = json.loads(line)
        try:
            result = perform(order["task"], lambda share: answer({"progress": share}))
            write_atomic(order["out"], json.dumps(result).encode(), force=True)
        except Exception as error:
            told = error_of(error)
            if told["kind"] == "InternalError":
                traceback.print_exc()
            answer({"error": told})
        else:
            answer({"done": True})


if __name__ == "__main__":
    main()
