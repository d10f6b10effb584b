"""serve, stop: the server that DAW scripts talk to."""

from __future__ import annotations

import click

from musegen.cli.common import Number, Talk, talk_options
from musegen.errors import MusegenError

IDLE = 30.0  # minutes after which a server that a script started leaves


@click.command()
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="A free one if silent.")
@click.option("--idle", type=Number(0), help="Leave after so many minutes without a request.")
@click.option("--minutes", default=20.0, show_default=True, type=Number(0.01), help="For a job.")
@click.option("--detached", is_flag=True, hidden=True)
@talk_options
def serve(
    port: int, idle: float | None, minutes: float, detached: bool, as_json: bool, quiet: bool
) -> None:
    """Make music for programs on this computer, over HTTP on 127.0.0.1.

    Scripts in DAWs start it by themselves through musegen.client. Its port and token stand in
    server.json in the user's own folder; accepted jobs survive its end. See docs/server.md.

    \b
    Examples:
      musegen serve
      musegen serve --port 8642 --idle 60
    """
    talk = Talk(quiet, as_json)
    try:
        from musegen.server.app import serve as run
        from musegen.server.jobs import Limits
    except ImportError as error:
        raise MusegenError(
            f"{error.name} is missing; install it: pip install 'musegen[serve]'"
        ) from None
    wait = IDLE if idle is None and detached else idle or 0.0
    run(port, wait, Limits(minutes=minutes), talk.say)


@click.command()
@talk_options
def stop(as_json: bool, quiet: bool) -> None:
    """Stop the server; jobs that wait are done by the next one."""
    import http.client
    import json
    from pathlib import Path

    from musegen import client

    talk = Talk(quiet, as_json)
    address = Path(client.home()) / "server.json"
    try:
        server = json.loads(address.read_bytes())
        connection = http.client.HTTPConnection("127.0.0.1", server["port"], timeout=5)
        token = {"Authorization": f"Bearer {server['token']}"}
        connection.request("POST", "/v1/stop", headers=token)
        waiting = json.loads(connection.getresponse().read()).get("waiting", 0)
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        raise MusegenError(f"no server answers ({address})") from None
    lines = [f"stopped; {waiting} jobs wait for the next server" if waiting else "stopped"]
    talk.result("stop", {"waiting": waiting}, lines)
