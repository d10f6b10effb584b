"""What all verbs share: options, talk on stderr, exit codes."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
SCHEMA = 1


@dataclass(frozen=True)
class Talk:
    """Where words go: results on stdout, talk on stderr unless quiet."""

    quiet: bool = False
    as_json: bool = False

    def say(self, text: str) -> None:
        """A remark."""
        if not self.quiet:
            click.echo(text, err=True)

    def result(self, verb: str, data: Mapping[str, Any], lines: list[str]) -> None:
        """The verb's result: one JSON document with --json, else lines."""
        if self.as_json:
            click.echo(json.dumps({"schema": SCHEMA, "verb": verb, **data}))
        else:
            for line in lines:
                click.echo(line)

    def bar(self, total: int, words: str) -> Any:
        """A tqdm progress bar with time left; silent when quiet or when stderr is no terminal."""
        from tqdm import tqdm

        hidden = self.quiet or not sys.stderr.isatty()
        return tqdm(total=total, desc=words, disable=hidden, file=sys.stderr, dynamic_ncols=True)


def talk_options(command: F) -> F:
    """--json and --quiet."""
    command = click.option("--quiet", "-q", is_flag=True, help="Say nothing on stderr.")(command)
    text = "Print the result as one JSON document."
    return click.option("--json", "as_json", is_flag=True, help=text)(command)


def seed_option(command: F) -> F:
    """--seed; drawn, printed and stored when not given."""
    text = "Same seed, same bytes; drawn when not given, always printed and stored."
    return click.option("--seed", type=click.IntRange(0, 2**31 - 1), help=text)(command)


def new_seed() -> int:
    """A seed for a run that was given none."""
    return secrets.randbelow(2**31)
