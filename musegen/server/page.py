"""The OpenAPI description of the server, made from its table of options, and the page that shows
it. The page loads nothing from anywhere else."""

from __future__ import annotations

import html
from typing import Any

from musegen.client import PROTOCOL
from musegen.server.tasks import MUSIC, OPTIONS, REPLIES, VERBS, Option
from musegen.version import __version__

_KINDS = {"text": "string", "list": "array", "table": "object"}
NOTE = {
    "pitch": {"type": "integer", "minimum": 0, "maximum": 127},
    "start": {"type": "number", "description": "in quarter notes from the beginning"},
    "duration": {"type": "number", "description": "in quarter notes"},
    "velocity": {"type": "integer", "minimum": 1, "maximum": 127},
}
PATHS = {
    ("get", "/v1/status"): ("How the server is", "version, pid, worker, jobs waiting", 200),
    ("get", "/v1/models"): ("The shipped models", "name and verbs of each", 200),
    ("post", "/v1/jobs"): ("Ask for music", "the job; it is on disk and will be done", 202),
    ("get", "/v1/jobs/{id}"): ("How a job is", "state, progress, place in the queue", 200),
    ("get", "/v1/jobs/{id}/result"): ("What a job made", "scores, seed, model, remarks", 200),
    ("delete", "/v1/jobs/{id}"): ("Cancel a job", "the job", 200),
    ("post", "/v1/stop"): ("Stop the server", "what waits is done by the next server", 202),
}
ERRORS = {
    400: "asked wrongly",
    401: "no or a wrong token",
    403: "from a page of another origin",
    404: "no such job or page",
    408: "the request came too slowly",
    409: "the job has no result (yet)",
    413: "the request is too large",
    429: "the queue is full; come again",
    503: "too many connections; come again",
}


def _schema(option: Option) -> dict[str, Any]:
    kinds = [_KINDS.get(kind, kind) for kind in option.kind.split(" or ")]
    told: dict[str, Any] = {"type": kinds[0] if len(kinds) == 1 else kinds}
    if kinds[0] in ("integer", "number"):
        told |= {"minimum": option.low, "maximum": option.high}
    return told | {"description": option.words}


def openapi(port: int) -> dict[str, Any]:
    """The description as OpenAPI 3.1 has it."""
    piece = {
        "type": "object",
        "description": "midi, or notes of one track, or tracks",
        "properties": {
            "midi": {"type": "string", "contentEncoding": "base64"},
            "notes": {"type": "array", "items": {"$ref": "#/components/schemas/Note"}},
            "tracks": {"type": "array", "items": {"$ref": "#/components/schemas/Track"}},
            "tempo": {"type": "number"},
            "metre": {"type": "array", "items": {"type": "integer"}},
            "length": {"type": "number", "description": "in quarter notes"},
            "name": {"type": "string"},
        },
    }
    track = {
        "name": {"type": "string"},
        "program": {"type": "integer", "minimum": 0, "maximum": 127},
        "drums": {"type": "boolean"},
        "notes": {"type": "array", "items": {"$ref": "#/components/schemas/Note"}},
    }
    pieces = ", ".join(f"{verb} {MUSIC.get(verb, 1)}" for verb in VERBS)
    job = {
        "id": {"type": "string", "pattern": "[A-Za-z0-9_-]{1,64}"},
        "verb": {"enum": list(VERBS)},
        "model": {"type": "string", "description": "one that has the verb, when not given"},
        "options": {
            "type": "object",
            "properties": {name: _schema(option) for name, option in OPTIONS.items()},
        },
        "inputs": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/Piece"},
            "description": f"pieces taken: {pieces}",
        },
        "reply": {"type": "array", "items": {"enum": list(REPLIES)}},
    }
    schemas: dict[str, Any] = {
        "Note": {"type": "object", "properties": NOTE, "required": ["pitch", "start", "duration"]},
        "Track": {"type": "object", "properties": track, "required": ["notes"]},
        "Piece": piece,
        "Job": {"type": "object", "properties": job, "required": ["verb"]},
    }
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), (summary, answer, status) in PATHS.items():
        told: dict[str, Any] = {"summary": summary, "responses": {str(status): _says(answer)}}
        told["responses"] |= {str(code): _says(words) for code, words in ERRORS.items()}
        if "{id}" in path:
            where = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
            told["parameters"] = [where]
        if path == "/v1/jobs":
            of = {"application/json": {"schema": {"$ref": "#/components/schemas/Job"}}}
            told["requestBody"] = {"required": True, "content": of}
        paths.setdefault(path, {})[method] = told
    return {
        "openapi": "3.1.0",
        "info": {"title": "musegen", "version": __version__, "x-protocol": PROTOCOL},
        "servers": [{"url": f"http://127.0.0.1:{port}"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _says(words: str) -> dict[str, str]:
    return {"description": words}


def page(port: int) -> str:
    """The description for people: routes, options, errors, and a command to try."""
    rows = [
        f"<tr><td><code>{method.upper()} {path}</code><td>{summary}<td>{status}: {answer}"
        for (method, path), (summary, answer, status) in PATHS.items()
    ]
    options = [
        f"<tr><td><code>{name}</code><td>{o.kind}{_range(o)}<td>{html.escape(o.words)}"
        for name, o in OPTIONS.items()
    ]
    errors = [f"<tr><td>{code}<td>{words}" for code, words in ERRORS.items()]
    curl = (
        f'curl -H "Authorization: Bearer $TOKEN" -d \'{{"verb": "generate", "options": '
        f'{{"n": 4, "seed": 1}}}}\' http://127.0.0.1:{port}/v1/jobs'
    )
    style = "body{font:16px system-ui;max-width:60em;margin:2em auto;padding:0 1em}"
    style += "td{padding:.2em 1em .2em 0;vertical-align:top}"
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>musegen server</title>
<style>{style}</style><h1>musegen {__version__}</h1>
<p>Music for programs on this computer. Each request but this page needs the token that stands
beside the port in <code>server.json</code>. <a href="/openapi.json">openapi.json</a></p>
<h2>Routes</h2><table>{"".join(rows)}</table>
<h2>Try it</h2><pre>{html.escape(curl)}</pre>
<h2>Verbs</h2><p>{", ".join(VERBS)}</p>
<h2>Options</h2><table>{"".join(options)}</table>
<h2>Errors</h2><p>All as <code>{{"error": {{"kind": ..., "message": ...}}}}</code>.</p>
<table>{"".join(errors)}</table></html>"""


def _range(option: Option) -> str:
    numbers = option.kind.split(" ")[0] in ("integer", "number")
    return f", {option.low:g} to {option.high:g}" if numbers else ""
