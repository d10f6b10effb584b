"""The musegen command and its exit codes."""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module

import click

from musegen.config import nearest
from musegen.errors import MusegenError
from musegen.version import __version__

# Headings of the help, and the verbs under each with the module that has them.
SECTIONS = {
    "Make music": {
        "generate": "music",
        "interpolate": "music",
        "grid": "edit",
        "blend": "edit",
        "vary": "edit",
        "continue": "edit",
        "inpaint": "fill",
        "accompany": "fill",
        "groove": "edit",
        "drumify": "edit",
        "reconstruct": "music",
        "batch": "batch",
        "models": "look",
    },
    "Look and listen": {"info": "look", "plot": "look", "render": "sound", "play": "sound"},
    "In your DAW": {
        "daw": "hosts",
        "export": "hosts",
        "ableton": "hosts",
        "watch": "hosts",
        "serve": "server",
        "stop": "server",
    },
    "Train your own": {
        "train": "training",
        "presets": "training",
        "prepare": "data",
        "corpora": "data",
        "leakage": "data",
        "evaluate": "look",
    },
    "Set up": {"doctor": "look", "completion": "batch"},
}
VERBS = {verb: room for verbs in SECTIONS.values() for verb, room in verbs.items()}


class _Verbs(click.Group):
    """Verbs are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        home = import_module(f"musegen.cli.{VERBS[name]}")
        command: click.Command = getattr(home, name, None) or getattr(home, f"{name}_")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, verbs in SECTIONS.items():
            commands = [(verb, self.get_command(ctx, verb)) for verb in verbs]
            with formatter.section(heading):
                formatter.write_dl([(v, c.get_short_help_str(limit=200)) for v, c in commands if c])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in VERBS and not args[0].startswith("-"):
            raise click.UsageError(f"no verb {args[0]!r}{nearest(args[0], VERBS)}", ctx)
        return super().resolve_command(ctx, args)


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Music as MIDI from neural networks."""


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(argv))


def run(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    # Before torch loads: threads that wait asleep, up to 24 times faster on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    # It talks at length where it cannot keep its list of fonts.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        code = cli.main(argv, prog_name="musegen", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("stopped", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except MusegenError as error:
        click.echo(f"musegen: {error}", err=True)
        return error.exit_code
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
        return 130
    except BrokenPipeError:  # the reader of our output went away: nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        click.echo(f"musegen: {error}", err=True)
        return 1
    return code if isinstance(code, int) else 0  # what `ctx.exit` was given
